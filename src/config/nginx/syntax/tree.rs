//! The tree of directives.

/// A position in a file. Lines and columns start at 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The index of the file in the files of the configuration.
    pub file: usize,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The start of the configuration file.
    pub(crate) const START: Self = Self {
        file: 0,
        line: 1,
        column: 1,
    };

    /// A message about this position.
    pub(crate) fn message(self, what: impl Into<String>) -> ConfigError {
        let what = what.into();
        ConfigError {
            position: self,
            what,
        }
    }
}

/// A word with its quotes and escapes resolved.
#[derive(Clone, Debug)]
pub struct Word {
    /// The text.
    pub text: String,
    /// The position of its first character.
    pub position: Position,
}

impl Word {
    /// A message about this word.
    pub(crate) fn message(&self, what: impl Into<String>) -> ConfigError {
        self.position.message(what)
    }
}

/// A name, its arguments, and its block if it has one.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The first word.
    pub name: Word,
    /// The words after it.
    pub arguments: Vec<Word>,
    /// The directives between its braces; `None` if it ends with a semicolon.
    pub block: Option<Vec<Self>>,
}

/// An error or a remark about a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The position.
    pub position: Position,
    /// The message: what is wrong; what to do.
    pub what: String,
}
