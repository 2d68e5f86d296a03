//! The rule against request smuggling: a request is refused if two parsers could find different ends of its body
//! (RFC 9112 6.1, 6.3, 11.2). The module `body` applies the same rule to chunk lines.

use crate::http_field::trim;
use crate::serve::http1::body::Body;
use crate::serve::http1::request::{Refusal, Version};

/// The framing fields of one head.
#[derive(Default)]
pub(crate) struct Framing {
    content_length: Option<u64>,
    transfer_coding: TransferCoding,
}

/// The Transfer-Encoding lines, which are one list (RFC 9112 6.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum TransferCoding {
    #[default]
    None,
    /// `chunked` alone.
    Chunked,
    /// Codings other than `chunked`.
    Unknown,
    /// Other codings, and `chunked` as the last one.
    UnknownChunked,
    /// An empty member, or `chunked` twice or not last: the end of the body is unknown (RFC 9112 6.3, 7.1).
    Malformed,
}

impl Framing {
    /// Adds a Content-Length line. Several must be equal (RFC 9112 6.3).
    pub(crate) fn add_content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let length = content_length(value).ok_or(Refusal::Malformed)?;
        if self.content_length.is_some_and(|other| other != length) {
            return Err(Refusal::Malformed);
        }
        self.content_length = Some(length);
        Ok(())
    }

    /// Adds a Transfer-Encoding line.
    pub(crate) fn add_transfer_encoding(&mut self, value: &[u8]) {
        let codings = value.split(|byte| *byte == b',').map(trim);
        self.transfer_coding = codings.fold(self.transfer_coding, TransferCoding::and);
    }

    /// The body, if all parsers find the same one.
    pub(crate) fn body(&self, version: Version) -> Result<Body, Refusal> {
        match (self.transfer_coding, self.content_length) {
            (TransferCoding::None, length) => Ok(Body::Length(length.unwrap_or(0))),
            // RFC 9112 6.1: a coding with a length, or in HTTP/1.0, is an attempt at smuggling.
            (_, Some(_)) => Err(Refusal::Malformed),
            _ if version == Version::V1_0 => Err(Refusal::Malformed),
            (TransferCoding::Malformed, None) => Err(Refusal::Malformed),
            (TransferCoding::Unknown | TransferCoding::UnknownChunked, None) => {
                Err(Refusal::UnknownTransferCoding)
            }
            (TransferCoding::Chunked, None) => Ok(Body::Chunked),
        }
    }
}

impl TransferCoding {
    /// Appends a coding to the list.
    fn and(self, coding: &[u8]) -> Self {
        match (self, coding.eq_ignore_ascii_case(b"chunked")) {
            _ if coding.is_empty() => Self::Malformed,
            (Self::None, true) => Self::Chunked,
            (Self::Unknown, true) => Self::UnknownChunked,
            (Self::None | Self::Unknown, false) => Self::Unknown,
            (Self::Chunked | Self::UnknownChunked | Self::Malformed, _) => Self::Malformed,
        }
    }
}

/// Digits alone, which saturate (RFC 9110 8.6).
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = trim(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |sum: u64, digit: &u8| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    };
    Some(digits.iter().fold(0, append))
}
