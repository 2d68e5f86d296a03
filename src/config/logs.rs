//! The targets of the logs.

use std::path::PathBuf;

use log::LevelFilter;

/// The targets of messages and of the access log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// The target of messages.
    pub error: Target,
    /// The least severe messages that are written; `None` is all but debug messages.
    pub level: Option<LevelFilter>,
    /// The target of the access log; `None` writes none.
    pub access: Option<Target>,
}

/// The target of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The standard error output.
    #[default]
    Stderr,
    /// A file or device.
    File(PathBuf),
    /// A syslog server.
    Syslog(Syslog),
}

/// A syslog server and the header of its messages (RFC 3164).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// The address of the server.
    pub server: SyslogServer,
    /// The number of the facility.
    pub facility: u8,
    /// The number of the severity of access log lines.
    pub severity: u8,
    /// The tag of each message.
    pub tag: String,
    /// Messages have the host name.
    pub with_host: bool,
}

/// The address of a syslog server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// The local syslogd.
    Local,
    /// A Unix socket.
    Unix(PathBuf),
    /// `HOST:PORT` over UDP.
    Udp(String),
}
