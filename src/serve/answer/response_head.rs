//! Renders the head of a 503.

use std::time::Duration;

use crate::config::Cors;
use crate::serve::answer::content::{Content, Representation};

/// What an answer states about its connection (RFC 9112 9.3, 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open, which HTTP/1.1 implies.
    Implicit,
    /// It stays open, which HTTP/1.0 does not imply.
    KeepAlive,
    /// It closes after this answer.
    Close,
}

impl Persistence {
    pub(crate) const ALL: [Self; 3] = [Self::Implicit, Self::KeepAlive, Self::Close];

    pub(crate) const fn field_line(self) -> &'static str {
        match self {
            Self::Implicit => "",
            Self::KeepAlive => "Connection: keep-alive\r\n",
            Self::Close => "Connection: close\r\n",
        }
    }
}

/// The common parts of the heads of a site.
#[derive(Debug)]
pub(crate) struct HeadTemplate {
    /// `Vary` and its value, as a line.
    vary: String,
    /// A line, or empty if the administrator's fields have one.
    cache_control: &'static str,
    retry_after: Option<Duration>,
    /// The lines of the administrator and of CORS.
    fields: String,
    has_languages: bool,
}

impl HeadTemplate {
    /// `is_compressed`: some bodies are sent in several codings.
    pub(crate) fn new(content: &Content<'_>, is_compressed: bool) -> Self {
        // The same for all forms, since these fields select one of them (RFC 9110 12.5.5). Without Content-Type: requests that
        // have one are not cached.
        let selecting = [
            ("Accept", true),
            ("Accept-Encoding", is_compressed),
            ("Accept-Language", content.has_languages()),
            ("Origin", !content.origins().is_empty()),
            ("Sec-Fetch-Dest", true),
        ];
        let names = selecting.into_iter().filter(|(_, is_used)| *is_used);
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
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

    /// The head of a 503 with a body of this length in this coding. A head whose Retry-After counts down ends before its value.
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
            head.push_str(&allow_origin(origin));
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

/// Allows scripts to read Retry-After (Fetch, CORS-safelisted response-header name).
const EXPOSE: &str = "Access-Control-Expose-Headers: Retry-After\r\n";

/// The lines that allow scripts of an origin to read an answer, also to a request with credentials: no answer depends on them.
pub(crate) fn allow_origin(origin: &str) -> String {
    format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n")
}
