//! Parses request heads: bytes in; a request, a refusal or `Partial` out.

use std::mem::MaybeUninit;

use crate::http_field::is_token;
use crate::serve::http1::fields::{RequestFields, split_port};
use crate::serve::http1::request::{Refusal, Request, Span, Version};

/// The maximum length of a head, including empty lines before it.
pub const MAX_HEAD: usize = 32 * 1024;
/// The maximum length of a request line, without its line end.
pub const MAX_REQUEST_LINE: usize = 8 * 1024;
/// The maximum number of field lines in a head.
pub const MAX_FIELDS: usize = 256;

/// The result of parsing the input so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is incomplete.
    Partial,
    /// A request, and the length of its head including empty lines before it.
    Request(Request, usize),
    /// A head that is not answered with the page.
    Refusal(Refusal),
}

/// The progress of the search for the end of a head, so that a head that arrives in many parts costs no quadratic work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The number of bytes searched so far.
    seen: usize,
    /// The start of the current line.
    line: usize,
    /// The length of the request line, without its line end; 0 until it is complete. The next empty line ends the head.
    request_line: usize,
}

impl Scan {
    /// The number of bytes searched so far.
    #[must_use]
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// Searches on to the end of the head or of the input, and returns the head's length if its end was found.
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

    /// The limit that an incomplete head exceeds.
    fn exceeded_limit(&self, input: &[u8]) -> Option<Refusal> {
        let request_line = match self.request_line {
            // Less one, since the last byte may be the CR of the line end.
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

/// Parses the head at the start of `input`. `scan` is the progress of earlier calls with less input.
///
/// A complete head, as nearly all are, is parsed at once. An incomplete one is searched for its end by further calls, and
/// parsed again when it is complete. After any result but [`Parsed::Partial`], the caller must reset `scan`.
#[must_use]
pub fn parse(input: &[u8], scan: &mut Scan) -> Parsed {
    if scan.seen == 0 {
        match parse_head(input) {
            Parsed::Partial => {}
            // Of an incomplete head it is a refusal that more input cannot make valid.
            parsed @ (Parsed::Request(..) | Parsed::Refusal(_)) => {
                return apply_limits(input, parsed);
            }
        }
    }
    match scan.find_end(input) {
        Some(end) => apply_limits(input, parse_head(&input[..end])),
        None => scan
            .exceeded_limit(input)
            .map_or(Parsed::Partial, Parsed::Refusal),
    }
}

/// Whether a head, possibly malformed, is that of a HEAD request, whose answer has no body.
#[must_use]
pub fn is_head(input: &[u8]) -> bool {
    request_line(input).starts_with(b"HEAD ")
}

/// Replaces the result for a head that exceeds a limit: limits precede other errors.
fn apply_limits(input: &[u8], parsed: Parsed) -> Parsed {
    let length = match parsed {
        // No line of such a head is too long.
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

/// Parses a head that may be complete.
fn parse_head(input: &[u8]) -> Parsed {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(input, &mut lines) {
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Ok(httparse::Status::Complete(length)) => match request(input, &head) {
            Ok(request) => Parsed::Request(request, length),
            Err(refusal) => Parsed::Refusal(refusal),
        },
        Err(httparse::Error::TooManyHeaders) => Parsed::Refusal(Refusal::HeadTooLarge),
        Err(error) => parse_unusual_request_line(input, error),
    }
}

/// Parses a head that httparse rejects though its request line is valid: because of a later minor version (RFC 9110 2.5:
/// 1.2 is treated as the 1.1 that it extends), or of a target with bytes over 0x7f that are not UTF-8, as old browsers send
/// it. Parses a copy in which both are replaced.
fn parse_unusual_request_line(input: &[u8], error: httparse::Error) -> Parsed {
    let malformed = Parsed::Refusal(Refusal::Malformed);
    let line = request_line(input);
    let start = line.as_ptr().addr() - input.as_ptr().addr();
    let end = start + line.len();
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return malformed;
    };
    // An invalid method is the same error and comes first.
    let is_legacy_target = is_token(method)
        && target
            .iter()
            .all(|byte| matches!(byte, b'!'..=b'~' | 0x80..))
        && str::from_utf8(target).is_err();
    if error != httparse::Error::Version && !(error == httparse::Error::Token && is_legacy_target) {
        return malformed;
    }
    if !input[end..].contains(&b'\n') {
        // The version may be incomplete.
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
    // Without the input after the head: a pipeline would be copied for each of its requests.
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

/// The request line, without its line end and without empty lines before it; a part of it if it is incomplete.
#[must_use]
pub fn request_line(input: &[u8]) -> &[u8] {
    let start = input
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(input.len());
    let line = &input[start..];
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The request of a head whose syntax is valid.
fn request(input: &[u8], head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let version = if head.version == Some(0) {
        Version::V1_0
    } else {
        Version::V1_1
    };
    let fields = RequestFields::read(head.headers)?;
    // RFC 9112 3.2: exactly one Host; HTTP/1.0 had none.
    if fields.hosts > 1 || (fields.hosts == 0 && version == Version::V1_1) {
        return Err(Refusal::Malformed);
    }
    let host = match head.path {
        Some(target) if !target.starts_with('/') => authority(target).unwrap_or(fields.host),
        Some(_) | None => fields.host,
    };
    Ok(Request {
        is_head: head.method == Some("HEAD"),
        version,
        keep_alive: !fields.close && (version == Version::V1_1 || fields.keep_alive),
        // RFC 9110 10.1.1: ignored from an HTTP/1.0 client.
        expects_continue: fields.expects_continue && version == Version::V1_1,
        body: fields.framing.body(version)?,
        host: Span::within(input, host),
        preferences: fields.selecting.preferences(input, head.method),
    })
}

/// The host in an absolute target (RFC 3986 3.2), which has precedence over the Host field.
#[cold]
fn authority(target: &str) -> Option<&[u8]> {
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, _) = split_port(host.as_bytes());
    (scheme.bytes().all(is_scheme) && !host.is_empty()).then_some(host)
}
