//! HTTP/1: bytes in; a request, a refusal or the wish for more bytes out. No socket, no clock, no state but [`Scan`].
//!
//! The strictness is that of RFC 9112 wherever two readings of one message could differ (request smuggling), and the
//! leniency is that of its section 2.2 elsewhere: a maintenance page is worth more than a lecture.

mod body;
pub(crate) mod fields;
pub(crate) mod negotiate;

use std::mem::MaybeUninit;

pub use crate::serve::http1::body::{BodySkip, Skipped};
use crate::serve::http1::fields::{Fields, Transfer};
pub use crate::serve::http1::negotiate::{Coding, Form, language};

/// The most bytes of a head, with the empty lines before it.
pub const MAX_HEAD: usize = 32 * 1024;
/// The most bytes of a request line, without its end.
pub const MAX_REQUEST_LINE: usize = 8 * 1024;
/// The most field lines of a head.
pub const MAX_FIELDS: usize = 256;
/// The most bytes of a body that is worth skipping to keep a connection.
pub const MAX_BODY: u64 = 64 * 1024;

/// What a request asks of its answer and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method is HEAD: the answer has no body (RFC 9110 9.3.2).
    pub head: bool,
    /// As which version it is taken.
    pub version: Version,
    /// The client leaves the connection open (RFC 9112 9.3).
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110 10.1.1).
    pub expects_continue: bool,
    /// What follows the head.
    pub body: Body,
    /// Where the name of the host that is asked stands.
    ///
    /// In the authority of an absolute target, without its port, where there is one (RFC 9112 3.2.2), else in the Host field;
    /// nowhere where no host is named.
    pub host: Part,
    /// What the client would rather have.
    pub wants: Wants,
}

/// What a client would rather have, and what a browser says of who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// By `Accept`, `Content-Type` and `Sec-Fetch-Dest`.
    pub form: Form,
    /// By `Accept-Encoding`.
    pub coding: Coding,
    /// Where the value of `Accept-Language` stands.
    pub languages: Part,
    /// Where the value of `Origin` stands.
    pub origin: Part,
    /// It is a preflight: OPTIONS with an origin that asks whether it may send a method (Fetch, CORS-preflight request).
    pub is_preflight: bool,
}

/// A part of a request's bytes, by its place; an empty one is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    // Within MAX_HEAD, and small, for a verdict is handed from function to function.
    start: u16,
    end: u16,
}

impl Part {
    /// The place of `part` within `input`; nowhere, if that is beyond any head.
    fn within(input: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(input.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        match (u16::try_from(start), u16::try_from(end)) {
            (Ok(start), Ok(end)) if start < end => Self { start, end },
            (Ok(_) | Err(_), _) => Self::default(),
        }
    }

    /// The part itself, of the bytes that the request was parsed from.
    #[must_use]
    pub fn of(self, input: &[u8]) -> &[u8] {
        input
            .get(self.start.into()..self.end.into())
            .unwrap_or_default()
    }
}

/// The versions that differ in what they mean (RFC 9112 9.3, appendix C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, where a connection that stays must be said to.
    V1_0,
    /// HTTP/1.1, and every later 1.x.
    V1_1,
}

/// How the end of a body is known (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// By its length, which saturates: 0 where there is none.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// Why a request gets something else than the page. The connection is closed after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: not HTTP, or HTTP that two readers could read differently.
    Malformed,
    /// 400: cleartext on a port that speaks TLS.
    ClearOnTls,
    /// 414: a request line over [`MAX_REQUEST_LINE`].
    RequestLineTooLong,
    /// 431: a head over [`MAX_HEAD`] or over [`MAX_FIELDS`].
    HeadTooLarge,
    /// 501: a transfer coding that is not `chunked`, before it or alone.
    UnknownTransferCoding,
    /// 505: another major version.
    UnknownVersion,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// No whole head yet.
    Partial,
    /// A request whose head is this many bytes long, the empty lines before it included.
    Request(Request, usize),
    /// A head that is not answered with the page.
    Refusal(Refusal),
}

/// Where the search for the end of a head goes on, so that a head that drips in costs no quadratic work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The bytes looked at so far.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// The length of the request line, without its end; 0 until that was seen. The next empty line ends the head.
    request_line: usize,
}

impl Scan {
    /// The bytes looked at so far.
    #[must_use]
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// Goes on to the end of the head or of the input, and returns the head's length where that was found.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        while let Some(at) = input[self.seen..].iter().position(|byte| *byte == b'\n') {
            let line = &input[self.line..self.seen + at];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.seen += at + 1;
            self.line = self.seen;
            if self.request_line == 0 {
                self.request_line = line.len();
            } else if line.is_empty() {
                return Some(self.seen);
            }
        }
        self.seen = input.len();
        None
    }

    /// Whether the head, of which the end is not there yet, has outgrown a limit.
    fn outgrown(&self, input: &[u8]) -> Option<Refusal> {
        let request_line = match self.request_line {
            // Less one, for the CR of an end that is half there.
            0 => (input.len() - self.line).saturating_sub(1),
            length => length,
        };
        if request_line > MAX_REQUEST_LINE {
            Some(Refusal::RequestLineTooLong)
        } else if input.len() >= MAX_HEAD {
            Some(Refusal::HeadTooLarge)
        } else {
            None
        }
    }
}

/// Parses the head at the start of `input`, of which `scan` has seen a part before.
///
/// A head that is whole at once, as nearly all are, is parsed straight away; one that is not is searched for its end
/// from then on and parsed once more when that has come. After anything but [`Parsed::Partial`], `scan` must start anew.
#[must_use]
pub fn parse(input: &[u8], scan: &mut Scan) -> Parsed {
    if scan.seen == 0 {
        match parse_head(input) {
            Parsed::Partial => {}
            // What is wrong with half a head may be right in the whole of it, or wrong in another way: a version is
            // looked at when its line is there, and a limit goes before what lies behind it.
            whole @ (Parsed::Request(..) | Parsed::Refusal(_)) => return limited(input, whole),
        }
    }
    match scan.find_end(input) {
        Some(end) => limited(input, parse_head(&input[..end])),
        None => scan
            .outgrown(input)
            .map_or(Parsed::Partial, Parsed::Refusal),
    }
}

/// RFC 9110 5.6.2: what a method may consist of.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether what may be a head begins as one of a HEAD request, whose answer must have no body.
#[must_use]
pub fn is_head(input: &[u8]) -> bool {
    request_line(input).starts_with(b"HEAD ")
}

/// Puts the limits before any other verdict on a head.
fn limited(input: &[u8], parsed: Parsed) -> Parsed {
    let length = match parsed {
        // No line is longer than its head.
        Parsed::Request(_, length) if length <= MAX_REQUEST_LINE => return parsed,
        Parsed::Request(_, length) => length,
        Parsed::Partial | Parsed::Refusal(_) => input.len(),
    };
    if request_line(&input[..length]).len() > MAX_REQUEST_LINE {
        Parsed::Refusal(Refusal::RequestLineTooLong)
    } else if length > MAX_HEAD && matches!(parsed, Parsed::Request(..)) {
        Parsed::Refusal(Refusal::HeadTooLarge)
    } else {
        parsed
    }
}

/// One pass of the parser over a head that may be whole.
fn parse_head(input: &[u8]) -> Parsed {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(input, &mut lines) {
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Ok(httparse::Status::Complete(length)) => match understand(input, &head) {
            Ok(request) => Parsed::Request(request, length),
            Err(refusal) => Parsed::Refusal(refusal),
        },
        Err(httparse::Error::TooManyHeaders) => Parsed::Refusal(Refusal::HeadTooLarge),
        Err(error) => parse_odd_request_line(input, error),
    }
}

/// A second look at a head that httparse refuses, for the sake of two things that its request line may well have: a
/// minor version that is not known yet (RFC 9110 2.5: 1.2 is taken for the 1.1 that it extends), and bytes over 0x7f
/// that are no UTF-8, as old browsers send them. It is made on a copy in which both are put right.
fn parse_odd_request_line(input: &[u8], error: httparse::Error) -> Parsed {
    let malformed = Parsed::Refusal(Refusal::Malformed);
    let line = request_line(input);
    let start = line.as_ptr().addr() - input.as_ptr().addr();
    let end = start + line.len();
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return malformed;
    };
    // The target is to blame for a wrong token only where there is none before it.
    let odd_target = !method.is_empty()
        && method.iter().all(|byte| is_token(*byte))
        && target
            .iter()
            .all(|byte| matches!(byte, b'!'..=b'~' | 0x80..))
        && str::from_utf8(target).is_err();
    if error != httparse::Error::Version && !(error == httparse::Error::Token && odd_target) {
        return malformed;
    }
    if !input[end..].contains(&b'\n') {
        // The version that decides is still to come.
        return Parsed::Partial;
    }
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {}
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Parsed::Refusal(Refusal::UnknownVersion);
        }
        _ => return malformed,
    }
    // Not of what follows the head: a pipeline would be copied for each of its requests.
    let length = Scan::default().find_end(input).unwrap_or(input.len());
    let mut copy = input[..length].to_vec();
    for byte in &mut copy[start..end] {
        if !byte.is_ascii() {
            *byte = b'?';
        }
    }
    if copy[end - 1] != b'0' {
        copy[end - 1] = b'1';
    }
    if copy == input[..length] {
        malformed
    } else {
        parse_head(&copy)
    }
}

/// The request line, without its end, after the empty lines before it; what there is of it where the end is to come.
pub(crate) fn request_line(input: &[u8]) -> &[u8] {
    let start = input
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(input.len());
    let line = &input[start..];
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads what matters from a head whose syntax is right.
fn understand(input: &[u8], head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let version = if head.version == Some(0) {
        Version::V1_0
    } else {
        Version::V1_1
    };
    let fields = Fields::read(head.headers)?;
    // RFC 9112 3.2: exactly one Host; 1.0 knew none.
    if fields.hosts > 1 || (fields.hosts == 0 && version == Version::V1_1) {
        return Err(Refusal::Malformed);
    }
    let body = match (fields.coding, fields.length) {
        (Transfer::None, length) => Body::Length(length.unwrap_or(0)),
        // RFC 9112 6.1: a length beside a coding, or a coding where 1.0 knew none, is an attempt at smuggling.
        (_, Some(_)) => return Err(Refusal::Malformed),
        _ if version == Version::V1_0 => return Err(Refusal::Malformed),
        (Transfer::Malformed, None) => return Err(Refusal::Malformed),
        (Transfer::Unknown | Transfer::UnknownChunked, None) => {
            return Err(Refusal::UnknownTransferCoding);
        }
        (Transfer::Chunked, None) => Body::Chunked,
    };
    let host = match head.path {
        Some(target) if !target.starts_with('/') => authority(target).unwrap_or(fields.host),
        Some(_) | None => fields.host,
    };
    let wishes = &fields.wishes;
    Ok(Request {
        head: head.method == Some("HEAD"),
        version,
        keep_alive: !fields.close && (version == Version::V1_1 || fields.keep_alive),
        // RFC 9110 10.1.1: ignored from a 1.0 client.
        expects_continue: fields.expects_continue && version == Version::V1_1,
        body,
        host: Part::within(input, host),
        wants: Wants {
            form: wishes.form(),
            coding: wishes.accept_encoding.coding(),
            languages: Part::within(input, wishes.languages),
            origin: Part::within(input, wishes.origin),
            is_preflight: wishes.asks_for_method
                && !wishes.origin.is_empty()
                && head.method == Some("OPTIONS"),
        },
    })
}

/// The host in an absolute target (RFC 3986 3.2), which goes before the Host field.
#[cold]
fn authority(target: &str) -> Option<&[u8]> {
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, _) = crate::serve::http1::fields::split_port(host.as_bytes());
    (scheme.bytes().all(is_scheme) && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests;
