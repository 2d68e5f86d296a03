//! Renders the answers of all sites: every head, and every body once.

use std::io;

use crate::serve::answer::compress::Compressor;
use crate::serve::answer::content::{Content, Representation};
use crate::serve::answer::page::Bodies;
use crate::serve::answer::response_head::{HeadTemplate, Persistence};
use crate::serve::answer::variants::{Group, SiteAnswers, Variant};
use crate::serve::http1::Form;

/// The maximum number of languages to choose from.
const MAX_LANGUAGES: usize = 64;
/// The names of the codings (RFC 9110 8.4.1), in the order of [`crate::serve::http1::Coding`].
const CODINGS: [Option<&str>; 3] = [None, Some("gzip"), Some("br")];
/// The maximum length of the body of a short answer, so that it fits into ten segments of 1,220 bytes with its head and TLS.
pub(crate) const SHORT: usize = 11 * 1024;

/// Renders sites, which share their bodies.
#[derive(Default)]
pub(crate) struct Renderer {
    bodies: Vec<Vec<u8>>,
    /// The indices of each body in its codings: the uncompressed one, and the others if compression saves anything.
    codings: Vec<Vec<usize>>,
    compressor: Compressor,
}

impl Renderer {
    /// Stores a body and returns its index.
    fn store(&mut self, body: Vec<u8>) -> usize {
        let stored = self.bodies.iter().position(|other| *other == body);
        stored.unwrap_or_else(|| {
            self.bodies.push(body);
            self.bodies.len() - 1
        })
    }

    /// Stores a body in its codings and returns their indices.
    fn store_codings(&mut self, body: &[u8]) -> Vec<usize> {
        let index = self.store(body.to_vec());
        if let Some(stored) = self.codings.iter().find(|codings| codings[0] == index) {
            return stored.clone();
        }
        let mut codings = vec![index];
        if let Some(compressed) = self.compressor.compress(body) {
            codings.extend([compressed.gzip, compressed.brotli].map(|body| self.store(body)));
        }
        self.codings.push(codings.clone());
        codings
    }

    /// Renders the answers of one site.
    pub(crate) fn render(&mut self, content: &Content<'_>) -> SiteAnswers {
        let pages = &content.pages[..content.pages.len().min(MAX_LANGUAGES)];
        let mut all: Vec<(Form, Option<&Representation>)> =
            pages.iter().map(|page| (Form::Page, Some(page))).collect();
        let mut add = |form, representation| {
            all.push((form, representation));
            index(all.len() - 1)
        };
        let json = content.json.as_ref();
        let json = json.map_or(0, |json| add(Form::Json, Some(json)));
        let plain = content.plain.as_ref();
        let plain = plain.map_or(0, |plain| add(Form::Plain, Some(plain)));
        let empty = add(Form::Empty, None);
        let bodies: Vec<Vec<usize>> = all
            .iter()
            .map(|(_, it)| self.store_codings(it.map_or(&[], |it| &it.body)))
            .collect();
        let mut stride = 0;
        let groups: Box<[Group]> = bodies
            .iter()
            .map(|codings| {
                let first = index(stride);
                stride += codings.len();
                let is_compressed = codings.len() > 1;
                Group {
                    first,
                    is_compressed,
                }
            })
            .collect();
        let template = HeadTemplate::new(content, groups.iter().any(|group| group.is_compressed));
        let mut variants = Vec::new();
        let origins = content.origins().iter().map(|origin| Some(origin.as_str()));
        for origin in std::iter::once(None).chain(origins) {
            for ((form, representation), codings) in all.iter().zip(&bodies) {
                for (coding, body) in CODINGS.iter().zip(codings) {
                    let length = self.bodies[*body].len();
                    let head = |persistence| {
                        template.head(*representation, *coding, length, origin, persistence)
                    };
                    variants.push(Variant {
                        heads: Persistence::ALL.map(head),
                        body: *body,
                        is_short: length <= SHORT,
                        form: *form,
                    });
                }
            }
        }
        let languages = pages.iter().filter(|_| pages.len() > 1);
        SiteAnswers {
            variants: variants.into_boxed_slice(),
            stride: index(stride),
            groups,
            languages: languages
                .map(|page| page.language.as_deref().unwrap_or_default().into())
                .collect(),
            json,
            plain,
            empty,
            cors: content.cors.clone(),
        }
    }

    /// Seals all bodies.
    pub(crate) fn seal(&self) -> io::Result<Bodies> {
        let bodies: Vec<&[u8]> = self.bodies.iter().map(Vec::as_slice).collect();
        Bodies::seal(&bodies)
    }
}

/// An index as a variant stores it. All fit, since the languages and the origins of a site are limited.
fn index(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
