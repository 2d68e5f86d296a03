//! The files of a configuration: the one that was named, and those that it includes, in their places.

use std::path::{Path, PathBuf};

use crate::config::nginx::syntax;
use crate::config::nginx::syntax::{ConfigError, Directive, Position, Quoted};
use crate::error;
use crate::error::reason;

/// The most files within files: more is a file that includes itself.
const MAX_DEPTH: usize = 16;

/// All directives of a configuration, the included ones in the place of their `include`.
#[derive(Debug, Default)]
pub struct Tree {
    /// The files that were read, by their numbers.
    pub files: Vec<File>,
    /// The directives.
    pub directives: Vec<Directive>,
    /// What could not be read.
    pub faults: Vec<ConfigError>,
}

/// A file that was read.
#[derive(Debug)]
pub struct File {
    /// As messages have it.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Tree {
    /// Reads a configuration file and all that it includes.
    ///
    /// # Errors
    /// The file itself cannot be read. What is wrong within is among [`Self::faults`].
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
        let (directives, faults) = syntax::parse(&text, self.files.len());
        self.files.push(File { path, text });
        self.faults.extend(faults);
        directives
    }

    /// Puts the included directives in the place of each `include`, relative to the directory of the first file.
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
        let place = directive.name.place;
        let [pattern] = directive.arguments.as_slice() else {
            self.fault(
                place,
                "include takes one file or pattern; write include FILE;",
            );
            return Vec::new();
        };
        if depth == MAX_DEPTH {
            self.fault(
                pattern.place,
                "files included too deeply; does a file include itself?",
            );
            return Vec::new();
        }
        let path = directory.join(&pattern.text);
        let is_pattern = pattern.text.contains(['*', '?', '[']);
        let paths = if is_pattern {
            matching(&path)
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
                    self.fault(
                        pattern.place,
                        &format!("cannot read {name}: {cause}; mend or delete the include"),
                    );
                }
            }
        }
        included
    }

    fn fault(&mut self, place: Position, what: &str) {
        self.faults.push(ConfigError {
            place,
            what: what.to_owned(),
        });
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| reason(&error))?;
    // A comment in an old encoding is no reason to refuse the file.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files that a pattern stands for, in the order of their names, as glob(7) has it.
fn matching(pattern: &Path) -> Vec<PathBuf> {
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

/// The entries of a directory whose names fit; a hidden one only where the pattern begins with its dot.
fn entries(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let place = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let Ok(entries) = std::fs::read_dir(place) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with('.') == pattern.starts_with('.') && fits(pattern, name))
        .collect();
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// Whether a name fits a pattern with `*`, `?` and `[...]`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| fits(rest, &name[at..]))
        }
        Some(letter) => {
            let mut name = name.chars();
            let Some(first) = name.next() else {
                return false;
            };
            match (letter, letters.as_str().split_once(']')) {
                ('?', _) => fits(letters.as_str(), name.as_str()),
                ('[', Some((set, rest))) if !set.is_empty() => {
                    is_in(set, first) && fits(rest, name.as_str())
                }
                _ => letter == first && fits(letters.as_str(), name.as_str()),
            }
        }
    }
}

/// Whether a letter is in a set such as `abc`, `0-9` or `!x`.
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
    fn patterns_fit_as_the_shells_do() {
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
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.conf", "a.conf~"),
            ("?", ""),
            ("?", "ab"),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("a", "A"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_include_is_replaced_by_what_it_names() {
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
        let faults: Vec<&str> = tree
            .faults
            .iter()
            .map(|fault| fault.what.as_str())
            .collect();
        assert_eq!(faults.len(), 3);
        assert_eq!(faults[0], "unexpected \"}\"; delete it");
        assert!(
            faults[1].contains("missing\": no such file or directory; mend"),
            "{}",
            faults[1]
        );
        assert!(faults[2].starts_with("include takes one file"));
    }

    #[test]
    fn a_file_that_includes_itself_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("main");
        std::fs::write(&path, "a; include main;").unwrap();
        let tree = Tree::read(&path).unwrap();
        assert_eq!(tree.faults.len(), 1);
        assert!(tree.faults[0].what.contains("does a file include itself?"));
        assert!(Tree::read(&directory.path().join("none")).is_err());
    }
}
