//! OpenBSD, and systems without a file of their own.

use std::io;
use std::path::Path;

use socket2::Socket;

use crate::sys::privileges::Refusal;
#[cfg(target_os = "openbsd")]
use crate::sys::privileges::{at, c_path, done};

#[cfg(not(target_os = "openbsd"))]
pub(crate) use crate::sys::one_domain::RoutingDomain;

/// What a pipe takes as a whole, and has room for when it can be written to (limits.h).
pub(crate) const PIPE_BUF: usize = 512;
/// Where the control socket is, where nothing else is said.
pub(crate) const CONTROL_SOCKET: &str = "/var/run/maintd.sock";
/// Where the system's syslogd is to be found (syslogd(8)).
pub(crate) const SYSLOG_SOCKET: &str = "/dev/log";
/// pf(4) moves visitors.
pub(crate) const HAS_PF: bool = true;
/// pf(4), if there is one, is OpenBSD's: visitors can be redirected to ::1 (pf.conf(5), rdr-to).
pub(crate) const PF_IS_OF_FREEBSD: bool = false;
/// pfctl(8) kills states by their rule's label, but for macOS.
pub(crate) const PF_KILLS_BY_LABEL: bool = !cfg!(target_os = "macos");
/// Who a worker is unless the configuration names another.
pub(crate) const DEFAULT_USER: &str = if cfg!(target_os = "openbsd") {
    "www"
} else {
    "nobody"
};
/// A worker keeps the root directory: chroot(2) is in no pledge promise, and a worker after the first is forked from a
/// supervisor that has pledged. Without one of the promises about paths a worker has no file system at all.
pub(crate) const HAS_CHROOT: bool = false;

/// There is no such filter here: a connection is handed out when it is made.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn defer_accept(_listener: &Socket) -> io::Result<()> {
    Ok(())
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

/// The flag of bytes that go along with what follows them: there is none here.
pub(crate) const MORE_FOLLOWS: libc::c_int = 0;

/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = false;

/// A socket on the wildcard address and others with the same port stand side by side (`SO_REUSEADDR`).
pub(crate) const WILDCARD_EXCLUDES_OTHERS: bool = false;

/// Several sockets on one address do not share its connections here: they share one socket instead.
pub(crate) fn share_port(_socket: &Socket, _shares: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What becomes a worker's root directory: nothing does.
#[derive(Debug)]
pub(crate) struct Root;

impl Root {
    /// There is none to be had.
    #[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
    pub(crate) fn open(_wanted: Option<&Path>) -> io::Result<Self> {
        Ok(Self)
    }

    /// Stays.
    #[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(())
    }
}

/// There are none here.
pub(crate) fn limit_capabilities() {}

/// Why workers go without a filter of their system calls, where one is to be expected.
pub(crate) fn unfiltered() -> Option<&'static str> {
    None
}

/// Promises to read and write, and to accept: `inet` stands for accept(2) from Unix sockets too, since it is the call that
/// is looked at and not the socket (pledge_syscalls in sys/kern/kern_pledge.c).
#[cfg(target_os = "openbsd")]
pub(crate) fn lock_in(_was_root: bool) -> Result<(), Refusal> {
    pledge(c"stdio inet").map_err(at("pledge"))
}

/// There is nothing like it here.
#[cfg(not(target_os = "openbsd"))]
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn lock_in(_was_root: bool) -> Result<(), Refusal> {
    Ok(())
}

/// Leaves the supervisor what it needs for life: to read any file, since a new configuration may name others than the old
/// one; to write, make and remove those of `written` (logs, the pid file, sockets) and no other, so that a configuration
/// with another of these needs a new start; to execute nothing.
#[cfg(target_os = "openbsd")]
pub(crate) fn confine_supervisor(written: &[&Path]) -> io::Result<()> {
    let unveil = |path: &std::ffi::CStr, permissions: &std::ffi::CStr| {
        // SAFETY: both end in NUL.
        done(unsafe { libc::unveil(path.as_ptr(), permissions.as_ptr()) })
    };
    unveil(c"/", c"r")?;
    for path in written {
        unveil(&c_path(path)?, c"rwc")?;
    }
    // SAFETY: both may be null, which is how no more can be unveiled.
    done(unsafe { libc::unveil(std::ptr::null(), std::ptr::null()) })?;
    // Files, sockets of both kinds and their modes; workers, and their user; who that is.
    pledge(c"stdio rpath wpath cpath fattr inet unix proc id getpw")
}

/// The supervisor keeps what it has here.
#[cfg(not(target_os = "openbsd"))]
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn confine_supervisor(_written: &[&Path]) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "openbsd")]
fn pledge(promises: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: the promises end in NUL; null leaves those for other programs, of which none may be run, as they are.
    done(unsafe { libc::pledge(promises.as_ptr(), std::ptr::null()) })
}

/// What `si_code` says of where a signal is from: kill(2), and not the kernel, as for a terminal's Ctrl-C (siginfo of
/// sigaction(2)).
pub(crate) const fn is_from_a_process(code: libc::c_int) -> bool {
    // SI_USER of <sys/siginfo.h>; the kernel's own are above it, SI_NOINFO the highest.
    code <= 0
}

/// The routing domain of this process (rdomain(4)). getifaddrs(3) lists the interfaces of all domains, and an address of
/// another domain cannot be reached from this one.
#[cfg(target_os = "openbsd")]
#[derive(Debug)]
pub(crate) struct RoutingDomain {
    number: libc::c_int,
    /// Any socket will do for the ioctls of netintro(4).
    socket: Socket,
}

#[cfg(target_os = "openbsd")]
impl RoutingDomain {
    /// The domain of the process's routing table (getrtable(2)).
    pub(crate) fn own() -> io::Result<Self> {
        unsafe extern "C" {
            safe fn getrtable() -> libc::c_int;
        }
        let table = getrtable();
        Ok(Self {
            number: domain_of_table(table).unwrap_or(table),
            socket: Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?,
        })
    }

    /// Whether an interface is in it.
    pub(crate) fn has(&self, interface: &std::ffi::CStr) -> bool {
        use std::os::fd::AsRawFd as _;
        /// `struct ifreq` of <net/if.h>: a name, and a union of 16 bytes that begins with `ifr_rdomainid` here.
        #[repr(C)]
        struct Request {
            name: [libc::c_char; libc::IFNAMSIZ],
            domain: libc::c_int,
            rest: [libc::c_int; 3],
        }
        // sys/sockio.h: _IOWR('i', 160, struct ifreq)
        const SIOCGIFRDOMAIN: libc::c_ulong = 0xc020_69a0;
        let mut request = Request {
            name: [0; libc::IFNAMSIZ],
            domain: 0,
            rest: [0; 3],
        };
        let name = interface.to_bytes_with_nul();
        for (to, from) in request.name.iter_mut().zip(name) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        // SAFETY: the request reads and writes one ifreq, and `request` has its size and layout; the name ends in NUL, for
        // getifaddrs(3) lists none that is longer than IFNAMSIZ with its NUL.
        let status =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCGIFRDOMAIN, &raw mut request) };
        status == 0 && request.domain == self.number
    }
}

/// The routing domain that a routing table belongs to (`NET_RT_TABLE` of sysctl(2)): a domain may have several tables.
#[cfg(target_os = "openbsd")]
fn domain_of_table(table: libc::c_int) -> Option<libc::c_int> {
    /// `struct rt_tableinfo` of <net/route.h>.
    #[repr(C)]
    struct TableInfo {
        table: libc::c_ushort,
        domain: libc::c_ushort,
    }
    let name = [
        libc::CTL_NET,
        libc::PF_ROUTE,
        0,
        0,
        libc::NET_RT_TABLE,
        table,
    ];
    let mut info = TableInfo {
        table: 0,
        domain: 0,
    };
    let mut size = size_of_val(&info);
    // SAFETY: `name` has the six levels that are said; the pointer and the size are those of `info`; nothing is set.
    let status = unsafe {
        libc::sysctl(
            name.as_ptr(),
            6,
            (&raw mut info).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    (status == 0 && libc::c_int::from(info.table) == table).then(|| info.domain.into())
}
