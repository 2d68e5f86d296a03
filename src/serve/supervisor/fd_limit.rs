//! The limit of file descriptors (RLIMIT_NOFILE), and how many connections it allows.

use crate::error::Error;
use crate::sys;

/// What a worker needs besides listeners and connections: the poll, two pipes, the connection that is accepted before another
/// is evicted, and a reserve.
const RESERVED: u64 = 8;
/// The fewest connections with which a worker starts.
const MIN_CONNECTIONS: u64 = 16;

/// The descriptor limit of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FdLimit {
    limit: u64,
    /// The descriptors that were open at start, inherited from the parent process.
    inherited: u64,
}

impl FdLimit {
    /// Raises the limit of this process as far as possible, for workers to `configured`. To be called before anything is
    /// opened.
    ///
    /// # Errors
    /// The limit cannot be read.
    pub(crate) fn raise(configured: Option<u32>) -> Result<Self, Error> {
        let limit = raise_limit(configured)?;
        let inherited = sys::next_descriptor().unwrap_or(limit);
        Ok(Self { limit, inherited })
    }

    /// The same with another limit for workers. This process keeps a higher one.
    ///
    /// # Errors
    /// The same as [`Self::raise`].
    pub(crate) fn with_limit(self, configured: Option<u32>) -> Result<Self, Error> {
        let limit = raise_limit(configured)?;
        Ok(Self { limit, ..self })
    }

    /// Sets the limit of this process, which must be a worker.
    ///
    /// # Errors
    /// The limit cannot be read.
    pub(crate) fn apply(self) -> Result<(), Error> {
        set_limit(u32::try_from(self.limit).ok()).map(drop)
    }

    /// The connections that a worker with this many other sockets can have.
    ///
    /// # Errors
    /// There are too few.
    pub(crate) fn connections(self, sockets: usize) -> Result<usize, Error> {
        let needed = self.inherited + sockets as u64 + RESERVED;
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

fn set_limit(limit: Option<u32>) -> Result<u64, Error> {
    sys::set_descriptor_limit(limit)
        .map_err(|error| Error::system("read the descriptor limit", &error))
}

/// Raises the limit, and returns that of a worker.
fn raise_limit(configured: Option<u32>) -> Result<u64, Error> {
    let mut limit = set_limit(None)?;
    let Some(configured) = configured else {
        return Ok(limit);
    };
    if u64::from(configured) > limit {
        limit = set_limit(Some(configured))?;
    }
    if u64::from(configured) > limit {
        log::warn!(
            "worker_rlimit_nofile {configured} is more than the system allows: it is {limit}; start as root, or raise the hard limit"
        );
    }
    Ok(limit.min(configured.into()))
}
