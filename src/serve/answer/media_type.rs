//! Media types and the values of Content-Type.

use std::path::Path;

use crate::template::Escape;

/// The media type of a file by the extension of its name.
pub(crate) fn of_path(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "html" | "htm" | "shtml" => Some("text/html"),
        "txt" => Some("text/plain"),
        "json" => Some("application/json"),
        "xhtml" => Some("application/xhtml+xml"),
        _ => None,
    }
}

/// A media type without its parameters, in lower case, for comparisons (RFC 9110 8.3.1).
pub(crate) fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// How values are escaped in a page of this type. A browser may render an unknown type as HTML.
pub(crate) fn escape(media_type: &str) -> Escape {
    match essence(media_type).as_str() {
        "text/plain" => Escape::Plain,
        "application/json" | "text/json" => Escape::Json,
        other if other.ends_with("+json") => Escape::Json,
        _ => Escape::Html,
    }
}

/// The value of Content-Type: a media type with its charset, if the type has one. JSON is UTF-8 and has none (RFC 8259 11).
pub(crate) fn content_type(media_type: &str, charset: Option<&str>) -> String {
    let essence = essence(media_type);
    let has_charset_parameter =
        essence.starts_with("text/") && essence != "text/json" || essence.ends_with("xml");
    let has_charset = media_type.to_ascii_lowercase().contains("charset=");
    match charset.filter(|_| has_charset_parameter && !has_charset) {
        Some(charset) => format!("{media_type}; charset={charset}"),
        None => media_type.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_determines_the_type() {
        assert_eq!(of_path(Path::new("a/b.txt")), Some("text/plain"));
        assert_eq!(of_path(Path::new("b.json")), Some("application/json"));
        assert_eq!(of_path(Path::new("b.html")), Some("text/html"));
        assert_eq!(of_path(Path::new("B.HTM")), Some("text/html"));
        assert_eq!(of_path(Path::new("page")), None);
        assert_eq!(
            content_type("text/html", Some("koi8-r")),
            "text/html; charset=koi8-r"
        );
        assert_eq!(
            content_type("text/html; charset=x", Some("utf-8")),
            "text/html; charset=x"
        );
        assert_eq!(
            content_type("application/json", Some("utf-8")),
            "application/json"
        );
        for (kind, expected) in [
            ("TEXT/HTML", "TEXT/HTML; charset=utf-8"),
            ("text/html; Charset=x", "text/html; Charset=x"),
            (
                "application/xml; a=b",
                "application/xml; a=b; charset=utf-8",
            ),
            ("text/json", "text/json"),
        ] {
            assert_eq!(content_type(kind, Some("utf-8")), expected);
        }
    }
}
