//! Chunked bodies: skipped where they are right, the end of the connection where they are not.

use crate::answers::{SMUGGLED, Site, assert_kept, assert_page, on_both_ports, request};

on_both_ports! {
    chunked_bodies_are_skipped,
    chunk_extensions_are_skipped,
    chunk_extensions_that_are_none,
    trailers_are_skipped,
    sizes_in_every_spelling,
    chunks_that_look_like_requests,
    the_answer_comes_before_the_chunks,
    pipelined_chunked_bodies,
    chunk_by_chunk,
    a_long_chunked_body_within_the_limit,
    a_chunked_body_over_64_kib_closes,
    a_chunk_over_64_kib_closes,
    sizes_that_are_none,
    sizes_that_overflow,
    data_without_its_line_end,
    bare_line_feeds,
    bare_carriage_returns,
    endless_extensions_and_trailers_close,
    an_unfinished_chunked_body_and_a_half_close,
    chunked_in_http_1_0_closes,
    unknown_transfer_codings,
    chunked_that_is_not_last_or_not_alone,
    transfer_encodings_that_are_no_codings,
}

fn post(body: &str) -> String {
    request("POST", "Transfer-Encoding: chunked\r\n") + body
}

fn chunked_bodies_are_skipped(site: &Site) {
    site.keeps(post("0\r\n\r\n"));
    site.keeps(post("5\r\nhello\r\n0\r\n\r\n"));
    site.keeps(post("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"));
    site.keeps(post("2\r\n\r\n\r\n0\r\n\r\n"));
    for method in ["GET", "PUT", "DELETE", "FOO"] {
        let head = request(method, "Transfer-Encoding: chunked\r\n");
        site.keeps(head + "5\r\nhello\r\n0\r\n\r\n");
    }
    for coding in ["Chunked", "CHUNKED", " chunked\t"] {
        let head = request("POST", &format!("Transfer-Encoding:{coding}\r\n"));
        site.keeps(head + "5\r\nhello\r\n0\r\n\r\n");
    }
}

/// RFC 9112 7.1.1: unknown extensions are ignored.
fn chunk_extensions_are_skipped(site: &Site) {
    site.keeps(post("5;a\r\nhello\r\n0\r\n\r\n"));
    site.keeps(post("5;a=b;c=d\r\nhello\r\n0;last\r\n\r\n"));
    site.keeps(post("5;q=\"x;y\"\r\nhello\r\n0\r\n\r\n"));
    // Blanks that senders must not write and recipients must skip.
    site.keeps(post("5 ; a\t= \"b\" ;c\r\nhello\r\n0\r\n\r\n"));
    site.keeps(post(&format!(
        "5;a={}\r\nhello\r\n0\r\n\r\n",
        "x".repeat(1000)
    )));
}

/// RFC 9112 7.1.1: what is no extension may have another end for another reader.
fn chunk_extensions_that_are_none(site: &Site) {
    for line in [
        "5;",
        "5 ",
        "5; ",
        "5;a ",
        "5;a;",
        "5;=b",
        "5;a=",
        "5;a=b c",
        "5;bad[=x",
        "5;a=\"b",
        "5;a=\"b\"c",
    ] {
        site.closes_later(post(&format!("{line}\r\nhello\r\n0\r\n\r\n")));
        site.closes_later(post(&format!("5\r\nhello\r\n{line}\r\nhello\r\n0\r\n\r\n")));
    }
}

fn trailers_are_skipped(site: &Site) {
    site.keeps(post("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"));
    site.keeps(post("0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n"));
    // A trailer frames nothing (RFC 9110 6.5.1).
    site.keeps(post("5\r\nhello\r\n0\r\nContent-Length: 100\r\n\r\n"));
    site.keeps(post(
        "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ));
}

fn sizes_in_every_spelling(site: &Site) {
    let ten = "0123456789";
    for size in ["a", "A", "0a", "000A", "000000000000000a"] {
        site.keeps(post(&format!("{size}\r\n{ten}\r\n0\r\n\r\n")));
    }
    for zero in ["00", "0000000000000000"] {
        site.keeps(post(&format!("{zero}\r\n\r\n")));
    }
    site.keeps(post(&format!("fF\r\n{}\r\n0\r\n\r\n", "x".repeat(255))));
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn chunks_that_look_like_requests(site: &Site) {
    site.keeps(post(&(chunk(SMUGGLED) + "0\r\n\r\n")));
    site.keeps(post(
        &(chunk("\r\n0\r\n\r\n") + &chunk(SMUGGLED) + "0\r\n\r\n"),
    ));
}

fn the_answer_comes_before_the_chunks(site: &Site) {
    let mut client = site.client();
    client.send(post(""));
    assert_page(&client.answer(), "head alone");
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_kept(&mut client);
}

fn pipelined_chunked_bodies(site: &Site) {
    let mut client = site.client();
    client.send(post("5\r\nhello\r\n0\r\nX: y\r\n\r\n").repeat(20));
    for number in 0..20 {
        assert_page(&client.answer(), &format!("number {number}"));
    }
    assert_kept(&mut client);
}

fn chunk_by_chunk(site: &Site) {
    let mut client = site.client();
    client.send(post(""));
    assert_page(&client.answer(), "head alone");
    for size in 1..100 {
        client.send(chunk(&"x".repeat(size)));
    }
    client.send("0\r\n");
    client.send("\r\n");
    assert_kept(&mut client);
}

/// 60 KiB of data: under 64 KiB however the framing is counted.
fn a_long_chunked_body_within_the_limit(site: &Site) {
    let body = chunk(&"x".repeat(4096)).repeat(15) + "0\r\n\r\n";
    site.keeps(post(&body));
    site.keeps(post(&(chunk(&"x".repeat(60 * 1024)) + "0\r\n\r\n")));
}

fn a_chunked_body_over_64_kib_closes(site: &Site) {
    for size in [128, 1024, 16 * 1024] {
        let chunks = chunk(&"x".repeat(size)).repeat(128 * 1024 / size);
        site.closes_later(post(&(chunks + "0\r\n\r\n")));
    }
}

/// Closed at its size: no byte of the chunk is sent.
fn a_chunk_over_64_kib_closes(site: &Site) {
    for size in [
        "10001",
        "20000",
        "fffffff",
        "7fffffffffffffff",
        "ffffffffffffffff",
    ] {
        let mut client = site.client();
        client.send(post(&format!("{size}\r\n")));
        assert_page(&client.last_answer(), size);
    }
    site.closes_later(post(&(chunk(&"x".repeat(128 * 1024)) + "0\r\n\r\n")));
}

fn sizes_that_are_none(site: &Site) {
    for size in [
        "xyz", "-1", "+5", "0x5", "", " ", "5 5", "5,5", "g", "5g", ";a", "-0", "\u{665}", "5\0",
        " 5", "\"5\"", "0x0", "5.0",
    ] {
        site.closes_later(post(&format!("{size}\r\nhello\r\n0\r\n\r\n")));
        // Not as a later chunk either.
        site.closes_later(post(&format!("5\r\nhello\r\n{size}\r\nhello\r\n0\r\n\r\n")));
    }
}

/// Cut to 64 bits, each of these would be 5, or 0 (RFC 9112 7.1: must anticipate large ones).
fn sizes_that_overflow(site: &Site) {
    for size in [
        "10000000000000005",
        "f0000000000000005",
        "100000000000000000000000000000005",
    ] {
        site.closes_later(post(&format!("{size}\r\nhello\r\n0\r\n\r\n")));
    }
    site.closes_later(post("10000000000000000\r\n\r\n"));
    site.closes_later(post(&format!(
        "1{}5\r\nhello\r\n0\r\n\r\n",
        "0".repeat(5000)
    )));
}

fn data_without_its_line_end(site: &Site) {
    site.closes_later(post("5\r\nhello0\r\n\r\n"));
    site.closes_later(post("5\r\nhelloXX0\r\n\r\n"));
    site.closes_later(post("5\r\nhello, world\r\n0\r\n\r\n"));
    site.closes_later(post("4\r\nhello\r\n0\r\n\r\n"));
    site.closes_later(post("5\r\nhello\n\r0\r\n\r\n"));
    // Here the missing line end would make the end of the body out of the data.
    site.closes_later(post("3\r\nabc0\r\n0\r\n\r\n"));
}

/// What one server ends at a bare LF and another does not is a way to smuggle.
fn bare_line_feeds(site: &Site) {
    site.closes_later(post("5\nhello\r\n0\r\n\r\n"));
    site.closes_later(post("5\r\nhello\n0\r\n\r\n"));
    site.closes_later(post("5;a\nhello\r\n0\r\n\r\n"));
    site.closes_later(post("5\nhello\n0\n\n"));
    site.closes_later(post("2;\nxx\r\n4c\r\n0\r\n\r\n"));
}

fn bare_carriage_returns(site: &Site) {
    site.closes_later(post("5\rhello\r\n0\r\n\r\n"));
    site.closes_later(post("5;a\rb\r\nhello\r\n0\r\n\r\n"));
    site.closes_later(post("5\r\r\nhello\r\n0\r\n\r\n"));
    site.closes_later(post("5\r\nhello\rX0\r\n\r\n"));
    site.closes_later(post("5\r\nhello\r\r\n0\r\n\r\n"));
}

/// They count as input too: a body is not skipped without limit.
fn endless_extensions_and_trailers_close(site: &Site) {
    let long = "x".repeat(256 * 1024);
    site.closes_later(post(&format!("5;{long}\r\nhello\r\n0\r\n\r\n")));
    site.closes_later(post(&format!("0\r\nX: {long}\r\n\r\n")));
    let fields = "X: y\r\n".repeat(50_000);
    site.closes_later(post(&format!("0\r\n{fields}\r\n")));
}

fn an_unfinished_chunked_body_and_a_half_close(site: &Site) {
    for body in [
        "",
        "5",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "0\r\n",
        "0\r\nX",
    ] {
        let mut client = site.client();
        client.send(post(body));
        client.half_close();
        assert_page(&client.last_answer(), body);
    }
}

/// RFC 9112 6.1: the framing of such a message is faulty, and the connection is closed after it.
fn chunked_in_http_1_0_closes(site: &Site) {
    let mut client = site.client();
    client.send(
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    );
    client.send(SMUGGLED);
    let answer = client.last_answer();
    assert!(matches!(answer.status, 400 | 503), "{answer:#?}");
}

fn unknown_transfer_codings(site: &Site) {
    for coding in [
        "gzip, chunked",
        "gzip,chunked",
        "identity",
        "foo",
        "xchunked",
        "chunkedx",
    ] {
        let head = request("POST", &format!("Transfer-Encoding: {coding}\r\n"));
        site.refuses(501, head + "5\r\nhello\r\n0\r\n\r\n");
    }
    let two = request(
        "POST",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    );
    site.refuses(501, two + "0\r\n\r\n");
}

/// RFC 9112 6.3: where the body ends is not known.
fn chunked_that_is_not_last_or_not_alone(site: &Site) {
    for fields in [
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding: gzip, chunked\r\n",
    ] {
        let head = request("POST", fields);
        site.refuses(400, head + "5\r\nhello\r\n0\r\n\r\n");
    }
}

/// RFC 9112 7: refused, whichever of the two reasons is given.
fn transfer_encodings_that_are_no_codings(site: &Site) {
    for fields in [
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chun ked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        let head = request("POST", fields);
        site.refuses_with_one_of(&[400, 501], head + "5\r\nhello\r\n0\r\n\r\n");
    }
}
