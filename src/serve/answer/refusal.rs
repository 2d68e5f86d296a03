//! Refusals: the answers to malformed requests.

use std::time::SystemTime;

use crate::serve::http1::Refusal;
use crate::serve::http1::response::response;

/// Renders a refusal.
#[must_use]
pub fn refusal(refusal: Refusal, with_body: bool, now: SystemTime) -> Vec<u8> {
    let (status, reason) = match refusal {
        Refusal::Malformed => ("400 Bad Request", "The request violates HTTP/1.1."),
        Refusal::PlaintextOnTls => (
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
            "The only supported transfer coding is chunked.",
        ),
        Refusal::UnknownVersion => (
            "505 HTTP Version Not Supported",
            "The only supported versions are HTTP/1.1 and HTTP/1.0.",
        ),
    };
    let body = format!("{status}\n\n{reason}\n");
    response(
        status,
        "text/plain; charset=utf-8",
        "",
        &body,
        with_body,
        now,
    )
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
