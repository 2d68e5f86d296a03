//! Messages on stderr: `maintd: what is wrong: cause; what to do`.

use std::io::{self, IsTerminal as _, Write as _};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// When messages are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
            }
        }
    }
}

struct Stderr {
    color: bool,
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (mark, color) = match record.level() {
            Level::Error => ("", "\x1b[31m"),
            Level::Warn => ("warning: ", "\x1b[33m"),
            Level::Info | Level::Debug | Level::Trace => ("", ""),
        };
        let text = escaped(&record.args().to_string());
        let line = if self.color && !color.is_empty() {
            format!("{color}maintd: {mark}\x1b[0m{text}\n")
        } else {
            format!("maintd: {mark}{text}\n")
        };
        // One write, so that lines of several processes do not mix. Nobody is left to be told of a failure.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// A message is one line, and nobody's bytes reach the terminal's controls through it.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

/// Begins to log, from `level` up.
pub(crate) fn start(level: LevelFilter, color: Color) {
    if log::set_boxed_logger(Box::new(Stderr {
        color: color.wanted(),
    }))
    .is_ok()
    {
        log::set_max_level(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(
            escaped("a\nb\x1b[31m\u{7f}\u{85}\u{e9}"),
            "a\\nb\\u{1b}[31m\\u{7f}\\u{85}\u{e9}"
        );
    }
}
