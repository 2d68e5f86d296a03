//! Messages: on stderr `maintd: what is wrong: cause; what to do`, and where `error_log` wants them.
//!
//! Until the start is over everything goes to stderr, and to `error_log` too; from then on to `error_log` alone.

mod file;
mod sink;
mod syslog;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

pub(crate) use crate::logger::sink::Sink;
pub(crate) use crate::logger::syslog::Severity;

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

/// Takes the messages of a process that has nowhere to write them itself.
pub(crate) type Relay = fn(Level, &str);

/// Where messages go at present.
#[derive(Debug)]
struct State {
    /// They are coloured on stderr.
    color: bool,
    /// The level of stderr.
    level: LevelFilter,
    /// That level was asked for on the command line, and wins over the configuration.
    is_asked: bool,
    /// The start is not over.
    starting: bool,
    target: Option<(Sink, LevelFilter)>,
    relay: Option<Relay>,
}

/// The only logger. The lock is free whenever it is taken, for there is one thread; `log` wants something to share.
struct Logger(Mutex<State>);

static LOGGER: Logger = Logger(Mutex::new(State {
    color: false,
    level: LevelFilter::Info,
    is_asked: false,
    starting: true,
    target: None,
    relay: None,
}));

fn state() -> MutexGuard<'static, State> {
    LOGGER.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Logger {
    /// Ours alone: what libraries tell is for those who work on them.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = escaped(&record.args().to_string());
        let relay = state().relay;
        match relay {
            Some(relay) => relay(record.level(), &text),
            None => state().write(std::process::id(), record.level(), &text),
        }
    }

    fn flush(&self) {}
}

impl State {
    fn write(&mut self, pid: u32, level: Level, text: &str) {
        let color = self.color;
        if self.starting && level <= self.level {
            // One write, so that lines of several processes do not mix. Nobody is left to be told of a failure.
            let _ = io::stderr().write_all(stderr_line(color, level, text).as_bytes());
        }
        let Some((sink, filter)) = &mut self.target else {
            return;
        };
        if level > *filter || (self.starting && sink.is_stderr()) {
            return;
        }
        write_to(sink, color, pid, level, text);
        // That it cannot be written it cannot say itself; only that it could not.
        if let Some((level @ Level::Warn, text)) = sink.take_report() {
            write_to(sink, color, std::process::id(), level, &text);
        }
    }

    /// Sets what is not even to be rendered.
    fn set_max_level(&self) {
        let target = self
            .target
            .as_ref()
            .map_or(LevelFilter::Off, |target| target.1);
        let stderr = if self.starting || self.target.is_none() {
            self.level
        } else {
            LevelFilter::Off
        };
        log::set_max_level(target.max(stderr));
    }
}

/// Writes a message in the form of its log.
fn write_to(sink: &mut Sink, color: bool, pid: u32, level: Level, text: &str) {
    let line = if sink.is_stderr() {
        stderr_line(color, level, text)
    } else if sink.is_syslog() {
        format!("{text}\n")
    } else {
        let name = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        let time = crate::clock::error(crate::clock::seconds());
        format!("{time} [{name}] {pid}#0: {text}\n")
    };
    sink.write(line.as_bytes(), Severity::Of(level));
}

fn stderr_line(color: bool, level: Level, text: &str) -> String {
    let (mark, paint) = match level {
        Level::Error => ("", "\x1b[31m"),
        Level::Warn => ("warning: ", "\x1b[33m"),
        Level::Info | Level::Debug | Level::Trace => ("", ""),
    };
    if color && !paint.is_empty() {
        format!("{paint}maintd: {mark}\x1b[0m{text}\n")
    } else {
        format!("maintd: {mark}{text}\n")
    }
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

/// Begins to log on stderr: from `level` up, or as much as is the rule.
pub(crate) fn start(level: Option<LevelFilter>, color: Color) {
    let mut state = state();
    state.color = color.wanted();
    state.is_asked = level.is_some();
    state.level = level.unwrap_or(LevelFilter::Info);
    state.set_max_level();
    drop(state);
    // It fails where it has been done before.
    let _ = log::set_logger(&LOGGER);
}

/// Has messages go to `sink`, from `level` up, if the command line does not want it otherwise; in place of the one before.
pub(crate) fn set_target(sink: Sink, level: Option<LevelFilter>) {
    let mut state = state();
    let level = match level {
        Some(level) if !state.is_asked => level,
        Some(_) | None => state.level,
    };
    state.target = Some((sink, level));
    state.set_max_level();
}

/// The start is over: messages go to `error_log` alone, and are not waited for.
pub(crate) fn end_start() {
    let mut state = state();
    state.starting = false;
    state.set_max_level();
}

/// Opens the log anew; where that fails, the old one stays.
///
/// # Errors
/// Why it failed, as a message.
pub(crate) fn reopen() -> Result<(), String> {
    match &mut state().target {
        Some((sink, _)) => sink.reopen(),
        None => Ok(()),
    }
}

/// From now on this process has its messages written by another one, and no log of its own.
pub(crate) fn hand_over(relay: Relay) {
    let mut state = state();
    state.relay = Some(relay);
    state.target = None;
}

/// Writes a message of another process, of which nothing is believed.
pub(crate) fn write_for(pid: u32, level: Level, text: &[u8]) {
    state().write(pid, level, &escaped(&String::from_utf8_lossy(text)));
}

/// Takes the lines of messages that were lost since this was last asked.
pub(crate) fn take_lost() -> u64 {
    match &mut state().target {
        Some((sink, _)) => sink.take_lost(),
        None => 0,
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
