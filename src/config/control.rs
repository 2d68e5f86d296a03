//! How a running daemon is looked at and told things: its control socket, and the listener for metrics and health.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::sys;

/// The control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlSocket {
    /// There is none: nothing was configured.
    #[default]
    Closed,
    /// It is where everybody looks for it, if it can be opened there.
    Default,
    /// It is there, and nowhere else.
    At(PathBuf),
}

impl ControlSocket {
    /// Where it is to be opened.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Closed => None,
            Self::Default => Some(Path::new(sys::CONTROL_SOCKET)),
            Self::At(path) => Some(path),
        }
    }
}

/// The listener that tells how the daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where it listens.
    pub address: SocketAddr,
    /// The path that says whether workers answer.
    pub health: Option<String>,
}
