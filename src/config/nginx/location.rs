//! Where the page is: the forms in which `error_page 503` leads to a file.

use std::path::{Path, PathBuf};

use super::Reader;
use super::block::{Location, Server};
use crate::config::PageSource;
use crate::config::syntax::{Directive, Place, Quoted, Word};
use crate::placeholders;

impl Reader {
    pub(super) fn location(&mut self, server: &mut Server, directive: &Directive) {
        let (modifier, name) = match directive.arguments.as_slice() {
            [name] => (None, name),
            [modifier, name] => (Some(modifier.text.clone()), name),
            _ => {
                self.fault(
                    directive.name.place,
                    "location without a path; write location /PATH { ... }",
                );
                return;
            }
        };
        let mut location = Location {
            modifier,
            name: name.text.clone(),
            root: None,
            alias: None,
            file: None,
        };
        self.in_block(directive, |reader, block| {
            for directive in block {
                reader.location_directive(server, &mut location, directive);
            }
        });
        server.locations.push(location);
    }

    fn location_directive(
        &mut self,
        server: &mut Server,
        location: &mut Location,
        directive: &Directive,
    ) {
        match directive.name.text.as_str() {
            "root" => {
                location.root = self
                    .argument(directive)
                    .map(|path| self.directory.join(path))
            }
            "alias" => {
                location.alias = self
                    .argument(directive)
                    .map(|path| self.directory.join(path))
            }
            "rewrite" => match directive.arguments.get(1) {
                Some(target) if !target.text.contains('$') => {
                    location.file = Some(target.text.clone())
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
            // The first file that does not depend on the request; "$uri" would be a page of the site.
            "try_files" => {
                let fixed = |file: &str| {
                    !file.contains('$') && !file.starts_with('=') && !file.ends_with('/')
                };
                location.file = directive
                    .arguments
                    .iter()
                    .map(|word| word.text.clone())
                    .find(|file| fixed(file));
            }
            "return" => self.returned(server, directive),
            "location" => self.location(server, directive),
            "internal" | "break" => {}
            _ if self.page_directive(server, directive) => {}
            _ if self.shared_directive(directive) => {}
            _ => self.other(directive),
        }
    }

    /// The page of a server.
    pub(super) fn page(&mut self, server: &Server) -> PageSource {
        match &server.returns {
            None => self.fault(
                server.place,
                "a server without return 503 is not possible: maintd answers everything with 503; add \"return 503;\"",
            ),
            Some(Some(text)) if server.error_page.is_none() => return self.text(text),
            Some(_) => {}
        }
        match &server.error_page {
            Some((target, place)) => self.target(server, target, *place),
            None => {
                self.remark(
                    server.place,
                    "no error_page 503: the embedded page is shown",
                );
                PageSource::Embedded
            }
        }
    }

    /// The page that a text is. Its warnings have the place where it begins: its escapes are not known any more.
    fn text(&mut self, word: &Word) -> PageSource {
        if self.config.placeholders {
            for (_, _, what) in placeholders::warnings(word.text.as_bytes()) {
                self.remark(word.place, what);
            }
        }
        PageSource::Text(word.text.clone())
    }

    /// The file to which a target of `error_page` leads.
    fn target(&mut self, server: &Server, target: &str, place: Place) -> PageSource {
        let location = find(&server.locations, target);
        if location.is_none() && target.starts_with('@') {
            self.fault(place, format!("no location {}; add it", Quoted(target)));
            return PageSource::Embedded;
        }
        let file = location
            .and_then(|location| location.file.as_deref())
            .unwrap_or(target);
        if let Some(alias) = location.and_then(|location| location.alias.as_deref()) {
            let name = location.map_or("", |location| location.name.as_str());
            return PageSource::File(behind(alias, file.strip_prefix(name).unwrap_or("")));
        }
        // What a rewrite or try_files comes to may be served by a location of its own.
        let inner = find(&server.locations, file).or(location);
        let root = inner
            .and_then(|location| location.root.as_ref())
            .or(server.root.as_ref());
        match root {
            _ if file.starts_with('@') => {
                self.fault(
                    place,
                    format!(
                        "{} names no file; add rewrite ^ /FILE break; to it",
                        Quoted(target)
                    ),
                );
                PageSource::Embedded
            }
            Some(root) => PageSource::File(behind(root, file)),
            None => {
                self.fault(
                    place,
                    format!("no root for {}; add \"root DIRECTORY;\"", Quoted(file)),
                );
                PageSource::Embedded
            }
        }
    }
}

/// The location that serves a path: exact, or the longest beginning; or the named one.
fn find<'a>(locations: &'a [Location], path: &str) -> Option<&'a Location> {
    let exact = locations.iter().find(|location| {
        location.name == path
            && (path.starts_with('@') || location.modifier.as_deref() == Some("="))
    });
    let begins = |location: &&Location| {
        matches!(location.modifier.as_deref(), None | Some("^~"))
            && path.starts_with(&location.name)
    };
    exact.or_else(|| {
        locations
            .iter()
            .filter(begins)
            .max_by_key(|location| location.name.len())
    })
}

/// A path of a URL below a directory; nothing is put behind where there is nothing.
fn behind(directory: &Path, path: &str) -> PathBuf {
    match path.trim_start_matches('/') {
        "" => directory.to_owned(),
        path => directory.join(path),
    }
}
