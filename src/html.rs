//! An HTML tokenizer for the checks of pages: start tags with their attributes, and the text of scripts and styles.
//!
//! It reads bytes of any encoding that contains ASCII, skips unknown markup, and accepts any input (HTML Standard, 13.2.5).

use std::borrow::Cow;

/// A start tag.
#[derive(Debug)]
pub(crate) struct Tag<'a> {
    /// The name as written.
    name: &'a [u8],
    /// Names and values as written.
    attributes: Vec<(&'a [u8], &'a [u8])>,
    /// The offset of its `<`.
    pub(crate) start: usize,
    /// The content up to the end tag, for an element that contains only text; else empty.
    pub(crate) text: &'a [u8],
}

/// Elements that contain only text, in which `<` starts no tag.
const TEXT_ELEMENTS: [&str; 7] = [
    "script", "style", "title", "textarea", "xmp", "iframe", "noframes",
];

impl<'a> Tag<'a> {
    /// Whether the element has this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value of the first attribute of this name, with character references resolved.
    pub(crate) fn value(&self, attribute: &str) -> Option<Cow<'a, str>> {
        let mut attributes = self.attributes.iter();
        let (_, value) =
            attributes.find(|(name, _)| name.eq_ignore_ascii_case(attribute.as_bytes()))?;
        Some(resolve_references(String::from_utf8_lossy(value)))
    }

    /// The names of the attributes, in lower case.
    pub(crate) fn attribute_names(&self) -> impl Iterator<Item = String> {
        self.attributes
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name).to_ascii_lowercase())
    }
}

/// Resolves the character references that escape markup in an attribute.
fn resolve_references(value: Cow<'_, str>) -> Cow<'_, str> {
    if !value.contains('&') {
        return value;
    }
    let mut text = value.into_owned();
    // "&amp;" last: its result starts no reference.
    for (reference, letter) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ] {
        text = text.replace(reference, letter);
    }
    Cow::Owned(text)
}

/// The start tags of a page, in order, without those in comments and scripts.
pub(crate) fn tags(page: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut tokenizer = Tokenizer { page, at: 0 };
    std::iter::from_fn(move || tokenizer.next_tag())
}

struct Tokenizer<'a> {
    page: &'a [u8],
    at: usize,
}

impl<'a> Tokenizer<'a> {
    fn rest(&self) -> &'a [u8] {
        self.page.get(self.at..).unwrap_or_default()
    }

    /// Takes bytes while they match.
    fn take_while(&mut self, matches: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| !matches(*byte));
        let taken = &rest[..end.unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Skips to after the next occurrence of `bytes`, or to the end.
    fn skip_past(&mut self, bytes: &[u8]) {
        let found = find(self.rest(), bytes);
        self.at = found.map_or(self.page.len(), |at| self.at + at + bytes.len());
    }

    /// Skips to the next start tag and returns it.
    fn next_tag(&mut self) -> Option<Tag<'a>> {
        loop {
            self.take_while(|byte| byte != b'<');
            let start = self.at;
            match self.rest() {
                [] => return None,
                // "<!-->" and "<!--->" are complete comments.
                [b'<', b'!', b'-', b'-', ..] => {
                    self.at += 2;
                    self.skip_past(b"-->");
                }
                [b'<', b'!' | b'?' | b'/', ..] => self.skip_past(b">"),
                [b'<', first, ..] if first.is_ascii_alphabetic() => {
                    self.at += 1;
                    return Some(self.read_tag(start));
                }
                _ => self.at += 1,
            }
        }
    }

    /// Reads the tag whose name starts here.
    fn read_tag(&mut self, start: usize) -> Tag<'a> {
        let is_space = |byte: u8| byte.is_ascii_whitespace();
        let name = self.take_while(|byte| !is_space(byte) && !b"/>".contains(&byte));
        let mut attributes = Vec::new();
        loop {
            self.take_while(|byte| is_space(byte) || byte == b'/');
            if matches!(self.rest(), [] | [b'>', ..]) {
                self.at += 1;
                break;
            }
            let from = self.at;
            // A name may start with "=".
            self.at += 1;
            self.take_while(|byte| !is_space(byte) && !b"/>=".contains(&byte));
            let attribute = &self.page[from..self.at];
            self.take_while(is_space);
            let mut value: &[u8] = &[];
            if self.rest().first() == Some(&b'=') {
                self.at += 1;
                self.take_while(is_space);
                value = match self.rest().first() {
                    Some(quote @ (b'"' | b'\'')) => {
                        self.at += 1;
                        let value = self.take_while(|byte| byte != *quote);
                        self.at += 1;
                        value
                    }
                    _ => self.take_while(|byte| !is_space(byte) && byte != b'>'),
                };
            }
            attributes.push((attribute, value));
        }
        let mut tag = Tag {
            name,
            attributes,
            start,
            text: &[],
        };
        if TEXT_ELEMENTS.iter().any(|name| tag.is(name)) {
            tag.text = self.take_text(name);
        }
        tag
    }

    /// Takes the text before the end tag of this name.
    fn take_text(&mut self, name: &[u8]) -> &'a [u8] {
        let rest = self.rest();
        let mut end = 0;
        while let Some(at) = rest.get(end..).and_then(|rest| find(rest, b"</")) {
            end += at;
            let after = &rest[end + 2..];
            let is_name = after
                .get(..name.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(name));
            let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/>".contains(byte);
            if is_name && after.get(name.len()).is_none_or(ends) {
                self.at += end;
                return &rest[..end];
            }
            end += 2;
        }
        self.at = self.page.len();
        rest
    }
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|it| it == sought)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(page: &str) -> String {
        let mut all = String::new();
        for tag in tags(page.as_bytes()) {
            all += &String::from_utf8_lossy(tag.name);
            for name in tag.attribute_names() {
                all += &format!(" {name}={}", tag.value(&name).unwrap());
            }
            if !tag.text.is_empty() {
                all += &format!(" [{}]", String::from_utf8_lossy(tag.text));
            }
            all += "\n";
        }
        all
    }

    #[test]
    fn tags_are_read_as_by_browsers() {
        for (page, expected) in [
            (
                "<p class=a ID='b c' x = \"d>e\" hidden>",
                "p class=a id=b c x=d>e hidden=\n",
            ),
            ("<br/><img src=a/b.png/>", "br\nimg src=a/b.png/\n"),
            (
                "<!DOCTYPE html><!-- <a> --><b></b><?php <c> ?><i>",
                "b\ni\n",
            ),
            ("<!--><a><!---><b>", "a\nb\n"),
            ("1 < 2 <3 <a", "a\n"),
            ("<a x=\"&amp;lt;&quot;\">", "a x=&lt;\"\n"),
            (
                "<script>if (a < b) '<img>'; '</scripts>';</SCRIPT ><i>",
                "script [if (a < b) '<img>'; '</scripts>';]\ni\n",
            ),
            ("<style>a{}", "style [a{}]\n"),
            ("<a ='x' =y>", "a ='x'=y\n"),
        ] {
            assert_eq!(read(page), expected, "{page}");
        }
        assert_eq!(tags(b"ab <p>").next().unwrap().start, 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_page_is_read_to_its_end(page in "[<>/!='\" a-c-]{0,40}|<(script|style) ?>.{0,20}") {
            let _ = read(&page);
        }
    }
}
