//! Requests with Content-Length bodies, and `Expect`.

use crate::answers::{GET, SMUGGLED, Site, assert_kept, assert_page, on_both_ports, request};

on_both_ports! {
    no_body_and_a_body_of_no_bytes,
    small_bodies_are_skipped,
    a_body_of_64_kib_is_skipped,
    a_body_over_64_kib_closes,
    a_body_over_64_kib_that_is_sent_is_not_answered,
    the_answer_comes_before_the_body,
    bodies_that_look_like_requests,
    pipelined_bodies,
    equal_content_lengths_frame_one_body_or_are_refused,
    expect_100_continue_closes,
    expect_100_continue_with_the_body_at_once,
    expect_100_continue_with_a_chunked_body,
    expect_100_continue_in_http_1_0_is_ignored,
    expectations_of_other_kinds,
}

/// The longest body that is skipped.
const KEPT: usize = 64 * 1024;

fn post(length: usize) -> String {
    request("POST", &format!("Content-Length: {length}\r\n"))
}

fn no_body_and_a_body_of_no_bytes(site: &Site) {
    for method in ["GET", "POST", "PUT", "FOO"] {
        site.keeps(request(method, ""));
        site.keeps(request(method, "Content-Length: 0\r\n"));
    }
}

fn small_bodies_are_skipped(site: &Site) {
    for method in [
        "POST", "PUT", "GET", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO",
    ] {
        for length in [1, 5, 100, 10_000] {
            let head = request(method, &format!("Content-Length: {length}\r\n"));
            site.keeps(head + &"x".repeat(length));
        }
    }
    site.keeps(request("POST", "Content-Length:  \t 5\t \r\n") + "hello");
    site.keeps(request("POST", "Content-Length: 0005\r\n") + "hello");
}

fn a_body_of_64_kib_is_skipped(site: &Site) {
    site.keeps(post(KEPT) + &"x".repeat(KEPT));
    site.keeps(post(KEPT - 1) + &"x".repeat(KEPT - 1));
}

/// Nothing of the body is sent: the head alone decides.
fn a_body_over_64_kib_closes(site: &Site) {
    for length in [KEPT + 1, 2 << 20, 1 << 40, 9_223_372_036_854_775_807] {
        let mut client = site.client();
        client.send(post(length));
        let answer = client.last_answer();
        assert_page(&answer, &post(length));
        assert!(answer.says_close(), "{answer:#?}");
    }
}

fn a_body_over_64_kib_that_is_sent_is_not_answered(site: &Site) {
    site.closes(post(KEPT + 1) + &"x".repeat(KEPT + 1));
    site.closes(post(KEPT + SMUGGLED.len()) + &"x".repeat(KEPT) + SMUGGLED);
}

/// A client that reads before it sends its body must not wait forever.
fn the_answer_comes_before_the_body(site: &Site) {
    for length in [1, 1000, KEPT] {
        let mut client = site.client();
        client.send(post(length));
        assert_page(&client.answer(), "head alone");
        client.send("x".repeat(length / 2));
        client.send("x".repeat(length - length / 2));
        assert_kept(&mut client);
    }
}

fn bodies_that_look_like_requests(site: &Site) {
    site.keeps(post(SMUGGLED.len()) + SMUGGLED);
    let twice = SMUGGLED.repeat(2);
    site.keeps(post(twice.len()) + &twice);
    site.keeps(post(2) + "\r\n");
}

fn pipelined_bodies(site: &Site) {
    let mut client = site.client();
    let lengths = [0, 1, 40_000, 0, 5, KEPT, 3];
    let requests = lengths.map(|length| post(length) + &"x".repeat(length));
    client.send(requests.concat());
    for length in lengths {
        assert_page(&client.answer(), &post(length));
    }
    assert_kept(&mut client);
}

/// RFC 9110 8.6 leaves both open. What must not be is a body that counts as a request.
fn equal_content_lengths_frame_one_body_or_are_refused(site: &Site) {
    let length = SMUGGLED.len();
    let twice = format!("Content-Length: {length}\r\nContent-Length: {length}\r\n");
    let list = format!("Content-Length: {length}, {length}\r\n");
    for fields in [twice, list] {
        let mut client = site.client();
        client.send_last(request("POST", &fields) + SMUGGLED);
        let answer = client.last_answer();
        assert!(matches!(answer.status, 400 | 503), "{answer:#?}");
    }
}

/// The client waits for a 100 that never comes, and no byte of its body is sent.
fn expect_100_continue_closes(site: &Site) {
    for expectation in ["100-continue", "100-Continue", " 100-CONTINUE "] {
        for length in [1, 5, KEPT, KEPT + 1, 2 << 20] {
            let fields = format!("Expect: {expectation}\r\nContent-Length: {length}\r\n");
            let mut client = site.client();
            client.send(request("PUT", &fields));
            let answer = client.last_answer();
            assert_page(&answer, &fields);
            assert!(answer.says_close(), "{answer:#?}");
        }
    }
}

/// `closes` reads to the end: a 100 before or after the answer would be found.
fn expect_100_continue_with_the_body_at_once(site: &Site) {
    site.closes(request("POST", "Expect: 100-continue\r\nContent-Length: 5\r\n") + "hello");
    site.closes(request("POST", "Content-Length: 5\r\nExpect: 100-continue\r\n") + "hello");
    let long = request("POST", "Content-Length: 100000\r\nExpect: 100-continue\r\n");
    site.closes(long + &"x".repeat(100_000));
}

fn expect_100_continue_with_a_chunked_body(site: &Site) {
    let head = request(
        "POST",
        "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
    );
    let mut client = site.client();
    client.send(&head);
    let answer = client.last_answer();
    assert_page(&answer, &head);
    assert!(answer.says_close(), "{answer:#?}");

    site.closes(head + "5\r\nhello\r\n0\r\n\r\n");
}

/// RFC 9110 10.1.1: the expectation of an HTTP/1.0 client must be ignored.
fn expect_100_continue_in_http_1_0_is_ignored(site: &Site) {
    site.keeps(
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\
         Content-Length: 5\r\n\r\nhello",
    );
}

/// RFC 9110 10.1.1 would allow 417; here everything is answered by the page.
fn expectations_of_other_kinds(site: &Site) {
    for expectation in ["200-ok", "", "100", "foo=bar"] {
        let mut client = site.client();
        client.send(request("GET", &format!("Expect: {expectation}\r\n")));
        assert_page(&client.answer(), expectation);
    }
    site.keeps(GET);
}
