//! What a system does without a facility of its own. All of it is used on systems other than Linux, FreeBSD and OpenBSD.
#![allow(
    dead_code,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "each system uses the items that it does not define itself, with signatures that fit all systems"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use socket2::{SockRef, Socket};

use crate::sys::syscall::ConfinementError;

/// The size of an atomic write to a pipe, and of the space in one that is writable (limits.h).
pub(crate) const PIPE_BUF: usize = 512;
/// The default path of the control socket.
pub(crate) const CONTROL_SOCKET: &str = "/var/run/maintd.sock";
/// The socket of syslogd(8).
pub(crate) const SYSLOG_SOCKET: &str = "/dev/log";
/// The switch uses pf(4), not nftables.
pub(crate) const HAS_PF: bool = true;
/// pf(4) is FreeBSD's: it has translation rules apart from filter rules (up to FreeBSD 14 only these), no interface group
/// "egress", and no redirect to ::1. OpenBSD's can redirect to ::1 (pf.conf(5), rdr-to).
pub(crate) const PF_IS_OF_FREEBSD: bool = false;
/// pfctl(8) kills states by their rule's label: everywhere but on macOS.
pub(crate) const PF_KILLS_BY_LABEL: bool = !cfg!(target_os = "macos");
/// The default user of workers.
pub(crate) const DEFAULT_USER: &str = "nobody";
/// A worker can change its root directory.
pub(crate) const HAS_CHROOT: bool = false;
/// The send(2) flag for bytes that are sent together with those that follow.
pub(crate) const MORE_FOLLOWS: libc::c_int = 0;
/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = false;

/// Has the kernel accept a connection when its first bytes have arrived. Here it accepts every established connection.
pub(crate) fn defer_accept(_listener: &Socket) -> io::Result<()> {
    Ok(())
}

/// Stops new handshakes with a listening socket. Not possible here.
pub(crate) fn block_new_connections(_listener: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reverts [`block_new_connections`].
pub(crate) fn unblock_new_connections(_listener: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// The kernel's limit of a backlog and the name of that setting (listen(2)). Not known here.
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    None
}

/// The bytes written to a socket that its peer has not acknowledged. Not known here: then only bytes that the kernel takes
/// count as progress.
pub(crate) fn unacknowledged(_socket: &impl AsRawFd) -> usize {
    0
}

/// Lets several sockets listen on one address and share its connections. Here all workers share one socket instead.
pub(crate) fn share_port(_socket: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A worker's root directory. It is not changed here.
#[derive(Debug)]
pub(crate) struct Root;

impl Root {
    /// Opens `path`, or an empty directory.
    pub(crate) fn open(_path: Option<&Path>) -> io::Result<Self> {
        Ok(Self)
    }

    /// Makes it the root of this process.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes capabilities from this process and its children. There are none here.
pub(crate) fn limit_capabilities() {}

/// Why workers have no filter of their system calls, on systems with such filters.
pub(crate) fn missing_syscall_filter() -> Option<&'static str> {
    None
}

/// Restricts this process to what a worker needs, as far as the system can.
pub(crate) fn restrict_worker(_was_root: bool) -> Result<(), ConfinementError> {
    Ok(())
}

/// Restricts the supervisor, which may still write to `written`, as far as the system can.
pub(crate) fn confine_supervisor(_written: &[&Path]) -> io::Result<()> {
    Ok(())
}

/// Whether `si_code` says that a process sent a signal (kill(2)), and not the kernel, as for a terminal's Ctrl-C
/// (sigaction(2)).
pub(crate) const fn is_sent_by_process(code: libc::c_int) -> bool {
    // SI_USER of <sys/siginfo.h>; the kernel's own are above it, SI_NOINFO the highest.
    code <= 0
}

/// The routing domain of this process. OpenBSD alone lists interfaces of other domains: a network namespace, or a jail with
/// its own network stack, lists only its own interfaces.
#[derive(Debug)]
pub(crate) struct RoutingDomain;

impl RoutingDomain {
    /// The domain of this process.
    pub(crate) fn own() -> io::Result<Self> {
        Ok(Self)
    }

    /// Whether an interface is in it.
    pub(crate) fn has(&self, _interface: &CStr) -> bool {
        true
    }
}
