//! FreeBSD.

use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use socket2::Socket;

pub(crate) use crate::sys::fallback::{
    CONTROL_SOCKET, HAS_PF, MORE_FOLLOWS, PF_KILLS_BY_LABEL, PIPE_BUF, RoutingDomain,
    block_new_connections, confine_supervisor, limit_capabilities, missing_syscall_filter,
    restrict_worker, unblock_new_connections,
};
use crate::sys::root_directory::{c_path, check_root, chroot};
use crate::sys::sockets::{set_option, socket_count};
use crate::sys::syscall::check;

/// The socket of syslogd(8).
pub(crate) const SYSLOG_SOCKET: &str = "/var/run/log";
/// pf(4) is FreeBSD's.
pub(crate) const PF_IS_OF_FREEBSD: bool = true;
/// The default user of workers.
pub(crate) const DEFAULT_USER: &str = "www";
/// A worker can change its root directory.
pub(crate) const HAS_CHROOT: bool = true;
/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = true;

/// A directory that the system keeps empty (hier(7)).
const EMPTY: &str = "/var/empty";

/// Has the kernel accept a connection when its first bytes have arrived (`dataready`, accf_data(9)).
///
/// Not `httpready`, which delays all bytes that it does not recognise as HTTP/1.0 or 1.1. It must be set after listen(2), and
/// fails where the kernel module is not loaded.
pub(crate) fn defer_accept(listener: &Socket) -> io::Result<()> {
    // SAFETY: all zeroes is a valid accept_filter_arg: two arrays of c_char.
    let mut filter: libc::accept_filter_arg = unsafe { std::mem::zeroed() };
    for (to, from) in filter.af_name.iter_mut().zip(b"dataready") {
        *to = libc::c_char::try_from(*from).unwrap_or(0);
    }
    let size = libc::socklen_t::try_from(size_of_val(&filter)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `filter`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTFILTER,
            (&raw const filter).cast(),
            size,
        )
    })
}

/// The kernel's limit of a backlog and the name of that setting (listen(2)).
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    let mut value: u32 = 0;
    let mut size = size_of_val(&value);
    // SAFETY: the name ends in NUL; the pointer and the size are those of `value`; nothing is set.
    let status = unsafe {
        libc::sysctlbyname(
            c"kern.ipc.soacceptqueue".as_ptr(),
            (&raw mut value).cast(),
            &raw mut size,
            std::ptr::null(),
            0,
        )
    };
    (status == 0).then_some((value, "kern.ipc.soacceptqueue"))
}

/// The bytes written to a socket that its peer has not acknowledged.
pub(crate) fn unacknowledged(socket: &impl AsRawFd) -> usize {
    // sys/filio.h: _IOR('f', 119, int)
    const FIONWRITE: libc::c_ulong = 0x4004_6677;
    socket_count(socket, FIONWRITE)
}

/// Lets several sockets listen on one address and share its connections (`SO_REUSEPORT_LB`, setsockopt(2)).
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT_LB, 1)
}

/// A worker's root directory: a path, because in a jail chroot(2) fails for a process with an open directory.
#[derive(Debug)]
pub(crate) struct Root(CString);

impl Root {
    /// Checks `path`, or the system's empty directory.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let path = path.unwrap_or(Path::new(EMPTY));
        check_root(&path.metadata()?)?;
        Ok(Self(c_path(path)?))
    }

    /// Makes it the root of this process.
    pub(crate) fn enter(&self) -> io::Result<()> {
        chroot(&self.0)
    }
}

/// Whether `si_code` says that a process sent a signal (kill(2)), and not the kernel, as for a terminal's Ctrl-C
/// (siginfo(3)).
pub(crate) const fn is_sent_by_process(code: libc::c_int) -> bool {
    // SI_USER, SI_QUEUE and SI_LWP of <sys/signal.h>.
    matches!(code, 0x10001 | 0x10002 | 0x10007)
}
