//! The phases of the supervisor: starting, serving, reloading, shutting down.

use std::time::Instant;

/// The phase of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupervisorPhase {
    /// Not all of the first workers accept yet.
    Starting,
    /// All workers of the newest generation accept.
    Serving,
    /// Serves, but not all of the newest workers accept yet.
    Reloading,
    /// Serves. The old workers stay until then, for handshakes in progress on listeners that the reload removes.
    ClosingListeners(Instant),
    /// New connections are refused. The workers stay until then, for handshakes in progress.
    RefusingConnections(Instant),
    /// The workers drain. The supervisor exits with the last of them.
    Draining,
}

impl SupervisorPhase {
    /// The daemon shuts down: no reload is started.
    pub(crate) const fn is_shutting_down(self) -> bool {
        match self {
            Self::Starting | Self::Serving | Self::Reloading | Self::ClosingListeners(_) => false,
            Self::RefusingConnections(_) | Self::Draining => true,
        }
    }

    /// The end of a phase that has a fixed length.
    pub(crate) const fn end(self) -> Option<Instant> {
        match self {
            Self::ClosingListeners(end) | Self::RefusingConnections(end) => Some(end),
            Self::Starting | Self::Serving | Self::Reloading | Self::Draining => None,
        }
    }
}
