//! `include`: the files of a configuration, and the directives of all of them as one tree.

use std::path::{Path, PathBuf};

use crate::config::nginx::syntax;
use crate::config::nginx::syntax::{ConfigError, Directive, Position};
use crate::error;
use crate::error::reason;
use crate::quote::Quoted;

/// The deepest nesting of includes: more is a file that includes itself.
const MAX_DEPTH: usize = 16;

/// All directives of a configuration. Those of an included file replace its `include`.
#[derive(Debug, Default)]
pub struct Tree {
    /// The files, indexed by [`Position::file`].
    pub files: Vec<File>,
    /// The directives.
    pub directives: Vec<Directive>,
    /// The errors.
    pub errors: Vec<ConfigError>,
}

/// A file of the configuration.
#[derive(Debug)]
pub struct File {
    /// Its path, as messages print it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Tree {
    /// Reads a configuration file and its includes.
    ///
    /// # Errors
    /// The file cannot be read. Other errors are returned in [`Self::errors`].
    pub fn read(path: &Path) -> Result<Self, error::Error> {
        let text = read_text(path).map_err(|cause| {
            let name = Quoted(&path.to_string_lossy()).to_string();
            error::Error::Failed(format!(
                "cannot read configuration {name}: {cause}; give a readable file with -c"
            ))
        })?;
        let mut tree = Self::default();
        let directives = tree.take_file(path.to_owned(), text);
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        tree.directives = tree.expand(directives, &directory, 0);
        Ok(tree)
    }

    fn take_file(&mut self, path: PathBuf, text: String) -> Vec<Directive> {
        let (directives, errors) = syntax::parse(&text, self.files.len());
        self.files.push(File { path, text });
        self.errors.extend(errors);
        directives
    }

    /// Replaces each `include` by the directives of its files. Paths are relative to the directory of the first file.
    fn expand(
        &mut self,
        directives: Vec<Directive>,
        directory: &Path,
        depth: usize,
    ) -> Vec<Directive> {
        let mut expanded = Vec::with_capacity(directives.len());
        for mut directive in directives {
            if directive.name.text == "include" && directive.block.is_none() {
                expanded.extend(self.include(&directive, directory, depth));
            } else {
                directive.block = directive
                    .block
                    .map(|block| self.expand(block, directory, depth));
                expanded.push(directive);
            }
        }
        expanded
    }

    fn include(&mut self, directive: &Directive, directory: &Path, depth: usize) -> Vec<Directive> {
        let position = directive.name.position;
        let [pattern] = directive.arguments.as_slice() else {
            self.error(
                position,
                "include takes one file or pattern; write include FILE;",
            );
            return Vec::new();
        };
        if depth == MAX_DEPTH {
            self.error(
                pattern.position,
                "files included too deeply; does a file include itself?",
            );
            return Vec::new();
        }
        let path = directory.join(&pattern.text);
        let is_pattern = pattern.text.contains(['*', '?', '[']);
        let paths = if is_pattern {
            matching_files(&path)
        } else {
            vec![path]
        };
        let mut included = Vec::new();
        for path in paths {
            match read_text(&path) {
                Ok(text) => {
                    let directives = self.take_file(path, text);
                    included.extend(self.expand(directives, directory, depth + 1));
                }
                Err(cause) => {
                    let name = Quoted(&path.to_string_lossy()).to_string();
                    self.error(
                        pattern.position,
                        &format!("cannot read {name}: {cause}; fix or delete the include"),
                    );
                }
            }
        }
        included
    }

    fn error(&mut self, position: Position, what: &str) {
        self.errors.push(ConfigError {
            position,
            what: what.to_owned(),
        });
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| reason(&error))?;
    // Comments may be in another encoding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files that match a pattern, sorted by name (glob(7)).
fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let text = part.to_string_lossy();
        if text.contains(['*', '?', '[']) {
            paths = paths.iter().flat_map(|path| entries(path, &text)).collect();
        } else {
            paths.iter_mut().for_each(|path| path.push(part));
        }
    }
    paths.retain(|path| path.exists());
    paths
}

/// The matching entries of a directory; hidden ones only if the pattern begins with a dot.
fn entries(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let existing = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let Ok(entries) = std::fs::read_dir(existing) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with('.') == pattern.starts_with('.') && matches(pattern, name))
        .collect();
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// Whether a name matches a pattern with `*`, `?` and `[...]`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }
        Some(letter) => {
            let mut name = name.chars();
            let Some(first) = name.next() else {
                return false;
            };
            match (letter, letters.as_str().split_once(']')) {
                ('?', _) => matches(letters.as_str(), name.as_str()),
                ('[', Some((set, rest))) if !set.is_empty() => {
                    is_in(set, first) && matches(rest, name.as_str())
                }
                _ => letter == first && matches(letters.as_str(), name.as_str()),
            }
        }
    }
}

/// Whether a set such as `abc`, `0-9` or `!x` contains a letter.
fn is_in(set: &str, letter: char) -> bool {
    let (negated, set) = match set.strip_prefix(['!', '^']) {
        Some(set) => (true, set),
        None => (false, set),
    };
    let set: Vec<char> = set.chars().collect();
    let mut rest = set.as_slice();
    let mut found = false;
    while let Some(first) = rest.first() {
        let (last, length) = match rest {
            [_, '-', last, ..] => (last, 3),
            _ => (first, 1),
        };
        found |= (*first..=*last).contains(&letter);
        rest = &rest[length..];
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*", "a"),
            ("*.conf", "a.conf"),
            ("a*b*c", "axxbyc"),
            ("?", "\u{e9}"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("a[", "a["),
            ("", ""),
            ("**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.conf", "a.conf~"),
            ("?", ""),
            ("?", "ab"),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("a", "A"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_include_is_replaced_by_the_files_that_it_names() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        std::fs::create_dir(directory.path().join("sites")).unwrap();
        write(
            "main",
            "http { include sites/*.conf; include none/*; include missing; include a b; }",
        );
        write("sites/b.conf", "b;");
        write("sites/a.conf", "a; include sites/deep;");
        write("sites/.hidden.conf", "hidden;");
        write("sites/deep", "deep; }");
        let tree = Tree::read(&directory.path().join("main")).unwrap();
        assert_eq!(
            tree.directives[0].to_string(),
            "http {\n    a;\n    deep;\n    b;\n}\n"
        );
        let errors: Vec<&str> = tree
            .errors
            .iter()
            .map(|error| error.what.as_str())
            .collect();
        assert_eq!(errors.len(), 3);
        assert_eq!(errors[0], "unexpected \"}\"; delete it");
        assert!(
            errors[1].contains("missing\": no such file or directory; fix"),
            "{}",
            errors[1]
        );
        assert!(errors[2].starts_with("include takes one file"));
    }

    #[test]
    fn a_file_that_includes_itself_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("main");
        std::fs::write(&path, "a; include main;").unwrap();
        let tree = Tree::read(&path).unwrap();
        assert_eq!(tree.errors.len(), 1);
        assert!(tree.errors[0].what.contains("does a file include itself?"));
        assert!(Tree::read(&directory.path().join("none")).is_err());
    }
}
