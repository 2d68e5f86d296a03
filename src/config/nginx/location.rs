//! Where the page is: the forms in which `error_page 503` leads to a file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use regex::bytes::{Regex, RegexBuilder};

use crate::config::PageSource;
use crate::config::nginx::block::{Fields, Location, Pattern, Server, Step};
use crate::config::nginx::syntax::{ConfigError, Directive, Position, Quoted, Word};
use crate::config::nginx::{OWN_OF_SERVERS, Reader};
use crate::template;

impl Reader {
    pub(crate) fn location(&mut self, server: &mut Server, directive: &Directive) {
        let Some(pattern) = self.pattern(directive) else {
            self.fault(
                directive.name.place,
                "location without a path; write location /PATH { ... }",
            );
            return;
        };
        let mut location = Location {
            pattern,
            root: None,
            alias: None,
            index: None,
            fields: Fields::default(),
            returns: None,
            steps: Vec::new(),
        };
        let first_inner = server.locations.len();
        self.in_block(directive, |reader, block| {
            for directive in block {
                reader.location_directive(server, &mut location, directive);
            }
        });
        for inner in server.locations.iter_mut().skip(first_inner) {
            inner.fields.inherit(&location.fields);
        }
        server.locations.push(location);
    }

    /// The paths of a location. nginx takes the modifier also without a blank behind it.
    fn pattern(&mut self, directive: &Directive) -> Option<Pattern> {
        let (modifier, path, place) = match directive.arguments.as_slice() {
            [word] => {
                let modifiers = ["=", "^~", "~*", "~"].into_iter();
                let mut found = modifiers.filter(|it| word.text.starts_with(it));
                let (modifier, path) = word.text.split_at(found.next().map_or(0, str::len));
                (modifier, path.to_owned(), word.place)
            }
            [modifier, word] => (modifier.text.as_str(), word.text.clone(), word.place),
            _ => return None,
        };
        Some(match modifier {
            "=" => Pattern::Exact(path),
            "~" | "~*" => Pattern::Expression(self.expression(modifier, &path, place)),
            "" if path.starts_with('@') => Pattern::Named(path),
            modifier => Pattern::Prefix {
                path,
                is_final: modifier == "^~",
            },
        })
    }

    /// Compiles a regular expression, which matches bytes as in nginx. Lookaround and backreferences are not supported.
    fn expression(&mut self, modifier: &str, text: &str, place: Position) -> Option<Regex> {
        let read = RegexBuilder::new(text)
            .unicode(false)
            .case_insensitive(modifier == "~*")
            .build();
        if read.is_err() {
            self.remark(
                place,
                format!(
                    "the expression {} is not supported, so the location is ignored; if it serves the page, write a path",
                    Quoted(text)
                ),
            );
        }
        read.ok()
    }

    fn location_directive(
        &mut self,
        server: &mut Server,
        location: &mut Location,
        directive: &Directive,
    ) {
        match directive.name.text.as_str() {
            "root" => location.root = self.word(directive).cloned(),
            "alias" => location.alias = self.word(directive).cloned(),
            "index" => location.index = self.index(directive),
            "rewrite" => match directive.arguments.get(1) {
                Some(target) if !target.text.contains('$') => {
                    let flag = directive.arguments.get(2);
                    location.steps = vec![Step {
                        file: target.text.clone(),
                        is_searched: flag.is_none_or(|flag| flag.text != "break"),
                    }];
                }
                Some(target) => self.fault(
                    target.place,
                    "variables are not possible here; name one file",
                ),
                None => self.fault(
                    directive.name.place,
                    "rewrite without a target; write rewrite ^ /FILE break;",
                ),
            },
            // The files that do not depend on the request; "$uri" would be a page of the site. The last argument is where
            // nginx goes on if none is there, and so may be a directory or a location.
            "try_files" => {
                let files = (1..).zip(&directive.arguments);
                let steps = files.map(|(number, word)| Step {
                    file: word.text.clone(),
                    is_searched: number == directive.arguments.len(),
                });
                let is_fixed = |step: &Step| {
                    let is_file = step.is_searched || !step.file.ends_with('/');
                    is_file && !step.file.contains('$') && !step.file.starts_with('=')
                };
                location.steps = steps.filter(is_fixed).collect();
            }
            "return" => location.returns = Some(self.returned(directive)),
            "location" => self.location(server, directive),
            "internal" | "break" => {}
            name if OWN_OF_SERVERS.contains(&name) => self.fault(
                directive.name.place,
                format!("{name} stands in server; move it out of location"),
            ),
            _ if self.field_directive(&mut location.fields, directive) => {}
            _ if self.page_directive(server, directive) => {}
            _ if self.shared_directive(directive) => {}
            _ => self.other(directive),
        }
    }

    /// The page of a server, and the location whose fields are sent with it, where that is not the server itself.
    pub(crate) fn page<'a>(&mut self, server: &'a Server) -> (PageSource, Option<&'a Location>) {
        let returned = return_of(server);
        if returned.is_none() {
            self.fault(
                server.place,
                "a server without return 503 is not possible: maintd answers everything with 503; add \"return 503;\"",
            );
        }
        match (&server.error_page, returned) {
            (Some((target, place)), _) => self.target(server, target, *place),
            (None, Some((Some(text), location))) => (self.text(text), location),
            (None, returned) => {
                self.remark(
                    server.place,
                    "no error_page 503: the embedded page is shown",
                );
                let location = returned.and_then(|(_, location)| location);
                (PageSource::Embedded, location)
            }
        }
    }

    /// The page that a text is. Its warnings have the place where it begins: its quotes and escapes are resolved already.
    fn text(&mut self, word: &Word) -> PageSource {
        if self.config.placeholders {
            for (_, _, what) in template::warnings(word.text.as_bytes()) {
                self.remark(word.place, what);
            }
        }
        PageSource::Text(word.text.clone())
    }

    /// `index FILE ...`; of those with variables nothing is known.
    pub(crate) fn index(&mut self, directive: &Directive) -> Option<Vec<String>> {
        if directive.arguments.is_empty() {
            self.fault(
                directive.name.place,
                "index without a file; write index FILE;",
            );
            return None;
        }
        let files = directive.arguments.iter().map(|word| word.text.clone());
        Some(files.filter(|file| !file.contains('$')).collect())
    }

    /// The file to which a target of `error_page` leads, and the location that serves it.
    fn target<'a>(
        &mut self,
        server: &'a Server,
        target: &str,
        place: Position,
    ) -> (PageSource, Option<&'a Location>) {
        let mut uri = target;
        let mut indexed;
        let mut location = find(&server.locations, uri);
        for _ in 0..MAX_REDIRECTS {
            if uri.starts_with('@') && location.is_none() {
                self.fault(place, format!("no location {}; add it", Quoted(uri)));
                return (PageSource::Embedded, None);
            }
            if let Some(step) = location.and_then(|location| self.step(server, location)) {
                uri = &step.file;
                if step.is_searched {
                    let next = find(&server.locations, uri);
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
            indexed = self.with_index(server, location, uri);
            uri = &indexed;
            location = find(&server.locations, uri);
        }
        if uri.starts_with('@') {
            self.fault(
                place,
                format!(
                    "{} names no file; add rewrite ^ /FILE break; to it",
                    Quoted(target)
                ),
            );
            return (PageSource::Embedded, None);
        }
        match self.file(server, location, uri) {
            Ok(Some(file)) => return (PageSource::File(file), location),
            Ok(None) => self.fault(
                place,
                format!("no root for {}; add \"root DIRECTORY;\"", Quoted(uri)),
            ),
            Err(ConfigError { place, what }) => self.fault(place, what),
        }
        (PageSource::Embedded, None)
    }

    /// Where a location leads: the first file that is there, or where nginx goes on without one; or else the first.
    fn step<'a>(&self, server: &Server, location: &'a Location) -> Option<&'a Step> {
        let is_there =
            |step: &&Step| step.is_searched || self.is_there(server, Some(location), &step.file);
        let steps = &location.steps;
        steps.iter().find(is_there).or_else(|| steps.first())
    }

    /// The file of a directory that is there, or else its first.
    fn with_index(&self, server: &Server, location: Option<&Location>, uri: &str) -> String {
        let own = location.and_then(|location| location.index.as_deref());
        let names = own.or(server.index.as_deref()).unwrap_or_default();
        let join = |name: &String| match name.strip_prefix('/') {
            Some(_) => name.clone(),
            None => format!("{uri}{name}"),
        };
        let uris = || names.iter().map(join);
        let first = || uris().next().unwrap_or_else(|| format!("{uri}index.html"));
        uris()
            .find(|uri| self.is_there(server, location, uri))
            .unwrap_or_else(first)
    }

    fn is_there(&self, server: &Server, location: Option<&Location>, uri: &str) -> bool {
        let file = self.file(server, location, uri);
        file.is_ok_and(|file| file.is_some_and(|file| file.is_file()))
    }

    /// The file that a location serves for a path, where there is a directory for it.
    fn file(
        &self,
        server: &Server,
        location: Option<&Location>,
        uri: &str,
    ) -> Result<Option<PathBuf>, ConfigError> {
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
                match own.or(server.root.as_ref()) {
                    Some(root) => (root, path),
                    None => return Ok(None),
                }
            }
        };
        let directory = self.directory.join(expand(directory, location, path)?);
        Ok(Some(behind(&directory, rest)))
    }
}

/// The path that a `root` or `alias` names, with the captures of the location's expression for this path of a URL.
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
        let (variable, behind) = variable.split_at(variable_length(variable));
        let name = variable.trim_matches(['$', '{', '}']);
        let value = captures.as_ref().and_then(|captures| match name.parse() {
            Ok(number) => Some(captures.get(number)).filter(|_| number > 0),
            Err(_) => is_group(name).then(|| captures.name(name)),
        });
        let Some(value) = value else {
            return Err(ConfigError {
                place: word.place,
                what: format!(
                    "the variable {} has no value here: only captures of the location's own expression have one; write the path itself",
                    Quoted(variable)
                ),
            });
        };
        expanded.extend_from_slice(before.as_bytes());
        // As in nginx, a group that did not match is empty.
        expanded.extend_from_slice(value.map_or(b"", |value| value.as_bytes()));
        rest = behind;
    }
    expanded.extend_from_slice(rest.as_bytes());
    Ok(OsString::from_vec(expanded).into())
}

/// The length of the variable with which a text begins: `$N` of one digit, `$NAME` or `${NAME}`.
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

/// The `return 503` for `/`, with its text, and its location where it is in one. nginx obeys the server's own before it
/// searches a location. Without one for `/` it is the last one.
fn return_of(server: &Server) -> Option<(Option<&Word>, Option<&Location>)> {
    if let Some(text) = &server.returns {
        return Some((text.as_ref(), None));
    }
    let of_root = find(&server.locations, "/");
    let locations = of_root.into_iter().chain(server.locations.iter().rev());
    let mut returns = locations.filter_map(|location| Some((location.returns.as_ref()?, location)));
    let (text, location) = returns.next()?;
    Some((text.as_ref(), Some(location)))
}

/// The location of a name or path, in nginx's order: the same path, then the first expression that matches unless the longest
/// beginning is final, then that.
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

/// The most internal redirects of a request, as in nginx.
const MAX_REDIRECTS: usize = 10;

/// A path of a URL below a directory; nothing is put behind where there is nothing.
fn behind(directory: &Path, path: &str) -> PathBuf {
    match path.trim_start_matches('/') {
        "" => directory.to_owned(),
        path => directory.join(path),
    }
}
