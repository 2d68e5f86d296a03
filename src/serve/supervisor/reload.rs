//! How far the supervisor has come, and what comes of the wish to go on.

use std::time::Instant;

use crate::error::Error;

/// How far the supervisor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not all of the first workers accept yet.
    Starting,
    /// It serves.
    Serving,
    /// It serves, and not all of the newest workers accept yet.
    Reloading,
    /// It serves, with the old workers beside the new ones until then, for those who are on their way to a place that is
    /// listened on no more.
    Closing(Instant),
    /// It serves until then those who have come, and lets nobody else in.
    LastCall(Instant),
    /// It ends when its last worker does.
    Leaving,
}

/// What has come of the wish to reload.
#[derive(Debug)]
pub(crate) enum Reloading {
    /// New workers begin.
    Begun,
    /// There are too many old ones; it begins when one has gone.
    Waits,
    /// It cannot be: the old workers stay.
    Faulty(Error),
    /// It is too late for it.
    Ending,
}

impl Phase {
    /// Nothing new is begun.
    pub(crate) const fn is_ending(self) -> bool {
        match self {
            Self::Starting | Self::Serving | Self::Reloading | Self::Closing(_) => false,
            Self::LastCall(_) | Self::Leaving => true,
        }
    }

    /// When the workers are to be told to go, or the old ones.
    pub(crate) const fn end(self) -> Option<Instant> {
        match self {
            Self::Closing(end) | Self::LastCall(end) => Some(end),
            Self::Starting | Self::Serving | Self::Reloading | Self::Leaving => None,
        }
    }
}
