//! The requests, and the check of one answer. Later answers are checked by their length.

use std::io::{self, Read, Write};

/// The requests on a persistent connection, and on one that is closed.
pub const KEEP: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: flood\r\n\r\n";
pub const CLOSE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: flood\r\nConnection: close\r\n\r\n";

/// The length of the page.
pub const PAGE: usize = 1813;

/// The beginning of every answer.
pub const BEGIN: &[u8] = b"HTTP/1.1 503";

/// The page that all servers send.
pub fn page() -> Vec<u8> {
    const START: &str =
        "<!doctype html>\n<title>Maintenance</title>\n<p>We will be back soon.\n<!--";
    const END: &str = "-->\n";
    let filler = "x".repeat(PAGE - START.len() - END.len());
    [START, &filler, END].concat().into_bytes()
}

/// The answer of the bare limit, as long as maintd's.
pub fn of_the_bare_limit() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {PAGE}\r\nCache-Control: no-store\r\nRetry-After: 300\r\n\r\n"
    );
    [head.into_bytes(), page()].concat()
}

/// Sends a request, and returns the length of the answer, which must be a 503 with the page.
pub fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<usize> {
    stream.write_all(request)?;
    let page = page();
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    while !answer.ends_with(&page) {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..length]);
    }
    if answer.starts_with(BEGIN) && answer.ends_with(&page) {
        Ok(answer.len())
    } else {
        let text = String::from_utf8_lossy(&answer);
        let line = text.lines().next().unwrap_or("nothing");
        Err(io::Error::other(format!("no 503 with the page: {line}")))
    }
}
