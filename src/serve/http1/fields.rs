//! The few fields that matter: who is asked, where the body ends, whether the connection stays, what is wanted.

use crate::serve::http1::negotiate;
use crate::serve::http1::negotiate::{Accept, AcceptEncoding};
use crate::serve::http1::{Form, Refusal};

/// What the field lines of one head amount to.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    /// How many Host lines there are.
    pub(crate) hosts: usize,
    /// The Host, without its port.
    pub(crate) host: &'a [u8],
    /// Content-Length, saturated (RFC 9110 8.6).
    pub(crate) length: Option<u64>,
    /// Transfer-Encoding (RFC 9112 6.1).
    pub(crate) coding: Transfer,
    /// `Connection: close`.
    pub(crate) close: bool,
    /// `Connection: keep-alive`.
    pub(crate) keep_alive: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects_continue: bool,
    /// What the client would rather have.
    pub(crate) wishes: Wishes<'a>,
}

/// What the field lines of one head say of the answer that is wanted.
#[derive(Default)]
pub(crate) struct Wishes<'a> {
    accept: Accept,
    /// The last Sec-Fetch-Dest.
    destination: &'a [u8],
    /// A Content-Type is JSON.
    sends_json: bool,
    pub(crate) accept_encoding: AcceptEncoding,
    /// The first Accept-Language.
    pub(crate) languages: &'a [u8],
    /// The first Origin.
    pub(crate) origin: &'a [u8],
    /// There is an Access-Control-Request-Method.
    pub(crate) asks_for_method: bool,
}

/// What the Transfer-Encoding lines come to, which are one list (RFC 9112 6.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Transfer {
    #[default]
    None,
    /// Just `chunked`.
    Chunked,
    /// Codings other than `chunked`.
    Unknown,
    /// Other codings, and `chunked` as the last one.
    UnknownChunked,
    /// `chunked` that is not last or stands twice, or an empty member: where the body ends is not known (RFC 9112 6.3, 7.1).
    Malformed,
}

impl Transfer {
    /// Adds one more field line.
    fn and(self, value: &[u8]) -> Self {
        let members = value.split(|byte| *byte == b',').map(trim);
        members.fold(self, |before, coding| {
            match (before, coding.eq_ignore_ascii_case(b"chunked")) {
                _ if coding.is_empty() => Self::Malformed,
                (Self::None, true) => Self::Chunked,
                (Self::Unknown, true) => Self::UnknownChunked,
                (Self::None | Self::Unknown, false) => Self::Unknown,
                (Self::Chunked | Self::UnknownChunked | Self::Malformed, _) => Self::Malformed,
            }
        })
    }
}

impl<'a> Fields<'a> {
    /// Reads the lines. The first byte decides for most of them that they do not matter, or the length.
    pub(crate) fn read(lines: &[httparse::Header<'a>]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for line in lines {
            match line.name.as_bytes().first().map(u8::to_ascii_lowercase) {
                Some(b'h') if is(line, "host") => {
                    fields.hosts += 1;
                    fields.host = host(line.value)?;
                }
                Some(b'c') if is(line, "connection") => {
                    fields.close |= has_token(line.value, "close");
                    fields.keep_alive |= has_token(line.value, "keep-alive");
                }
                Some(b'c') if is(line, "content-length") => {
                    let length = length(line.value).ok_or(Refusal::Malformed)?;
                    // RFC 9112 6.3: several are right only where they are the same.
                    if fields.length.is_some_and(|other| other != length) {
                        return Err(Refusal::Malformed);
                    }
                    fields.length = Some(length);
                }
                Some(b'c') if is(line, "content-type") => {
                    fields.wishes.sends_json |= negotiate::is_json(line.value);
                }
                Some(b't') if is(line, "transfer-encoding") => {
                    fields.coding = fields.coding.and(line.value);
                }
                Some(b'e') if is(line, "expect") => {
                    fields.expects_continue |= has_token(line.value, "100-continue");
                }
                Some(b'a') => fields.wishes.read(line),
                Some(b's') if line.name.len() == 14 && is(line, "sec-fetch-dest") => {
                    fields.wishes.destination = line.value;
                }
                Some(b'o') if fields.wishes.origin.is_empty() && is(line, "origin") => {
                    fields.wishes.origin = trim(line.value);
                }
                _ => {}
            }
        }
        Ok(fields)
    }
}

impl<'a> Wishes<'a> {
    /// Reads one of the fields that begin with an A.
    fn read(&mut self, line: &httparse::Header<'a>) {
        match line.name.len() {
            6 if is(line, "accept") => self.accept.read(line.value),
            15 if is(line, "accept-encoding") => self.accept_encoding.read(line.value),
            15 if self.languages.is_empty() && is(line, "accept-language") => {
                self.languages = line.value;
            }
            29 => self.asks_for_method |= is(line, "access-control-request-method"),
            _ => {}
        }
    }

    /// The form that is wanted. What a browser fetches for a place where no page can be gets none, whatever it accepts. A
    /// client that sends JSON and accepts anything gets JSON, but for a browser that shows the answer to a person.
    #[inline]
    pub(crate) fn form(&self) -> Form {
        if negotiate::is_material(self.destination) {
            Form::Empty
        } else if self.sends_json && !negotiate::is_document(self.destination) {
            self.accept.form_for_json()
        } else {
            self.accept.form()
        }
    }
}

fn is(line: &httparse::Header<'_>, name: &str) -> bool {
    line.name.eq_ignore_ascii_case(name)
}

/// RFC 9110 5.6.3: optional whitespace is spaces and tabs.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110 5.6.1: a list's members stand between commas.
fn has_token(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|one| trim(one).eq_ignore_ascii_case(token.as_bytes()))
}

/// RFC 9110 8.6: digits and nothing else. A length that no u64 holds is a length all the same.
fn length(value: &[u8]) -> Option<u64> {
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

/// The host and the port of an authority, which may be an IPv6 address in brackets.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !authority.ends_with(b"]") => (&authority[..colon], &authority[colon + 1..]),
        Some(_) | None => (authority, &[]),
    }
}

/// RFC 9112 3.2: an invalid Host is refused. An empty one is right (RFC 9110 7.2), and so is any name that no delimiter of
/// a URI cuts short, in whatever encoding.
fn host(value: &[u8]) -> Result<&[u8], Refusal> {
    let (host, port) = split_port(trim(value));
    let wrong = |byte: &u8| {
        matches!(
            byte,
            0..=b' ' | 0x7f | b'/' | b'\\' | b'?' | b'#' | b'@' | b'<' | b'>' | b'"'
        )
    };
    if host.iter().any(wrong) || !port.iter().all(u8::is_ascii_digit) {
        Err(Refusal::Malformed)
    } else {
        Ok(host)
    }
}
