//! Skips a request's body as it arrives, to find the next request after it.

use crate::http_field::is_token_byte;

/// The maximum length of a body that is skipped so that the connection stays open.
pub const MAX_BODY: u64 = 64 * 1024;
/// The maximum length of all chunk lines and trailers of a chunked body.
const MAX_FRAMING: u64 = MAX_BODY;

/// How the end of a body is determined (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// By its length, which saturates: 0 without a body.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// A body that is being skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySkip {
    /// The remaining bytes of the body, or of the current chunk.
    remaining: u64,
    /// The state of a chunked body.
    chunked: Option<Chunked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunked {
    state: ChunkState,
    /// The length of all chunks so far.
    data: u64,
    /// The length of everything else so far.
    framing: u64,
}

/// The strict grammar of RFC 9112 7.1, byte by byte: only CRLF ends a line, and extensions follow 7.1.1. If two parsers find
/// different ends of a body, a request can be smuggled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// Before the first digit of a size.
    Size,
    /// After a digit.
    SizeDigits,
    /// In whitespace after a size or an extension: another extension must follow.
    ExtensionBlank,
    /// Before an extension's name.
    NameStart,
    /// In an extension's name.
    Name,
    /// In whitespace after an extension's name.
    NameBlank,
    /// Before an extension's value.
    ValueStart,
    /// In a value that is a token.
    Value,
    /// In a value that is a quoted string.
    Quoted,
    /// After a backslash in a quoted string.
    QuotedPair,
    /// After a quoted string.
    QuotedEnd,
    /// After the CR of a size line.
    SizeLineEnd,
    /// In the chunk.
    Data,
    /// After the chunk.
    DataCr,
    /// After the chunk's CR.
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// In a trailer's name.
    TrailerName,
    /// In a trailer's value.
    TrailerValue,
    /// After a trailer's CR.
    TrailerLineEnd,
    /// After the CR of the last line.
    LastLineEnd,
}

/// How far a body has been skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// All of the input was body, and more is expected.
    Partial,
    /// The body ended after this many bytes of the input.
    Complete(usize),
    /// The body is malformed or too long: nothing after it may be answered.
    Failed,
}

impl BodySkip {
    /// Starts at the first byte of a body.
    #[must_use]
    pub const fn new(body: Body) -> Self {
        match body {
            Body::Length(remaining) => Self {
                remaining,
                chunked: None,
            },
            Body::Chunked => Self {
                remaining: 0,
                chunked: Some(Chunked {
                    state: ChunkState::Size,
                    data: 0,
                    framing: 0,
                }),
            },
        }
    }

    /// Skips the part of the body in `input`.
    pub fn skip(&mut self, input: &[u8]) -> Skipped {
        match &mut self.chunked {
            None => {
                let data = take(&mut self.remaining, input.len());
                if self.remaining == 0 {
                    Skipped::Complete(data)
                } else {
                    Skipped::Partial
                }
            }
            Some(chunked) => chunked.skip(&mut self.remaining, input),
        }
    }
}

/// Subtracts up to `available` bytes from `remaining`, and returns how many.
fn take(remaining: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*remaining)
        .unwrap_or(usize::MAX)
        .min(available);
    *remaining -= taken as u64;
    taken
}

impl Chunked {
    fn skip(&mut self, remaining: &mut u64, input: &[u8]) -> Skipped {
        let mut at = 0;
        while let Some(byte) = input.get(at) {
            if self.state == ChunkState::Data {
                at += take(remaining, input.len() - at);
                if *remaining == 0 {
                    self.state = ChunkState::DataCr;
                }
                continue;
            }
            at += 1;
            self.framing += 1;
            let is_last = self.state == ChunkState::LastLineEnd;
            match self.next_state(*byte, remaining) {
                Some(_) if is_last => return Skipped::Complete(at),
                Some(state) if self.framing <= MAX_FRAMING => self.state = state,
                Some(_) | None => return Skipped::Failed,
            }
        }
        Skipped::Partial
    }

    /// The state after one byte of framing; `None` if the byte is invalid.
    fn next_state(&mut self, byte: u8, remaining: &mut u64) -> Option<ChunkState> {
        use ChunkState as State;
        let is_whitespace = matches!(byte, b' ' | b'\t');
        let is_text = matches!(byte, b'\t' | b' '..=0x7e | 0x80..);
        match self.state {
            State::Size | State::SizeDigits if byte.is_ascii_hexdigit() => {
                // A size over the limit fails at once, so the sum cannot overflow.
                *remaining = *remaining * 16 + u64::from(char::from(byte).to_digit(16)?);
                (self.data + *remaining <= MAX_BODY).then_some(State::SizeDigits)
            }
            State::SizeDigits | State::Name | State::Value | State::QuotedEnd if byte == b'\r' => {
                Some(State::SizeLineEnd)
            }
            State::SizeDigits
            | State::ExtensionBlank
            | State::Name
            | State::NameBlank
            | State::Value
            | State::QuotedEnd
                if byte == b';' =>
            {
                Some(State::NameStart)
            }
            State::SizeDigits | State::ExtensionBlank | State::Value | State::QuotedEnd
                if is_whitespace =>
            {
                Some(State::ExtensionBlank)
            }
            State::NameStart | State::ValueStart if is_whitespace => Some(self.state),
            State::NameStart | State::Name if is_token_byte(byte) => Some(State::Name),
            State::Name | State::NameBlank if byte == b'=' => Some(State::ValueStart),
            State::Name | State::NameBlank if is_whitespace => Some(State::NameBlank),
            State::ValueStart if byte == b'"' => Some(State::Quoted),
            State::ValueStart | State::Value if is_token_byte(byte) => Some(State::Value),
            State::Quoted if byte == b'"' => Some(State::QuotedEnd),
            State::Quoted if byte == b'\\' => Some(State::QuotedPair),
            State::Quoted | State::QuotedPair if is_text => Some(State::Quoted),
            State::SizeLineEnd if byte == b'\n' => {
                self.data += *remaining;
                Some(if *remaining == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                })
            }
            State::DataCr if byte == b'\r' => Some(State::DataLf),
            State::DataLf if byte == b'\n' => Some(State::Size),
            State::TrailerStart if byte == b'\r' => Some(State::LastLineEnd),
            State::TrailerName if byte == b':' => Some(State::TrailerValue),
            State::TrailerStart | State::TrailerName if is_token_byte(byte) => {
                Some(State::TrailerName)
            }
            State::TrailerValue if byte == b'\r' => Some(State::TrailerLineEnd),
            State::TrailerValue if is_text => Some(State::TrailerValue),
            State::TrailerLineEnd if byte == b'\n' => Some(State::TrailerStart),
            State::LastLineEnd if byte == b'\n' => Some(State::LastLineEnd),
            State::Size
            | State::SizeDigits
            | State::ExtensionBlank
            | State::NameStart
            | State::Name
            | State::NameBlank
            | State::ValueStart
            | State::Value
            | State::Quoted
            | State::QuotedPair
            | State::QuotedEnd
            | State::SizeLineEnd
            | State::Data
            | State::DataCr
            | State::DataLf
            | State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLineEnd
            | State::LastLineEnd => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Skips the input at once and byte by byte, with the same result.
    fn skip(input: &[u8]) -> Skipped {
        let whole = BodySkip::new(Body::Chunked).skip(input);
        let mut body = BodySkip::new(Body::Chunked);
        let mut pieces = Skipped::Partial;
        for (at, byte) in input.iter().enumerate() {
            pieces = match body.skip(&[*byte]) {
                Skipped::Complete(1) => Skipped::Complete(at + 1),
                other @ (Skipped::Partial | Skipped::Complete(_) | Skipped::Failed) => other,
            };
            if pieces != Skipped::Partial {
                break;
            }
        }
        assert_eq!(whole, pieces, "{:?}", input.escape_ascii().to_string());
        whole
    }

    #[test]
    fn a_chunked_body_ends_with_its_last_chunk() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00005\r\nhello\r\n000\r\n\r\n",
            "5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n",
            "5 ; a\r\nhello\r\n0\r\n\r\n",
            "5\t;\ta\t=\tb ; c = \"\" ;d\r\nhello\r\n0\r\n\r\n",
            "5;a=\"\\\"; \\\\\t\u{e9}\"\r\nhello\r\n0\r\n\r\n",
            "a\r\n\r\n0\r\n\r\nGET\r\n1\r\n\r\r\n0\r\nDigest: x\r\nEmpty:\r\n\r\n",
        ] {
            let input = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(
                skip(input.as_bytes()),
                Skipped::Complete(body.len()),
                "{body:?}"
            );
        }
    }

    #[test]
    fn a_part_of_a_chunked_body_is_partial() {
        let body = b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for end in 0..body.len() {
            assert_eq!(skip(&body[..end]), Skipped::Partial, "{end}");
        }
    }

    #[test]
    fn a_malformed_chunk_fails() {
        for body in [
            "xyz\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x5\r\n",
            "\r\n",
            ";a\r\n",
            " 5\r\n",
            "5\nhello\r\n",
            "5 5\r\n",
            "5\rhello",
            "5\r\nhello0\r\n",
            "5\r\nhello\n0\r\n",
            "5\r\nhello\r0\r\n",
            "5 \r\n",
            "5;\r\n",
            "5; \r\n",
            "5;a \r\n",
            "5;a;\r\n",
            "5;;a\r\n",
            "5;=b\r\n",
            "5;a=\r\n",
            "5;a=b \r\n",
            "5;a=b c\r\n",
            "5;a b\r\n",
            "5;a=b=c\r\n",
            "5;bad[=x\r\n",
            "5;a=[\r\n",
            "5;\"a\"\r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\"c\r\n",
            "5;a=\"b\" \r\n",
            "5;a=\"\\\r\n",
            "5;a=\"\x7f\"\r\n",
            "5;\u{e9}\r\n",
            "5;a\0b\r\n",
            "5;a\nb\r\n",
            "fffffffffffffffff\r\n",
            "10001\r\n",
            "0\r\n\n",
            "0\r\n: x\r\n",
            "0\r\nno colon\r\n",
            "0\r\nA : b\r\n",
            "0\r\nA[: b\r\n",
            "0\r\n folded\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n\rX",
        ] {
            assert_eq!(skip(body.as_bytes()), Skipped::Failed, "{body:?}");
        }
    }

    #[test]
    fn a_chunked_body_is_skipped_up_to_the_limit() {
        let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "x".repeat(length));
        let right = format!("{}{}0\r\n\r\n", chunk(0xffff), chunk(1));
        assert_eq!(skip(right.as_bytes()), Skipped::Complete(right.len()));
        let wrong = format!("{}{}0\r\n\r\n", chunk(0xffff), chunk(2));
        assert_eq!(skip(wrong.as_bytes()), Skipped::Failed);
        let endless = format!("0\r\nA: {}", "x".repeat(70_000));
        assert_eq!(skip(endless.as_bytes()), Skipped::Failed);
    }

    /// RFC 9112 7.1 and 7.1.1, RFC 9110 5.6.2 to 5.6.4, applied to a whole line.
    fn is_chunk_line(line: &[u8]) -> bool {
        fn split(text: &[u8], is_part: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
            text.split_at(text.iter().take_while(|byte| is_part(**byte)).count())
        }
        let after_whitespace = |text| split(text, |byte| matches!(byte, b' ' | b'\t')).1;
        let token = |text| split(text, is_token_byte);
        let (size, mut rest) = split(line, |byte| byte.is_ascii_hexdigit());
        let size = str::from_utf8(size).unwrap();
        if !u64::from_str_radix(size, 16).is_ok_and(|size| size <= MAX_BODY) {
            return false;
        }
        while !rest.is_empty() {
            let Some(extension) = after_whitespace(rest).strip_prefix(b";") else {
                return false;
            };
            let (name, after_name) = token(after_whitespace(extension));
            let after_value = match after_whitespace(after_name).strip_prefix(b"=") {
                None => after_name,
                Some(value) => match after_whitespace(value) {
                    [b'"', text @ ..] => match quoted_string_length(text) {
                        Some(length) => &text[length..],
                        None => return false,
                    },
                    text => match token(text) {
                        ([], _) => return false,
                        (_, after) => after,
                    },
                },
            };
            if name.is_empty() {
                return false;
            }
            rest = after_value;
        }
        true
    }

    /// The length of a quoted string after its opening quote, including the closing one.
    fn quoted_string_length(text: &[u8]) -> Option<usize> {
        let is_text = |byte: u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        match text {
            [b'"', ..] => Some(1),
            [b'\\', byte, rest @ ..] if is_text(*byte) => Some(2 + quoted_string_length(rest)?),
            [byte, rest @ ..] if *byte != b'\\' && is_text(*byte) => {
                Some(1 + quoted_string_length(rest)?)
            }
            _ => None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_chunk_line_is_accepted_by_the_grammar(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "5", "0", ";", "; ", " ;", "=", " = ", "a", "b-1", ";a", ";a=b", "=\"b\"", "\"", "\\", "\\\"", " ",
                    "\t", "[", "\u{e9}", "\x7f", "\0", "\n", ",",
                ]),
                0..8,
            ),
        ) {
            let line = format!("5{}", parts.concat());
            let expected = if is_chunk_line(line.as_bytes()) {
                Skipped::Partial
            } else {
                Skipped::Failed
            };
            prop_assert_eq!(skip(format!("{line}\r\n").as_bytes()), expected, "{:?}", line);
        }
    }

    #[test]
    fn a_length_is_skipped_to_the_byte() {
        let mut body = BodySkip::new(Body::Length(5));
        assert_eq!(body.skip(b"abc"), Skipped::Partial);
        assert_eq!(body.skip(b"deGET"), Skipped::Complete(2));
        assert_eq!(
            BodySkip::new(Body::Length(0)).skip(b"GET"),
            Skipped::Complete(0)
        );
    }
}
