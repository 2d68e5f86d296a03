//! Where lines go, without ever waiting: what there is no room for is dropped and counted.

use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use log::Level;

use crate::config::Target;
use crate::error::{Error, reason};
use crate::logger::file::{Regular, write_pieces};
use crate::logger::syslog::{Severity, Syslogd};
use crate::sys;

/// The shortest time between two messages about one log.
const SILENCE: Duration = Duration::from_secs(10);

/// A log that is open.
#[derive(Debug)]
pub(crate) struct Sink {
    /// The directive and its target, for messages.
    name: String,
    output: Output,
    losses: Losses,
}

#[derive(Debug)]
enum Output {
    /// It may end in the middle of a line.
    Stderr {
        torn: bool,
    },
    File(Regular),
    Syslog(Syslogd),
}

/// What is to be told about a log, of which it cannot be told in the log itself.
pub(crate) type Report = (Level, String);

/// The lines that did not go through.
#[derive(Debug, Default)]
struct Losses {
    /// Of which nothing has been told.
    untold: u64,
    /// Of which nothing has been counted elsewhere.
    uncounted: u64,
    /// The last line did not go through, for this reason.
    trouble: Option<String>,
    /// That reason has been told.
    is_told: bool,
    /// When something was told last.
    told: Option<Instant>,
}

impl Sink {
    /// Opens a log; `directive` is for messages.
    ///
    /// A FIFO without a reader, and a syslogd that does not run, are waited for without waiting.
    ///
    /// # Errors
    /// The file cannot be opened, or the host is not known.
    pub(crate) fn open(directive: &str, target: &Target) -> Result<Self, Error> {
        let output = match target {
            Target::Stderr => Ok(Output::Stderr { torn: false }),
            Target::File(path) => Regular::open(path).map(Output::File),
            Target::Syslog(settings) => Syslogd::open(settings).map(Output::Syslog),
        };
        match output {
            Ok(output) => Ok(Self {
                name: format!("{directive} {}", describe(target)),
                output,
                losses: Losses::default(),
            }),
            Err(error) => Err(not_open(directive, target, &error)),
        }
    }

    /// Looks whether a log could be opened, as far as that can be told without making a file.
    pub(crate) fn look(directive: &str, target: &Target) -> Option<Error> {
        let Target::File(path) = target else {
            return None;
        };
        let found = match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let directory = path.parent().filter(|parent| *parent != Path::new(""));
                directory.unwrap_or(Path::new(".")).metadata().map(drop)
            }
            Ok(data) if data.is_dir() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
            found => found.map(drop),
        };
        let error = found.err()?;
        Some(not_open(directive, target, &error))
    }

    /// It is the standard error output.
    pub(crate) const fn is_stderr(&self) -> bool {
        matches!(self.output, Output::Stderr { .. })
    }

    /// It is a syslogd, which dates lines and has severities.
    pub(crate) const fn is_syslog(&self) -> bool {
        matches!(self.output, Output::Syslog(_))
    }

    /// Opens the file anew, which may have been renamed. Where that fails the old one stays.
    ///
    /// # Errors
    /// Why it failed, as a message.
    pub(crate) fn reopen(&mut self) -> Result<(), String> {
        match &mut self.output {
            Output::Stderr { .. } => Ok(()),
            Output::File(file) => match Regular::open(file.path()) {
                Ok(new) => {
                    *file = new;
                    Ok(())
                }
                Err(error) => Err(format!(
                    "cannot open {} anew: {}; the old file is written on",
                    self.name,
                    reason(&error)
                )),
            },
            Output::Syslog(syslogd) => {
                syslogd.forget();
                Ok(())
            }
        }
    }

    /// Writes whole lines, each with its end.
    pub(crate) fn write(&mut self, lines: &[u8], severity: Severity) {
        let (lost, trouble) = match &mut self.output {
            Output::Stderr { torn } => write_pieces(lines, sys::PIPE_BUF, torn, write_stderr),
            Output::File(file) => file.write(lines),
            Output::Syslog(syslogd) => syslogd.write(lines, severity),
        };
        self.losses.add(lost, trouble);
    }

    /// The lines that were lost since this was last asked.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.losses.uncounted)
    }

    /// What is to be told of this log, once in a while.
    pub(crate) fn take_report(&mut self) -> Option<Report> {
        self.losses.report(&self.name, Instant::now())
    }

    /// What is left to be told of this log before it is closed.
    pub(crate) fn last_report(&mut self) -> Option<Report> {
        let lost = std::mem::take(&mut self.losses.untold);
        (lost > 0).then(|| told_lost(&self.name, lost))
    }
}

fn not_open(directive: &str, target: &Target, error: &io::Error) -> Error {
    Error::Failed(format!(
        "cannot open {directive} {}: {}; mend that or change {directive}",
        describe(target),
        reason(error)
    ))
}

fn told_lost(name: &str, lost: u64) -> Report {
    (Level::Warn, format!("{name}: {lost} lines lost"))
}

impl Losses {
    fn add(&mut self, lost: u64, trouble: Option<io::Error>) {
        self.untold += lost;
        self.uncounted += lost;
        if trouble.is_none() {
            self.is_told = false;
        }
        self.trouble = trouble.map(|error| {
            // "Resource temporarily unavailable" is not what an administrator would look for.
            if error.kind() == ErrorKind::WouldBlock {
                "nobody reads it".to_owned()
            } else {
                reason(&error)
            }
        });
    }

    fn report(&mut self, name: &str, now: Instant) -> Option<Report> {
        if self.untold == 0 || self.told.is_some_and(|told| now < told + SILENCE) {
            return None;
        }
        let report = match &self.trouble {
            Some(_) if self.is_told => return None,
            Some(trouble) => {
                self.is_told = true;
                (
                    Level::Error,
                    format!("cannot write {name}: {trouble}; lines are lost"),
                )
            }
            None => told_lost(name, std::mem::take(&mut self.untold)),
        };
        self.told = Some(now);
        Some(report)
    }
}

/// A target as messages have it.
fn describe(target: &Target) -> String {
    match target {
        Target::Stderr => "stderr".to_owned(),
        Target::File(path) => format!("\"{}\"", path.display()),
        Target::Syslog(settings) => crate::logger::syslog::describe(settings),
    }
}

/// Writes to stderr what there is room for. Its description may be others' too, so it is not made non-blocking.
fn write_stderr(bytes: &[u8]) -> io::Result<usize> {
    let mut stderr = io::stderr();
    if !sys::is_writable(stderr.as_fd()) {
        return Err(ErrorKind::WouldBlock.into());
    }
    stderr.write(&bytes[..bytes.len().min(sys::PIPE_BUF)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_losses_when_it_is_over() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let full = || Some(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(losses.report("log", start), None);
        losses.add(2, full());
        let (level, text) = losses.report("log", start).unwrap();
        assert_eq!(
            (level, &*text),
            (
                Level::Error,
                "cannot write log: no space left on device; lines are lost"
            )
        );
        losses.add(3, full());
        assert_eq!(losses.report("log", start + 2 * SILENCE), None);
        losses.add(0, None);
        assert_eq!(losses.report("log", start + SILENCE / 2), None);
        let (level, text) = losses.report("log", start + SILENCE).unwrap();
        assert_eq!((level, &*text), (Level::Warn, "log: 5 lines lost"));
        assert_eq!(losses.report("log", start + 3 * SILENCE), None);
        assert_eq!(losses.uncounted, 5);
    }
}
