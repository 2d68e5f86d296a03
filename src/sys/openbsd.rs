//! OpenBSD.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use socket2::{Domain, Socket, Type};

/// A worker keeps its root directory ([`Root`]): no pledge promise allows chroot(2), and workers are forked from a supervisor
/// that has pledged. A worker's own promises allow no path at all.
pub(crate) use crate::sys::fallback::{
    CONTROL_SOCKET, HAS_CHROOT, HAS_PF, MORE_FOLLOWS, PF_IS_OF_FREEBSD, PF_KILLS_BY_LABEL,
    PIPE_BUF, Root, SPREADS_CONNECTIONS, SYSLOG_SOCKET, block_new_connections, defer_accept,
    is_sent_by_process, limit_capabilities, missing_syscall_filter, share_port, unacknowledged,
    unblock_new_connections,
};
use crate::sys::root_directory::c_path;
use crate::sys::syscall::{ConfinementError, at, check};

/// The default user of workers.
pub(crate) const DEFAULT_USER: &str = "www";

/// The kernel's limit of a backlog and the name of that setting (listen(2)).
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    let name = [libc::CTL_KERN, libc::KERN_SOMAXCONN];
    let mut value: u32 = 0;
    let mut size = size_of_val(&value);
    // SAFETY: `name` has the two levels of the count; the pointer and the size are those of `value`; nothing is set.
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

/// Pledges to read, write and accept: `inet` includes accept(2) from Unix sockets, because the kernel checks the call and not
/// the socket (pledge_syscalls in sys/kern/kern_pledge.c).
pub(crate) fn restrict_worker(_was_root: bool) -> Result<(), ConfinementError> {
    pledge(c"stdio inet").map_err(at("pledge"))
}

/// Restricts the supervisor for its lifetime: it may read any file, because a new configuration may name other files than the
/// old one; write, create and remove only `written` (logs, the pid file, sockets), so that other such paths need a restart;
/// and execute nothing.
pub(crate) fn confine_supervisor(written: &[&Path]) -> io::Result<()> {
    let unveil = |path: &CStr, permissions: &CStr| {
        // SAFETY: both end in NUL.
        check(unsafe { libc::unveil(path.as_ptr(), permissions.as_ptr()) })
    };
    unveil(c"/", c"r")?;
    for path in written {
        unveil(&c_path(path)?, c"rwc")?;
    }
    // SAFETY: both may be null, which ends unveiling.
    check(unsafe { libc::unveil(std::ptr::null(), std::ptr::null()) })?;
    // stdio: pipes, signals, open descriptors. rpath: read the configuration, pages, certificates and keys. wpath, cpath: write,
    // create and remove logs, the pid file and socket files. fattr: set the modes of socket files. inet, unix: the sockets of
    // endpoints, the control socket, syslog. proc: fork(2) and kill(2). id: set the user of workers. getpw: look that user up.
    pledge(c"stdio rpath wpath cpath fattr inet unix proc id getpw")
}

fn pledge(promises: &CStr) -> io::Result<()> {
    // SAFETY: the promises end in NUL; null keeps the promises for other programs, of which none may be executed.
    check(unsafe { libc::pledge(promises.as_ptr(), std::ptr::null()) })
}

/// The routing domain of this process (rdomain(4)). getifaddrs(3) lists the interfaces of all domains, and an address of
/// another domain cannot be reached from this one.
#[derive(Debug)]
pub(crate) struct RoutingDomain {
    number: libc::c_int,
    /// For the ioctls of netintro(4), for which any socket can be used.
    socket: Socket,
}

impl RoutingDomain {
    /// The domain of this process's routing table (getrtable(2)).
    pub(crate) fn own() -> io::Result<Self> {
        unsafe extern "C" {
            safe fn getrtable() -> libc::c_int;
        }
        let table = getrtable();
        Ok(Self {
            number: domain_of_table(table).unwrap_or(table),
            socket: Socket::new(Domain::IPV4, Type::DGRAM, None)?,
        })
    }

    /// Whether an interface is in it.
    pub(crate) fn has(&self, interface: &CStr) -> bool {
        /// `struct ifreq` of <net/if.h>: a name, and a union of 16 bytes that begins with `ifr_rdomainid` here.
        #[repr(C)]
        struct InterfaceRequest {
            name: [libc::c_char; libc::IFNAMSIZ],
            domain: libc::c_int,
            rest: [libc::c_int; 3],
        }
        // sys/sockio.h: _IOWR('i', 160, struct ifreq)
        const SIOCGIFRDOMAIN: libc::c_ulong = 0xc020_69a0;
        let mut request = InterfaceRequest {
            name: [0; libc::IFNAMSIZ],
            domain: 0,
            rest: [0; 3],
        };
        let name = interface.to_bytes_with_nul();
        for (to, from) in request.name.iter_mut().zip(name) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        // SAFETY: the request reads and writes one ifreq, and `request` has its size and layout; the name ends in NUL, because
        // getifaddrs(3) lists none that is longer than IFNAMSIZ with its NUL.
        let status =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCGIFRDOMAIN, &raw mut request) };
        status == 0 && request.domain == self.number
    }
}

/// The routing domain that a routing table belongs to (`NET_RT_TABLE` of sysctl(2)): a domain may have several tables.
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
    // SAFETY: `name` has the six levels of the count; the pointer and the size are those of `info`; nothing is set.
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
