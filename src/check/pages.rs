//! What is to be said of the pages that sites send: placeholders, charset, references, Content-Security-Policy.

use super::{csp, references};
use crate::config::{Config, PageSource, SiteConfig};
use crate::placeholders::{self, Escape};
use crate::serve::charset::{self, Remark};
use crate::serve::forms::{Library, Source};

/// What is to be said, each once, however many sites have the page.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) summaries: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Report {
    fn warn(&mut self, what: String) {
        if !self.warnings.contains(&what) {
            self.warnings.push(what);
        }
    }
}

/// Looks at all pages.
pub(super) fn report(config: &Config, library: &Library) -> Report {
    let mut report = Report::default();
    for site in &config.sites {
        for source in library.sources(site) {
            look_at_placeholders(&mut report, config, &source);
            look_at_charset(&mut report, site, &source);
            if Escape::of(source.media_type) == Escape::Html {
                look_at_markup(&mut report, config, site, &source);
            }
        }
    }
    report
}

/// A page as messages name it.
fn name(site: &SiteConfig, source: &Source<'_>) -> String {
    match (source.path, &site.page) {
        (Some(path), _) => format!("page \"{}\"", path.display()),
        (None, PageSource::Text(_)) => "the text of return 503".to_owned(),
        (None, PageSource::Embedded | PageSource::File(_)) => "the embedded page".to_owned(),
    }
}

/// A text has had its warnings with its place in the configuration.
fn look_at_placeholders(report: &mut Report, config: &Config, source: &Source<'_>) {
    let Some(path) = source.path.filter(|_| config.placeholders) else {
        return;
    };
    let path = path.display();
    if charset::is_utf_16(source.bytes) {
        if placeholders::are_in(charset::text(source.bytes).as_bytes()) {
            report.warn(format!(
                "page \"{path}\" is UTF-16, in which no placeholder is filled; save it as UTF-8"
            ));
        }
        return;
    }
    for (line, column, what) in placeholders::warnings(source.bytes) {
        report.warn(format!("{path}:{line}:{column}: {what}"));
    }
}

fn look_at_charset(report: &mut Report, site: &SiteConfig, source: &Source<'_>) {
    // JSON names no charset, and the embedded page has its own.
    if Escape::of(source.media_type) == Escape::Json || site.page == PageSource::Embedded {
        return;
    }
    let name = name(site, source);
    match charset::remark(source.bytes, source.media_type, site.charset.as_deref()) {
        Some(Remark::Wrong(what)) => report.warn(format!("{name} {what}")),
        Some(Remark::Other(what)) => {
            let what = format!("{name} {what}");
            if !report.summaries.contains(&what) {
                report.summaries.push(what);
            }
        }
        None => {}
    }
}

fn look_at_markup(report: &mut Report, config: &Config, site: &SiteConfig, source: &Source<'_>) {
    let name = name(site, source);
    let page = charset::text(source.bytes);
    for target in references::of_page(page.as_bytes()) {
        report.warn(format!(
            "{name} wants \"{target}\" from this site, which gets 503 too; put it into the page"
        ));
    }
    let is_policy = |name: &str| name.eq_ignore_ascii_case("content-security-policy");
    let fields = site.headers.iter().filter(|(name, _)| is_policy(name));
    let policies = fields.map(|(_, policy)| policy.as_str());
    let is_filled = config.placeholders && !charset::is_utf_16(source.bytes);
    let mut lacks = csp::lacks(&page, policies.clone(), |code| {
        !(is_filled && placeholders::are_in(code.as_bytes()))
    });
    if site.page == PageSource::Embedded {
        lacks.extend(csp::lacks_requests(policies));
    }
    for lack in lacks {
        let what = lack.what;
        let mut advice = Vec::new();
        if !lack.sources.is_empty() {
            advice.push(format!(
                "add {} to {}",
                lack.sources.join(" "),
                lack.directive
            ));
        }
        if lack.has_unhashable {
            advice.push(format!(
                "take placeholders, and letters that are not UTF-8, out of its {what}, so that it has a hash"
            ));
        }
        report.warn(format!(
            "Content-Security-Policy blocks {what} of {name}; {}",
            advice.join(", and ")
        ));
    }
}
