//! The page of a server: the file to which `error_page 503` leads.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::config::nginx::block::{Location, Pattern, Server, Step};
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Position, Word};
use crate::config::site::PageSource;
use crate::quote::Quoted;
use crate::template;

/// The most internal redirects of a request, as in nginx.
const MAX_REDIRECTS: usize = 10;

/// The page of a server, and the location whose fields are sent with it, unless they are those of the server.
pub(crate) fn find_page<'a>(
    server: &'a Server,
    directory: &Path,
    placeholders: bool,
    diagnostics: &mut Diagnostics,
) -> (PageSource, Option<&'a Location>) {
    let returned = find_return(server);
    if returned.is_none() {
        diagnostics.error(server.position.message(
            "a server without return 503 is not possible: maintd answers everything with 503; add \"return 503;\"",
        ));
    }
    match (&server.error_page, returned) {
        (Some((target, position)), _) => {
            let resolver = Resolver { server, directory };
            let target = resolver.target(target, *position);
            let (file, location) = diagnostics.ok(target).unzip();
            let page = file.map_or(PageSource::Embedded, PageSource::File);
            (page, location.flatten())
        }
        (None, Some((Some(text), location))) => {
            if placeholders {
                // Reported at the start of the text: its quotes and escapes are already resolved.
                for (_, _, what) in template::warnings(text.text.as_bytes()) {
                    diagnostics.remark(text.message(what));
                }
            }
            (PageSource::Text(text.text.clone()), location)
        }
        (None, returned) => {
            let what = "no error_page 503: the embedded page is shown";
            diagnostics.remark(server.position.message(what));
            let location = returned.and_then(|(_, location)| location);
            (PageSource::Embedded, location)
        }
    }
}

/// Resolves URIs of a server to files.
struct Resolver<'a, 'b> {
    server: &'a Server,
    /// The base of relative paths.
    directory: &'b Path,
}

impl<'a> Resolver<'a, '_> {
    /// The file to which a target of `error_page` leads, and the location that serves it.
    fn target(
        &self,
        target: &str,
        position: Position,
    ) -> Result<(PathBuf, Option<&'a Location>), ConfigError> {
        let error = |what: String| Err(position.message(what));
        let locations = &self.server.locations;
        let mut uri = target;
        let mut indexed;
        let mut location = find(locations, uri);
        for _ in 0..MAX_REDIRECTS {
            if uri.starts_with('@') && location.is_none() {
                return error(format!("no location {}; add it", Quoted(uri)));
            }
            if let Some(step) = location.and_then(|location| self.step(location)) {
                uri = &step.file;
                if step.is_internal_redirect {
                    let next = find(locations, uri);
                    if !next
                        .zip(location)
                        .is_some_and(|(next, location)| std::ptr::eq(next, location))
                    {
                        location = next;
                        continue;
                    }
                }
            }
            if !uri.ends_with('/') {
                break;
            }
            indexed = self.with_index(location, uri);
            uri = &indexed;
            location = find(locations, uri);
        }
        if uri.starts_with('@') {
            return error(format!(
                "{} names no file; add rewrite ^ /FILE break; to it",
                Quoted(target)
            ));
        }
        match self.file(location, uri)? {
            Some(file) => Ok((file, location)),
            None => error(format!(
                "no root for {}; add \"root DIRECTORY;\"",
                Quoted(uri)
            )),
        }
    }

    /// The target of a location: the first existing file, or that of an internal redirect; otherwise the first.
    fn step<'l>(&self, location: &'l Location) -> Option<&'l Step> {
        let exists =
            |step: &&Step| step.is_internal_redirect || self.exists(Some(location), &step.file);
        let steps = &location.steps;
        steps.iter().find(exists).or_else(|| steps.first())
    }

    /// The first existing index file of a directory, otherwise the first.
    fn with_index(&self, location: Option<&Location>, uri: &str) -> String {
        let own = location.and_then(|location| location.index.as_deref());
        let names = own.or(self.server.index.as_deref()).unwrap_or_default();
        let join = |name: &String| match name.strip_prefix('/') {
            Some(_) => name.clone(),
            None => format!("{uri}{name}"),
        };
        let uris = || names.iter().map(join);
        let first = || uris().next().unwrap_or_else(|| format!("{uri}index.html"));
        uris()
            .find(|uri| self.exists(location, uri))
            .unwrap_or_else(first)
    }

    fn exists(&self, location: Option<&Location>, uri: &str) -> bool {
        let file = self.file(location, uri);
        file.is_ok_and(|file| file.is_some_and(|file| file.is_file()))
    }

    /// The file that a location serves for a path; `None` without `root` and `alias`.
    fn file(&self, location: Option<&Location>, uri: &str) -> Result<Option<PathBuf>, ConfigError> {
        let path = uri.split('?').next().unwrap_or_default();
        let (directory, rest) = match (location, location.and_then(|it| it.alias.as_ref())) {
            (Some(location), Some(alias)) => {
                let rest = match &location.pattern {
                    Pattern::Exact(own) | Pattern::Prefix { path: own, .. } => {
                        path.strip_prefix(own.as_str())
                    }
                    Pattern::Named(_) | Pattern::Expression(_) => None,
                };
                (alias, rest.unwrap_or(""))
            }
            _ => {
                let own = location.and_then(|location| location.root.as_ref());
                match own.or(self.server.root.as_ref()) {
                    Some(root) => (root, path),
                    None => return Ok(None),
                }
            }
        };
        let directory = self.directory.join(expand(directory, location, path)?);
        Ok(Some(join(&directory, rest)))
    }
}

/// The path of a `root` or `alias`, with the captures of the location's expression for this URL path.
fn expand(word: &Word, location: Option<&Location>, path: &str) -> Result<PathBuf, ConfigError> {
    let expression = location.and_then(|location| match &location.pattern {
        Pattern::Expression(expression) => expression.as_ref(),
        Pattern::Named(_) | Pattern::Exact(_) | Pattern::Prefix { .. } => None,
    });
    let captures = expression.and_then(|expression| expression.captures(path.as_bytes()));
    let is_group =
        |name| expression.is_some_and(|it| it.capture_names().flatten().any(|own| own == name));
    let mut expanded = Vec::new();
    let mut rest = word.text.as_str();
    while let Some(at) = rest.find('$') {
        let (before, variable) = rest.split_at(at);
        let (variable, after) = variable.split_at(variable_length(variable));
        let name = variable.trim_matches(['$', '{', '}']);
        let value = captures.as_ref().and_then(|captures| match name.parse() {
            Ok(number) => Some(captures.get(number)).filter(|_| number > 0),
            Err(_) => is_group(name).then(|| captures.name(name)),
        });
        let Some(value) = value else {
            return Err(word.message(format!(
                "the variable {} has no value here: only captures of the location's own expression have one; write the path itself",
                Quoted(variable)
            )));
        };
        expanded.extend_from_slice(before.as_bytes());
        // As in nginx, a group without a match is empty.
        expanded.extend_from_slice(value.map_or(b"", |value| value.as_bytes()));
        rest = after;
    }
    expanded.extend_from_slice(rest.as_bytes());
    Ok(OsString::from_vec(expanded).into())
}

/// The length of the variable at the start of a text: `$N` of one digit, `$NAME` or `${NAME}`.
fn variable_length(text: &str) -> usize {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = &text[1..];
    if name.starts_with('{') {
        return text.find('}').map_or(text.len(), |end| end + 1);
    }
    if name.starts_with(|digit: char| digit.is_ascii_digit()) {
        return 2;
    }
    name.find(|letter| !is_name(letter))
        .map_or(text.len(), |end| end + 1)
}

/// The `return 503` for `/`, its text, and its location if it is in one. As in nginx, that of the server precedes those of
/// locations. Without one for `/` it is the last one.
fn find_return(server: &Server) -> Option<(Option<&Word>, Option<&Location>)> {
    if let Some(text) = &server.returns {
        return Some((text.as_ref(), None));
    }
    let of_root = find(&server.locations, "/");
    let locations = of_root.into_iter().chain(server.locations.iter().rev());
    let mut returns = locations.filter_map(|location| Some((location.returns.as_ref()?, location)));
    let (text, location) = returns.next()?;
    Some((text.as_ref(), Some(location)))
}

/// The location for a name or path, in nginx's order: the exact path; the longest prefix if it is final; the first matching
/// expression; the longest prefix.
fn find<'a>(locations: &'a [Location], uri: &str) -> Option<&'a Location> {
    let path = uri.split('?').next().unwrap_or_default();
    let is_it = |location: &&Location| match &location.pattern {
        Pattern::Named(own) | Pattern::Exact(own) => own == path,
        Pattern::Prefix { .. } | Pattern::Expression(_) => false,
    };
    if let Some(location) = locations.iter().find(is_it) {
        return Some(location);
    }
    if path.starts_with('@') {
        return None;
    }
    let length = |location: &&Location| match &location.pattern {
        Pattern::Prefix { path: own, .. } if path.starts_with(own.as_str()) => Some(own.len()),
        Pattern::Prefix { .. } | Pattern::Named(_) | Pattern::Exact(_) | Pattern::Expression(_) => {
            None
        }
    };
    let begins = locations
        .iter()
        .filter(|location| length(location).is_some());
    let longest = begins.max_by_key(length);
    let is_final =
        |location: &Location| matches!(location.pattern, Pattern::Prefix { is_final: true, .. });
    if longest.is_some_and(is_final) {
        return longest;
    }
    let matches = |location: &&Location| matches!(&location.pattern, Pattern::Expression(Some(it)) if it.is_match(path.as_bytes()));
    locations.iter().find(matches).or(longest)
}

/// Joins a URL path to a directory. An empty path adds nothing, not even a slash.
fn join(directory: &Path, path: &str) -> PathBuf {
    match path.trim_start_matches('/') {
        "" => directory.to_owned(),
        path => directory.join(path),
    }
}
