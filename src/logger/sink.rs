//! Outputs of logs: stderr, file or syslog. Writes never block; lines that cannot be written are dropped and counted.

use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use log::Level;

use crate::config::Target;
use crate::error::{Error, reason};
use crate::logger::file::{LogFile, write_pieces};
use crate::logger::syslog::{Severity, Syslogd};
use crate::sys;

/// The shortest time between two messages about one log.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A log that is open.
#[derive(Debug)]
pub(crate) struct Sink {
    /// The directive and the target, for messages.
    name: String,
    output: Output,
    losses: Losses,
}

#[derive(Debug)]
enum Output {
    Stderr { ends_mid_line: bool },
    File(LogFile),
    Syslog(Syslogd),
}

/// A message about a log, which may not be writable itself.
pub(crate) type LogReport = (Level, String);

/// The lines that were lost.
#[derive(Debug, Default)]
struct Losses {
    /// Not yet reported.
    unreported: u64,
    /// Not yet taken by [`Sink::take_lost`].
    uncounted: u64,
    /// The reason why the last line was lost, if it was.
    error: Option<String>,
    /// That reason has been reported.
    is_reported: bool,
    /// The time of the last report.
    reported: Option<Instant>,
}

impl Sink {
    /// Opens a log; `directive` is for messages. A FIFO without a reader and a syslogd that does not run are opened later.
    ///
    /// # Errors
    /// The file cannot be opened, or the host is unknown.
    pub(crate) fn open(directive: &str, target: &Target) -> Result<Self, Error> {
        let output = match target {
            Target::Stderr => Ok(Output::Stderr {
                ends_mid_line: false,
            }),
            Target::File(path) => LogFile::open(path).map(Output::File),
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

    /// Checks that a log can be opened, as far as that is possible without creating a file.
    pub(crate) fn check(directive: &str, target: &Target) -> Option<Error> {
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

    /// Whether it is standard error.
    pub(crate) const fn is_stderr(&self) -> bool {
        matches!(self.output, Output::Stderr { .. })
    }

    /// Whether it is a syslogd, which adds time and severity.
    pub(crate) const fn is_syslog(&self) -> bool {
        matches!(self.output, Output::Syslog(_))
    }

    /// Reopens the file, which may have been renamed. On an error the old one stays open.
    ///
    /// # Errors
    /// A message.
    pub(crate) fn reopen(&mut self) -> Result<(), String> {
        match &mut self.output {
            Output::Stderr { .. } => Ok(()),
            Output::File(file) => match LogFile::open(file.path()) {
                Ok(new) => {
                    *file = new;
                    Ok(())
                }
                Err(error) => Err(format!(
                    "cannot reopen {}: {}; writing to the old file",
                    self.name,
                    reason(&error)
                )),
            },
            Output::Syslog(syslogd) => {
                syslogd.disconnect();
                Ok(())
            }
        }
    }

    /// Writes lines, each with its line feed.
    pub(crate) fn write(&mut self, lines: &[u8], severity: Severity) {
        let (lost, error) = match &mut self.output {
            Output::Stderr { ends_mid_line } => {
                write_pieces(lines, sys::PIPE_BUF, ends_mid_line, write_stderr)
            }
            Output::File(file) => file.write(lines),
            Output::Syslog(syslogd) => syslogd.write(lines, severity),
        };
        self.losses.add(lost, error);
    }

    /// The lines lost since the previous call.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.losses.uncounted)
    }

    /// A message about lost lines, at most one per interval.
    pub(crate) fn take_report(&mut self) -> Option<LogReport> {
        self.losses.report(&self.name, Instant::now())
    }

    /// The message about lines that have not been reported, before the log is closed.
    pub(crate) fn last_report(&mut self) -> Option<LogReport> {
        let lost = std::mem::take(&mut self.losses.unreported);
        (lost > 0).then(|| lost_lines(&self.name, lost))
    }
}

fn not_open(directive: &str, target: &Target, error: &io::Error) -> Error {
    Error::Failed(format!(
        "cannot open {directive} {}: {}; check the path of {directive}",
        describe(target),
        reason(error)
    ))
}

fn lost_lines(name: &str, lost: u64) -> LogReport {
    (Level::Warn, format!("{name}: {lost} lines lost"))
}

impl Losses {
    fn add(&mut self, lost: u64, error: Option<io::Error>) {
        self.unreported += lost;
        self.uncounted += lost;
        if error.is_none() {
            self.is_reported = false;
        }
        self.error = error.map(|error| {
            // "Resource temporarily unavailable" does not say the cause.
            if error.kind() == ErrorKind::WouldBlock {
                "the reader is too slow".to_owned()
            } else {
                reason(&error)
            }
        });
    }

    fn report(&mut self, name: &str, now: Instant) -> Option<LogReport> {
        if self.unreported == 0
            || self
                .reported
                .is_some_and(|last| now < last + REPORT_INTERVAL)
        {
            return None;
        }
        let report = match &self.error {
            Some(_) if self.is_reported => return None,
            Some(error) => {
                self.is_reported = true;
                (
                    Level::Error,
                    format!("cannot write {name}: {error}; lines are lost"),
                )
            }
            None => lost_lines(name, std::mem::take(&mut self.unreported)),
        };
        self.reported = Some(now);
        Some(report)
    }
}

/// A target in messages.
fn describe(target: &Target) -> String {
    match target {
        Target::Stderr => "stderr".to_owned(),
        Target::File(path) => format!("\"{}\"", path.display()),
        Target::Syslog(settings) => crate::logger::syslog::describe(settings),
    }
}

/// Writes to stderr without blocking. Its file description may be shared with other programs, so it stays in blocking mode.
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
    fn an_error_is_reported_once_and_lost_lines_after_it() {
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
        assert_eq!(losses.report("log", start + 2 * REPORT_INTERVAL), None);
        losses.add(0, None);
        assert_eq!(losses.report("log", start + REPORT_INTERVAL / 2), None);
        let (level, text) = losses.report("log", start + REPORT_INTERVAL).unwrap();
        assert_eq!((level, &*text), (Level::Warn, "log: 5 lines lost"));
        assert_eq!(losses.report("log", start + 3 * REPORT_INTERVAL), None);
        assert_eq!(losses.uncounted, 5);
    }
}
