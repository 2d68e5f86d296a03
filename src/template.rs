//! Placeholders of a page: `{{until}}`, `{{message}}` and `{{host}}`. What stands between `{{#NAME}}` and `{{/NAME}}` is left
//! out where the value is empty, and between `{{^NAME}}` and `{{/NAME}}` where it is not.
//!
//! All other braces belong to the page, whose scripts may fill them (Vue, Handlebars), and stay as they are; so do braces with
//! blanks in them.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::spelling::distance;

/// What a placeholder stands for.
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

/// The most bytes between braces that are read as a name.
const MAX_INNER: usize = 32;

/// What stands for the placeholders; empty where there is nothing.
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
    /// As text or an attribute of HTML, in ASCII, which is the same in every charset.
    Html,
    /// Within a string of JSON.
    Json,
    /// As they are, but for control characters.
    Plain,
    /// Likewise, with "?" for what is not ASCII: in text whose charset is not UTF-8.
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

/// A letter of ASCII; a control character is a space, unless it ends a line.
fn printable(letter: char) -> Option<u8> {
    let byte = u8::try_from(letter).ok()?;
    Some(if byte.is_ascii_control() && byte != b'\n' {
        b' '
    } else {
        byte
    })
}

/// Double braces around one of the names.
#[derive(Clone, Copy)]
struct Tag {
    kind: Kind,
    name: Name,
    /// Where it starts.
    start: usize,
    /// Where it ends.
    end: usize,
    /// It begins or ends a section without its other half, and so means nothing.
    is_alone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `{{NAME}}`
    Value,
    /// `{{#NAME}}`
    IfSet,
    /// `{{^NAME}}`
    IfEmpty,
    /// `{{/NAME}}`
    End,
}

/// The kind and the name that text between braces has.
fn split(inner: &str) -> (Kind, &str) {
    let kinds = [('#', Kind::IfSet), ('^', Kind::IfEmpty), ('/', Kind::End)];
    let mut signed = kinds
        .into_iter()
        .filter_map(|(sign, kind)| Some((kind, inner.strip_prefix(sign)?)));
    signed.next().unwrap_or((Kind::Value, inner))
}

/// Finds the next double braces from `from` on: where they start, and what is between them.
fn next_braces(page: &[u8], mut from: usize) -> Option<(usize, &str)> {
    loop {
        let start = from + page.get(from..)?.windows(2).position(|two| two == b"{{")?;
        let inner = &page[start + 2..page.len().min(start + 2 + MAX_INNER + 2)];
        let end = inner.windows(2).position(|two| two == b"}}");
        // A brace within is another beginning: "{{{until}}}" is "{", "{{until}}" and "}".
        let inner = end.and_then(|end| std::str::from_utf8(&inner[..end]).ok());
        if let Some(inner) = inner.filter(|inner| !inner.contains('{')) {
            return Some((start, inner));
        }
        from = start + 1;
    }
}

/// The placeholders of a page in their order.
fn tags(page: &[u8]) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    // The numbers of those whose section is open, and how many of them have each name.
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
        let mut is_alone = false;
        match kind {
            Kind::Value => {}
            Kind::IfSet | Kind::IfEmpty => {
                // Until its end comes.
                is_alone = true;
                open.push(tags.len());
                count[name as usize] += 1;
            }
            Kind::End if count[name as usize] == 0 => is_alone = true,
            // Sections within that have no end are open no more.
            Kind::End => {
                while let Some(inner) = open.pop() {
                    let tag: &mut Tag = &mut tags[inner];
                    count[tag.name as usize] -= 1;
                    if tag.name == name {
                        tag.is_alone = false;
                        break;
                    }
                }
            }
        }
        tags.push(Tag {
            kind,
            name,
            start,
            end: from,
            is_alone,
        });
    }
    tags
}

/// The page with its placeholders filled. All else stays as it is.
pub(crate) fn fill(page: &[u8], values: &Values, escape: Escape) -> Vec<u8> {
    let mut filled = Vec::with_capacity(page.len());
    // For each section that is open, whether it and those around it are shown.
    let mut open: Vec<bool> = Vec::new();
    let mut from = 0;
    for tag in tags(page).iter().filter(|tag| !tag.is_alone) {
        let is_shown = open.last().is_none_or(|shown| *shown);
        if is_shown {
            filled.extend_from_slice(&page[from..tag.start]);
        }
        from = tag.end;
        let value = values.of(tag.name);
        match tag.kind {
            Kind::Value if is_shown => escape.write(value, &mut filled),
            Kind::Value => {}
            Kind::IfSet => open.push(is_shown && !value.is_empty()),
            Kind::IfEmpty => open.push(is_shown && value.is_empty()),
            Kind::End => drop(open.pop()),
        }
    }
    filled.extend_from_slice(&page[from..]);
    filled
}

/// Whether anything in a page would be filled.
pub(crate) fn are_in(page: &[u8]) -> bool {
    tags(page).iter().any(|tag| !tag.is_alone)
}

/// Warnings of what is almost a placeholder, and so is probably a mistake, each with its first line and column, in their
/// order. Other braces are taken for those of another program.
pub(crate) fn warnings(page: &[u8]) -> Vec<(usize, usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for tag in tags(page).iter().filter(|tag| tag.is_alone) {
        let name = tag.name.text();
        let what = if tag.kind == Kind::End {
            format!(
                "{{{{/{name}}}}} ends no section and stays as it is; add its beginning or delete it"
            )
        } else {
            format!("a section of \"{name}\" has no end and stays as it is; add {{{{/{name}}}}}")
        };
        found.push((tag.start, what));
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
    // Each text once: a page that another program fills may have many.
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

/// The placeholder that was probably meant by what is between braces: one with blanks or capitals, or with a wrong letter. Of
/// `host` too many other words are but a letter away.
fn meant(inner: &str) -> Option<String> {
    let bare = inner.trim();
    let (_, name) = split(bare);
    let sign = &bare[..bare.len() - name.len()];
    let name = name.trim().to_ascii_lowercase();
    let is_near = |known: &str| {
        name == known || known.len() > 4 && inner == bare && distance(&name, known) == 1
    };
    let mut known = Name::ALL.into_iter().map(Name::text);
    let known = known.find(|known| is_near(known))?;
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
    fn values_are_escaped_for_where_they_stand() {
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
    fn a_part_is_left_out_with_its_value() {
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
    fn foreign_braces_stay_as_they_are_without_a_warning() {
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
    fn what_is_almost_a_placeholder_stays_as_it_is_with_a_warning() {
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
    fn many_equal_mistakes_are_one_warning_at_the_first_place() {
        let page = format!("ü\n {}", "{{#until}}\n{{ host }}{{/host}}".repeat(20_000));
        let found = warnings(page.as_bytes());
        let places = found.iter().map(|(line, column, _)| (*line, *column));
        assert_eq!(found.len(), 3);
        assert_eq!(Vec::from_iter(places), [(2, 2), (3, 1), (3, 11)]);
    }

    #[test]
    fn half_a_section_stays_as_it_is_with_a_warning() {
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
            let _ = warnings(page.as_bytes());
            let _ = fill(page.as_bytes(), &Values::default(), Escape::Plain);
        }

        #[test]
        fn a_page_without_a_placeholder_stays_as_it_is(page in "([{}#^/ .]|until|Until|message|hos|t|é){0,20}") {
            let filled = fill(page.as_bytes(), &Values::default(), Escape::Html);
            if are_in(page.as_bytes()) {
                prop_assert!(filled.len() < page.len());
            } else {
                prop_assert_eq!(filled, page.as_bytes());
            }
        }
    }
}
