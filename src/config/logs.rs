//! Where logs go.

use std::path::PathBuf;

use log::LevelFilter;

/// Where messages and the lines of requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Where messages go.
    pub error: Target,
    /// The messages that go there, without which all do but those for debugging.
    pub level: Option<LevelFilter>,
    /// Where a line for each request goes; none is written without it.
    pub access: Option<Target>,
}

/// Where the lines of a log go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The standard error output.
    #[default]
    Stderr,
    /// A file, or what stands in the place of one.
    File(PathBuf),
    /// A syslogd.
    Syslog(Syslog),
}

/// How a syslogd is told (RFC 3164).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where it is.
    pub server: SyslogServer,
    /// The facility's number.
    pub facility: u8,
    /// The severity's number, for lines that have none of their own.
    pub severity: u8,
    /// What the lines are marked with.
    pub tag: String,
    /// Whether this host's name stands in them.
    pub with_host: bool,
}

/// Where a syslogd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// The system's own.
    Local,
    /// At a socket in the file system.
    Unix(PathBuf),
    /// At `HOST:PORT`, by UDP.
    Udp(String),
}
