//! What goes out: answers whose bytes are ready before the first request comes, and others, which are made when needed.

pub(crate) mod charset;
pub(crate) mod compress;
pub(crate) mod head;
pub(crate) mod load;
pub mod page;
mod preflight;
mod refusal;
pub(crate) mod render;
pub(crate) mod retry_after;
pub mod sites;

use std::io;
use std::time::Duration;

use crate::config::Cors;
use crate::config::server_name::SiteNumber;
pub use crate::serve::answer::head::{Content, Representation, content_type, essence, media_type};
use crate::serve::answer::page::Bodies;
pub use crate::serve::answer::preflight::preflight;
pub use crate::serve::answer::refusal::refusal;
use crate::serve::answer::render::Store;
use crate::serve::http1;
use crate::serve::http1::{Form, Wants};

/// What an answer says of its connection (RFC 9112 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, and as 1.1 has it nothing is said.
    Stays,
    /// It stays, and a 1.0 client must be told.
    KeepAlive,
    /// It is closed after this answer.
    Close,
}

impl Persistence {
    const ALL: [Self; 3] = [Self::Stays, Self::KeepAlive, Self::Close];

    const fn field_line(self) -> &'static str {
        match self {
            Self::Stays => "",
            Self::KeepAlive => "Connection: keep-alive\r\n",
            Self::Close => "Connection: close\r\n",
        }
    }
}

/// A body with which an answer is short: it leaves room for a head and for TLS in ten segments of 1,220 bytes.
const SHORT: usize = 11 * 1024;

/// One of the ready answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What it says of the connection.
    pub persistence: Persistence,
    /// Whether its body is sent: not to HEAD.
    pub with_body: bool,
    /// Whose answer it is.
    pub site: SiteNumber,
    /// In which form, language and coding, and for which origin.
    pub variant: u16,
    /// The number of its Retry-After, where that is counted down.
    pub turn: u8,
}

/// The ready answers of all sites: heads rendered, bodies sealed.
#[derive(Debug)]
pub struct Answers {
    sites: Box<[Rendered]>,
    bodies: Bodies,
}

/// One site's answers.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// One after the other for each origin: first for those that are nobody's.
    variants: Box<[Variant]>,
    /// The variants of one origin.
    stride: u16,
    /// The representations, of which the pages come first.
    groups: Box<[Group]>,
    /// The pages' languages, empty where one is not known; none where there is nothing to choose.
    languages: Box<[Box<str>]>,
    json: u16,
    plain: u16,
    empty: u16,
    cors: Cors,
}

/// The variants of one representation.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: u16,
    /// There is one for each coding.
    is_compressed: bool,
}

/// A representation in one coding.
#[derive(Debug)]
struct Variant {
    heads: [Box<[u8]>; Persistence::ALL.len()],
    /// The number of its body; equal ones are kept once.
    body: usize,
    is_short: bool,
    form: Form,
    /// Its body begins with a Retry-After that is counted down.
    is_counted: bool,
}

impl Rendered {
    /// The variant that a client would rather have than the others.
    fn choose(&self, wants: Wants, head: &[u8]) -> u16 {
        let group = match wants.form {
            Form::Page if self.languages.is_empty() => 0,
            Form::Page => self.language(wants.languages.of(head)),
            Form::Json => self.json,
            Form::Plain => self.plain,
            Form::Empty => self.empty,
        };
        let Group {
            first,
            is_compressed,
        } = self.groups[usize::from(group)];
        let variant = if is_compressed {
            first + wants.coding as u16
        } else {
            first
        };
        match &self.cors {
            Cors::None | Cors::Any => variant,
            Cors::Origins(origins) => {
                let origin = wants.origin.of(head);
                let known = (1..).zip(origins).find(|(_, own)| own.as_bytes() == origin);
                variant + self.stride * known.map_or(0, |(number, _)| number)
            }
        }
    }

    fn language(&self, list: &[u8]) -> u16 {
        let chosen = http1::language(list, self.languages.iter().map(AsRef::as_ref));
        chosen
            .and_then(|number| u16::try_from(number).ok())
            .unwrap_or(0)
    }
}

impl Answers {
    /// Renders the 503 for the page of one site, in that form alone.
    ///
    /// # Errors
    /// No memory for the page.
    pub fn new(page: &[u8], content_type: &str, retry_after: Duration) -> io::Result<Self> {
        Self::of_sites(&[Content::of_page(page, content_type, retry_after)])
    }

    /// Renders the 503 of each site, of which there must be one at least.
    ///
    /// The bytes stay the same for as long as this lives: RFC 9110 6.6.1 lets a 5xx go without a Date.
    ///
    /// # Errors
    /// No memory for the pages.
    pub fn of_sites(contents: &[Content<'_>]) -> io::Result<Self> {
        let mut store = Store::default();
        let sites = contents
            .iter()
            .map(|content| store.render(content))
            .collect();
        Ok(Self {
            sites,
            bodies: store.seal()?,
        })
    }

    /// The variant of a site's answer that a client would rather have; `head` is its request's.
    #[must_use]
    pub fn choose(&self, site: SiteNumber, wants: Wants, head: &[u8]) -> u16 {
        self.sites[usize::from(site)].choose(wants, head)
    }

    /// An answer fits into the first flight of a connection, so that all of it is sent before anything is acknowledged
    /// (RFC 6928: ten segments).
    #[must_use]
    pub fn is_short(&self, site: SiteNumber, variant: u16) -> bool {
        self.variant(site, variant).is_short
    }

    /// The form of an answer.
    #[must_use]
    pub fn form(&self, ready: Ready) -> Form {
        self.variant(ready.site, ready.variant).form
    }

    /// The body of an answer goes on behind a Retry-After that is counted down.
    #[must_use]
    pub fn is_counted(&self, ready: Ready) -> bool {
        ready.with_body && self.variant(ready.site, ready.variant).is_counted
    }

    /// Which origins' scripts may read a site's answers.
    #[must_use]
    pub fn cors(&self, site: SiteNumber) -> &Cors {
        &self.sites[usize::from(site)].cors
    }

    fn variant(&self, site: SiteNumber, variant: u16) -> &Variant {
        &self.sites[usize::from(site)].variants[usize::from(variant)]
    }

    /// The bytes of an answer: its head and its body. Where Retry-After is counted down, its value and the empty line belong
    /// between them.
    #[must_use]
    pub fn bytes(&self, ready: Ready) -> [&[u8]; 2] {
        let variant = self.variant(ready.site, ready.variant);
        let body = if ready.with_body {
            self.bodies.get(variant.body)
        } else {
            &[]
        };
        [&variant.heads[ready.persistence as usize], body]
    }
}

#[cfg(test)]
mod tests;
