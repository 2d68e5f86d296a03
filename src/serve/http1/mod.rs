//! HTTP/1 (RFC 9112): parses requests and skips their bodies. Pure functions of bytes, without sockets or clocks.
//!
//! Strict where two parsers could read a message differently (see `smuggling`), lenient elsewhere (RFC 9112 2.2).

mod body;
mod fields;
mod negotiate;
mod parse;
mod request;
pub(crate) mod response;
mod smuggling;

pub use crate::serve::http1::body::{Body, BodySkip, MAX_BODY, Skipped};
pub use crate::serve::http1::negotiate::{Coding, Form, preferred_language};
pub use crate::serve::http1::parse::{
    MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE, Parsed, Scan, is_head, parse, request_line,
};
pub use crate::serve::http1::request::{Preferences, Refusal, Request, Span, Version};

#[cfg(test)]
mod tests;
