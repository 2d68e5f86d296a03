//! Listening sockets that this process inherits from a service manager (sd_listen_fds(3)).

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::Socket;

use crate::sys::sockets::option;

/// Takes ownership of the listening stream sockets `first..first + count`, which the environment says that this process
/// inherits, and makes them close-on-exec. Later calls return none.
///
/// # Errors
/// The number of the first descriptor that is not a listening stream socket, and the reason.
pub(crate) fn take_listening(
    first: RawFd,
    count: RawFd,
) -> Result<Vec<Socket>, (RawFd, io::Error)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    (first..first.saturating_add(count))
        .map(|number| take(number).map_err(|error| (number, error)))
        .collect()
}

fn take(number: RawFd) -> io::Result<Socket> {
    if option(number, libc::SO_TYPE)? != libc::SOCK_STREAM
        || option(number, libc::SO_ACCEPTCONN)? == 0
    {
        return Err(io::Error::other("not a listening stream socket"));
    }
    // SAFETY: it is an open listening socket. This process takes them once, before it opens a listening socket itself, so
    // nothing else owns it.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(number) });
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
