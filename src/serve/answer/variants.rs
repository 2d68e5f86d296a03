//! The rendered answers of a site, and the choice between them by a client's preferences.

use crate::config::Cors;
use crate::config::server_name::SiteNumber;
use crate::serve::answer::response_head::Persistence;
use crate::serve::http1;
use crate::serve::http1::{Form, Preferences};

/// One of the rendered answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What it states about the connection.
    pub persistence: Persistence,
    /// Whether its body is sent: not to HEAD.
    pub with_body: bool,
    /// The site that answers.
    pub site: SiteNumber,
    /// The index of the variant: form, language, coding and origin.
    pub variant: u16,
    /// The index of the Retry-After value, if that counts down.
    pub retry_after: u8,
}

/// The rendered answers of one site.
#[derive(Debug)]
pub(crate) struct SiteAnswers {
    /// Those without CORS fields of an origin, then those of each listed origin.
    pub(crate) variants: Box<[Variant]>,
    /// The number of variants of one origin.
    pub(crate) stride: u16,
    /// The variants of each representation, pages first.
    pub(crate) groups: Box<[Group]>,
    /// The languages of the pages, empty where unknown; none if there is only one page.
    pub(crate) languages: Box<[Box<str>]>,
    /// The index of the group of JSON.
    pub(crate) json: u16,
    /// The index of the group of text.
    pub(crate) plain: u16,
    /// The index of the group without a body.
    pub(crate) empty: u16,
    pub(crate) cors: Cors,
}

/// The variants of one representation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// The index of the first variant.
    pub(crate) first: u16,
    /// There is a variant for each coding.
    pub(crate) is_compressed: bool,
}

/// A representation in one coding.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) heads: [Box<[u8]>; Persistence::ALL.len()],
    /// The index of the body. Equal bodies are stored once.
    pub(crate) body: usize,
    /// The answer fits into the first flight of a connection.
    pub(crate) is_short: bool,
    pub(crate) form: Form,
}

impl SiteAnswers {
    /// The index of the variant that a client prefers. `head` is that of its request.
    pub(crate) fn choose(&self, preferences: Preferences, head: &[u8]) -> u16 {
        let group = match preferences.form {
            Form::Page if self.languages.is_empty() => 0,
            Form::Page => self.language(preferences.languages.slice(head)),
            Form::Json => self.json,
            Form::Plain => self.plain,
            Form::Empty => self.empty,
        };
        let Group {
            first,
            is_compressed,
        } = self.groups[usize::from(group)];
        let variant = if is_compressed {
            first + preferences.coding as u16
        } else {
            first
        };
        match &self.cors {
            Cors::None | Cors::Any => variant,
            Cors::Origins(origins) => {
                let origin = preferences.origin.slice(head);
                let listed = (1..).zip(origins).find(|(_, own)| own.as_bytes() == origin);
                variant + self.stride * listed.map_or(0, |(number, _)| number)
            }
        }
    }

    fn language(&self, list: &[u8]) -> u16 {
        let index = http1::preferred_language(list, self.languages.iter().map(AsRef::as_ref));
        index
            .and_then(|index| u16::try_from(index).ok())
            .unwrap_or(0)
    }
}
