//! The control socket, and the listener for metrics and health checks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::sys;

/// The path of the metrics.
pub const METRICS_PATH: &str = "/metrics";

/// The longest path of a socket on all systems (unix(4): `sun_path` has 104 bytes, the last one is 0).
const MAX_SOCKET_PATH: usize = 103;

/// The control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlSocket {
    /// No socket: the daemon runs without a configuration file.
    #[default]
    Closed,
    /// The socket at the system's default path. The daemon starts without it where it cannot be opened.
    Default,
    /// The socket at this path.
    At(PathBuf),
}

impl ControlSocket {
    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Closed => None,
            Self::Default => Some(Path::new(sys::CONTROL_SOCKET)),
            Self::At(path) => Some(path),
        }
    }
}

/// The listener for metrics and health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Its address.
    pub address: SocketAddr,
    /// The path of the health check.
    pub health: Option<String>,
}

/// Checks that a socket can have this path.
///
/// # Errors
/// The expected value.
pub(crate) fn check_socket_path(path: &Path) -> Result<(), &'static str> {
    if path.file_name().is_none() {
        Err("the path of a socket")
    } else if path.as_os_str().len() > MAX_SOCKET_PATH {
        Err("a path of at most 103 bytes")
    } else {
        Ok(())
    }
}
