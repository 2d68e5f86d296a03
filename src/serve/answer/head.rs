//! What a site answers, before that is made ready: its head in every form.

use std::path::Path;
use std::time::Duration;

use crate::config::Cors;
use crate::serve::answer::Persistence;

/// A body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// The body as it is.
    pub body: Vec<u8>,
    /// Its type.
    pub content_type: String,
    /// Its language (RFC 5646), where that is known.
    pub language: Option<String>,
    /// It is a problem that goes on behind its Retry-After, which is counted down. So it is sent as it is.
    pub is_counted: bool,
}

/// What a site answers.
#[derive(Debug)]
pub struct Content<'a> {
    /// The page in each of its languages, one at least; the first is for who asks for none of them.
    pub pages: Vec<Representation>,
    /// For programs; without it they get the page.
    pub json: Option<Representation>,
    /// For terminals; without it they get the page.
    pub plain: Option<Representation>,
    /// What Retry-After says, without which it is counted down.
    pub retry_after: Option<Duration>,
    /// Field lines of the administrator's, of which a Cache-Control takes the place of ours.
    pub fields: &'a [(String, String)],
    /// Which origins' scripts may read the answers.
    pub cors: &'a Cors,
}

impl<'a> Content<'a> {
    /// A page in one form and one language.
    #[must_use]
    pub fn of_page(page: &[u8], content_type: &str, retry_after: Duration) -> Self {
        Self {
            pages: vec![Representation {
                body: page.to_vec(),
                content_type: content_type.to_owned(),
                language: None,
                is_counted: false,
            }],
            json: None,
            plain: None,
            retry_after: Some(retry_after),
            fields: &[],
            cors: &Cors::None,
        }
    }

    /// There is a language to choose.
    pub(crate) fn has_languages(&self) -> bool {
        self.pages.len() > 1
    }

    /// The origins to which a head of their own is sent.
    pub(crate) fn origins(&self) -> &'a [String] {
        match self.cors {
            Cors::Origins(origins) => origins,
            Cors::None | Cors::Any => &[],
        }
    }
}

/// What the heads of a site have in common.
#[derive(Debug)]
pub(crate) struct Template {
    /// The lines before Retry-After, of which some are empty.
    vary: String,
    cache_control: &'static str,
    retry_after: Option<Duration>,
    /// The lines behind it.
    fields: String,
    has_languages: bool,
}

impl Template {
    /// `is_compressed` says that some bodies are sent in several codings.
    pub(crate) fn new(content: &Content<'_>, is_compressed: bool) -> Self {
        // The same in all forms, since it is what was looked at to choose one (RFC 9110 12.5.5). Content-Type is not in it: it
        // comes with requests whose answers no cache gives to others.
        let looked_at = [
            ("Accept", true),
            ("Accept-Encoding", is_compressed),
            ("Accept-Language", content.has_languages()),
            ("Origin", !content.origins().is_empty()),
            ("Sec-Fetch-Dest", true),
        ];
        let looked_at = looked_at.into_iter().filter(|(_, is_so)| *is_so);
        let names: Vec<&str> = looked_at.map(|(name, _)| name).collect();
        let is_cache_control =
            |(name, _): &(String, String)| name.eq_ignore_ascii_case("cache-control");
        let line = |(name, value): &(String, String)| format!("{name}: {value}\r\n");
        let mut fields: String = content.fields.iter().map(line).collect();
        if *content.cors == Cors::Any {
            fields.push_str("Access-Control-Allow-Origin: *\r\n");
            fields.push_str(EXPOSE);
        }
        Self {
            vary: format!("Vary: {}\r\n", names.join(", ")),
            cache_control: if content.fields.iter().any(is_cache_control) {
                ""
            } else {
                "Cache-Control: no-store\r\n"
            },
            retry_after: content.retry_after,
            fields,
            has_languages: content.has_languages(),
        }
    }

    /// The head of a 503 with this body, which is in that coding. One whose Retry-After is counted down ends before its value.
    pub(crate) fn head(
        &self,
        representation: Option<&Representation>,
        coding: Option<&str>,
        length: usize,
        origin: Option<&str>,
        persistence: Persistence,
    ) -> Box<[u8]> {
        let mut head = String::from("HTTP/1.1 503 Service Unavailable\r\n");
        let mut line = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                head.extend([name, ": ", value, "\r\n"]);
            }
        };
        line(
            "Content-Type",
            representation.map(|it| it.content_type.as_str()),
        );
        line("Content-Encoding", coding);
        let language = representation.and_then(|it| it.language.as_deref());
        line("Content-Language", language.filter(|_| self.has_languages));
        line("Content-Length", Some(&length.to_string()));
        head.extend([self.cache_control, &self.vary]);
        if let Some(time) = self.retry_after {
            head.push_str(&format!("Retry-After: {}\r\n", time.as_secs()));
        }
        head.push_str(&self.fields);
        if let Some(origin) = origin {
            head.push_str(&allow(origin));
            head.push_str(EXPOSE);
        }
        head.push_str(persistence.field_line());
        head.push_str(if self.retry_after.is_some() {
            "\r\n"
        } else {
            "Retry-After: "
        });
        head.into_bytes().into_boxed_slice()
    }
}

/// So that a script can read it (Fetch, CORS-safelisted response-header name).
const EXPOSE: &str = "Access-Control-Expose-Headers: Retry-After\r\n";

/// The lines that let scripts of this origin read an answer, even to a request with cookies: nothing in it is anybody's.
pub(crate) fn allow(origin: &str) -> String {
    format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n")
}

/// The type of a page by the ending of its file's name, where that tells it.
#[must_use]
pub fn media_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "html" | "htm" | "shtml" => Some("text/html"),
        "txt" => Some("text/plain"),
        "json" => Some("application/json"),
        "xhtml" => Some("application/xhtml+xml"),
        _ => None,
    }
}

/// A type without its parameters, in small letters: neither makes another type of it (RFC 9110 8.3.1).
#[must_use]
pub fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// A type with its encoding, where it has one: JSON is UTF-8 and names none (RFC 8259 11).
#[must_use]
pub fn content_type(media_type: &str, charset: Option<&str>) -> String {
    let essence = essence(media_type);
    let has_encoding =
        essence.starts_with("text/") && essence != "text/json" || essence.ends_with("xml");
    let says_it = media_type.to_ascii_lowercase().contains("charset=");
    match charset.filter(|_| has_encoding && !says_it) {
        Some(charset) => format!("{media_type}; charset={charset}"),
        None => media_type.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_type() {
        assert_eq!(media_type(Path::new("a/b.txt")), Some("text/plain"));
        assert_eq!(media_type(Path::new("b.json")), Some("application/json"));
        assert_eq!(media_type(Path::new("b.html")), Some("text/html"));
        assert_eq!(media_type(Path::new("B.HTM")), Some("text/html"));
        assert_eq!(media_type(Path::new("page")), None);
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
