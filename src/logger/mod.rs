//! Messages: `maintd: what is wrong: cause; what to do` on stderr and in `error_log`.
//!
//! During the start messages go to stderr and to `error_log`, later to `error_log` alone.

mod file;
mod sink;
mod syslog;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::clock;
pub(crate) use crate::logger::sink::Sink;
pub(crate) use crate::logger::syslog::Severity;
use crate::quote::Escaped;

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
    fn is_on(self) -> bool {
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

/// Sends the messages of a worker, which has no log of its own, to the supervisor.
pub(crate) type Relay = fn(Level, &str);

/// The destinations of messages.
#[derive(Debug)]
struct LoggerState {
    /// Messages on stderr are coloured.
    color: bool,
    /// The level of stderr.
    level: LevelFilter,
    /// The command line sets the level, which overrides the configuration.
    is_level_forced: bool,
    /// The start has not ended.
    starting: bool,
    target: Option<(Sink, LevelFilter)>,
    relay: Option<Relay>,
}

/// The only logger. `log` requires `Sync`; with a single thread the lock is always free.
struct Logger(Mutex<LoggerState>);

static LOGGER: Logger = Logger(Mutex::new(LoggerState {
    color: false,
    level: LevelFilter::Info,
    is_level_forced: false,
    starting: true,
    target: None,
    relay: None,
}));

fn state() -> MutexGuard<'static, LoggerState> {
    LOGGER.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Logger {
    /// Messages of this crate only, not of libraries.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = Escaped(record.args()).to_string();
        let relay = state().relay;
        match relay {
            Some(relay) => relay(record.level(), &text),
            None => state().write(std::process::id(), record.level(), &text),
        }
    }

    fn flush(&self) {}
}

impl LoggerState {
    fn write(&mut self, pid: u32, level: Level, text: &str) {
        let color = self.color;
        if self.starting && level <= self.level {
            // One write, so that lines of several processes do not mix. An error cannot be reported anywhere.
            let _ = io::stderr().write_all(stderr_line(color, level, text).as_bytes());
        }
        let Some((sink, filter)) = &mut self.target else {
            return;
        };
        if level > *filter || (self.starting && sink.is_stderr()) {
            return;
        }
        write_to(sink, color, pid, level, text);
        // The log cannot contain its own error, only the number of lost lines.
        if let Some((level @ Level::Warn, text)) = sink.take_report() {
            write_to(sink, color, std::process::id(), level, &text);
        }
    }

    /// Sets the level above which messages are not formatted.
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

/// Writes a message in the format of its log.
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
        let time = clock::error_log(clock::seconds());
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

/// Starts to log on stderr, from `level` up or from the default level.
pub(crate) fn start(level: Option<LevelFilter>, color: Color) {
    let mut state = state();
    state.color = color.is_on();
    state.is_level_forced = level.is_some();
    state.level = level.unwrap_or(LevelFilter::Info);
    state.set_max_level();
    drop(state);
    // It fails if a logger has been set before.
    let _ = log::set_logger(&LOGGER);
}

/// Replaces the target by `sink`, from `level` up unless the command line sets the level.
pub(crate) fn set_target(sink: Sink, level: Option<LevelFilter>) {
    let mut state = state();
    let level = match level {
        Some(level) if !state.is_level_forced => level,
        Some(_) | None => state.level,
    };
    state.target = Some((sink, level));
    state.set_max_level();
}

/// The start is complete: messages go to `error_log` alone, without blocking.
pub(crate) fn startup_complete() {
    let mut state = state();
    state.starting = false;
    state.set_max_level();
}

/// Reopens the log; on an error the old one stays open.
///
/// # Errors
/// A message.
pub(crate) fn reopen() -> Result<(), String> {
    match &mut state().target {
        Some((sink, _)) => sink.reopen(),
        None => Ok(()),
    }
}

/// Sends the messages of this process through `relay` from now on, and closes its log.
pub(crate) fn set_relay(relay: Relay) {
    let mut state = state();
    state.relay = Some(relay);
    state.target = None;
}

/// Writes a message of another process, which is not trusted.
pub(crate) fn write_for(pid: u32, level: Level, text: &[u8]) {
    state().write(
        pid,
        level,
        &Escaped(String::from_utf8_lossy(text)).to_string(),
    );
}

/// The lines of messages lost since the previous call.
pub(crate) fn take_lost() -> u64 {
    match &mut state().target {
        Some((sink, _)) => sink.take_lost(),
        None => 0,
    }
}
