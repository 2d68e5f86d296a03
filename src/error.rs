//! Errors that end a command, each one line: what is wrong, the cause, what to do.

use std::fmt;
use std::io;

/// An error that ends a command, with the exit status of its cause.
#[derive(Debug)]
pub enum Error {
    /// The command line: exit status 2.
    Usage(String),
    /// The configuration, a file or the system: exit status 1.
    Failed(String),
}

impl Error {
    /// A system call that failed to do `what`.
    pub(crate) fn system(what: &str, error: &io::Error) -> Self {
        Self::Failed(format!("cannot {what}: {}", reason(error)))
    }

    /// The exit status.
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
            Self::Usage(message) | Self::Failed(message) => to.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// The reason of a system error for messages: lower case, without the number.
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
    fn a_reason_is_in_lower_case_without_a_number() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(reason(&error), "no such file or directory");
        assert_eq!(reason(&io::Error::other("Odd")), "odd");
    }
}
