//! What a page leaves open: `{{until}}`, `{{message}}` and `{{host}}`. What stands between `{{#NAME}}` and `{{/NAME}}` is left
//! out where that is empty, and between `{{^NAME}}` and `{{/NAME}}` where it is not.
//!
//! Braces around anything but a name are the page's own.

use std::fmt::Write as _;

/// The longest name that is looked for.
const MAX_NAME: usize = 32;

/// What stands for the placeholders; empty where there is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) until: String,
    pub(crate) message: String,
    pub(crate) host: String,
}

impl Values {
    fn of(&self, name: &[u8]) -> Option<&str> {
        match name {
            b"until" => Some(&self.until),
            b"message" => Some(&self.message),
            b"host" => Some(&self.host),
            _ => None,
        }
    }
}

/// How values are written into a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As text or an attribute of HTML, in ASCII, which is the same in every charset.
    Html,
    /// Within a string of JSON.
    Json,
    /// As they are, but for control characters.
    Plain,
}

impl Escape {
    fn write(self, value: &str, to: &mut Vec<u8>) {
        match self {
            Self::Html => {
                for letter in value.chars() {
                    match letter {
                        '&' | '<' | '>' | '"' | '\'' | '\u{80}'.. => {
                            let mut reference = String::new();
                            // Writing to a string does not fail.
                            let _ = write!(reference, "&#{};", u32::from(letter));
                            to.extend_from_slice(reference.as_bytes());
                        }
                        _ => to.extend(printable(letter)),
                    }
                }
            }
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                let inner = quoted.get(1..quoted.len().saturating_sub(1));
                to.extend_from_slice(inner.unwrap_or_default().as_bytes());
            }
            Self::Plain => to.extend_from_slice(value.replace(char::is_control, " ").as_bytes()),
        }
    }
}

/// A letter of ASCII; a control character is a space, unless it ends a line.
fn printable(letter: char) -> Option<u8> {
    let byte = u8::try_from(letter).ok()?;
    Some(if byte.is_ascii_control() && byte != b'\n' {
        b' '
    } else {
        byte
    })
}

/// One placeholder of a page.
struct Tag<'a> {
    /// `#`, `^` or `/`; nothing where the value itself stands.
    sign: Option<u8>,
    name: &'a [u8],
    /// Where it starts.
    start: usize,
    /// Where it ends.
    end: usize,
}

/// Finds the next placeholder from `from` on.
fn next(page: &[u8], mut from: usize) -> Option<Tag<'_>> {
    loop {
        let start = from + page.get(from..)?.windows(2).position(|two| two == b"{{")?;
        let inner = &page[start + 2..page.len().min(start + 2 + MAX_NAME + 2)];
        if let Some(length) = inner.windows(2).position(|two| two == b"}}") {
            let (sign, name) = match inner[..length].trim_ascii() {
                [sign @ (b'#' | b'^' | b'/'), name @ ..] => (Some(*sign), name),
                name => (None, name),
            };
            let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
            if is_name {
                return Some(Tag {
                    sign,
                    name,
                    start,
                    end: start + 2 + length + 2,
                });
            }
        }
        from = start + 1;
    }
}

/// The page with its placeholders filled. What [`faults`] tells of stays as it is.
pub(crate) fn fill(page: &[u8], values: &Values, escape: Escape) -> Vec<u8> {
    let mut filled = Vec::with_capacity(page.len());
    // For each section that is open, whether it is shown.
    let mut open: Vec<bool> = Vec::new();
    let mut from = 0;
    while let Some(tag) = next(page, from) {
        let is_shown = open.iter().all(|shown| *shown);
        if is_shown {
            filled.extend_from_slice(&page[from..tag.start]);
        }
        from = tag.end;
        match (tag.sign, values.of(tag.name)) {
            (Some(b'/'), Some(_)) => {
                open.pop();
            }
            (Some(sign), Some(value)) => open.push(value.is_empty() == (sign == b'^')),
            (None, Some(value)) if is_shown => escape.write(value, &mut filled),
            (None, Some(_)) => {}
            (_, None) if is_shown => filled.extend_from_slice(&page[tag.start..tag.end]),
            (_, None) => {}
        }
    }
    filled.extend_from_slice(&page[from..]);
    filled
}

/// What is wrong with the placeholders of a page, each with its line and column.
pub(crate) fn faults(page: &[u8]) -> Vec<(usize, usize, String)> {
    let mut faults = Vec::new();
    let mut open: Vec<Tag<'_>> = Vec::new();
    let mut fault = |at: usize, what: String| {
        let line_start = page[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let line = page[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = String::from_utf8_lossy(&page[line_start..at])
            .chars()
            .count()
            + 1;
        faults.push((line, column, what));
    };
    let mut from = 0;
    while let Some(tag) = next(page, from) {
        from = tag.end;
        let name = String::from_utf8_lossy(tag.name);
        if Values::default().of(tag.name).is_none() {
            let what = format!(
                "unknown placeholder \"{name}\" in braces; write {{{{until}}}}, {{{{message}}}} or {{{{host}}}}"
            );
            fault(tag.start, what);
        } else if tag.sign == Some(b'/') {
            if open.pop().is_none_or(|opened| opened.name != tag.name) {
                fault(
                    tag.start,
                    format!("{{{{/{name}}}}} ends what has not begun; delete it"),
                );
            }
        } else if tag.sign.is_some() {
            open.push(tag);
        }
    }
    for tag in open {
        let name = String::from_utf8_lossy(tag.name);
        fault(
            tag.start,
            format!("a part of \"{name}\" without its end; add {{{{/{name}}}}}"),
        );
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> Values {
        Values {
            until: "21:00".to_owned(),
            message: "<b> & \"x\"\nü".to_owned(),
            host: String::new(),
        }
    }

    fn filled(page: &str, escape: Escape) -> String {
        String::from_utf8_lossy(&fill(page.as_bytes(), &values(), escape)).into_owned()
    }

    #[test]
    fn values_are_escaped_for_where_they_stand() {
        let page = "a {{message}}, {{ until }}|{{host}}|";
        assert_eq!(
            filled(page, Escape::Html),
            "a &#60;b&#62; &#38; &#34;x&#34;\n&#252;, 21:00||"
        );
        assert_eq!(filled(page, Escape::Json), r#"a <b> & \"x\"\nü, 21:00||"#);
        assert_eq!(filled(page, Escape::Plain), "a <b> & \"x\" ü, 21:00||");
    }

    #[test]
    fn a_part_is_left_out_with_its_value() {
        for (page, expected) in [
            ("a{{#until}}b {{until}}{{/until}}c", "ab 21:00c"),
            ("a{{^until}}b{{/until}}c", "ac"),
            ("a{{#host}}b{{until}}{{/host}}c", "ac"),
            ("a{{^host}}b{{/host}}c", "abc"),
            ("a{{#host}}{{#until}}b{{/until}}d{{/host}}c", "ac"),
        ] {
            assert_eq!(filled(page, Escape::Html), expected);
            assert_eq!(faults(page.as_bytes()), [], "{page}");
        }
    }

    #[test]
    fn braces_that_hold_no_name_stay() {
        for page in [
            "{{",
            "{{}}",
            "{{ 1 + 1 }}",
            "{ {until} }",
            "{{until}",
            "a{b{c}}",
            "{{a b}}",
            "{{{}}}",
        ] {
            assert_eq!(filled(page, Escape::Html), page);
            assert_eq!(faults(page.as_bytes()), [], "{page}");
        }
        assert_eq!(filled("{{{until}}}", Escape::Html), "{21:00}");
    }

    #[test]
    fn what_is_not_known_is_told_with_its_place() {
        let found = faults("ü\nüb {{Until}}\n{{/host}}{{#until}}".as_bytes());
        let places: Vec<_> = found
            .iter()
            .map(|(line, column, _)| (*line, *column))
            .collect();
        assert_eq!(places, [(2, 4), (3, 1), (3, 10)]);
        assert_eq!(
            found[0].2,
            "unknown placeholder \"Until\" in braces; write {{until}}, {{message}} or {{host}}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_value_gets_out_of_html(value in any::<String>()) {
            let values = Values { message: value, ..Values::default() };
            let filled = fill(b"{{message}}", &values, Escape::Html);
            prop_assert!(filled.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~') && !b"<>\"'".contains(byte)));
        }

        #[test]
        fn a_value_comes_back_from_json(value in any::<String>()) {
            let values = Values { message: value.clone(), ..Values::default() };
            let filled = fill(b"\"{{message}}\"", &values, Escape::Json);
            prop_assert_eq!(serde_json::from_slice::<String>(&filled).ok(), Some(value));
        }

        #[test]
        fn no_page_brings_it_down(page in "[{}#^/ a-z]{0,60}") {
            let _ = faults(page.as_bytes());
            let _ = fill(page.as_bytes(), &Values::default(), Escape::Plain);
        }
    }
}
