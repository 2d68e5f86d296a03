//! Checks of the pages: placeholders, charset, references, Content-Security-Policy.

use std::collections::HashSet;

use crate::check::csp::{self, Origins};
use crate::check::references;
use crate::config::server_name::VirtualHosts;
use crate::config::{Config, Endpoint, PageSource, SiteConfig};
use crate::serve::answer::charset::{self, CharsetDifference};
use crate::serve::answer::load::{BodySource, PageFiles};
use crate::serve::answer::media_type;
use crate::template::{self, Escape};

/// The findings, each once, even if several sites have the page.
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
pub(crate) fn check(config: &Config, pages: &PageFiles) -> Findings {
    let mut findings = Findings::default();
    for (number, site) in (0..).zip(&config.sites) {
        let is_at = |endpoint: &Endpoint| endpoint.hosts.sites().contains(&number);
        let mut secure = config.endpoints.iter().filter(|endpoint| endpoint.secure);
        let origins = Origins {
            names: &site.names,
            has_tls: secure.any(is_at),
        };
        for source in pages.sources(site).all() {
            check_placeholders(&mut findings, config, &source);
            check_charset(&mut findings, site, &source);
            if media_type::escape(source.media_type) == Escape::Html {
                check_markup(&mut findings, config, site, origins, &source);
            }
        }
    }
    findings
}

/// The name of a page in messages.
fn name(site: &SiteConfig, source: &BodySource<'_>) -> String {
    match (source.path, &site.page) {
        (Some(path), _) => format!("page \"{}\"", path.display()),
        (None, PageSource::Text(_)) => "the text of return 503".to_owned(),
        (None, PageSource::Embedded | PageSource::File(_)) => "the embedded page".to_owned(),
    }
}

/// Checks the placeholders of files. Those of a text are checked by the reader of the configuration.
fn check_placeholders(findings: &mut Findings, config: &Config, source: &BodySource<'_>) {
    let Some(path) = source.path.filter(|_| config.placeholders) else {
        return;
    };
    let path = path.display();
    if charset::is_utf_16(source.bytes) {
        if template::has_placeholders(charset::text(source.bytes).as_bytes()) {
            findings.warn(format!(
                "page \"{path}\" is UTF-16, in which placeholders are not filled; save it as UTF-8"
            ));
        }
        return;
    }
    for (line, column, what) in template::warnings(source.bytes) {
        findings.warn(format!("{path}:{line}:{column}: {what}"));
    }
}

fn check_charset(findings: &mut Findings, site: &SiteConfig, source: &BodySource<'_>) {
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
    source: &BodySource<'_>,
) {
    let name = name(site, source);
    let page = charset::text(source.bytes);
    let own = VirtualHosts::all(std::iter::once(site.names.as_slice()));
    for target in references::find(&page, |host| own.find(host.as_bytes()).is_some()) {
        findings.warn(format!(
            "{name} refers to \"{target}\" on this site, which is answered with 503 too; embed it in the page"
        ));
    }
    let is_policy = |name: &str| name.eq_ignore_ascii_case("content-security-policy");
    let fields = site.headers.iter().filter(|(name, _)| is_policy(name));
    let policies = fields.map(|(_, policy)| policy.as_str());
    let is_filled = config.placeholders && !charset::is_utf_16(source.bytes);
    let mut missing = csp::missing_sources(&page, policies.clone(), |code| {
        !(is_filled && template::has_placeholders(code.as_bytes()))
    });
    if site.page == PageSource::Embedded {
        missing.extend(csp::missing_for_requests(policies, origins));
    }
    for sources in missing {
        let what = sources.what;
        let mut advice = Vec::from_iter(sources.advice());
        if sources.has_unhashable {
            advice.push(format!(
                "remove placeholders and bytes that are not UTF-8 from its {what}, so that it has a hash"
            ));
        }
        findings.warn(format!(
            "Content-Security-Policy blocks {what} of {name}; {}",
            advice.join(", and ")
        ));
    }
}
