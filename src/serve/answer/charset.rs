//! The charset of a page in `Content-Type`, and whether the page's bytes agree with it.

use std::borrow::Cow;

use crate::html;
use crate::serve::answer::media_type::essence;

/// A declaration must start within this many bytes (HTML Standard, 4.2.5.4).
const DECLARED_WITHIN: usize = 1024;

/// The labels of UTF-8 and UTF-16 (Encoding Standard, 4.2).
const UTF_8: [&str; 6] = [
    "utf-8",
    "utf8",
    "unicode-1-1-utf-8",
    "unicode11utf8",
    "unicode20utf8",
    "x-unicode20utf8",
];
const UTF_16: [&str; 9] = [
    "utf-16",
    "utf-16le",
    "utf-16be",
    "unicode",
    "ucs-2",
    "csunicode",
    "iso-10646-ucs-2",
    "unicodefeff",
    "unicodefffe",
];

/// The charset to send with a page: that of the configuration, else the one that the page declares, else UTF-8 if the page is
/// valid UTF-8. With none, the browser determines it.
pub(crate) fn of(page: &[u8], media_type: &str, configured: Option<&str>) -> Option<String> {
    match configured {
        Some("off") => None,
        Some(charset) => Some(charset.to_owned()),
        None => {
            let charset = declared(page, media_type).unwrap_or_else(|| "utf-8".to_owned());
            let is_true = charset != "utf-8" || std::str::from_utf8(page).is_ok();
            is_true.then_some(charset)
        }
    }
}

/// The charset that a page declares, in lower case.
fn declared(page: &[u8], media_type: &str) -> Option<String> {
    let start = &page[..page.len().min(DECLARED_WITHIN)];
    let essence = essence(media_type);
    if let Some(charset) = by_byte_order_mark(page) {
        Some(charset.to_owned())
    } else if essence.ends_with("xml") {
        in_xml(start)
    } else if essence == "text/html" {
        let mut tags = html::tags(page).take_while(|tag| tag.start < DECLARED_WITHIN);
        tags.find_map(|tag| in_meta(&tag)).or_else(|| in_xml(start))
    } else {
        None
    }
}

/// The charset of a byte order mark, which has precedence in browsers.
fn by_byte_order_mark(page: &[u8]) -> Option<&'static str> {
    match page {
        [0xef, 0xbb, 0xbf, ..] => Some("utf-8"),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Some("utf-16"),
        _ => None,
    }
}

/// `<meta charset=...>`, or `<meta http-equiv=Content-Type content="...; charset=...">`.
fn in_meta(tag: &html::Tag<'_>) -> Option<String> {
    if !tag.is("meta") {
        return None;
    }
    let label = tag.value("charset").or_else(|| {
        let name = tag.value("http-equiv")?;
        let content = tag.value("content")?;
        name.eq_ignore_ascii_case("content-type")
            .then(|| parameter(&content).map(|label| Cow::Owned(label.to_owned())))?
    })?;
    from_within(&label)
}

/// The parameter `charset` of a type (HTML Standard, "extracting a character encoding from a meta element").
fn parameter(media_type: &str) -> Option<&str> {
    let lower = media_type.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find("charset") {
        from += at + "charset".len();
        if let Some(value) = media_type[from..].trim_start().strip_prefix('=') {
            let value = value.trim_start();
            return match value.chars().next()? {
                quote @ ('"' | '\'') => value[1..].split_once(quote).map(|(label, _)| label),
                _ => value.split([';', ' ', '\t', '\n', '\r', '"', '\'']).next(),
            };
        }
    }
    None
}

/// `<?xml version="1.0" encoding="..."?>`
fn in_xml(start: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value
        .chars()
        .next()
        .filter(|quote| "\"'".contains(*quote))?;
    from_within(value[1..].split_once(quote)?.0)
}

/// The charset of a label in a page. The label was read as ASCII, so the page is not UTF-16 (HTML Standard, 13.2.3.2).
fn from_within(label: &str) -> Option<String> {
    let label = label.trim().to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if label.is_empty() || !label.bytes().all(is_plain) {
        None
    } else if UTF_8.contains(&label.as_str()) || UTF_16.contains(&label.as_str()) {
        Some("utf-8".to_owned())
    } else if label == "x-user-defined" {
        Some("windows-1252".to_owned())
    } else {
        Some(label)
    }
}

/// Whether a page is UTF-16, in which ASCII has two bytes. Such a page is not searched for tags or placeholders.
pub(crate) fn is_utf_16(page: &[u8]) -> bool {
    by_byte_order_mark(page) == Some("utf-16")
}

/// Whether a charset is UTF-8, in which every character can be written.
pub(crate) fn is_utf_8(charset: Option<&str>) -> bool {
    charset.is_some_and(|charset| UTF_8.contains(&charset.to_ascii_lowercase().as_str()))
}

/// A page as text. Of encodings other than UTF-8 and UTF-16, only ASCII is preserved.
pub(crate) fn text(page: &[u8]) -> Cow<'_, str> {
    match page {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(from_utf_16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(from_utf_16(rest, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        page => String::from_utf8_lossy(page),
    }
}

fn from_utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let letters = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    letters
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// A difference between a page and the charset that is sent with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CharsetDifference {
    /// The charset is not UTF-8.
    NotUtf8(String),
    /// The page's bytes or its declaration contradict the charset.
    Contradiction(String),
}

/// Compares the charset that is sent with a page with the page's bytes and its declaration.
pub(crate) fn compare(
    page: &[u8],
    media_type: &str,
    configured: Option<&str>,
) -> Option<CharsetDifference> {
    let configured = parameter(media_type).or(configured.filter(|charset| *charset != "off"));
    let declared = declared(page, media_type);
    let sent = of(page, media_type, configured);
    let is_valid = std::str::from_utf8(page).is_ok();
    let wrong = |what: String| Some(CharsetDifference::Contradiction(what));
    let zeros = page.iter().filter(|byte| **byte == 0).count();
    if zeros > page.len() / 8 && !is_utf_16(page) {
        return wrong(
            "has many NUL bytes, and is probably UTF-16 without a byte order mark; save it as UTF-8"
                .to_owned(),
        );
    }
    match (configured, declared.as_deref(), sent.as_deref()) {
        (Some(configured), Some(declared), _) if !is_same(configured, declared) => wrong(format!(
            "is sent with charset={configured} from the configuration, but declares {declared}; change one of them"
        )),
        (_, Some("utf-8"), None) => wrong(
            "declares utf-8, but is not valid UTF-8, so no charset is sent; save it as UTF-8, or correct the declaration".to_owned(),
        ),
        (_, _, None) if !is_valid => wrong(
            "is not valid UTF-8 and declares no charset, so browsers guess it; save it as UTF-8, or add \"charset NAME;\" to the configuration".to_owned(),
        ),
        (_, _, Some(sent)) if is_utf_8(Some(sent)) && !is_valid => wrong(format!(
            "is sent with charset={sent}, but is not valid UTF-8; save it as UTF-8, or correct \"charset\""
        )),
        (_, _, Some(sent)) if !is_utf_8(Some(sent)) && is_valid && !page.is_ascii() => wrong(format!(
            "is sent with charset={sent}, but is valid UTF-8; correct the charset, or save the page in {sent}"
        )),
        (_, _, Some(sent)) if !is_utf_8(Some(sent)) => {
            Some(CharsetDifference::NotUtf8(format!("is sent with charset={sent}")))
        }
        (_, _, Some(_) | None) => None,
    }
}

/// Whether two labels name the same encoding, in the spellings that are common.
fn is_same(one: &str, other: &str) -> bool {
    let canonical = |label: &str| -> String {
        let letters = label.chars().filter(char::is_ascii_alphanumeric);
        let bare: String = letters.collect::<String>().to_ascii_lowercase();
        match bare.as_str() {
            // One encoding (Encoding Standard).
            "iso88591" | "latin1" | "l1" | "ascii" | "usascii" | "cp1252" | "xcp1252" => {
                "windows1252".to_owned()
            }
            "utf16le" | "utf16be" => "utf16".to_owned(),
            bare => bare
                .replace("xcp125", "windows125")
                .replace("cp125", "windows125"),
        }
    };
    canonical(one) == canonical(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CYRILLIC: &[u8] = b"<p>\xcf\xf0\xe8\xe2\xe5\xf2";

    fn charset(page: &[u8], configured: Option<&str>) -> String {
        of(page, "text/html", configured).unwrap_or_default()
    }

    #[test]
    fn a_page_declares_its_charset() {
        for (start, expected) in [
            ("", ""),
            ("<meta charset=windows-1251>", "windows-1251"),
            (
                "<!-- <meta charset=a> --><META CharSet='KOI8-R'/>",
                "koi8-r",
            ),
            (
                "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=ISO-8859-5\">",
                "iso-8859-5",
            ),
            (
                "<meta content='charset; CharSet = \"x\"; a' http-equiv=content-type>",
                "x",
            ),
            ("<meta http-equiv=refresh content='1;charset=x'>", ""),
            ("<meta name=charset content=x>", ""),
            ("<meta charset=x-user-defined>", "windows-1252"),
            ("<meta charset='a b'><meta charset=b>", "b"),
            // Not UTF-16, since the label was read as ASCII, and not valid UTF-8 either.
            ("<meta charset=utf-16>", ""),
            ("<meta charset=utf-8>", ""),
            (
                "<?xml version=\"1.0\" encoding=\"iso-8859-2\"?>",
                "iso-8859-2",
            ),
        ] {
            let page = [start.as_bytes(), CYRILLIC].concat();
            assert_eq!(charset(&page, None), expected, "{start}");
            assert_eq!(charset(&page, Some("koi8-u")), "koi8-u", "{start}");
            assert_eq!(charset(&page, Some("off")), "", "{start}");
        }
        let late = [&b" ".repeat(1024), &b"<meta charset=x>"[..]].concat();
        assert_eq!(charset(&late, None), "utf-8");
        assert_eq!(charset(&late[1..], None), "x");
    }

    #[test]
    fn a_page_that_declares_nothing_is_utf_8_if_it_is_valid() {
        assert_eq!(charset("<p>Grüße".as_bytes(), None), "utf-8");
        assert_eq!(charset(b"<p>", None), "utf-8");
        assert_eq!(charset(b"<meta charset=utf8><p>", None), "utf-8");
        assert_eq!(of(CYRILLIC, "text/plain", None), None);
        let declaration = b"<?xml version='1.0' encoding='iso-8859-2'?><meta charset=x>";
        assert_eq!(
            of(declaration, "application/xhtml+xml", None).as_deref(),
            Some("iso-8859-2")
        );
    }

    #[test]
    fn a_byte_order_mark_has_precedence() {
        let page = "<meta charset=x><p>é";
        let little: Vec<u8> = format!("\u{feff}{page}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let big: Vec<u8> = format!("\u{feff}{page}")
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        for utf_16 in [&little, &big] {
            assert_eq!(charset(utf_16, None), "utf-16");
            assert!(is_utf_16(utf_16));
            assert_eq!(text(utf_16), page);
        }
        let utf_8 = format!("\u{feff}{page}");
        assert_eq!(charset(utf_8.as_bytes(), None), "utf-8");
        assert_eq!(text(utf_8.as_bytes()), page);
    }

    #[test]
    fn a_page_that_contradicts_its_charset_is_found() {
        let meta = |label: &str, rest: &[u8]| {
            [format!("<meta charset={label}>").as_bytes(), rest].concat()
        };
        let utf_8 = "<p>Привет".as_bytes();
        let utf_16: Vec<u8> = "\u{feff}é"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (page, configured, expected) in [
            (utf_8.to_vec(), None, ""),
            (utf_8.to_vec(), Some("utf-8"), ""),
            (b"<p>".to_vec(), Some("koi8-r"), "sent with charset=koi8-r"),
            (
                meta("windows-1251", CYRILLIC),
                None,
                "sent with charset=windows-1251",
            ),
            (
                meta("cp1251", CYRILLIC),
                Some("Windows-1251"),
                "sent with charset=Windows-1251",
            ),
            (utf_16.clone(), None, "sent with charset=utf-16"),
            (
                b"<\0p\0>\0a\0".to_vec(),
                None,
                "! has many NUL bytes, and is probably UTF-16 without a byte order mark",
            ),
            (b"<pre>one NUL byte: \0</pre>".to_vec(), None, ""),
            (
                CYRILLIC.to_vec(),
                None,
                "! is not valid UTF-8 and declares no charset",
            ),
            (
                CYRILLIC.to_vec(),
                Some("off"),
                "! is not valid UTF-8 and declares no charset",
            ),
            (
                meta("utf-8", CYRILLIC),
                None,
                "! declares utf-8, but is not valid UTF-8",
            ),
            (
                CYRILLIC.to_vec(),
                Some("utf-8"),
                "! is sent with charset=utf-8, but is not valid UTF-8",
            ),
            (
                utf_8.to_vec(),
                Some("koi8-r"),
                "! is sent with charset=koi8-r, but is valid UTF-8",
            ),
            (
                meta("koi8-r", utf_8),
                None,
                "! is sent with charset=koi8-r, but is valid UTF-8",
            ),
            (
                meta("koi8-r", CYRILLIC),
                Some("windows-1251"),
                "from the configuration, but declares koi8-r",
            ),
            (
                utf_16,
                Some("utf-8"),
                "from the configuration, but declares utf-16",
            ),
        ] {
            let difference = match compare(&page, "text/html", configured) {
                None => String::new(),
                Some(CharsetDifference::NotUtf8(what)) => what,
                Some(CharsetDifference::Contradiction(what)) => format!("! {what}"),
            };
            assert!(
                difference.contains(expected),
                "{configured:?}: {difference}"
            );
            assert_eq!(
                difference.is_empty(),
                expected.is_empty(),
                "{configured:?}: {difference}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_declared_charset_cannot_break_the_field(page in "(<meta |<\\?xml |http-equiv=content-type |content=|charset|encoding|=|'|\"|;|\r\n|a|>|\\?>){0,20}") {
            for media_type in ["text/html", "text/xml"] {
                let charset = of(page.as_bytes(), media_type, None).unwrap_or_default();
                prop_assert!(charset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)));
                let _ = compare(page.as_bytes(), media_type, None);
            }
        }
    }
}
