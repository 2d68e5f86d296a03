//! A parsed request, and the reasons to refuse one.

use crate::serve::http1::body::Body;
use crate::serve::http1::negotiate::{Coding, Form};

/// What a request requires of its answer and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method is HEAD: the answer has no body (RFC 9110 9.3.2).
    pub is_head: bool,
    /// The HTTP version.
    pub version: Version,
    /// The client keeps the connection open (RFC 9112 9.3).
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110 10.1.1).
    pub expects_continue: bool,
    /// The body after the head.
    pub body: Body,
    /// The requested host without its port: that of an absolute target, else that of the Host field (RFC 9112 3.2.2).
    pub host: Span,
    /// The preferred answer.
    pub preferences: Preferences,
}

/// The answer that a client prefers (RFC 9110 12), and the fields of a browser's cross-origin request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// By `Accept`, `Content-Type` and `Sec-Fetch-Dest`.
    pub form: Form,
    /// By `Accept-Encoding`.
    pub coding: Coding,
    /// The value of `Accept-Language`.
    pub languages: Span,
    /// The value of `Origin`.
    pub origin: Span,
    /// OPTIONS with `Origin` and `Access-Control-Request-Method` (Fetch, CORS-preflight request).
    pub is_preflight: bool,
}

/// A range of a head's bytes. The default is empty and means that the field is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    // Enough for MAX_HEAD, and small, since a request is passed by value.
    start: u16,
    end: u16,
}

impl Span {
    /// The empty span.
    pub const NONE: Self = Self { start: 0, end: 0 };

    /// The span of `part`, a slice of `input`; empty if it is no such slice or beyond any head.
    pub(crate) fn within(input: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(input.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        match (u16::try_from(start), u16::try_from(end)) {
            (Ok(start), Ok(end)) if start < end => Self { start, end },
            (Ok(_) | Err(_), _) => Self::default(),
        }
    }

    /// The bytes of this span in the head that the request was parsed from.
    #[must_use]
    pub fn slice(self, head: &[u8]) -> &[u8] {
        head.get(self.start.into()..self.end.into())
            .unwrap_or_default()
    }
}

/// The HTTP versions that differ in meaning (RFC 9112 9.3, appendix C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, in which connections close unless `keep-alive` was negotiated.
    V1_0,
    /// HTTP/1.1 and every later 1.x.
    V1_1,
}

/// Why a request is not answered with the page. The connection is closed after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: not HTTP, or HTTP that two parsers could read differently.
    Malformed,
    /// 400: plaintext HTTP on a TLS port.
    PlaintextOnTls,
    /// 414: a request line over [`MAX_REQUEST_LINE`](crate::serve::http1::MAX_REQUEST_LINE).
    RequestLineTooLong,
    /// 431: a head over [`MAX_HEAD`](crate::serve::http1::MAX_HEAD) or [`MAX_FIELDS`](crate::serve::http1::MAX_FIELDS).
    HeadTooLarge,
    /// 501: a transfer coding other than `chunked`, alone or before it.
    UnknownTransferCoding,
    /// 505: another major version.
    UnknownVersion,
}
