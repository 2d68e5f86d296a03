//! Requests that arrive in pieces: the answer never depends on where a segment ends.

use crate::answers::{GET, Site, assert_kept, assert_page, on_both_ports, request};

on_both_ports! {
    a_request_in_two_pieces,
    a_body_and_the_next_request_in_two_pieces,
    a_chunked_body_in_two_pieces,
    lenient_line_ends_in_two_pieces,
    a_fault_in_two_pieces,
    byte_by_byte,
    a_long_head_in_small_pieces,
}

/// One connection for each position, with both pieces in a segment of their own.
fn assert_split_anywhere(site: &Site, bytes: &str, answers: usize) {
    for at in 1..bytes.len() {
        let mut client = site.client();
        let (first, second) = bytes.as_bytes().split_at(at);
        client.send(first);
        client.send(second);
        for _ in 0..answers {
            assert_page(&client.answer(), &format!("split at {at}"));
        }
        assert_kept(&mut client);
    }
}

fn a_request_in_two_pieces(site: &Site) {
    assert_split_anywhere(site, &request("GET", "Accept: */*\r\nCookie: a=b\r\n"), 1);
}

fn a_body_and_the_next_request_in_two_pieces(site: &Site) {
    let post = request("POST", "Content-Length: 7\r\n") + "a\r\n\r\nb\n";
    assert_split_anywhere(site, &(post + GET), 2);
}

fn a_chunked_body_in_two_pieces(site: &Site) {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "00a;b=c\r\n0\r\n\r\nGET /\r\n1\r\n\r\r\n0\r\nX: y\r\n\r\n";
    assert_split_anywhere(site, &[head, body, GET].concat(), 2);
}

fn lenient_line_ends_in_two_pieces(site: &Site) {
    assert_split_anywhere(site, "\r\n\nGET / HTTP/1.1\nHost: a\n\n\r\n", 1);
}

fn a_fault_in_two_pieces(site: &Site) {
    let fault = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n";
    for at in 1..fault.len() {
        let mut client = site.client();
        let (first, second) = fault.as_bytes().split_at(at);
        client.send(first);
        client.send(second);
        assert_eq!(client.last_answer().status, 400, "split at {at}");
    }
}

fn byte_by_byte(site: &Site) {
    let mut client = site.client();
    let post = request("POST", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    let all = [GET, &post, GET].concat();
    for byte in all.as_bytes() {
        client.send([*byte]);
    }
    for number in ["first", "second", "third"] {
        assert_page(&client.answer(), number);
    }
    assert_kept(&mut client);
}

fn a_long_head_in_small_pieces(site: &Site) {
    let mut client = site.client();
    let cookie = format!("Cookie: {}\r\n", "c".repeat(30_000));
    for piece in request("GET", &cookie).as_bytes().chunks(97) {
        client.send(piece);
    }
    assert_page(&client.answer(), "a long head");
    assert_kept(&mut client);
}
