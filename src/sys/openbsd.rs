//! OpenBSD, and systems without a file of their own.

use std::io;

use socket2::Socket;

/// There is no such filter here: a connection is handed out when it is made.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn defer_accept(_listener: &Socket) -> io::Result<()> {
    Ok(())
}

/// What the kernel cuts a longer backlog to, and the name of that setting (listen(2)).
#[cfg(target_os = "openbsd")]
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    let name = [libc::CTL_KERN, libc::KERN_SOMAXCONN];
    let mut value: u32 = 0;
    let mut size = size_of_val(&value);
    // SAFETY: `name` has the two levels that are said; the pointer and the size are those of `value`; nothing is set.
    let status = unsafe {
        libc::sysctl(
            name.as_ptr(),
            2,
            (&raw mut value).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    (status == 0).then_some((value, "kern.somaxconn"))
}

/// Not known here.
#[cfg(not(target_os = "openbsd"))]
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    None
}

/// Not to be asked for here: only what the kernel takes of an answer counts as progress.
pub(crate) fn unacknowledged(_socket: &impl std::os::fd::AsRawFd) -> usize {
    0
}

/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = false;

/// Several sockets on one address do not share its connections here: they share one socket instead.
pub(crate) fn share_port(_socket: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
