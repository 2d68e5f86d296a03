//! Checks of the pages that sites send: placeholders, charset, references, Content-Security-Policy.

use std::collections::HashSet;

use crate::check::csp;
use crate::check::csp::Origins;
use crate::check::references;
use crate::config::server_name::Hosts;
use crate::config::{Config, Endpoint, PageSource, SiteConfig};
use crate::serve::answer::charset;
use crate::serve::answer::charset::CharsetDifference;
use crate::serve::answer::load::{PageFiles, Source};
use crate::serve::answer::media_type;
use crate::template;
use crate::template::Escape;

/// What was found, each once, however many sites have the page.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) summaries: Vec<String>,
    pub(crate) warnings: Vec<String>,
    seen: HashSet<String>,
}

impl Findings {
    fn warn(&mut self, what: String) {
        if self.seen.insert(what.clone()) {
            self.warnings.push(what);
        }
    }

    fn summarize(&mut self, what: String) {
        if self.seen.insert(what.clone()) {
            self.summaries.push(what);
        }
    }
}

/// Checks the pages of all sites.
pub(crate) fn check(config: &Config, library: &PageFiles) -> Findings {
    let mut findings = Findings::default();
    for (number, site) in (0..).zip(&config.sites) {
        let is_at = |endpoint: &Endpoint| endpoint.hosts.sites().contains(&number);
        let mut secure = config.endpoints.iter().filter(|endpoint| endpoint.secure);
        let origins = Origins {
            names: &site.names,
            has_tls: secure.any(is_at),
        };
        for source in library.sources(site).all() {
            check_placeholders(&mut findings, config, &source);
            check_charset(&mut findings, site, &source);
            if media_type::escape(source.media_type) == Escape::Html {
                check_markup(&mut findings, config, site, origins, &source);
            }
        }
    }
    findings
}

/// A page as messages name it.
fn name(site: &SiteConfig, source: &Source<'_>) -> String {
    match (source.path, &site.page) {
        (Some(path), _) => format!("page \"{}\"", path.display()),
        (None, PageSource::Text(_)) => "the text of return 503".to_owned(),
        (None, PageSource::Embedded | PageSource::File(_)) => "the embedded page".to_owned(),
    }
}

/// Checks the placeholders of files; those of a text are checked where the configuration is read.
fn check_placeholders(findings: &mut Findings, config: &Config, source: &Source<'_>) {
    let Some(path) = source.path.filter(|_| config.placeholders) else {
        return;
    };
    let path = path.display();
    if charset::is_utf_16(source.bytes) {
        if template::has_placeholders(charset::text(source.bytes).as_bytes()) {
            findings.warn(format!(
                "page \"{path}\" is UTF-16, in which no placeholder is filled; save it as UTF-8"
            ));
        }
        return;
    }
    for (line, column, what) in template::warnings(source.bytes) {
        findings.warn(format!("{path}:{line}:{column}: {what}"));
    }
}

fn check_charset(findings: &mut Findings, site: &SiteConfig, source: &Source<'_>) {
    // JSON has no charset, and the embedded page is always sent as UTF-8.
    if media_type::escape(source.media_type) == Escape::Json || site.page == PageSource::Embedded {
        return;
    }
    let name = name(site, source);
    match charset::compare(source.bytes, source.media_type, site.charset.as_deref()) {
        Some(CharsetDifference::Contradiction(what)) => findings.warn(format!("{name} {what}")),
        Some(CharsetDifference::NotUtf8(what)) => findings.summarize(format!("{name} {what}")),
        None => {}
    }
}

fn check_markup(
    findings: &mut Findings,
    config: &Config,
    site: &SiteConfig,
    origins: Origins<'_>,
    source: &Source<'_>,
) {
    let name = name(site, source);
    let page = charset::text(source.bytes);
    let own = Hosts::all(std::iter::once(site.names.as_slice()));
    for target in references::of_page(&page, |host| own.find(host.as_bytes()).is_some()) {
        findings.warn(format!(
            "{name} wants \"{target}\" from this site, which gets 503 too; put it into the page"
        ));
    }
    let is_policy = |name: &str| name.eq_ignore_ascii_case("content-security-policy");
    let fields = site.headers.iter().filter(|(name, _)| is_policy(name));
    let policies = fields.map(|(_, policy)| policy.as_str());
    let is_filled = config.placeholders && !charset::is_utf_16(source.bytes);
    let mut lacks = csp::lacks(&page, policies.clone(), |code| {
        !(is_filled && template::has_placeholders(code.as_bytes()))
    });
    if site.page == PageSource::Embedded {
        lacks.extend(csp::lacks_requests(policies, origins));
    }
    for lack in lacks {
        let what = lack.what;
        let mut advice = Vec::from_iter(lack.advice());
        if lack.has_unhashable {
            advice.push(format!(
                "take placeholders, and letters that are not UTF-8, out of its {what}, so that it has a hash"
            ));
        }
        findings.warn(format!(
            "Content-Security-Policy blocks {what} of {name}; {}",
            advice.join(", and ")
        ));
    }
}
