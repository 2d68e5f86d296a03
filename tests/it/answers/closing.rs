//! No client loses an answer to a reset, although it is still sending when the server closes.

use std::thread;

use crate::answers::{GET, PAGE, Site, assert_page, assert_refusal, on_both_ports, request};

on_both_ports! {
    still_sending_after_a_refusal,
    still_sending_a_body_that_is_too_long,
    still_sending_an_expected_body,
    still_sending_chunks,
    still_sending_after_connection_close,
    still_sending_while_reading_late,
    a_reset_by_a_client_does_not_affect_others,
    clients_at_once,
}

/// What a client still sends: more than fits into the socket buffers and one read.
const MORE: usize = 1 << 20;

/// Sends `bytes`, then 1 MiB in pieces, and only then reads.
fn sends_on(site: &Site, bytes: &str) -> crate::answers::Answer {
    let mut client = site.client();
    client.send(bytes);
    for piece in "x".repeat(MORE).as_bytes().chunks(16 * 1024) {
        client.send(piece);
    }
    client.last_answer()
}

fn still_sending_after_a_refusal(site: &Site) {
    let long_line = format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000));
    let long_field = request("GET", &format!("X: {}\r\n", "y".repeat(40_000)));
    for (status, bytes) in [
        (400, "POST / HTTP/1.1\r\n\r\n"),
        (400, "GET /\r\n"),
        (414, &long_line),
        (431, &long_field),
        (
            501,
            &request("POST", "Transfer-Encoding: gzip, chunked\r\n"),
        ),
        (505, "POST / HTTP/2.0\r\n\r\n"),
    ] {
        let answer = sends_on(site, bytes);
        assert_eq!(answer.status, status, "{answer:#?}");
        assert_refusal(&answer);
    }
}

fn still_sending_a_body_that_is_too_long(site: &Site) {
    let head = request("POST", &format!("Content-Length: {MORE}\r\n"));
    assert_page(&sends_on(site, &head), &head);
    let head = request("POST", &format!("Content-Length: {}\r\n", 10 * MORE));
    assert_page(&sends_on(site, &head), &head);
}

fn still_sending_an_expected_body(site: &Site) {
    let fields = format!("Expect: 100-continue\r\nContent-Length: {MORE}\r\n");
    assert_page(&sends_on(site, &request("PUT", &fields)), &fields);
}

fn still_sending_chunks(site: &Site) {
    let head = request("POST", "Transfer-Encoding: chunked\r\n");
    for chunks in ["100000\r\n", "xyz\r\n", "5\r\nhello-"] {
        assert_page(&sends_on(site, &(head.clone() + chunks)), chunks);
    }
}

fn still_sending_after_connection_close(site: &Site) {
    let mut client = site.client();
    let more = GET.repeat(MORE / GET.len());
    client.send(request("GET", "Connection: close\r\n") + &more);
    let answer = client.last_answer();
    assert_page(&answer, "Connection: close");
}

/// The answer waits in the client's socket while it goes on sending.
fn still_sending_while_reading_late(site: &Site) {
    let mut client = site.client();
    client.send(request(
        "POST",
        &format!("Content-Length: {}\r\n", 2 * MORE),
    ));
    let answer = client.answer();
    assert_page(&answer, "before the body");
    for piece in "x".repeat(2 * MORE).as_bytes().chunks(64 * 1024) {
        client.send(piece);
    }
    client.half_close();
    client.assert_closed();
}

/// Dropped with the answer unread, a client's socket sends RST.
fn a_reset_by_a_client_does_not_affect_others(site: &Site) {
    let mut witness = site.client();
    for part in [GET, "GET / HTTP/1.1\r\nHo", &GET.repeat(100)] {
        for _ in 0..20 {
            let mut client = site.client();
            client.send(part);
            drop(client);
        }
    }
    witness.send(GET);
    assert_page(&witness.answer(), "the witness");
}

fn clients_at_once(site: &Site) {
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let answer = site.keeps(GET);
                    assert_eq!(answer.body, PAGE.as_bytes());
                    site.closes(request("POST", "Content-Length: 70000\r\n"));
                }
            });
        }
    });
}
