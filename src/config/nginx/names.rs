//! The known names of directives, and the report about directives without an effect.

use std::sync::LazyLock;

use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::Directive;
use crate::quote::Quoted;
use crate::spelling::distance;

/// The directives of nginx, without third-party modules.
static NGINX: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("directives.txt").lines().collect());

/// The directives that only maintd has.
pub const OWN: [&str; 9] = [
    "control",
    "metrics",
    "health",
    "chroot",
    "state_dir",
    "placeholders",
    "retry_after",
    "cors_origin",
    "switch",
];

/// The directives of [`OWN`] that are allowed only in `server`.
pub(crate) const SERVER_ONLY: [&str; 2] = ["retry_after", "cors_origin"];

/// Directives of nginx that would change the answers.
const CHANGES_ANSWERS: [&str; 13] = [
    "proxy_pass",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "if",
    "autoindex",
    "empty_gif",
    "stub_status",
    "mirror",
    "sub_filter",
    "auth_basic",
];

/// Reports a directive without an effect: an error if it would change the answers in nginx or is unknown, else a remark.
pub(crate) fn report_unused(directive: &Directive, diagnostics: &mut Diagnostics) {
    let word = &directive.name;
    let name = word.text.as_str();
    if CHANGES_ANSWERS.contains(&name) {
        let what = "is not possible: maintd answers everything with 503; delete it";
        diagnostics.error(word.message(format!("{name} {what}")));
    } else if NGINX.binary_search(&name).is_ok() || OWN.contains(&name) {
        diagnostics.remark(word.message(format!("{name} is ignored")));
    } else {
        let advice = match suggestion(name) {
            Some(other) => format!("did you mean \"{other}\"?"),
            None => "delete it".to_owned(),
        };
        let what = format!("unknown directive {}; {advice}", Quoted(name));
        diagnostics.error(word.message(what));
    }
}

/// The known name that is nearest to a misspelled one, if it is near enough.
fn suggestion(name: &str) -> Option<&'static str> {
    let near = NGINX
        .iter()
        .chain(&OWN)
        .map(|known| (distance(name, known), *known))
        .min()?;
    (near.0 <= 1 + name.len() / 6).then_some(near.1)
}
