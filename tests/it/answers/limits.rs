//! The largest heads that are taken, and the smallest that are not.

use crate::answers::{GET, Site, assert_page, assert_refusal, on_both_ports, request};

on_both_ports! {
    request_lines_within_the_limit,
    request_lines_over_the_limit,
    a_request_line_without_an_end,
    heads_within_the_limit,
    heads_over_the_limit,
    a_head_without_an_end,
    as_many_fields_as_are_allowed,
    one_field_too_many,
    the_limit_is_for_each_head,
    a_thousand_requests_a_connection,
}

const MAX_REQUEST_LINE: usize = 8 * 1024;
const MAX_HEAD: usize = 32 * 1024;

/// A request whose request line has `length` bytes without its line end.
fn with_request_line(length: usize) -> String {
    let target = "x".repeat(length - "GET / HTTP/1.1".len());
    format!("GET /{target} HTTP/1.1\r\nHost: example.org\r\n\r\n")
}

/// A head of `length` bytes, the empty line included, the most of it in one field.
fn with_head(length: usize) -> String {
    let short = request("GET", "X: \r\n");
    request(
        "GET",
        &format!("X: {}\r\n", "y".repeat(length - short.len())),
    )
}

/// With or without its line end, the longest of these is within the limit.
fn request_lines_within_the_limit(site: &Site) {
    for length in [1024, 7 * 1024, MAX_REQUEST_LINE - 100, MAX_REQUEST_LINE - 2] {
        site.keeps(with_request_line(length));
    }
    let method = request(&"M".repeat(7 * 1024), "");
    site.keeps(method);
}

/// With or without its line end, the shortest of these is over the limit.
fn request_lines_over_the_limit(site: &Site) {
    for length in [
        MAX_REQUEST_LINE + 1,
        9 * 1024,
        20 * 1024,
        31 * 1024,
        40 * 1024,
        200_000,
    ] {
        site.refuses(414, with_request_line(length));
    }
    site.refuses(414, request(&"M".repeat(9 * 1024), ""));
}

/// Refused as soon as it is too long: no client has to end its line first.
fn a_request_line_without_an_end(site: &Site) {
    for length in [9 * 1024, 40 * 1024, 200_000] {
        let mut client = site.client();
        client.send(format!("GET /{}", "x".repeat(length)));
        let answer = client.last_answer();
        assert_eq!(answer.status, 414, "{answer:#?}");
        assert_refusal(&answer);
    }
}

fn heads_within_the_limit(site: &Site) {
    for length in [9 * 1024, 31 * 1024, MAX_HEAD - 1, MAX_HEAD] {
        let head = with_head(length);
        assert_eq!(head.len(), length);
        site.keeps(head);
    }
    let cookies = format!("Cookie: {}\r\n", "c".repeat(3000)).repeat(10);
    site.keeps(request("GET", &cookies));
    let long_name = format!("{}: y\r\n", "X".repeat(20_000));
    site.keeps(request("GET", &long_name));
}

/// With or without the empty line, the shortest of these is over the limit.
fn heads_over_the_limit(site: &Site) {
    for length in [MAX_HEAD + 5, 40_000, 64 * 1024, 300_000] {
        site.refuses(431, with_head(length));
    }
    let cookies = format!("Cookie: {}\r\n", "c".repeat(4000)).repeat(10);
    site.refuses(431, request("GET", &cookies));
    site.refuses(
        431,
        request("POST", &format!("Content-Length: 5\r\n{cookies}")) + "hello",
    );
}

fn a_head_without_an_end(site: &Site) {
    for field in [
        format!("X: {}", "y".repeat(40_000)),
        "Cookie: monster\r\n".repeat(4000),
    ] {
        let mut client = site.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: example.org\r\n{field}"));
        let answer = client.last_answer();
        assert_eq!(answer.status, 431, "{answer:#?}");
        assert_refusal(&answer);
    }
}

/// `request` itself has one: Host.
fn as_many_fields_as_are_allowed(site: &Site) {
    for more in [100, 254, 255] {
        site.keeps(request("GET", &"X: y\r\n".repeat(more)));
    }
}

fn one_field_too_many(site: &Site) {
    for more in [256, 257, 1000, 5000] {
        site.refuses(431, request("GET", &"X: y\r\n".repeat(more)));
    }
    // Not before the 257th, wherever Host stands.
    let first = "X: y\r\n".repeat(255);
    site.keeps(format!(
        "GET / HTTP/1.1\r\n{first}Host: example.org\r\n\r\n"
    ));
    site.refuses(
        431,
        format!("GET / HTTP/1.1\r\n{first}X: y\r\nHost: example.org\r\n\r\n"),
    );
}

fn the_limit_is_for_each_head(site: &Site) {
    let mut client = site.client();
    client.send(with_head(31 * 1024).repeat(4) + &with_request_line(7 * 1024).repeat(8));
    for number in 0..12 {
        assert_page(&client.answer(), &format!("number {number}"));
    }
}

/// The last answer has `Connection: close`: the client repeats what follows.
fn a_thousand_requests_a_connection(site: &Site) {
    let mut client = site.client();
    for number in 1..=1000 {
        client.send(GET);
        let answer = client.answer();
        assert_page(&answer, &format!("number {number}"));
        assert_eq!(answer.says_close(), number == 1000, "number {number}");
    }
    client.assert_closed();
}
