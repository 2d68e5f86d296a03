//! The header fields of a request that have an effect.

use crate::http_field::trim;
use crate::serve::http1::negotiate::{self, Accept, AcceptEncoding, Form};
use crate::serve::http1::request::{Preferences, Refusal, Span};
use crate::serve::http1::smuggling::Framing;

/// The values of the field lines of one head.
#[derive(Default)]
pub(crate) struct RequestFields<'a> {
    /// The number of Host lines.
    pub(crate) hosts: usize,
    /// Host, without its port.
    pub(crate) host: &'a [u8],
    /// Content-Length and Transfer-Encoding.
    pub(crate) framing: Framing,
    /// `Connection: close`.
    pub(crate) close: bool,
    /// `Connection: keep-alive`.
    pub(crate) keep_alive: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects_continue: bool,
    /// The fields that select the answer.
    pub(crate) selecting: SelectingFields<'a>,
}

/// The fields that select one of the answers.
#[derive(Default)]
pub(crate) struct SelectingFields<'a> {
    accept: Accept,
    accept_encoding: AcceptEncoding,
    /// The first Accept-Language.
    languages: &'a [u8],
    /// The last Sec-Fetch-Dest.
    destination: &'a [u8],
    /// A Content-Type is JSON.
    sends_json: bool,
    /// The first Origin.
    origin: &'a [u8],
    /// Access-Control-Request-Method is present.
    requests_method: bool,
}

impl<'a> RequestFields<'a> {
    /// Reads the lines. The first byte of most names, or their length, shows that they have no effect.
    pub(crate) fn read(lines: &[httparse::Header<'a>]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for line in lines {
            match line.name.as_bytes().first().map(u8::to_ascii_lowercase) {
                Some(b'h') if is(line, "host") => {
                    fields.hosts += 1;
                    fields.host = host(line.value)?;
                }
                Some(b'c') if is(line, "connection") => {
                    fields.close |= has_member(line.value, "close");
                    fields.keep_alive |= has_member(line.value, "keep-alive");
                }
                Some(b'c') if is(line, "content-length") => {
                    fields.framing.add_content_length(line.value)?;
                }
                Some(b'c') if is(line, "content-type") => {
                    fields.selecting.sends_json |= negotiate::is_json(line.value);
                }
                Some(b't') if is(line, "transfer-encoding") => {
                    fields.framing.add_transfer_encoding(line.value);
                }
                Some(b'e') if is(line, "expect") => {
                    fields.expects_continue |= has_member(line.value, "100-continue");
                }
                Some(b'a') => fields.selecting.read(line),
                Some(b's') if line.name.len() == 14 && is(line, "sec-fetch-dest") => {
                    fields.selecting.destination = line.value;
                }
                Some(b'o') if fields.selecting.origin.is_empty() && is(line, "origin") => {
                    fields.selecting.origin = trim(line.value);
                }
                _ => {}
            }
        }
        Ok(fields)
    }
}

impl<'a> SelectingFields<'a> {
    /// Reads a line whose name begins with an A.
    fn read(&mut self, line: &httparse::Header<'a>) {
        match line.name.len() {
            6 if is(line, "accept") => self.accept.read(line.value),
            15 if is(line, "accept-encoding") => self.accept_encoding.read(line.value),
            15 if self.languages.is_empty() && is(line, "accept-language") => {
                self.languages = line.value;
            }
            29 => self.requests_method |= is(line, "access-control-request-method"),
            _ => {}
        }
    }

    /// The client's preferences. `head` holds the lines.
    pub(crate) fn preferences(&self, head: &[u8], method: Option<&str>) -> Preferences {
        Preferences {
            form: self.form(),
            coding: self.accept_encoding.coding(),
            languages: Span::within(head, self.languages),
            origin: Span::within(head, self.origin),
            is_preflight: self.requests_method
                && !self.origin.is_empty()
                && method == Some("OPTIONS"),
        }
    }

    /// The preferred form. A browser's request for an image, script or style gets the empty form, whatever it accepts. A client
    /// that sends JSON and accepts anything gets JSON, except a browser that navigates.
    #[inline]
    fn form(&self) -> Form {
        if negotiate::is_subresource(self.destination) {
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

/// Whether a comma-separated list has this member (RFC 9110 5.6.1).
fn has_member(value: &[u8], member: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|one| trim(one).eq_ignore_ascii_case(member.as_bytes()))
}

/// The host and the port of an authority. The host may be an IPv6 address in brackets.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !authority.ends_with(b"]") => (&authority[..colon], &authority[colon + 1..]),
        Some(_) | None => (authority, &[]),
    }
}

/// The host in a Host field. An invalid one is refused (RFC 9112 3.2). An empty one is valid (RFC 9110 7.2), and so is any
/// name without a delimiter of a URI, in any encoding.
fn host(value: &[u8]) -> Result<&[u8], Refusal> {
    let (host, port) = split_port(trim(value));
    let is_delimiter = |byte: &u8| {
        matches!(
            byte,
            0..=b' ' | 0x7f | b'/' | b'\\' | b'?' | b'#' | b'@' | b'<' | b'>' | b'"'
        )
    };
    if host.iter().any(is_delimiter) || !port.iter().all(u8::is_ascii_digit) {
        Err(Refusal::Malformed)
    } else {
        Ok(host)
    }
}
