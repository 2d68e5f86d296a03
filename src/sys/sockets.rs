//! Sockets: accept(2) without the peer's address, the peer's user, options.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use crate::sys::syscall::check;

/// The type of ioctl(2)'s requests: not the same in glibc and musl.
#[cfg(target_os = "linux")]
type IoctlRequest = libc::Ioctl;
#[cfg(target_os = "freebsd")]
type IoctlRequest = libc::c_ulong;

/// Accepts a connection, non-blocking and close-on-exec, without the peer's address (accept4(2)): the address is a fourteenth
/// of the cost.
///
/// # Errors
/// Of accept4(2).
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: with null for the address none is written.
    let accepted = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            ptr::null_mut(),
            ptr::null_mut(),
            flags,
        )
    };
    if accepted < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just opened it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// The effective user of the process that has connected (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// Of getsockopt(2).
#[cfg(target_os = "linux")]
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `peer`, which outlives the call.
    check(unsafe {
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
/// Of getpeereid(3).
#[cfg(not(target_os = "linux"))]
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: it writes two ids, and there is room for each.
    check(unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) })?;
    Ok(uid)
}

/// Gets a number from a socket (ioctl(2)); 0 on an error.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) fn socket_count(socket: &impl AsRawFd, request: IoctlRequest) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the requests of our system files write one c_int, and `count` is one.
    match unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut count) } {
        0 => usize::try_from(count).unwrap_or(0),
        _ => 0,
    }
}

/// Sets one integer option of a socket (setsockopt(2)).
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `value`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size,
        )
    })
}

/// Gets one integer option of a descriptor, which may be closed or no socket (getsockopt(2)).
pub(crate) fn option(descriptor: RawFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `value`; a closed descriptor is an error.
    check(unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut size,
        )
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_user_of_the_peer_is_known() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (own, _) = crate::sys::users::own_ids();
        assert_eq!(peer_uid(one.as_fd()).unwrap(), own);
    }
}
