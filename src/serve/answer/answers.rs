//! The 503 answers of all sites, rendered before the first request.

use std::io;
use std::time::Duration;

use crate::config::Cors;
use crate::config::server_name::SiteNumber;
use crate::serve::answer::content::Content;
use crate::serve::answer::page::Bodies;
use crate::serve::answer::render::Renderer;
use crate::serve::answer::variants::{Ready, SiteAnswers, Variant};
use crate::serve::http1::{Form, Preferences};

/// The answers of all sites: rendered heads, sealed bodies.
#[derive(Debug)]
pub struct Answers {
    sites: Box<[SiteAnswers]>,
    bodies: Bodies,
}

impl Answers {
    /// Renders the 503 of one site that has the page in one form only.
    ///
    /// # Errors
    /// Memory for the page cannot be mapped.
    pub fn new(page: &[u8], content_type: &str, retry_after: Duration) -> io::Result<Self> {
        Self::of_sites(&[Content::of_page(page, content_type, retry_after)])
    }

    /// Renders the 503 of each site, of which there must be at least one.
    ///
    /// The bytes do not change afterwards: RFC 9110 6.6.1 lets a 5xx omit Date.
    ///
    /// # Errors
    /// Memory for the pages cannot be mapped.
    pub fn of_sites(contents: &[Content<'_>]) -> io::Result<Self> {
        let mut renderer = Renderer::default();
        let sites = contents
            .iter()
            .map(|content| renderer.render(content))
            .collect();
        Ok(Self {
            sites,
            bodies: renderer.seal()?,
        })
    }

    /// The index of the variant that a client prefers. `head` is that of its request.
    #[must_use]
    pub fn choose(&self, site: SiteNumber, preferences: Preferences, head: &[u8]) -> u16 {
        self.sites[usize::from(site)].choose(preferences, head)
    }

    /// Whether an answer fits into the first flight of a connection (RFC 6928: ten segments), so that all of it is sent before
    /// any acknowledgement.
    #[must_use]
    pub fn is_short(&self, site: SiteNumber, variant: u16) -> bool {
        self.variant(site, variant).is_short
    }

    /// The form of an answer.
    #[must_use]
    pub fn form(&self, ready: Ready) -> Form {
        self.variant(ready.site, ready.variant).form
    }

    /// The origins whose scripts may read a site's answers.
    #[must_use]
    pub fn cors(&self, site: SiteNumber) -> &Cors {
        &self.sites[usize::from(site)].cors
    }

    fn variant(&self, site: SiteNumber, variant: u16) -> &Variant {
        &self.sites[usize::from(site)].variants[usize::from(variant)]
    }

    /// The head and the body of an answer. If Retry-After counts down, its value and the empty line belong between them.
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
