//! Linux.

use std::io;

use socket2::Socket;

/// Has the kernel hand out a connection when its first bytes are there (`TCP_DEFER_ACCEPT`, tcp(7)).
///
/// The value is in seconds and decides how often the SYN-ACK is sent again before a silent client is handed out all
/// the same: 1 means after about a second, and 5 would hide it from our deadlines for 7.
pub(crate) fn defer_accept(listener: &Socket) -> io::Result<()> {
    super::set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)
}

/// What the kernel cuts a longer backlog to, and the name of that setting (listen(2)).
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    Some((text.trim().parse().ok()?, "net.core.somaxconn"))
}

/// ioctl(2)'s requests: glibc and musl have not the same type for them.
pub(super) type Request = libc::Ioctl;

/// The bytes written to a socket that its peer has not acknowledged (`SIOCOUTQ`, tcp(7)).
pub(crate) fn unacknowledged(socket: &impl std::os::fd::AsRawFd) -> usize {
    super::socket_count(socket, libc::TIOCOUTQ)
}

/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = true;

/// Lets several sockets listen on one address, each with connections of its own (`SO_REUSEPORT`, socket(7)).
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    super::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}
