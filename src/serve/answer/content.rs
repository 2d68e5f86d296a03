//! What a site answers, before it is rendered: bodies in all forms and languages, and the settings of their heads.

use std::time::Duration;

use crate::config::Cors;

/// A body and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// The body, not compressed.
    pub body: Vec<u8>,
    /// The value of Content-Type.
    pub content_type: String,
    /// The language (RFC 5646), if it is known.
    pub language: Option<String>,
}

/// What a site answers.
#[derive(Debug)]
pub struct Content<'a> {
    /// The page in each of its languages, at least one; the first is the default.
    pub pages: Vec<Representation>,
    /// For programs; without it they get the page.
    pub json: Option<Representation>,
    /// For terminals; without it they get the page.
    pub plain: Option<Representation>,
    /// The value of Retry-After; without it, it counts down to the announced end.
    pub retry_after: Option<Duration>,
    /// The administrator's field lines. A Cache-Control among them replaces the default one.
    pub fields: &'a [(String, String)],
    /// The origins whose scripts may read the answers.
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
            }],
            json: None,
            plain: None,
            retry_after: Some(retry_after),
            fields: &[],
            cors: &Cors::None,
        }
    }

    /// Whether there are several languages.
    pub(crate) fn has_languages(&self) -> bool {
        self.pages.len() > 1
    }

    /// The origins that get heads of their own.
    pub(crate) fn origins(&self) -> &'a [String] {
        match self.cors {
            Cors::Origins(origins) => origins,
            Cors::None | Cors::Any => &[],
        }
    }
}
