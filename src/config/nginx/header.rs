//! Fields of the answer: `add_header`, `default_type`, `charset`.

use std::time::{Duration, SystemTime};

use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive, Position, Word};
use crate::config::nginx::value::{self, wrong_value};
use crate::config::site::{Cors, SiteConfig};
use crate::http_field::is_token;
use crate::quote::Quoted;

/// Fields that let caches store an answer. They are set for the pages of the live site, and nginx sends them with a 503 only if
/// they have `always`.
const CACHING: [&str; 4] = ["Cache-Control", "Expires", "ETag", "Last-Modified"];

/// Fields that maintd sets itself.
const SET_BY_MAINTD: [&str; 5] = [
    "Content-Length",
    "Content-Type",
    "Connection",
    "Transfer-Encoding",
    "Date",
];

/// Suffixes of the fields that shared caches prefer to `Cache-Control` (RFC 9213; Edge Architecture).
const SHARED_CACHE_SUFFIXES: [&str; 2] = ["cdn-cache-control", "surrogate-control"];

/// The fields of the answer that one level sets: `http`, a server or a location.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerFields {
    pub(crate) headers: Vec<AddHeader>,
    pub(crate) default_type: Option<String>,
    pub(crate) charset: Option<String>,
}

impl AnswerFields {
    /// Inherits from the outer level what this one does not set. As in nginx, one `add_header` replaces all of them.
    pub(crate) fn inherit(&mut self, outer: &Self) {
        if self.headers.is_empty() {
            self.headers.clone_from(&outer.headers);
        }
        self.default_type = self
            .default_type
            .take()
            .or_else(|| outer.default_type.clone());
        self.charset = self.charset.take().or_else(|| outer.charset.clone());
    }

    /// Sets a field. Returns `false` if the directive is another one.
    pub(crate) fn set(
        &mut self,
        directive: &Directive,
        diagnostics: &mut Diagnostics,
    ) -> Result<bool, ConfigError> {
        match directive.name.text.as_str() {
            "add_header" => self.headers.push(parse_header(directive)?),
            "default_type" => self.default_type = Some(value::argument(directive)?.to_owned()),
            "charset" => {
                let name = value::argument(directive)?;
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
                if name.contains('$') {
                    let what =
                        "a charset with a variable is ignored: the charset of the page is sent";
                    diagnostics.remark(directive.name.message(what));
                } else if name.is_empty() || !name.bytes().all(is_plain) {
                    let expected = "the name of a charset, or off";
                    return Err(wrong_value(directive, 0, expected));
                } else {
                    self.charset = Some(name.to_owned());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// An `add_header` directive.
#[derive(Clone, Debug)]
pub(crate) struct AddHeader {
    name: String,
    value: Word,
    /// It has `always`: nginx sends it with every status, also with a 503.
    always: bool,
    position: Position,
}

fn parse_header(directive: &Directive) -> Result<AddHeader, ConfigError> {
    let (name, value, always) = match directive.arguments.as_slice() {
        [name, value] => (name, value, false),
        [name, value, always] if always.text == "always" => (name, value, true),
        _ => {
            let what = "add_header takes a name and a value; write add_header NAME VALUE;";
            return Err(directive.name.message(what));
        }
    };
    if !is_token(name.text.as_bytes()) {
        return Err(wrong_value(directive, 0, "the name of a field"));
    }
    Ok(AddHeader {
        name: name.text.clone(),
        value: value.clone(),
        always,
        position: directive.name.position,
    })
}

/// Sets the header fields of a site from the `add_header` directives that apply to its page. Others are not checked: most
/// locations of a live site have no effect here.
pub(crate) fn set_headers(
    site: &mut SiteConfig,
    headers: &[AddHeader],
    diagnostics: &mut Diagnostics,
) {
    let now = SystemTime::now();
    for header in headers {
        let remark = |what| header.position.message(what);
        if !header.is_dropped() && diagnostics.ok(header.check_value()).is_none() {
            continue;
        }
        if let Some(what) = header.remark(now) {
            diagnostics.remark(remark(what));
        }
        // As in nginx, a field without a value is not sent.
        if !header.is_dropped()
            && !header.value.text.is_empty()
            && let Err(what) = header.add_to(site)
        {
            diagnostics.remark(remark(what));
        }
    }
}

impl AddHeader {
    /// The remark about a field that nginx and maintd do not send, or that lets caches keep the 503.
    fn remark(&self, now: SystemTime) -> Option<String> {
        let name = &self.name;
        Some(if self.is_dropped() {
            format!(
                "add_header {name} is not sent with a 503, as in nginx; only \"always\" would send it"
            )
        } else if self.is_cacheable(now) {
            format!(
                "add_header {name} lets caches keep the 503 after the site is back; delete it, or write add_header Cache-Control no-store always;"
            )
        } else if self.is_validator() {
            format!(
                "add_header {name} marks the 503 as a version of the site's own page; delete it"
            )
        } else {
            return None;
        })
    }

    /// Checks the value of a field that is sent.
    fn check_value(&self) -> Result<(), ConfigError> {
        let value = &self.value;
        if value.text.contains('$') {
            return Err(value.message("variables are not supported here; give one value"));
        }
        if value.text.chars().any(char::is_control) {
            return Err(value.message(format!(
                "wrong value {} for add_header; give a value of one line",
                Quoted(&value.text)
            )));
        }
        Ok(())
    }

    /// Adds the field to a site, or returns the reason why it is ignored.
    fn add_to(&self, site: &mut SiteConfig) -> Result<(), String> {
        let Self { name, value, .. } = self;
        let is_of_cors = || name.to_ascii_lowercase().starts_with("access-control-");
        if self.is("Retry-After") {
            let seconds = value.text.trim().parse();
            let seconds = seconds.map_err(|_| "Retry-After as a date is ignored: give seconds")?;
            site.retry_after = Duration::from_secs(seconds);
        } else if SET_BY_MAINTD.iter().any(|own| self.is(own)) {
            return Err(format!("add_header {name} is ignored: maintd sets it"));
        } else if site.cors != Cors::None && is_of_cors() {
            return Err(format!("add_header {name} is ignored: cors_origin sets it"));
        } else {
            site.headers.push((name.clone(), value.text.clone()));
        }
        Ok(())
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// nginx does not send it with a 503. If it were sent, caches could keep the 503.
    fn is_dropped(&self) -> bool {
        !self.always && CACHING.iter().any(|name| self.is(name))
    }

    /// It is a validator (RFC 9110 8.8): clients could revalidate a cached copy with it.
    fn is_validator(&self) -> bool {
        self.is("ETag") || self.is("Last-Modified")
    }

    /// A cache may reuse a 503 with this field without revalidation (RFC 9111 3 and 4.2).
    fn is_cacheable(&self, now: SystemTime) -> bool {
        let lower = self.name.to_ascii_lowercase();
        if self.is("Expires") {
            httpdate::parse_http_date(self.value.text.trim()).is_ok_and(|date| date > now)
        } else {
            (self.is("Cache-Control")
                || SHARED_CACHE_SUFFIXES.iter().any(|end| lower.ends_with(end)))
                && can_be_reused(&self.value.text)
        }
    }
}

/// A `Cache-Control` lets caches reuse an answer whose status is not heuristically cacheable.
fn can_be_reused(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let directives: Vec<&str> = value.split(',').map(str::trim).collect();
    if directives
        .iter()
        .any(|it| matches!(*it, "no-store" | "no-cache"))
    {
        return false;
    }
    let mut lifetimes = directives.iter().filter_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse::<u64>();
        matches!(name.trim(), "max-age" | "s-maxage").then(|| seconds.unwrap_or(0))
    });
    match lifetimes.next() {
        Some(first) => first > 0 || lifetimes.any(|seconds| seconds > 0),
        None => directives.contains(&"public"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_is_reused_only_with_a_lifetime_or_public() {
        for value in [
            "public",
            "Public, immutable",
            "max-age=60",
            "private, max-age=\"60\"",
            "max-age=0, s-maxage=5",
        ] {
            assert!(can_be_reused(value), "{value}");
        }
        for value in [
            "no-store",
            "no-cache, max-age=60",
            "private",
            "public, max-age=0, must-revalidate",
            "max-age=600, no-store",
            "no-transform",
            "",
        ] {
            assert!(!can_be_reused(value), "{value}");
        }
    }
}
