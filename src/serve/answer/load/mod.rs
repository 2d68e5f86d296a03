//! The forms of each site's answer, as they are loaded: the page, what lies beside it, and what stands in for that.
//!
//! Beside `maintenance.html` that is `maintenance.json`, `maintenance.txt`, and `maintenance.de.html` for each language.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::clock;
use crate::config::server_name::ServerName;
use crate::config::{Config, PageSource, SiteConfig};
use crate::error::Error;
use crate::html;
use crate::serve::answer::{Content, Representation, content_type, essence, media_type};
use crate::serve::answer::{charset, page};
use crate::template;
use crate::template::{Escape, Values};
use crate::window::Window;

/// The files of the pages and of what lies beside them, each once.
#[derive(Default)]
pub(crate) struct PageFiles {
    beside: Vec<(PathBuf, Beside)>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl PageFiles {
    /// Reads what can be read, and returns what is wrong with the rest.
    pub(crate) fn read(config: &Config) -> (Self, Vec<Error>) {
        let mut library = Self::default();
        let mut faults = Vec::new();
        for site in &config.sites {
            if let PageSource::File(page) = &site.page
                && !library.beside.iter().any(|(other, _)| other == page)
            {
                let beside = Beside::look(page);
                for path in std::iter::once(page).chain(beside.files()) {
                    library.add(path, &mut faults);
                }
                library.beside.push((page.clone(), beside));
            }
        }
        (library, faults)
    }

    fn add(&mut self, path: &Path, faults: &mut Vec<Error>) {
        if self.files.iter().any(|(other, _)| other == path) {
            return;
        }
        let bytes = page::read(path).unwrap_or_else(|fault| {
            faults.push(fault);
            Vec::new()
        });
        self.files.push((path.to_owned(), bytes));
    }

    fn get(&self, path: &Path) -> &[u8] {
        let found = self.files.iter().find(|(other, _)| other == path);
        found.map_or(&[], |(_, bytes)| bytes)
    }

    fn beside(&self, page: &Path) -> Option<&Beside> {
        let found = self.beside.iter().find(|(other, _)| other == page);
        found.map(|(_, beside)| beside)
    }

    /// What a site sends: its page first, then what lies beside that.
    pub(crate) fn sources<'a>(&'a self, site: &'a SiteConfig) -> Vec<Source<'a>> {
        let path = match &site.page {
            PageSource::File(path) => Some(path.as_path()),
            PageSource::Embedded | PageSource::Text(_) => None,
        };
        let page = Source {
            path,
            bytes: match &site.page {
                PageSource::Embedded => page::EMBEDDED,
                PageSource::File(path) => self.get(path),
                PageSource::Text(text) => text.as_bytes(),
            },
            media_type: page_type(site),
        };
        let of_file = |path: &'a PathBuf, media_type| Source {
            path: Some(path),
            bytes: self.get(path),
            media_type,
        };
        let mut sources = vec![page];
        if let Some(beside) = path.and_then(|path| self.beside(path)) {
            let languages = beside.languages.iter();
            sources.extend(languages.map(|(_, path)| of_file(path, page_type(site))));
            sources.extend(beside.json.iter().map(|path| of_file(path, JSON)));
            sources.extend(beside.plain.iter().map(|path| of_file(path, PLAIN)));
        }
        sources
    }
}

/// Something that a site sends, as it was read.
pub(crate) struct Source<'a> {
    /// Its file, where it has one.
    pub(crate) path: Option<&'a Path>,
    pub(crate) bytes: &'a [u8],
    /// Its type, without the charset that maintd finds for it.
    pub(crate) media_type: &'a str,
}

/// What lies beside a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Beside {
    json: Option<PathBuf>,
    plain: Option<PathBuf>,
    /// Pages in other languages, in the order of those.
    languages: Vec<(String, PathBuf)>,
}

impl Beside {
    /// Looks for it. What cannot be listed has nothing beside it.
    fn look(page: &Path) -> Self {
        let mut beside = Self::default();
        let (Some(directory), Some(stem)) =
            (page.parent(), page.file_stem().and_then(|it| it.to_str()))
        else {
            return beside;
        };
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let is_html = media_type(page).is_none_or(|kind| kind == "text/html");
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for path in entries.map(|entry| page.with_file_name(entry.file_name())) {
            let rest = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix(stem)?.strip_prefix('.'));
            match rest {
                Some(_) if path == page => {}
                Some("json") => beside.json = Some(path),
                Some("txt") => beside.plain = Some(path),
                Some(rest) if is_html => {
                    if let Some((language, "html" | "htm")) = rest.split_once('.')
                        && is_language(language)
                    {
                        beside.languages.push((language.to_owned(), path));
                    }
                }
                Some(_) | None => {}
            }
        }
        beside.languages.sort();
        beside
            .languages
            .dedup_by(|one, other| one.0.eq_ignore_ascii_case(&other.0));
        beside
    }

    /// All of it.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let languages = self.languages.iter().map(|(_, path)| path);
        self.json.iter().chain(&self.plain).chain(languages)
    }
}

/// RFC 5646, as far as two letters begin it: with three, `old` and `bak` would be languages.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let is_primary =
        |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_part = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    parts.next().is_some_and(is_primary) && parts.all(is_part)
}

/// The language that an HTML page says of itself.
fn language(page: &[u8]) -> Option<String> {
    let start = charset::text(&page[..page.len().min(4096)]).into_owned();
    let mut tags = html::tags(start.as_bytes()).filter(|tag| tag.is("html"));
    let value = tags.next()?.value("lang")?.to_ascii_lowercase();
    let end = value.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    let value = &value[..end.unwrap_or(value.len())];
    (!value.is_empty()).then(|| value.to_owned())
}

/// Reads what each site answers.
///
/// # Errors
/// The first file that cannot be used.
pub(crate) fn contents(config: &Config) -> Result<Vec<Content<'_>>, Error> {
    let (library, faults) = PageFiles::read(config);
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => {
            let content = |site| content(site, config, &library);
            Ok(config.sites.iter().map(content).collect())
        }
    }
}

/// What a site answers.
fn content<'a>(site: &'a SiteConfig, config: &Config, library: &PageFiles) -> Content<'a> {
    let window = &config.window;
    let values = Values {
        until: window.until.map(clock::page).unwrap_or_default(),
        message: window.message.clone().unwrap_or_default(),
        host: site
            .names
            .iter()
            .find_map(host)
            .unwrap_or_default()
            .to_owned(),
    };
    let retry_after = window.until.is_none().then_some(site.retry_after);
    let filling = Filling {
        values: &values,
        // The embedded page is ours, and so are its placeholders.
        is_on: config.placeholders || site.page == PageSource::Embedded,
    };
    let pages = pages(site, &filling, library);
    let is = |kind| Escape::of(&pages[0].content_type) == kind;
    let beside = match &site.page {
        PageSource::File(path) => library.beside(path),
        PageSource::Embedded | PageSource::Text(_) => None,
    };
    let of_file = |path: &PathBuf, media_type| {
        filling.representation(site, library.get(path), media_type, None)
    };
    let json = beside.and_then(|beside| beside.json.as_ref());
    let json = json.map(|path| of_file(path, JSON));
    let plain = beside.and_then(|beside| beside.plain.as_ref());
    let plain = plain.map(|path| of_file(path, PLAIN));
    Content {
        // What the page is already needs nothing beside it.
        json: (!is(Escape::Json)).then(|| json.unwrap_or_else(|| problem(window, retry_after))),
        plain: (!is(Escape::Plain)).then(|| plain.unwrap_or_else(|| text(&values))),
        pages,
        retry_after,
        fields: &site.headers,
        cors: &site.cors,
    }
}

/// How the placeholders of a site's pages are filled.
struct Filling<'a> {
    values: &'a Values,
    is_on: bool,
}

impl Filling<'_> {
    /// What is sent of a page.
    fn representation(
        &self,
        site: &SiteConfig,
        page: &[u8],
        media_type: &str,
        language: Option<String>,
    ) -> Representation {
        let configured = site.charset.as_deref();
        let charset = match site.page {
            PageSource::Embedded => Some("utf-8".to_owned()),
            PageSource::File(_) | PageSource::Text(_) => charset::of(page, media_type, configured),
        };
        let content_type = content_type(media_type, charset.as_deref());
        let mut escape = Escape::of(media_type);
        if escape == Escape::Plain && !charset::is_utf_8(charset.as_deref()) {
            escape = Escape::Ascii;
        }
        let body = if self.is_on && !charset::is_utf_16(page) {
            template::fill(page, self.values, escape)
        } else {
            page.to_vec()
        };
        Representation {
            body,
            content_type,
            language,
            is_counted: false,
        }
    }
}

const HTML: &str = "text/html";
const PLAIN: &str = "text/plain";
const JSON: &str = "application/json";
const SHORTLY: &str = "This site is down for maintenance and will be back shortly.";
const DOWN: &str = "This site is down for maintenance.";

/// The name that a page is shown for; a pattern has the part of it that is fixed.
fn host(name: &ServerName) -> Option<&str> {
    match name {
        ServerName::Exact(name) if name == "_" => None,
        ServerName::Exact(name)
        | ServerName::Below(name)
        | ServerName::AndBelow(name)
        | ServerName::Begins(name) => Some(name.as_str()).filter(|name| !name.is_empty()),
    }
}

impl Escape {
    /// The escape that a type needs. Of those that are not known a browser might yet make a page.
    pub(crate) fn of(media_type: &str) -> Self {
        match essence(media_type).as_str() {
            "text/plain" => Self::Plain,
            "application/json" | "text/json" => Self::Json,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Html,
        }
    }
}

/// The type of a site's page.
fn page_type(site: &SiteConfig) -> &str {
    let or_default = |other: &'static str| site.default_type.as_deref().unwrap_or(other);
    match &site.page {
        PageSource::Embedded => HTML,
        PageSource::File(path) => media_type(path).unwrap_or(or_default(HTML)),
        PageSource::Text(_) => or_default(PLAIN),
    }
}

/// The page of a site in each of its languages.
fn pages(site: &SiteConfig, filling: &Filling<'_>, library: &PageFiles) -> Vec<Representation> {
    let page = match &site.page {
        PageSource::Embedded => page::EMBEDDED,
        PageSource::File(path) => library.get(path),
        PageSource::Text(text) => text.as_bytes(),
    };
    let representation = |page: &[u8], language: Option<String>| {
        filling.representation(site, page, page_type(site), language)
    };
    let languages = match &site.page {
        PageSource::File(path) => library.beside(path).map(|beside| &beside.languages[..]),
        PageSource::Embedded | PageSource::Text(_) => None,
    };
    let others = languages.unwrap_or_default();
    // A page that does not say its language is English, if there is no other that is.
    let english = || {
        Some("en".to_owned())
            .filter(|_| !others.iter().any(|(tag, _)| tag.eq_ignore_ascii_case("en")))
    };
    let own = language(page).or_else(english);
    let mut pages = vec![representation(page, own)];
    pages.extend(
        others
            .iter()
            .map(|(tag, path)| representation(library.get(path), Some(tag.clone()))),
    );
    pages
}

/// RFC 9457. Where Retry-After counts down, it is the beginning of this that counts with it.
fn problem(window: &Window, retry_after: Option<Duration>) -> Representation {
    let mut problem = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": window.message.as_deref().unwrap_or(if window.until.is_some() { DOWN } else { SHORTLY }),
    });
    if let Some(time) = retry_after {
        problem["retry-after"] = time.as_secs().into();
    }
    if let Some(until) = window.until {
        problem["until"] = clock::rfc3339(until).into();
    }
    let text = format!("{problem}\n");
    let body = match retry_after {
        Some(_) => &text,
        None => text.strip_prefix('{').unwrap_or(&text),
    };
    Representation {
        body: body.as_bytes().to_vec(),
        content_type: "application/problem+json".to_owned(),
        language: None,
        is_counted: retry_after.is_none(),
    }
}

/// What a terminal shows.
fn text(values: &Values) -> Representation {
    let template = format!(
        "503 Service Unavailable\n\n\
         {{{{#until}}}}{DOWN}{{{{/until}}}}{{{{^until}}}}{SHORTLY}{{{{/until}}}}\n\
         {{{{#message}}}}{{{{message}}}}\n{{{{/message}}}}\
         {{{{#until}}}}Expected back: {{{{until}}}}\n{{{{/until}}}}"
    );
    Representation {
        body: template::fill(template.as_bytes(), values, Escape::Plain),
        content_type: content_type(PLAIN, Some("utf-8")),
        language: None,
        is_counted: false,
    }
}

#[cfg(test)]
mod tests;
