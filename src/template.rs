//! Placeholders in pages: `{{until}}`, `{{message}}` and `{{host}}`. A section `{{#NAME}}...{{/NAME}}` is shown if the value is
//! not empty, `{{^NAME}}...{{/NAME}}` if it is empty.
//!
//! All other braces, also with spaces in them, are left as they are: a page's own scripts may fill them (Vue, Handlebars).

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::spelling::distance;

/// The names of placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Until,
    Message,
    Host,
}

impl Name {
    const ALL: [Self; 3] = [Self::Until, Self::Message, Self::Host];

    const fn text(self) -> &'static str {
        match self {
            Self::Until => "until",
            Self::Message => "message",
            Self::Host => "host",
        }
    }
}

/// The maximum length of text between braces that is checked for a name.
const MAX_INNER: usize = 32;

/// The values of the placeholders, possibly empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) until: String,
    pub(crate) message: String,
    pub(crate) host: String,
}

impl Values {
    fn of(&self, name: Name) -> &str {
        match name {
            Name::Until => &self.until,
            Name::Message => &self.message,
            Name::Host => &self.host,
        }
    }
}

/// How values are written into a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As text or an attribute of HTML, in ASCII, which is valid in every charset.
    Html,
    /// As part of a JSON string.
    Json,
    /// As text, without control characters.
    Plain,
    /// As text in a charset other than UTF-8, with "?" in place of non-ASCII characters.
    Ascii,
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
            Self::Ascii => {
                let value = value.replace(char::is_control, " ");
                to.extend(value.chars().map(|letter| {
                    u8::try_from(letter)
                        .ok()
                        .filter(u8::is_ascii)
                        .unwrap_or(b'?')
                }));
            }
        }
    }
}

/// The byte of an ASCII character. A control character becomes a space, except a line feed.
fn printable(letter: char) -> Option<u8> {
    let byte = u8::try_from(letter).ok()?;
    Some(if byte.is_ascii_control() && byte != b'\n' {
        b' '
    } else {
        byte
    })
}

/// Double braces around one of the names, with an optional sign.
#[derive(Clone, Copy)]
struct Placeholder {
    kind: PlaceholderKind,
    name: Name,
    /// The offset of its first byte.
    start: usize,
    /// The offset after its last byte.
    end: usize,
    /// It starts or ends a section whose other placeholder is missing, and so is ignored.
    is_unmatched: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlaceholderKind {
    /// `{{NAME}}`
    Value,
    /// `{{#NAME}}`
    IfSet,
    /// `{{^NAME}}`
    IfEmpty,
    /// `{{/NAME}}`
    End,
}

/// The kind and the name in text between braces.
fn split(inner: &str) -> (PlaceholderKind, &str) {
    [
        ('#', PlaceholderKind::IfSet),
        ('^', PlaceholderKind::IfEmpty),
        ('/', PlaceholderKind::End),
    ]
    .into_iter()
    .find_map(|(sign, kind)| Some((kind, inner.strip_prefix(sign)?)))
    .unwrap_or((PlaceholderKind::Value, inner))
}

/// Finds the next double braces from `from` on. Returns their offset and the text between them.
fn next_braces(page: &[u8], mut from: usize) -> Option<(usize, &str)> {
    loop {
        let start = from + page.get(from..)?.windows(2).position(|two| two == b"{{")?;
        let inner = &page[start + 2..page.len().min(start + 2 + MAX_INNER + 2)];
        let end = inner.windows(2).position(|two| two == b"}}");
        // The last braces before the end count: "{{{until}}}" is "{", "{{until}}" and "}".
        let inner = end.and_then(|end| std::str::from_utf8(&inner[..end]).ok());
        if let Some(inner) = inner.filter(|inner| !inner.contains('{')) {
            return Some((start, inner));
        }
        from = start + 1;
    }
}

/// The placeholders of a page, in order.
fn placeholders(page: &[u8]) -> Vec<Placeholder> {
    let mut all: Vec<Placeholder> = Vec::new();
    // The indices of those that start an open section, and the number of open sections of each name.
    let mut open: Vec<usize> = Vec::new();
    let mut count = [0_usize; Name::ALL.len()];
    let mut from = 0;
    while let Some((start, inner)) = next_braces(page, from) {
        let (kind, text) = split(inner);
        let Some(name) = Name::ALL.into_iter().find(|name| name.text() == text) else {
            from = start + 1;
            continue;
        };
        from = start + 2 + inner.len() + 2;
        let mut is_unmatched = false;
        match kind {
            PlaceholderKind::Value => {}
            PlaceholderKind::IfSet | PlaceholderKind::IfEmpty => {
                // Until its end is found.
                is_unmatched = true;
                open.push(all.len());
                count[name as usize] += 1;
            }
            PlaceholderKind::End if count[name as usize] == 0 => is_unmatched = true,
            // Also closes the sections within that have no end.
            PlaceholderKind::End => {
                while let Some(index) = open.pop() {
                    let start = &mut all[index];
                    count[start.name as usize] -= 1;
                    if start.name == name {
                        start.is_unmatched = false;
                        break;
                    }
                }
            }
        }
        all.push(Placeholder {
            kind,
            name,
            start,
            end: from,
            is_unmatched,
        });
    }
    all
}

/// Replaces the placeholders of a page by their values.
pub(crate) fn fill(page: &[u8], values: &Values, escape: Escape) -> Vec<u8> {
    let mut filled = Vec::with_capacity(page.len());
    // For each open section, whether it and the sections around it are shown.
    let mut open: Vec<bool> = Vec::new();
    let mut from = 0;
    for placeholder in placeholders(page).iter().filter(|it| !it.is_unmatched) {
        let is_shown = open.last().is_none_or(|shown| *shown);
        if is_shown {
            filled.extend_from_slice(&page[from..placeholder.start]);
        }
        from = placeholder.end;
        let value = values.of(placeholder.name);
        match placeholder.kind {
            PlaceholderKind::Value if is_shown => escape.write(value, &mut filled),
            PlaceholderKind::Value => {}
            PlaceholderKind::IfSet => open.push(is_shown && !value.is_empty()),
            PlaceholderKind::IfEmpty => open.push(is_shown && value.is_empty()),
            PlaceholderKind::End => drop(open.pop()),
        }
    }
    filled.extend_from_slice(&page[from..]);
    filled
}

/// Whether a page has placeholders.
pub(crate) fn has_placeholders(page: &[u8]) -> bool {
    placeholders(page).iter().any(|it| !it.is_unmatched)
}

/// Warnings of probable mistakes: braces that resemble a placeholder, each with the line and column of its first occurrence, in
/// order. Other braces are assumed to be those of another program.
pub(crate) fn warnings(page: &[u8]) -> Vec<(usize, usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for placeholder in placeholders(page).iter().filter(|it| it.is_unmatched) {
        let name = placeholder.name.text();
        let what = if placeholder.kind == PlaceholderKind::End {
            format!(
                "{{{{/{name}}}}} ends no section and stays as it is; add its beginning or delete it"
            )
        } else {
            format!("a section of \"{name}\" has no end and stays as it is; add {{{{/{name}}}}}")
        };
        found.push((placeholder.start, what));
    }
    let mut from = 0;
    while let Some((start, inner)) = next_braces(page, from) {
        from = start + 1;
        let Some(meant) = meant(inner).filter(|meant| meant != inner) else {
            continue;
        };
        let what = format!(
            "\"{{{{{}}}}}\" stays as it is; where maintd is to fill it, write {{{{{meant}}}}}",
            inner.escape_debug()
        );
        found.push((start, what));
    }
    found.sort_by_key(|(start, _)| *start);
    // Each text once: a template of another program may have many.
    let mut seen = HashSet::new();
    found.retain(|(_, what)| seen.insert(what.clone()));
    let (mut line, mut column, mut from) = (1, 1, 0);
    let located = found.into_iter().map(|(start, what)| {
        for part in page[from..start].split_inclusive(|byte| *byte == b'\n') {
            column += String::from_utf8_lossy(part).chars().count();
            if part.ends_with(b"\n") {
                (line, column) = (line + 1, 1);
            }
        }
        from = start;
        (line, column, what)
    });
    located.collect()
}

/// The placeholder probably meant by text between braces: one with spaces, capitals or a wrong letter. Not `host` with a wrong
/// letter, since too many other words differ from it in one letter.
fn meant(inner: &str) -> Option<String> {
    let bare = inner.trim();
    let (_, name) = split(bare);
    let sign = &bare[..bare.len() - name.len()];
    let name = name.trim().to_ascii_lowercase();
    let is_similar = |known: &str| {
        name == known || known.len() > 4 && inner == bare && distance(&name, known) == 1
    };
    let mut known = Name::ALL.into_iter().map(Name::text);
    let known = known.find(|known| is_similar(known))?;
    Some(format!("{sign}{known}"))
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
    fn values_are_escaped_for_the_type_of_the_page() {
        let page = "a {{message}}, {{until}}|{{host}}|";
        assert_eq!(
            filled(page, Escape::Html),
            "a &#60;b&#62; &#38; &#34;x&#34;\n&#252;, 21:00||"
        );
        assert_eq!(filled(page, Escape::Json), r#"a <b> & \"x\"\nü, 21:00||"#);
        assert_eq!(filled(page, Escape::Plain), "a <b> & \"x\" ü, 21:00||");
        assert_eq!(filled(page, Escape::Ascii), "a <b> & \"x\" ?, 21:00||");
    }

    #[test]
    fn a_section_depends_on_its_value() {
        for (page, expected) in [
            ("a{{#until}}b {{until}}{{/until}}c", "ab 21:00c"),
            ("a{{^until}}b{{/until}}c", "ac"),
            ("a{{#host}}b{{until}}{{/host}}c", "ac"),
            ("a{{^host}}b{{/host}}c", "abc"),
            ("a{{#host}}{{#until}}b{{/until}}d{{/host}}c", "ac"),
        ] {
            assert_eq!(filled(page, Escape::Html), expected);
            assert_eq!(warnings(page.as_bytes()), [], "{page}");
        }
    }

    #[test]
    fn other_braces_are_left_without_a_warning() {
        for page in [
            "{{",
            "{{}}",
            "{{ 1 + 1 }}",
            "{ {until} }",
            "{{until}",
            "a{b{c}}",
            "{{a b}}",
            "{{{}}}",
            "{{user.name}} {{user-name}} {{who}}",
            "{{#each items}}{{this}}{{/each}}{{> header}}{{! comment }}",
            "{{ post }} {{ messages }} {{post}} {{until.time}}",
            "{% if x %}{{ \"until\" }}{% endif %} {{ host | safe }}",
            "<p v-if=\"a\">{{ a ? b : c }}</p>",
        ] {
            assert_eq!(filled(page, Escape::Html), page);
            assert_eq!(warnings(page.as_bytes()), [], "{page}");
        }
        assert_eq!(filled("{{{until}}}", Escape::Html), "{21:00}");
        assert_eq!(filled("{{ {{until}} }}", Escape::Html), "{{ 21:00 }}");
    }

    #[test]
    fn a_misspelled_placeholder_is_left_with_a_warning() {
        for (braces, meant) in [
            ("{{ message }}", "{{message}}"),
            ("{{message }}", "{{message}}"),
            ("{{ #until}}", "{{#until}}"),
            ("{{# until }}", "{{#until}}"),
            ("{{Until}}", "{{until}}"),
            ("{{HOST}}", "{{host}}"),
            ("{{untill}}", "{{until}}"),
            ("{{/messge}}", "{{/message}}"),
            ("{{\n until }}", "{{until}}"),
        ] {
            let page = format!("ü\nüb {braces} {braces}");
            assert_eq!(filled(&page, Escape::Html), page);
            let braces = braces.escape_debug();
            let what =
                format!("\"{braces}\" stays as it is; where maintd is to fill it, write {meant}");
            assert_eq!(warnings(page.as_bytes()), [(2, 4, what)], "{page}");
        }
    }

    #[test]
    fn equal_mistakes_are_one_warning_at_the_first_position() {
        let page = format!("ü\n {}", "{{#until}}\n{{ host }}{{/host}}".repeat(20_000));
        let found = warnings(page.as_bytes());
        let places = found.iter().map(|(line, column, _)| (*line, *column));
        assert_eq!(found.len(), 3);
        assert_eq!(Vec::from_iter(places), [(2, 2), (3, 1), (3, 11)]);
    }

    #[test]
    fn an_unmatched_placeholder_is_left_with_a_warning() {
        for (page, expected, places) in [
            ("a{{#host}}b", "a{{#host}}b", vec![2]),
            ("a{{/host}}b {{until}}", "a{{/host}}b 21:00", vec![2]),
            ("{{#until}}a{{#host}}b{{/until}}c", "a{{#host}}bc", vec![12]),
            ("{{#host}}a{{/host}}{{/host}}", "{{/host}}", vec![20]),
            ("{{#until}}a{{/host}}{{/until}}", "a{{/host}}", vec![12]),
            ("{{^until}}{{#until}}a{{/until}}", "{{^until}}a", vec![1]),
        ] {
            assert_eq!(filled(page, Escape::Html), expected);
            let found = warnings(page.as_bytes());
            let columns: Vec<_> = found.iter().map(|(_, column, _)| *column).collect();
            assert_eq!(columns, places, "{page}: {found:?}");
        }
        assert_eq!(
            warnings(b"{{#until}}")[0].2,
            "a section of \"until\" has no end and stays as it is; add {{/until}}"
        );
        assert_eq!(
            warnings(b"{{/until}}")[0].2,
            "{{/until}} ends no section and stays as it is; add its beginning or delete it"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_value_cannot_end_its_html_context(value in any::<String>()) {
            let values = Values { message: value, ..Values::default() };
            let filled = fill(b"{{message}}", &values, Escape::Html);
            prop_assert!(filled.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~') && !b"<>\"'".contains(byte)));
        }

        #[test]
        fn a_value_is_one_json_string(value in any::<String>()) {
            let values = Values { message: value.clone(), ..Values::default() };
            let filled = fill(b"\"{{message}}\"", &values, Escape::Json);
            prop_assert_eq!(serde_json::from_slice::<String>(&filled).ok(), Some(value));
        }

        #[test]
        fn any_page_is_filled_without_a_panic(page in "[{}#^/ a-z]{0,60}") {
            let _ = warnings(page.as_bytes());
            let _ = fill(page.as_bytes(), &Values::default(), Escape::Plain);
        }

        #[test]
        fn a_page_without_placeholders_is_not_changed(page in "([{}#^/ .]|until|Until|message|hos|t|é){0,20}") {
            let filled = fill(page.as_bytes(), &Values::default(), Escape::Html);
            if has_placeholders(page.as_bytes()) {
                prop_assert!(filled.len() < page.len());
            } else {
                prop_assert_eq!(filled, page.as_bytes());
            }
        }
    }
}
