//! The syntax of HTTP fields: tokens, optional whitespace, and the value of a field line (RFC 9110 5).

/// Whether a byte may be part of a token (RFC 9110 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether a text is a token: a method or a field name (RFC 9110 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// A value without optional whitespace around it: spaces and tabs (RFC 9110 5.6.3).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The value of a field line, with or without its line end, if the line has this name.
pub(crate) fn field_value<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (own, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    own.eq_ignore_ascii_case(name.as_bytes())
        .then_some(value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_line_has_a_name_and_a_value() {
        for (line, expected) in [
            ("a: b", Some("b")),
            ("A:\tb c \r", Some("b c")),
            ("a:", Some("")),
            ("a : b", None),
            ("ab: b", None),
            ("a", None),
        ] {
            let value = field_value(line.as_bytes(), "a");
            assert_eq!(value, expected.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn a_token_has_no_delimiter() {
        for byte in 0..=u8::MAX {
            let is_delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            let expected = byte.is_ascii_graphic() && !is_delimiter;
            assert_eq!(is_token(&[byte]), expected, "{byte}");
        }
        assert!(!is_token(b"") && !is_token(b"a b") && is_token(b"x-a"));
    }
}
