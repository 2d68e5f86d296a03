//! Logs in the supervisor, which writes the lines of its workers.

use std::path::Path;

use crate::config::{Config, LogSettings, SyslogServer, Target};
use crate::error::Error;
use crate::logger;
use crate::logger::{Severity, Sink};
use crate::serve::logs::frames::{Frame, Frames};
use crate::serve::metrics::counters::Counter;
use crate::sys;
use crate::sys::Pid;

/// The access log; the logger has the error log.
#[derive(Debug)]
pub(crate) struct Logs {
    access: Option<Sink>,
    /// Lines that have not been written to the access log yet.
    batch: Vec<u8>,
    /// Counts lost lines.
    lost: Counter,
}

/// Open logs that are not in use yet.
#[derive(Debug)]
pub(crate) struct NewLogs {
    error: Sink,
    level: Option<log::LevelFilter>,
    access: Option<Sink>,
}

impl NewLogs {
    /// Opens the logs of a configuration.
    ///
    /// # Errors
    /// The first log that cannot be opened.
    pub(crate) fn open(settings: &LogSettings) -> Result<Self, Error> {
        let access = settings.access.as_ref();
        Ok(Self {
            error: Sink::open("error_log", &settings.error)?,
            level: settings.level,
            access: access
                .map(|target| Sink::open("access_log", target))
                .transpose()?,
        })
    }
}

/// The paths that the supervisor writes to: log files, syslog sockets, and the directory of the pid file, in which a temporary
/// file is renamed.
pub(crate) fn written_paths(config: &Config) -> impl Iterator<Item = &Path> {
    let targets = std::iter::once(&config.logs.error).chain(&config.logs.access);
    let logs = targets.filter_map(|target| match target {
        Target::Stderr => None,
        Target::File(path) => Some(path.as_path()),
        Target::Syslog(syslog) => match &syslog.server {
            SyslogServer::Local => Some(Path::new(sys::SYSLOG_SOCKET)),
            SyslogServer::Unix(path) => Some(path.as_path()),
            SyslogServer::Udp(_) => None,
        },
    });
    let pid = config.pid.as_deref().map(|path| match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        Some(_) | None => Path::new("."),
    });
    logs.chain(pid)
}

/// Checks that logs can be opened, and returns the errors.
pub(crate) fn check(settings: &LogSettings) -> Vec<Error> {
    let error = Sink::check("error_log", &settings.error);
    let access = settings.access.as_ref();
    let access = access.and_then(|target| Sink::check("access_log", target));
    error.into_iter().chain(access).collect()
}

impl Logs {
    /// Starts to use logs; `lost` counts lost lines.
    pub(crate) fn start(new: NewLogs, lost: Counter) -> Self {
        logger::set_target(new.error, new.level);
        // Reads the zone's file now: workers cannot open it.
        sys::local_time(0);
        Self {
            access: new.access,
            batch: Vec::new(),
            lost,
        }
    }

    /// Replaces the logs by others.
    pub(crate) fn replace(&mut self, new: NewLogs) {
        self.close();
        *self = Self::start(new, self.lost);
    }

    /// Reopens the files, which may have been renamed.
    pub(crate) fn reopen(&mut self) {
        let messages = logger::reopen();
        let access = self.access.as_mut().map_or(Ok(()), Sink::reopen);
        if messages.is_ok() && access.is_ok() {
            log::info!("reopened the logs");
        }
        for error in [messages, access].into_iter().filter_map(Result::err) {
            log::error!("{error}");
        }
    }

    /// Takes bytes from a worker's log pipe. Returns whether the worker has reported that it accepts connections.
    pub(crate) fn take(&mut self, from: Pid, frames: &mut Frames, bytes: &[u8]) -> bool {
        let pid = u32::try_from(from).unwrap_or(0);
        let mut is_ready = false;
        let batch = &mut self.batch;
        frames.take(bytes, |frame| match frame {
            Frame::Ready => is_ready = true,
            Frame::Access(line) => append(line, batch),
            Frame::Message(level, text) => logger::write_for(pid, level, text),
        });
        self.write();
        is_ready
    }

    fn write(&mut self) {
        if let Some(access) = &mut self.access
            && !self.batch.is_empty()
        {
            access.write(&self.batch, Severity::Configured);
            self.lost.add(access.take_lost());
            if let Some((level, text)) = access.take_report() {
                log::log!(level, "{text}");
            }
        }
        self.lost.add(logger::take_lost());
        // Without an access log, lines of workers from before an "access_log off" are dropped.
        self.batch.clear();
    }

    /// Logs the lost lines that have not been reported, before the end.
    pub(crate) fn close(&mut self) {
        if let Some((level, text)) = self.access.as_mut().and_then(Sink::last_report) {
            log::log!(level, "{text}");
        }
    }
}

/// Appends a line of a worker, which is not trusted to have escaped it.
fn append(line: &[u8], batch: &mut Vec<u8>) {
    if line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        batch.extend_from_slice(line);
    } else {
        batch.extend(line.escape_ascii());
    }
    batch.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::metrics::counters::Counters;

    #[test]
    fn lines_of_a_worker_are_escaped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let mut logs = Logs {
            access: Some(Sink::open("access_log", &Target::File(path.clone())).unwrap()),
            batch: Vec::new(),
            lost: Counters::private().lost(),
        };
        let mut frames = Frames::default();
        assert!(!logs.take(1, &mut frames, b"aone\natw"));
        assert!(logs.take(1, &mut frames, b"o\n+\nx\na\x1b[31m\xff\\\n"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "one\ntwo\n\\x1b[31m\\xff\\\\\n");
        assert_eq!(logs.lost.get(), 0);
    }

    #[cfg(any(target_os = "linux", target_os = "freebsd"))] // the systems with /dev/full
    #[test]
    fn lines_lost_on_a_full_disk_are_counted() {
        let full = Target::File("/dev/full".into());
        let mut logs = Logs {
            access: Some(Sink::open("access_log", &full).unwrap()),
            batch: Vec::new(),
            lost: Counters::private().lost(),
        };
        logs.take(1, &mut Frames::default(), b"aone\natwo\n");
        assert_eq!(logs.lost.get(), 2);
    }
}
