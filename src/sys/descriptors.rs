//! File descriptors: their limit, and how many are open.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use crate::sys::syscall::check;

/// Sets the soft limit of open descriptors to `wanted`, and raises the hard limit to it where that is allowed; without
/// `wanted`, sets the soft limit to the hard one. Returns the limit that then holds (setrlimit(2)).
///
/// # Errors
/// Of getrlimit(2). A refused raise is no error.
#[allow(
    clippy::unnecessary_fallible_conversions,
    clippy::useless_conversion,
    reason = "`rlim_t` is not the same type everywhere: signed on FreeBSD, where no limit is negative"
)]
pub(crate) fn set_descriptor_limit(wanted: Option<u32>) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one rlimit, and `limit` is one.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let wanted = wanted.map_or(limit.rlim_max, libc::rlim_t::from);
    // Within the hard limit first: only root may raise that.
    for rlim_max in [limit.rlim_max, limit.rlim_max.max(wanted)] {
        let raised = libc::rlimit {
            rlim_cur: wanted.min(rlim_max),
            rlim_max,
        };
        // SAFETY: setrlimit reads one rlimit, and `raised` is one.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    Ok(u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX))
}

/// The number of the next descriptor to be opened: at least so many are open now.
///
/// # Errors
/// Of dup(2), above all `EMFILE`.
pub(crate) fn next_descriptor() -> io::Result<u64> {
    let next = io::stderr().as_fd().try_clone_to_owned()?;
    Ok(u64::try_from(next.as_raw_fd()).unwrap_or(0))
}
