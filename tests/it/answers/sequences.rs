//! Several requests on a connection, lenient line ends between them, and half-closes.

use crate::answers::{GET, PAGE, SMUGGLED, Site, assert_kept, assert_page, on_both_ports, request};

on_both_ports! {
    three_in_one_write,
    forty_in_one_write,
    forty_with_bodies_in_one_write,
    head_and_get_mixed,
    one_after_another,
    the_last_of_a_pipeline_closes,
    a_fault_after_good_requests,
    line_feeds_alone,
    mixed_line_ends,
    empty_lines_before_a_request,
    empty_lines_between_requests,
    half_close_after_a_request,
    half_close_after_a_pipeline,
    half_close_inside_a_body,
    half_close_without_a_request,
    half_close_inside_a_head,
    half_close_and_a_large_page,
    a_pipeline_of_large_pages,
}

fn assert_pipeline(site: &Site, one: &str, count: usize) {
    let mut client = site.client();
    client.send(one.repeat(count));
    for number in 0..count {
        assert_page(&client.answer(), &format!("number {number} of {count}"));
    }
    assert_kept(&mut client);
}

fn three_in_one_write(site: &Site) {
    assert_pipeline(site, GET, 3);
}

fn forty_in_one_write(site: &Site) {
    assert_pipeline(site, GET, 40);
    // Long enough that no read takes them all.
    let cookie = format!("Cookie: {}\r\n", "c".repeat(4000));
    assert_pipeline(site, &request("GET", &cookie), 40);
}

fn forty_with_bodies_in_one_write(site: &Site) {
    let post = request("POST", "Content-Length: 5\r\n") + "hello";
    assert_pipeline(site, &post, 40);
}

fn head_and_get_mixed(site: &Site) {
    let mut client = site.client();
    let head = request("HEAD", "");
    let methods = [
        "HEAD", "GET", "GET", "HEAD", "HEAD", "HEAD", "GET", "HEAD", "GET", "GET",
    ];
    let of_method = |&method: &&str| if method == "HEAD" { &head } else { GET };
    client.send(methods.iter().map(of_method).collect::<String>().repeat(4));
    for _ in 0..4 {
        for method in methods {
            let answer = match method {
                "HEAD" => client.answer_to_head(),
                _ => client.answer(),
            };
            let body = if method == "HEAD" { "" } else { PAGE };
            assert_eq!((answer.status, answer.text().as_str()), (503, body));
            let length = PAGE.len().to_string();
            assert_eq!(answer.header("Content-Length"), Some(length.as_str()));
        }
    }
    assert_kept(&mut client);
}

fn one_after_another(site: &Site) {
    let mut client = site.client();
    for _ in 0..20 {
        assert_kept(&mut client);
    }
}

fn the_last_of_a_pipeline_closes(site: &Site) {
    let mut client = site.client();
    client.send([GET, GET, &request("GET", "Connection: close\r\n"), SMUGGLED].concat());
    for last in [false, false, true] {
        let answer = client.answer();
        assert_page(&answer, "pipelined");
        assert_eq!(answer.says_close(), last);
    }
    client.assert_closed();
}

fn a_fault_after_good_requests(site: &Site) {
    for (status, fault) in [
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
        (
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo\r\n\r\n",
        ),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ] {
        let mut client = site.client();
        client.send([GET, GET, fault, SMUGGLED].concat());
        for number in ["first", "second"] {
            assert_page(&client.answer(), number);
        }
        assert_eq!(client.last_answer().status, status, "{fault}");
    }
}

/// RFC 9112 2.2: a recipient may take a single LF as a line's end.
fn line_feeds_alone(site: &Site) {
    site.keeps("GET / HTTP/1.1\nHost: example.org\n\n");
    site.keeps("POST / HTTP/1.1\nHost: example.org\nContent-Length: 5\n\nhello");
    site.keeps("GET / HTTP/1.0\nConnection: keep-alive\n\n");
    site.closes("GET / HTTP/1.1\nHost: example.org\nConnection: close\n\n");
    assert_pipeline(site, "GET / HTTP/1.1\nHost: example.org\n\n", 10);
}

fn mixed_line_ends(site: &Site) {
    site.keeps("GET / HTTP/1.1\r\nHost: example.org\r\n\n");
    site.keeps("GET / HTTP/1.1\nHost: example.org\n\r\n");
    site.keeps("GET / HTTP/1.1\nHost: example.org\r\n\r\n");
    site.keeps("GET / HTTP/1.1\r\nHost: example.org\nX: y\r\n\n");
}

/// RFC 9112 2.2: at least one empty line before a request is ignored.
fn empty_lines_before_a_request(site: &Site) {
    for lines in ["\r\n", "\n", "\r\n\r\n", "\n\r\n\n", "\r\n\r\n\r\n\r\n"] {
        site.keeps(format!("{lines}{GET}"));
    }
    // Alone they are no request.
    let mut client = site.client();
    client.send("\r\n");
    client.send("\r\n");
    assert_kept(&mut client);
}

/// Old clients send CRLF after a body, not counted in its length.
fn empty_lines_between_requests(site: &Site) {
    let post = request("POST", "Content-Length: 5\r\n") + "hello\r\n";
    site.keeps(&post);
    assert_pipeline(site, &post, 10);
    assert_pipeline(site, &format!("{GET}\r\n\n\r\n"), 10);
}

/// `last_answer` demands a clean end too: FIN, over TLS after `close_notify`.
fn half_close_after_a_request(site: &Site) {
    for request in [
        GET,
        "GET / HTTP/1.0\r\n\r\n",
        &request("GET", "Connection: close\r\n"),
    ] {
        let mut client = site.client();
        client.send_last(request);
        assert_page(&client.last_answer(), request);
    }
}

fn half_close_after_a_pipeline(site: &Site) {
    let mut client = site.client();
    client.send(GET.repeat(40));
    client.half_close();
    for number in 0..40 {
        assert_page(&client.answer(), &format!("number {number}"));
    }
    client.assert_closed();
}

fn half_close_inside_a_body(site: &Site) {
    for (length, sent) in [(5, 0), (5, 4), (65_536, 1000), (100_000, 10)] {
        let mut client = site.client();
        let head = request("POST", &format!("Content-Length: {length}\r\n"));
        client.send(head + &"x".repeat(sent));
        client.half_close();
        assert_page(&client.last_answer(), "a body cut short");
    }
}

fn half_close_without_a_request(site: &Site) {
    let mut client = site.client();
    client.half_close();
    client.assert_closed();

    let mut client = site.client();
    assert_kept(&mut client);
    client.half_close();
    client.assert_closed();
}

/// RFC 9112 8: an incomplete request; answered with a refusal or not at all, but never served.
fn half_close_inside_a_head(site: &Site) {
    for part in [
        "G",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r\nHost: example.org\r\n",
    ] {
        let mut client = site.client();
        client.send(part);
        client.half_close();
        let rest = client.rest();
        let refused = rest.starts_with(b"HTTP/1.1 400 ");
        assert!(rest.is_empty() || refused, "{}", rest.escape_ascii());
    }
}

/// More than every socket buffer: written in many turns, long after the client's FIN.
fn half_close_and_a_large_page(site: &Site) {
    let page: Vec<u8> = (0..10_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let site = Site::with_page(site.port, &page);
    let mut client = site.client();
    client.send(GET);
    client.half_close();
    let answer = client.last_answer();
    assert!(answer.status == 503 && answer.body == page);
}

fn a_pipeline_of_large_pages(site: &Site) {
    let page: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let site = Site::with_page(site.port, &page);
    let mut client = site.client();
    client.send(GET.repeat(5));
    for _ in 0..5 {
        let answer = client.answer();
        assert!(answer.status == 503 && answer.body == page);
    }
    client.send(GET);
    assert!(client.answer().body == page);
}
