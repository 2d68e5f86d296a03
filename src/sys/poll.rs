//! Waiting for descriptors (poll(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// A descriptor and what to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Input or the end of input.
    Input(BorrowedFd<'a>),
    /// Space for output, or an error of the other end.
    Output(BorrowedFd<'a>),
}

impl Source<'_> {
    fn polled(&self) -> libc::pollfd {
        let (file, events) = match self {
            Self::Input(file) => (file, libc::POLLIN),
            Self::Output(file) => (file, libc::POLLOUT),
        };
        libc::pollfd {
            fd: file.as_raw_fd(),
            events,
            revents: 0,
        }
    }
}

/// Waits until one of `sources` is ready, and returns for each of them whether it is. None is after `limit` or a signal.
///
/// poll(2) has no state in the kernel, so a forked process inherits none; descriptors of epoll(7) would be shared, and those
/// of kqueue(2) lost.
///
/// # Errors
/// Of poll(2), without `EINTR`.
pub(crate) fn wait_for(sources: &[Source<'_>], limit: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = sources.iter().map(Source::polled).collect();
    // Rounded up: a wait that ends too early would be repeated in a loop.
    let milliseconds = limit.map_or(-1, |limit| {
        libc::c_int::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
    });
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // SAFETY: the pointer and the count are those of `polled`, which outlives the call.
    if unsafe { libc::poll(polled.as_mut_ptr(), count, milliseconds) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        polled.iter_mut().for_each(|one| one.revents = 0);
    }
    Ok(polled.iter().map(|one| one.revents != 0).collect())
}

/// Whether a write of at most `PIPE_BUF` bytes would not block, or would fail at once.
pub(crate) fn is_writable(file: BorrowedFd<'_>) -> bool {
    let mut polled = Source::Output(file).polled();
    // SAFETY: poll reads and writes one pollfd, and `polled` is one.
    unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
}
