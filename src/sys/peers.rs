//! Who is at the other end of a socket, and that nobody wants to know.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use crate::sys::privileges::done;

/// Accepts a connection, non-blocking and closed by exec, without asking whose it is (accept4(2)): to be told is a fourteenth
/// of what that costs.
///
/// # Errors
/// What accept4(2) says.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let nobody = ptr::null_mut();
    // SAFETY: where there is no room for an address none is written.
    let accepted = unsafe { libc::accept4(listener.as_raw_fd(), nobody, ptr::null_mut(), flags) };
    if accepted < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has just been opened, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// The effective user of the process that has connected (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// What getsockopt(2) says.
#[cfg(target_os = "linux")]
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `peer`, which outlives the call.
    done(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    })?;
    Ok(peer.uid)
}

/// The effective user of the process that has connected (getpeereid(3)).
///
/// # Errors
/// What getpeereid(3) says.
#[cfg(not(target_os = "linux"))]
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: it writes two ids, and there is room for each.
    done(unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) })?;
    Ok(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_other_end_is_known() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (own, _) = crate::sys::own_ids();
        assert_eq!(peer_uid(one.as_fd()).unwrap(), own);
    }
}
