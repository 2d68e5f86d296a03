//! FreeBSD.

use std::ffi::CString;
use std::io;
use std::path::Path;

use socket2::Socket;

use crate::sys::privileges;
use crate::sys::privileges::Refusal;

pub(crate) use crate::sys::one_domain::RoutingDomain;

/// What a pipe takes as a whole, and has room for when it can be written to (limits.h).
pub(crate) const PIPE_BUF: usize = 512;
/// Where the control socket is, where nothing else is said.
pub(crate) const CONTROL_SOCKET: &str = "/var/run/maintd.sock";
/// Where the system's syslogd is to be found (syslogd(8)).
pub(crate) const SYSLOG_SOCKET: &str = "/var/run/log";
/// pf(4) moves visitors.
pub(crate) const HAS_PF: bool = true;
/// Its pf(4) has rules for translation apart from those for filtering (up to FreeBSD 14 only these), no interface group
/// "egress", and no redirect to ::1.
pub(crate) const PF_IS_OF_FREEBSD: bool = true;
/// pfctl(8) kills states by their rule's label.
pub(crate) const PF_KILLS_BY_LABEL: bool = true;
/// Who a worker is unless the configuration names another.
pub(crate) const DEFAULT_USER: &str = "www";
/// A worker can be given another root directory.
pub(crate) const HAS_CHROOT: bool = true;

/// A directory that the system keeps empty (hier(7)).
const EMPTY: &str = "/var/empty";

/// Has the kernel hand out a connection when its first bytes are there (`dataready`, accf_data(9)).
///
/// Not `httpready`, which holds back what it does not take for HTTP/1.0 or 1.1. It must be set after listen(2).
/// A kernel without the module says so, and the listener works without.
pub(crate) fn defer_accept(listener: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: all zeroes is a valid accept_filter_arg: two arrays of c_char.
    let mut filter: libc::accept_filter_arg = unsafe { std::mem::zeroed() };
    for (to, from) in filter.af_name.iter_mut().zip(b"dataready") {
        *to = libc::c_char::try_from(*from).unwrap_or(0);
    }
    let size = libc::socklen_t::try_from(size_of_val(&filter)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `filter`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTFILTER,
            (&raw const filter).cast(),
            size,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Not possible here: a socket that listens lets everybody in.
pub(crate) fn turn_newcomers_away(_listener: &socket2::SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// It has never ceased to.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn let_newcomers_in(_listener: &socket2::SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// What the kernel cuts a longer backlog to, and the name of that setting (listen(2)).
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

/// ioctl(2)'s requests.
pub(crate) type Request = libc::c_ulong;

/// The bytes written to a socket that its peer has not acknowledged.
pub(crate) fn unacknowledged(socket: &impl std::os::fd::AsRawFd) -> usize {
    // sys/filio.h: _IOR('f', 119, int)
    const FIONWRITE: Request = 0x4004_6677;
    crate::sys::socket_count(socket, FIONWRITE)
}

/// The flag of bytes that go along with what follows them: there is none here.
pub(crate) const MORE_FOLLOWS: libc::c_int = 0;

/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = true;

/// A socket on the wildcard address and others with the same port stand side by side (`SO_REUSEADDR`).
pub(crate) const WILDCARD_EXCLUDES_OTHERS: bool = false;

/// Lets several sockets listen on one address, each with connections of its own (`SO_REUSEPORT_LB`, setsockopt(2)); or does
/// so no more.
pub(crate) fn share_port(socket: &Socket, shares: bool) -> io::Result<()> {
    crate::sys::set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_REUSEPORT_LB,
        shares.into(),
    )
}

/// What becomes a worker's root directory: a path, since in a jail chroot(2) fails for whoever has a directory open.
#[derive(Debug)]
pub(crate) struct Root(CString);

impl Root {
    /// Looks at the directory that was asked for, or at the system's empty one.
    pub(crate) fn open(wanted: Option<&Path>) -> io::Result<Self> {
        let path = wanted.unwrap_or(Path::new(EMPTY));
        privileges::check_root(&path.metadata()?)?;
        Ok(Self(privileges::c_path(path)?))
    }

    /// Makes it the root.
    pub(crate) fn enter(&self) -> io::Result<()> {
        privileges::chroot(&self.0)
    }
}

/// There are none here.
pub(crate) fn limit_capabilities() {}

/// Why workers go without a filter of their system calls, where one is to be expected.
pub(crate) fn unfiltered() -> Option<&'static str> {
    None
}

/// Another user and an empty root are all of it: capability mode would ask for a list of rights with each descriptor.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn lock_in(_was_root: bool) -> Result<(), Refusal> {
    Ok(())
}

/// The supervisor keeps what it has here.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn confine_supervisor(_written: &[&Path]) -> io::Result<()> {
    Ok(())
}

/// What `si_code` says of where a signal is from: kill(2) and its like, and not the kernel, as for a terminal's Ctrl-C
/// (siginfo(3)).
pub(crate) const fn is_from_a_process(code: libc::c_int) -> bool {
    // SI_USER, SI_QUEUE and SI_LWP of <sys/signal.h>.
    matches!(code, 0x10001 | 0x10002 | 0x10007)
}
