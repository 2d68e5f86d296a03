//! How many descriptors there are, and for how many connections that is enough.

use crate::error::Error;
use crate::serve::system;
use crate::sys;

/// What a worker needs beside its listeners' and connections': the poll, its two pipes, one for the connection that is about
/// to take another's place, and some to spare.
const OTHERS: u64 = 8;
/// The fewest connections with which it makes sense to start.
const MIN_CONNECTIONS: u64 = 16;

/// The descriptors of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    limit: u64,
    /// Those that were open before we opened any, and may be those of whoever started us.
    inherited: u64,
}

impl Descriptors {
    /// Raises the limit of this process as far as it goes, and to what is wanted for workers. To be called before
    /// anything is opened.
    ///
    /// # Errors
    /// The limit cannot be told.
    pub(crate) fn count(wanted: Option<u32>) -> Result<Self, Error> {
        let limit = raise_limit(wanted)?;
        let inherited = sys::next_descriptor().unwrap_or(limit);
        Ok(Self { limit, inherited })
    }

    /// The same with another limit. This process keeps one that is higher: its own descriptors are not the workers'.
    ///
    /// # Errors
    /// As with [`Self::count`].
    pub(crate) fn limited_to(self, wanted: Option<u32>) -> Result<Self, Error> {
        let limit = raise_limit(wanted)?;
        Ok(Self { limit, ..self })
    }

    /// Holds this process, which must be a worker, to its limit.
    ///
    /// # Errors
    /// The limit cannot be told.
    pub(crate) fn hold(self) -> Result<(), Error> {
        set_limit(u32::try_from(self.limit).ok()).map(drop)
    }

    /// The connections that a worker with this many listening sockets can hold.
    ///
    /// # Errors
    /// There would be too few.
    pub(crate) fn connections(self, listeners: usize) -> Result<usize, Error> {
        let needed = self.inherited + listeners as u64 + OTHERS;
        match self.limit.checked_sub(needed) {
            Some(left) if left >= MIN_CONNECTIONS => {
                Ok(usize::try_from(left).unwrap_or(usize::MAX))
            }
            Some(_) | None => Err(Error::Failed(format!(
                "the descriptor limit of {} is too low: {} are needed at least; \
                 raise it with \"ulimit -n\" or openfiles in login.conf",
                self.limit,
                needed + MIN_CONNECTIONS
            ))),
        }
    }
}

fn set_limit(wanted: Option<u32>) -> Result<u64, Error> {
    sys::set_descriptor_limit(wanted).map_err(|error| system("read the descriptor limit", &error))
}

/// Raises the limit, and returns that of a worker.
fn raise_limit(wanted: Option<u32>) -> Result<u64, Error> {
    let mut limit = set_limit(None)?;
    let Some(wanted) = wanted else {
        return Ok(limit);
    };
    if u64::from(wanted) > limit {
        limit = set_limit(Some(wanted))?;
    }
    if u64::from(wanted) > limit {
        log::warn!(
            "worker_rlimit_nofile {wanted} is more than the system allows: it is {limit}; start as root, or raise the hard limit"
        );
    }
    Ok(limit.min(wanted.into()))
}
