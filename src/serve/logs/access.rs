//! The lines of the access log, in nginx's format `combined`. Renders the line; `logs/collector` writes it.

use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;

use crate::clock;
use crate::http_field::field_value;
use crate::serve::http1;
use crate::serve::logs::log_pipe;

/// The longest request line as it is written; if every byte needs an escape, a quarter of it is logged.
const MAX_REQUEST: usize = 16 * 1024;
/// The longest value of a field as it is written.
const MAX_VALUE: usize = 8 * 1024;
/// The longest name of a user as it is written.
const MAX_USER: usize = 1024;

// A line, with its address, time and numbers, fits into a frame.
const _: () =
    assert!(MAX_REQUEST + 2 * MAX_VALUE + MAX_USER + 1024 < crate::serve::logs::frames::MAX_FRAME);

/// The client's address, as it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An IP address.
    Ip(IpAddr),
    /// A process of this host, through a Unix-domain socket.
    Unix,
    /// Not fetched, because there is no access log.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(to),
            Self::Unix => to.write_str("unix:"),
            Self::Unknown => to.write_str("-"),
        }
    }
}

/// The access log of a worker.
#[derive(Debug, Default)]
pub(crate) struct AccessLog {
    /// The current line.
    line: Vec<u8>,
    /// `time` is that of this turn of the loop.
    is_timed: bool,
    /// The second of `time`, since 1970.
    second: u64,
    time: String,
}

impl AccessLog {
    /// Begins a turn of the loop: the time may have changed.
    pub(crate) fn begin_turn(&mut self) {
        self.is_timed = false;
    }

    /// Updates the rendered time, once a second at most.
    fn update_time(&mut self) {
        if !std::mem::replace(&mut self.is_timed, true) {
            let second = clock::seconds();
            if self.second != second || self.time.is_empty() {
                self.second = second;
                self.time = clock::access_log(second);
            }
        }
    }

    /// Logs that a request with this head is answered with the page, of which `length` bytes are sent.
    pub(crate) fn answered(&mut self, peer: Peer, head: &[u8], length: usize) {
        self.render(peer, head, b"503", length);
        log_pipe::send_access(&self.line);
    }

    /// Logs that input which begins with `head` gets an answer made for it.
    pub(crate) fn answered_with(&mut self, peer: Peer, head: &[u8], answer: &[u8]) {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let length = end.map_or(0, |end| answer.len() - end - 4);
        self.render(peer, head, status(answer), length);
        log_pipe::send_access(&self.line);
    }

    /// Renders a line.
    fn render(&mut self, peer: Peer, head: &[u8], status: &[u8], length: usize) {
        self.update_time();
        let fields = Fields::find(head);
        let line = &mut self.line;
        line.clear();
        // Writing to memory does not fail.
        let _ = write!(line, "{peer} - ");
        match fields.authorization.and_then(user) {
            Some(user) => escape(&user, MAX_USER, line),
            None => line.push(b'-'),
        }
        let _ = write!(line, " [{}] \"", self.time);
        escape(http1::request_line(head), MAX_REQUEST, line);
        line.extend_from_slice(b"\" ");
        line.extend_from_slice(status);
        let _ = write!(line, " {length} \"");
        escape(fields.referer.unwrap_or(b"-"), MAX_VALUE, line);
        line.extend_from_slice(b"\" \"");
        escape(fields.user_agent.unwrap_or(b"-"), MAX_VALUE, line);
        line.push(b'"');
    }
}

/// The status of an answer: `HTTP/1.1 400 ...`.
pub(crate) fn status(answer: &[u8]) -> &[u8] {
    answer.get(9..12).unwrap_or(b"000")
}

/// The fields that are logged, the first of each name.
#[derive(Debug, Default)]
struct Fields<'a> {
    authorization: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Finds them in a head, which may be malformed.
    fn find(head: &'a [u8]) -> Self {
        let mut fields = Self::default();
        let start = head
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))
            .unwrap_or(head.len());
        for line in head[start..].split(|byte| *byte == b'\n').skip(1) {
            let field = match line.first().map(u8::to_ascii_lowercase) {
                Some(b'a') => {
                    field_value(line, "authorization").map(|it| (&mut fields.authorization, it))
                }
                Some(b'r') => field_value(line, "referer").map(|it| (&mut fields.referer, it)),
                Some(b'u') => {
                    field_value(line, "user-agent").map(|it| (&mut fields.user_agent, it))
                }
                // The head ends here.
                None | Some(b'\r') if line.len() < 2 => break,
                Some(_) | None => None,
            };
            if let Some((slot, value)) = field {
                slot.get_or_insert(value);
            }
        }
        fields
    }
}

/// Appends bytes as nginx escapes them, up to `most` bytes.
fn escape(bytes: &[u8], most: usize, line: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let end = line.len() + most - 4;
    let mut rest = bytes;
    while !rest.is_empty() && line.len() <= end {
        let clean = rest
            .iter()
            .position(|byte| !is_clean(*byte))
            .unwrap_or(rest.len());
        let clean = clean.min(end + 4 - line.len());
        line.extend_from_slice(&rest[..clean]);
        rest = &rest[clean..];
        if let Some((byte, behind)) = rest.split_first()
            && line.len() <= end
        {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            line.extend_from_slice(&[b'\\', b'x', digits[0], digits[1]]);
            rest = behind;
        }
    }
}

/// Whether a byte is logged without an escape.
const fn is_clean(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// The user name in credentials (RFC 7617), not verified.
fn user(credentials: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = credentials.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = base64(encoded.trim_ascii())?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.truncate(colon);
    (colon > 0).then_some(decoded)
}

/// RFC 4648 4, with or without the padding at the end.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.split(|byte| *byte == b'=').next()?;
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for four in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in four {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - four.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// The line of a request, with a fixed time.
    fn line(peer: Peer, head: &[u8], status: &[u8], length: usize) -> String {
        let mut log = AccessLog {
            is_timed: true,
            time: "24/Nov/2026:03:47:47 +0000".to_owned(),
            ..AccessLog::default()
        };
        log.render(peer, head, status, length);
        String::from_utf8(log.line).unwrap()
    }

    const LOCALHOST: Peer = Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn a_line_is_nginx_s_combined() {
        let head = "\r\nGET /a?b HTTP/1.1\r\nHost: a\r\nREFERER: http://x/ y\r\nUser-Agent:\tcurl/8 \r\n\
                    Authorization: Basic YWxpY2U6c2VjcmV0\r\nUser-Agent: other\r\n\r\nReferer: body";
        assert_eq!(
            line(LOCALHOST, head.as_bytes(), b"503", 42),
            r#"127.0.0.1 - alice [24/Nov/2026:03:47:47 +0000] "GET /a?b HTTP/1.1" 503 42 "http://x/ y" "curl/8""#
        );
        let v6 = Peer::Ip("2001:db8::1".parse().unwrap());
        assert_eq!(
            line(v6, b"nonsense\n\nReferer: x", b"400", 0),
            r#"2001:db8::1 - - [24/Nov/2026:03:47:47 +0000] "nonsense" 400 0 "-" "-""#
        );
        assert_eq!(
            line(Peer::Unix, b"G\r\nReferer:\r\nUser-Agen", b"400", 0),
            r#"unix: - - [24/Nov/2026:03:47:47 +0000] "G" 400 0 "" "-""#
        );
    }

    #[test]
    fn a_refusal_is_logged_with_its_status_and_length() {
        let mut log = AccessLog::default();
        log.answered_with(
            Peer::Unix,
            b"x",
            b"HTTP/1.1 414 URI Too Long\r\nA: b\r\n\r\nbody",
        );
        let line = String::from_utf8(log.line).unwrap();
        assert!(line.ends_with(r#""x" 414 4 "-" "-""#), "{line}");
    }

    #[test]
    fn control_bytes_are_escaped() {
        let mut all = Vec::new();
        escape(&(0..=255).collect::<Vec<u8>>(), 2048, &mut all);
        let text = String::from_utf8(all).unwrap();
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        assert!(text.starts_with(r"\x00\x01") && text.ends_with(r"\xFE\xFF"));
        assert!(text.contains(r" !\x22#") && text.contains(r"[\x5C]") && text.contains(r"~\x7F"));
    }

    #[test]
    fn a_value_is_truncated_but_never_within_an_escape() {
        for (byte, most, expected) in [(b'x', 10, 10), (0xff, 10, 8), (0xff, 4, 4), (0xff, 11, 8)] {
            let mut line = Vec::new();
            escape(&[byte; 100], most, &mut line);
            assert_eq!(line.len(), expected, "{byte} {most}");
        }
        let head = [&[0xff; 60_000][..], b"\r\nReferer: "].concat();
        let head = [head, vec![0xff; 60_000], b"\r\n\r\n".to_vec()].concat();
        let length = line(LOCALHOST, &head, b"400", 0).len();
        assert!(length < crate::serve::logs::frames::MAX_FRAME, "{length}");
    }

    #[test]
    fn the_user_is_named_by_the_credentials() {
        for (credentials, name) in [
            ("Basic YWxpY2U6c2VjcmV0", Some("alice")),
            ("basic   YWxpY2U6c2VjcmV0  ", Some("alice")),
            ("Basic YWxpY2U6c2VjcmV", Some("alice")),
            ("Basic ImFcIAo6eA==", Some("\"a\\ \n")),
            ("Basic YWxpY2U=", None),
            ("Basic OnNlY3JldA==", None),
            ("Basic YWxpY2U6c2VjcmV0a", None),
            ("Basic !!!", None),
            ("Basic ", None),
            ("Bearer YWxpY2U6c2VjcmV0", None),
            ("", None),
        ] {
            let name = name.map(|name| name.as_bytes().to_vec());
            assert_eq!(user(credentials.as_bytes()), name, "{credentials}");
        }
    }
}
