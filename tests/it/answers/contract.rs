//! What the heads of answers contain, and what they do not.

use crate::answers::{GET, PAGE, Site, on_both_ports, request};
use crate::common::client::connect;
use crate::common::{Answer, Server};

on_both_ports! {
    the_head_of_the_503,
    the_503_is_the_same_bytes_for_all_clients,
    refusals_explain_themselves,
    retry_after_by_flag,
    a_page_of_one_byte,
    a_page_of_binary_bytes,
    the_embedded_page,
}

fn assert_contract(answer: &Answer) {
    assert_eq!(answer.version, "HTTP/1.1");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.reason, "Service Unavailable");
    let content_type = answer.header("Content-Type").unwrap_or_default();
    let content_type = content_type.to_ascii_lowercase();
    assert!(content_type.starts_with("text/html;"), "{content_type}");
    assert!(content_type.contains("charset=utf-8"), "{content_type}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(
        answer
            .header("Vary")
            .map(|vary| vary.replace(", Accept-Encoding", "")),
        Some("Accept, Sec-Fetch-Dest".to_owned())
    );
    assert_eq!(answer.header("ETag"), None);
    assert_eq!(answer.header("Last-Modified"), None);
    // RFC 9110 6.6.1 lets a 5xx go without.
    assert_eq!(answer.header("Date"), None);
}

fn the_head_of_the_503(site: &Site) {
    let answer = site.keeps(GET);
    assert_contract(&answer);
    assert_eq!(answer.header("Retry-After"), Some("300"));
    let length = PAGE.len().to_string();
    assert_eq!(answer.header("Content-Length"), Some(length.as_str()));

    assert_contract(&site.closes(request("GET", "Connection: close\r\n")));
    assert_contract(&site.keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

fn the_503_is_the_same_bytes_for_all_clients(site: &Site) {
    let first = site.keeps(GET);
    for other in [
        "POST /x?y HTTP/1.1\r\nHost: other.example\r\nContent-Length: 2\r\n\r\nab",
        "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nIf-None-Match: *\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    ] {
        assert_eq!(site.keeps(other), first);
    }
}

/// `refuses` checks their fields; a person reads the body.
fn refusals_explain_themselves(site: &Site) {
    for (status, bytes) in [
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            414,
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000)),
        ),
        (431, request("GET", &"X: y\r\n".repeat(300))),
        (501, request("POST", "Transfer-Encoding: gzip\r\n")),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned()),
    ] {
        let answer = site.refuses(status, bytes);
        assert!(answer.text().contains(&status.to_string()), "{answer:#?}");
        assert!(answer.header("Content-Type").is_some(), "{answer:#?}");
        assert_eq!(answer.header("Retry-After"), None, "{answer:#?}");
    }
}

fn retry_after_by_flag(site: &Site) {
    let server = Server::start(&["--retry-after", "7200"]);
    let mut client = connect(&server, site.port);
    client.send(GET);
    assert_eq!(client.answer().header("Retry-After"), Some("7200"));
}

fn a_page_of_one_byte(site: &Site) {
    let site = Site::with_page(site.port, b"x");
    let mut client = site.client();
    client.send(GET.repeat(2));
    for _ in 0..2 {
        assert_eq!(client.answer().body, b"x");
    }
}

fn a_page_of_binary_bytes(site: &Site) {
    let page: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(300);
    let site = Site::with_page(site.port, &page);
    let mut client = site.client();
    client.send(GET);
    assert!(client.answer().body == page);
}

/// No flag at all but for the ports: a page, a certificate and a warning come with the program.
fn the_embedded_page(site: &Site) {
    let server = Server::start(&[]);
    let mut client = connect(&server, site.port);
    client.send(GET);
    let answer = client.answer();
    assert_contract(&answer);
    assert_eq!(answer.header("Retry-After"), Some("300"));
    let page = answer.text().to_ascii_lowercase();
    assert!(page.contains("<!doctype html>"), "{page}");
    server.wait_for_stderr("certificate");
}
