//! Answers in the making: every head rendered, every body kept once.

use std::io;

use crate::serve::answer::compress::Compressor;
use crate::serve::answer::head::Template;
use crate::serve::answer::page::Bodies;
use crate::serve::answer::retry_after::BEGINNING;
use crate::serve::answer::{Content, Group, Persistence, Rendered, Representation, SHORT, Variant};
use crate::serve::http1::Form;

/// The languages that are chosen from, at most.
const MAX_LANGUAGES: usize = 64;
/// The names of the codings (RFC 9110 8.4.1), by their numbers.
const CODINGS: [Option<&str>; 3] = [None, Some("gzip"), Some("br")];

/// The bodies of all sites.
#[derive(Default)]
pub(crate) struct Store {
    bodies: Vec<Vec<u8>>,
    /// The numbers of a body in all codings, the first of which is its own.
    codings: Vec<[usize; CODINGS.len()]>,
    press: Compressor,
}

impl Store {
    fn keep(&mut self, body: &[u8]) -> usize {
        let known = self.bodies.iter().position(|other| other == body);
        known.unwrap_or_else(|| {
            self.bodies.push(body.to_vec());
            self.bodies.len() - 1
        })
    }

    /// Keeps a body in each coding, which are all the same where nothing is saved.
    fn keep_all(&mut self, body: &[u8]) -> [usize; CODINGS.len()] {
        let number = self.keep(body);
        if let Some(known) = self.codings.iter().find(|codings| codings[0] == number) {
            return *known;
        }
        let codings = match self.press.press(body) {
            Some(pressed) => [number, self.keep(&pressed.gzip), self.keep(&pressed.brotli)],
            None => [number; CODINGS.len()],
        };
        self.codings.push(codings);
        codings
    }

    /// Renders the answers of one site.
    pub(crate) fn render(&mut self, content: &Content<'_>) -> Rendered {
        let pages = &content.pages[..content.pages.len().min(MAX_LANGUAGES)];
        let mut all: Vec<(Form, Option<&Representation>)> =
            pages.iter().map(|page| (Form::Page, Some(page))).collect();
        let mut add = |form, representation: Option<_>| {
            all.push((form, representation));
            number(all.len() - 1)
        };
        let json = content
            .json
            .as_ref()
            .map_or(0, |json| add(Form::Json, Some(json)));
        let plain = content
            .plain
            .as_ref()
            .map_or(0, |plain| add(Form::Plain, Some(plain)));
        let empty = add(Form::Empty, None);
        let bodies: Vec<[usize; CODINGS.len()]> = all
            .iter()
            .map(|(_, it)| match it {
                Some(it) if it.is_counted => [self.keep(&it.body); CODINGS.len()],
                it => self.keep_all(it.map_or(&[], |it| &it.body)),
            })
            .collect();
        let mut groups = Vec::with_capacity(all.len());
        let mut stride = 0;
        for codings in &bodies {
            let is_compressed = codings[0] != codings[1];
            groups.push(Group {
                first: number(stride),
                is_compressed,
            });
            stride += if is_compressed { CODINGS.len() } else { 1 };
        }
        let variants = self.variants(content, &all, &bodies, &groups);
        let languages = pages.iter().filter(|_| pages.len() > 1);
        Rendered {
            variants,
            stride: number(stride),
            groups: groups.into_boxed_slice(),
            languages: languages
                .map(|page| page.language.as_deref().unwrap_or_default().into())
                .collect(),
            json,
            plain,
            empty,
            cors: content.cors.clone(),
        }
    }

    /// Renders the variants of each representation, for nobody's origin first and then for each that is named.
    fn variants(
        &self,
        content: &Content<'_>,
        all: &[(Form, Option<&Representation>)],
        bodies: &[[usize; CODINGS.len()]],
        groups: &[Group],
    ) -> Box<[Variant]> {
        let template = Template::new(content, groups.iter().any(|group| group.is_compressed));
        let mut variants = Vec::new();
        let origins = content.origins().iter().map(|origin| Some(origin.as_str()));
        for origin in std::iter::once(None).chain(origins) {
            for (((form, representation), codings), group) in all.iter().zip(bodies).zip(groups) {
                let count = if group.is_compressed {
                    CODINGS.len()
                } else {
                    1
                };
                for (coding, body) in CODINGS.iter().zip(codings).take(count) {
                    let is_counted = representation.is_some_and(|it| it.is_counted);
                    let beginning = if is_counted { BEGINNING } else { 0 };
                    let length = beginning + self.bodies[*body].len();
                    let head = |persistence| {
                        template.head(*representation, *coding, length, origin, persistence)
                    };
                    variants.push(Variant {
                        heads: Persistence::ALL.map(head),
                        body: *body,
                        is_short: length <= SHORT,
                        form: *form,
                        is_counted,
                    });
                }
            }
        }
        variants.into_boxed_slice()
    }

    /// Seals all bodies.
    pub(crate) fn seal(&self) -> io::Result<Bodies> {
        let bodies: Vec<&[u8]> = self.bodies.iter().map(Vec::as_slice).collect();
        Bodies::seal(&bodies)
    }
}

/// A number of a variant. There are few: the languages and the origins of a site are limited.
fn number(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
