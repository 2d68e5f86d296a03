//! Errors that end a command, each one line: what is wrong, the cause, what to do.

use std::fmt;
use std::io;

/// What stops a command, and who is to blame, which is what the exit status tells.
#[derive(Debug)]
pub enum Error {
    /// The command line: exit status 2.
    Usage(String),
    /// What the command was given to work with, or the system that it runs on: exit status 1.
    Failed(String),
}

impl Error {
    /// A call of the system that failed: `what` it was to do.
    pub(crate) fn system(what: &str, error: &io::Error) -> Self {
        Self::Failed(format!("cannot {what}: {}", reason(error)))
    }

    /// The exit status that says so.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Failed(what) => to.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// The system's reason as our messages have it: lower case, without the number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_like_our_own_words() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(reason(&error), "no such file or directory");
        assert_eq!(reason(&io::Error::other("Odd")), "odd");
    }
}
