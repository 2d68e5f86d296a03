//! What a service manager's protocols need: the listening sockets that the process was started with, and its clock.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::Socket;

/// Takes the listening stream sockets `first..first + count`, of which the environment says that they were left open for
/// this process, and has them closed at an exec. They can be taken once: later there is nothing to take.
///
/// # Errors
/// The number of the first that is no such socket, and why.
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
    if socket_option(number, libc::SO_TYPE)? != libc::SOCK_STREAM
        || socket_option(number, libc::SO_ACCEPTCONN)? == 0
    {
        return Err(io::Error::other("not a stream socket that listens"));
    }
    // SAFETY: it is an open socket that listens, so it is not one of ours: this process has opened none that listens
    // before it takes those that it was started with, which it does once.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(number) });
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks a descriptor that may not be open, or no socket, for one integer option (getsockopt(2)).
fn socket_option(number: RawFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `value`; a number that is not open is an error.
    let status = unsafe {
        libc::getsockopt(
            number,
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    if status == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Microseconds of the clock that is never set (clock_gettime(2)); 0 where there is none.
pub(crate) fn monotonic_micros() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime writes one timespec, and `now` is one.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) } != 0 {
        return 0;
    }
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec / 1000).unwrap_or(0)
}
