//! `add_header`: the administrator's field lines of the 503.

use std::time::{Duration, SystemTime};

use crate::config::nginx::Reader;
use crate::config::nginx::block::Header;
use crate::config::nginx::syntax::{Directive, Quoted};
use crate::config::{Cors, SiteConfig};
use crate::http_field::is_token;

/// Fields by which caches keep an answer. They are meant for the pages of the live site, and nginx sends none of them
/// with a 503 unless they have `always`.
const CACHING: [&str; 4] = ["Cache-Control", "Expires", "ETag", "Last-Modified"];

/// Fields that maintd writes itself.
const OWN: [&str; 5] = [
    "Content-Length",
    "Content-Type",
    "Connection",
    "Transfer-Encoding",
    "Date",
];

/// Ends of the names of fields that shared caches take before `Cache-Control` (RFC 9213; Edge Architecture).
const OF_SHARED_CACHES: [&str; 2] = ["cdn-cache-control", "surrogate-control"];

impl Reader {
    pub(crate) fn add_header(&mut self, directive: &Directive) -> Option<Header> {
        let place = directive.name.place;
        let (name, value, always) = match directive.arguments.as_slice() {
            [name, value] => (name, value, false),
            [name, value, always] if always.text == "always" => (name, value, true),
            _ => {
                self.fault(
                    place,
                    "add_header takes a name and a value; write add_header NAME VALUE;",
                );
                return None;
            }
        };
        if !is_token(name.text.as_bytes()) {
            self.wrong_value(directive, 0, "the name of a field");
            return None;
        }
        Some(Header {
            name: name.text.clone(),
            value: value.clone(),
            always,
            place,
        })
    }

    /// Makes the field lines of a site from the `add_header` lines that hold for its page. Others are not looked at: most of a
    /// site's locations have no part in the answer.
    pub(crate) fn headers(&mut self, site: &mut SiteConfig, headers: &[Header]) {
        let now = SystemTime::now();
        for header in headers {
            if self.can_be_sent(header, now) {
                self.header(site, header);
            }
        }
    }

    /// Whether a line is sent. Reports what is wrong with it.
    fn can_be_sent(&mut self, header: &Header, now: SystemTime) -> bool {
        let Header {
            name, value, place, ..
        } = header;
        let place = *place;
        if header.is_dropped() {
            self.remark(
                place,
                format!(
                    "add_header {name} is not sent with a 503, as in nginx; only \"always\" would send it"
                ),
            );
            return false;
        } else if value.text.contains('$') {
            self.fault(
                value.place,
                "variables are not possible here; give one value",
            );
            return false;
        } else if value.text.chars().any(char::is_control) {
            self.fault(
                value.place,
                format!(
                    "wrong value {} for add_header; give a value of one line",
                    Quoted(&value.text)
                ),
            );
            return false;
        } else if header.is_cacheable(now) {
            self.remark(
                place,
                format!(
                    "add_header {name} lets caches keep the 503 when the site is back; delete it, or write add_header Cache-Control no-store always;"
                ),
            );
        } else if header.is_validator() {
            self.remark(
                place,
                format!(
                    "add_header {name} marks the 503 as a version of the site's own page; delete it"
                ),
            );
        }
        // nginx sends none without a value.
        !value.text.is_empty()
    }

    fn header(&mut self, site: &mut SiteConfig, header: &Header) {
        let Header { name, value, .. } = header;
        if header.is("Retry-After") {
            match value.text.trim().parse() {
                Ok(seconds) => site.retry_after = Duration::from_secs(seconds),
                Err(_) => self.remark(
                    header.place,
                    "Retry-After as a date is ignored: give seconds",
                ),
            }
        } else if OWN.iter().any(|own| header.is(own)) {
            self.remark(
                header.place,
                format!("add_header {name} is ignored: maintd says that itself"),
            );
        } else if site.cors != Cors::None
            && name.to_ascii_lowercase().starts_with("access-control-")
        {
            self.remark(
                header.place,
                format!("add_header {name} is ignored: cors_origin says that"),
            );
        } else {
            site.headers.push((name.clone(), value.text.clone()));
        }
    }
}

impl Header {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// nginx does not send it with a 503, and sending it could have caches keep the 503.
    fn is_dropped(&self) -> bool {
        !self.always && CACHING.iter().any(|name| self.is(name))
    }

    /// It names a version of what is at the URL (RFC 9110 8.8), by which a client may later find its copy still valid.
    fn is_validator(&self) -> bool {
        self.is("ETag") || self.is("Last-Modified")
    }

    /// A cache may reuse a 503 with this field without asking again (RFC 9111 3 and 4.2).
    fn is_cacheable(&self, now: SystemTime) -> bool {
        let lower = self.name.to_ascii_lowercase();
        if self.is("Expires") {
            httpdate::parse_http_date(self.value.text.trim()).is_ok_and(|date| date > now)
        } else {
            (self.is("Cache-Control") || OF_SHARED_CACHES.iter().any(|end| lower.ends_with(end)))
                && can_be_reused(&self.value.text)
        }
    }
}

/// What the directives of a `Cache-Control` come to for a status that no cache keeps by itself.
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
