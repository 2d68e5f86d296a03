//! Refusals, which are made when needed.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::serve::http1::Refusal;

/// Renders a refusal. A refused HEAD gets no body either (RFC 9110 9.3.2).
#[must_use]
pub fn refusal(refusal: Refusal, with_body: bool, now: SystemTime) -> Vec<u8> {
    let (status, advice) = match refusal {
        Refusal::Malformed => (
            "400 Bad Request",
            "This is no request that HTTP/1.1 allows.",
        ),
        Refusal::ClearOnTls => (
            "400 Bad Request",
            "The plain HTTP request was sent to an HTTPS port. Use https:// in the address.",
        ),
        Refusal::RequestLineTooLong => ("414 URI Too Long", "The request line is over 8 KiB."),
        Refusal::HeadTooLarge => (
            "431 Request Header Fields Too Large",
            "The header fields are over 32 KiB, or more than 256. Cookies may be the cause.",
        ),
        Refusal::UnknownTransferCoding => (
            "501 Not Implemented",
            "The only transfer coding known here is chunked.",
        ),
        Refusal::UnknownVersion => (
            "505 HTTP Version Not Supported",
            "The only versions known here are HTTP/1.1 and HTTP/1.0.",
        ),
    };
    let body = format!("{status}\n\n{advice}\n");
    let mut text = format!(
        "HTTP/1.1 {status}\r\n\
         Date: {}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Cache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        httpdate::fmt_http_date(now),
        body.len(),
    );
    if with_body {
        // Writing to a string does not fail.
        let _ = text.write_str(&body);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_dated_and_closes() {
        let bytes = refusal(Refusal::HeadTooLarge, true, SystemTime::UNIX_EPOCH);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "));
        assert!(head.contains("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(head.ends_with("Connection: close"));
        let bare = refusal(Refusal::HeadTooLarge, false, SystemTime::UNIX_EPOCH);
        assert_eq!(String::from_utf8(bare).unwrap(), format!("{head}\r\n\r\n"));
    }
}
