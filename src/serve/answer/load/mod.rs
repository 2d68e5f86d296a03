//! Loads the bodies that each site sends: the page and the files next to it, with embedded defaults for JSON and text.
//!
//! The files next to `maintenance.html` are `maintenance.json`, `maintenance.txt`, and `maintenance.de.html` for a language.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::announcement::Announcement;
use crate::clock;
use crate::config::server_name::ServerName;
use crate::config::{Config, PageSource, SiteConfig};
use crate::error::Error;
use crate::html;
use crate::serve::answer::content::{Content, Representation};
use crate::serve::answer::{charset, media_type, page};
use crate::template;
use crate::template::{Escape, Values};

/// The pages of all sites and the files next to them, each read once.
#[derive(Default)]
pub(crate) struct PageFiles {
    siblings: HashMap<PathBuf, SiblingFiles>,
    contents: HashMap<PathBuf, Vec<u8>>,
}

impl PageFiles {
    /// Reads all files, and returns the errors of those that cannot be used.
    pub(crate) fn read(config: &Config) -> (Self, Vec<Error>) {
        let mut files = Self::default();
        let mut errors = Vec::new();
        for site in &config.sites {
            if let PageSource::File(page) = &site.page
                && !files.siblings.contains_key(page)
            {
                let siblings = SiblingFiles::find(page);
                for path in std::iter::once(page).chain(siblings.paths()) {
                    files.add(path, &mut errors);
                }
                files.siblings.insert(page.clone(), siblings);
            }
        }
        (files, errors)
    }

    fn add(&mut self, path: &Path, errors: &mut Vec<Error>) {
        if self.contents.contains_key(path) {
            return;
        }
        let bytes = page::read(path).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        self.contents.insert(path.to_owned(), bytes);
    }

    /// The sources of what a site answers.
    pub(crate) fn sources<'a>(&'a self, site: &'a SiteConfig) -> SiteSources<'a> {
        let of_file = |path: &'a PathBuf, media_type| BodySource {
            path: Some(path),
            bytes: self.contents.get(path).map_or(&[], Vec::as_slice),
            media_type,
        };
        let of_bytes = |bytes| BodySource {
            path: None,
            bytes,
            media_type: page_type(site),
        };
        let mut sources = SiteSources {
            page: match &site.page {
                PageSource::Embedded => of_bytes(page::EMBEDDED),
                PageSource::File(path) => of_file(path, page_type(site)),
                PageSource::Text(text) => of_bytes(text.as_bytes()),
            },
            translations: Vec::new(),
            json: None,
            plain: None,
        };
        if let PageSource::File(page) = &site.page
            && let Some(siblings) = self.siblings.get(page)
        {
            let translation =
                |(tag, path): &'a (String, PathBuf)| (tag.as_str(), of_file(path, page_type(site)));
            sources.translations = siblings.translations.iter().map(translation).collect();
            sources.json = siblings.json.as_ref().map(|path| of_file(path, JSON));
            sources.plain = siblings.plain.as_ref().map(|path| of_file(path, PLAIN));
        }
        sources
    }
}

/// The sources of what a site answers.
pub(crate) struct SiteSources<'a> {
    page: BodySource<'a>,
    /// The page in other languages, with their tags.
    translations: Vec<(&'a str, BodySource<'a>)>,
    json: Option<BodySource<'a>>,
    plain: Option<BodySource<'a>>,
}

impl<'a> SiteSources<'a> {
    /// All sources, the page first.
    pub(crate) fn all(self) -> impl Iterator<Item = BodySource<'a>> {
        let translations = self.translations.into_iter().map(|(_, source)| source);
        std::iter::once(self.page)
            .chain(translations)
            .chain(self.json)
            .chain(self.plain)
    }
}

/// A body before its placeholders are filled.
pub(crate) struct BodySource<'a> {
    /// Its file, if it has one.
    pub(crate) path: Option<&'a Path>,
    pub(crate) bytes: &'a [u8],
    /// Its media type, without the charset that maintd determines.
    pub(crate) media_type: &'a str,
}

/// The files next to a page that belong to it by their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct SiblingFiles {
    json: Option<PathBuf>,
    plain: Option<PathBuf>,
    /// The page in other languages, with their tags, sorted by these.
    translations: Vec<(String, PathBuf)>,
}

impl SiblingFiles {
    /// Finds the files next to a page; none if its directory cannot be read.
    fn find(page: &Path) -> Self {
        let mut siblings = Self::default();
        let (Some(directory), Some(stem)) =
            (page.parent(), page.file_stem().and_then(|it| it.to_str()))
        else {
            return siblings;
        };
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let is_html = media_type::of_path(page).is_none_or(|it| it == HTML);
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for path in entries.map(|entry| page.with_file_name(entry.file_name())) {
            let suffix = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix(stem)?.strip_prefix('.'));
            match suffix {
                Some(_) if path == page => {}
                Some("json") => siblings.json = Some(path),
                Some("txt") => siblings.plain = Some(path),
                Some(suffix) if is_html => {
                    if let Some((language, "html" | "htm")) = suffix.split_once('.')
                        && is_language(language)
                    {
                        siblings.translations.push((language.to_owned(), path));
                    }
                }
                Some(_) | None => {}
            }
        }
        siblings.translations.sort();
        siblings
            .translations
            .dedup_by(|one, other| one.0.eq_ignore_ascii_case(&other.0));
        siblings
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let translations = self.translations.iter().map(|(_, path)| path);
        self.json.iter().chain(&self.plain).chain(translations)
    }
}

/// Whether a part of a file name is a language tag (RFC 5646) that begins with two letters. Three-letter tags
/// are refused: `page.old.html` would count as a language.
fn is_language(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let is_primary =
        |subtag: &str| subtag.len() == 2 && subtag.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_subtag = |subtag: &str| {
        (2..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    subtags.next().is_some_and(is_primary) && subtags.all(is_subtag)
}

/// The language that an HTML page declares.
fn language(page: &[u8]) -> Option<String> {
    let start = charset::text(&page[..page.len().min(4096)]).into_owned();
    let mut tags = html::tags(start.as_bytes()).filter(|tag| tag.is("html"));
    let value = tags.next()?.value("lang")?.to_ascii_lowercase();
    let end = value.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    let value = &value[..end.unwrap_or(value.len())];
    (!value.is_empty()).then(|| value.to_owned())
}

/// Loads what each site answers.
///
/// # Errors
/// The first file that cannot be used.
pub(crate) fn contents<'a>(
    config: &'a Config,
    announcement: &Announcement,
) -> Result<Vec<Content<'a>>, Error> {
    let (files, errors) = PageFiles::read(config);
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => {
            let content = |site| content(site, config, announcement, &files);
            Ok(config.sites.iter().map(content).collect())
        }
    }
}

/// What a site answers.
fn content<'a>(
    site: &'a SiteConfig,
    config: &Config,
    announcement: &Announcement,
    files: &PageFiles,
) -> Content<'a> {
    let values = Values {
        until: announcement.until.map(clock::page).unwrap_or_default(),
        message: announcement.message.clone().unwrap_or_default(),
        host: site
            .names
            .iter()
            .find_map(host)
            .unwrap_or_default()
            .to_owned(),
    };
    // The placeholders of the embedded page are always filled.
    let is_filled = config.placeholders || site.page == PageSource::Embedded;
    let values_in_files = is_filled.then_some(&values);
    // The embedded page declares its charset itself.
    let charset = site.charset.as_deref();
    let charset = charset.filter(|_| site.page != PageSource::Embedded);
    let represent = |source: &BodySource<'_>, language| {
        representation(source, charset, values_in_files, language)
    };
    let sources = files.sources(site);
    // Without a declared language the page is English, if no translation is English.
    let has_english = || {
        let mut translations = sources.translations.iter();
        translations.any(|(tag, _)| tag.eq_ignore_ascii_case("en"))
    };
    let own_language =
        language(sources.page.bytes).or_else(|| (!has_english()).then(|| "en".to_owned()));
    let mut pages = vec![represent(&sources.page, own_language)];
    let translations = sources.translations.iter();
    pages.extend(translations.map(|(tag, source)| represent(source, Some((*tag).to_owned()))));
    let json = sources.json.map(|source| represent(&source, None));
    let plain = sources.plain.map(|source| represent(&source, None));
    // A page that is JSON or text itself is sent in place of that form.
    let page_is = |escape| media_type::escape(sources.page.media_type) == escape;
    Content {
        json: (!page_is(Escape::Json))
            .then(|| json.unwrap_or_else(|| problem(announcement, site.retry_after))),
        plain: (!page_is(Escape::Plain)).then(|| plain.unwrap_or_else(|| text(&values))),
        pages,
        retry_after: announcement.until.is_none().then_some(site.retry_after),
        fields: &site.headers,
        cors: &site.cors,
    }
}

/// A source with its charset and its placeholders filled, if there are values for them.
fn representation(
    source: &BodySource<'_>,
    configured_charset: Option<&str>,
    values: Option<&Values>,
    language: Option<String>,
) -> Representation {
    let bytes = source.bytes;
    let charset = charset::of(bytes, source.media_type, configured_charset);
    let mut escape = media_type::escape(source.media_type);
    if escape == Escape::Plain && !charset::is_utf_8(charset.as_deref()) {
        escape = Escape::Ascii;
    }
    Representation {
        body: match values.filter(|_| !charset::is_utf_16(bytes)) {
            Some(values) => template::fill(bytes, values, escape),
            None => bytes.to_vec(),
        },
        content_type: media_type::content_type(source.media_type, charset.as_deref()),
        language,
    }
}

const HTML: &str = "text/html";
const PLAIN: &str = "text/plain";
const JSON: &str = "application/json";
const DETAIL_WITHOUT_END: &str = "This site is down for maintenance and will be back shortly.";
const DETAIL_WITH_END: &str = "This site is down for maintenance.";

/// The host name to show in a page: a server name, or the fixed part of a pattern.
fn host(name: &ServerName) -> Option<&str> {
    match name {
        ServerName::Exact(name) if name == "_" => None,
        ServerName::Exact(name)
        | ServerName::Below(name)
        | ServerName::AndBelow(name)
        | ServerName::Begins(name) => Some(name.as_str()).filter(|name| !name.is_empty()),
    }
}

/// The media type of a site's page.
fn page_type(site: &SiteConfig) -> &str {
    let or_default = |other: &'static str| site.default_type.as_deref().unwrap_or(other);
    match &site.page {
        PageSource::Embedded => HTML,
        PageSource::File(path) => media_type::of_path(path).unwrap_or(or_default(HTML)),
        PageSource::Text(_) => or_default(PLAIN),
    }
}

/// The default JSON (RFC 9457): with the announced end, or else with the value of Retry-After.
fn problem(announcement: &Announcement, retry_after: Duration) -> Representation {
    let default = if announcement.until.is_some() {
        DETAIL_WITH_END
    } else {
        DETAIL_WITHOUT_END
    };
    let mut problem = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": announcement.message.as_deref().unwrap_or(default),
    });
    match announcement.until {
        Some(until) => problem["until"] = clock::rfc3339(until).into(),
        None => problem["retry-after"] = retry_after.as_secs().into(),
    }
    Representation {
        body: format!("{problem}\n").into_bytes(),
        content_type: "application/problem+json".to_owned(),
        language: None,
    }
}

/// The default text.
fn text(values: &Values) -> Representation {
    let template = format!(
        "503 Service Unavailable\n\n\
         {{{{#until}}}}{DETAIL_WITH_END}{{{{/until}}}}{{{{^until}}}}{DETAIL_WITHOUT_END}{{{{/until}}}}\n\
         {{{{#message}}}}{{{{message}}}}\n{{{{/message}}}}\
         {{{{#until}}}}Expected back: {{{{until}}}}\n{{{{/until}}}}"
    );
    Representation {
        body: template::fill(template.as_bytes(), values, Escape::Plain),
        content_type: media_type::content_type(PLAIN, Some("utf-8")),
        language: None,
    }
}

#[cfg(test)]
mod tests;
