//! Linux.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use socket2::{SockFilter, SockRef, Socket};

pub(crate) use crate::sys::fallback::{
    PF_IS_OF_FREEBSD, PF_KILLS_BY_LABEL, RoutingDomain, SYSLOG_SOCKET, confine_supervisor,
    is_sent_by_process,
};
use crate::sys::root_directory::{check_root, chroot};
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
))]
use crate::sys::seccomp;
use crate::sys::sockets::{set_option, socket_count};
use crate::sys::syscall::{ConfinementError, at, check};

/// For processors that the compiler of filters does not support.
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
mod seccomp {
    pub(crate) fn is_available() -> bool {
        false
    }

    pub(crate) fn install() -> std::io::Result<()> {
        Ok(())
    }
}

/// The size of an atomic write to a pipe, and of the space in one that is writable (limits.h).
pub(crate) const PIPE_BUF: usize = 4096;
/// The default path of the control socket. systemd makes this directory for the service, which can write to nothing else in
/// /run.
pub(crate) const CONTROL_SOCKET: &str = "/run/maintd/maintd.sock";
/// The switch uses nftables.
pub(crate) const HAS_PF: bool = false;
/// The default user of workers.
pub(crate) const DEFAULT_USER: &str = "nobody";
/// A worker can change its root directory.
pub(crate) const HAS_CHROOT: bool = true;
/// The send(2) flag for bytes that are sent together with those that follow, or at the close of the socket.
pub(crate) const MORE_FOLLOWS: libc::c_int = libc::MSG_MORE;
/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = true;

/// Directories in which an empty one can be made for a moment. A container without a writable root still has the last one.
const TEMPORARY: [&str; 4] = ["/run", "/tmp", "/var/tmp", "/dev/shm"];

/// Has the kernel accept a connection when its first bytes have arrived (`TCP_DEFER_ACCEPT`, tcp(7)).
///
/// The value is in seconds and sets the number of SYN-ACKs after which a silent connection is accepted all the same: 1 means
/// about a second, and 5 would hide it from our deadlines for 7.
pub(crate) fn defer_accept(listener: &Socket) -> io::Result<()> {
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)
}

/// Stops new handshakes with a listening socket: each SYN is dropped as if it were lost, so its sender repeats it after a
/// second. Handshakes that have begun are completed and accepted without waiting for their first bytes.
///
/// close(2) of a listener resets all handshakes that have begun, and with `TCP_DEFER_ACCEPT` all connections that have sent
/// nothing yet. Accepted sockets inherit the filter, but receive no SYN.
pub(crate) fn block_new_connections(listener: &SockRef<'_>) -> io::Result<()> {
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let step = |code: u32, jt, jf, k| SockFilter::new(u16::try_from(code).unwrap_or(0), jt, jf, k);
    // The filter reads a segment from its TCP header on (RFC 9293 3.1).
    listener.attach_filter(&[
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ])?;
    set_option(&**listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 0)
}

/// Reverts [`block_new_connections`].
pub(crate) fn unblock_new_connections(listener: &SockRef<'_>) -> io::Result<()> {
    listener.detach_filter()?;
    defer_accept(listener)
}

/// The kernel's limit of a backlog and the name of that setting (listen(2)).
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    Some((text.trim().parse().ok()?, "net.core.somaxconn"))
}

/// The bytes written to a socket that its peer has not acknowledged (`SIOCOUTQ`, tcp(7)).
pub(crate) fn unacknowledged(socket: &impl AsRawFd) -> usize {
    socket_count(socket, libc::TIOCOUTQ)
}

/// Lets several sockets listen on one address and share its connections (`SO_REUSEPORT`, socket(7)).
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

/// A worker's root directory: an open one, which may have been removed.
#[derive(Debug)]
pub(crate) struct Root(File);

impl Root {
    /// Opens `path`; without it, makes an empty directory and removes it at once, so that no process can create a file in it.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = path {
            let directory = open_directory(path)?;
            check_root(&directory.metadata()?)?;
            return Ok(Self(directory));
        }
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for parent in TEMPORARY {
            match removed_directory(parent) {
                Ok(directory) => return Ok(Self(directory)),
                Err(error) => failed = error,
            }
        }
        Err(io::Error::new(
            failed.kind(),
            format!(
                "no empty directory can be made in {}: {failed}",
                TEMPORARY.join(", ")
            ),
        ))
    }

    /// Makes it the root of this process.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // SAFETY: it takes a number only, and the descriptor is open.
        check(unsafe { libc::fchdir(self.0.as_raw_fd()) })?;
        chroot(c".")
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_PATH)
        .open(path)
}

/// Makes a directory, opens it and removes it.
fn removed_directory(parent: &str) -> io::Result<File> {
    let mut name = format!("{parent}/maintd.XXXXXX\0").into_bytes();
    // SAFETY: `name` ends in NUL and the six letters before it, which it may write.
    if unsafe { libc::mkdtemp(name.as_mut_ptr().cast()) }.is_null() {
        return Err(io::Error::last_os_error());
    }
    name.pop();
    let path = Path::new(OsStr::from_bytes(&name));
    let directory = open_directory(path);
    std::fs::remove_dir(path)?;
    directory
}

/// Empties the bounding set of capabilities, so that no program can regain one. An error does not matter: `no_new_privs`
/// follows, and the system call filter kills a process that executes a program.
pub(crate) fn limit_capabilities() {
    // The kernel refuses the first number past its last capability (prctl(2)).
    for capability in 0..64 {
        if set(libc::PR_CAPBSET_DROP, capability).is_err() {
            return;
        }
    }
}

/// Empties the sets of capabilities (capset(2)). The kernel empties them when root becomes another user, except the
/// inheritable one; not for a process that was started as another user with capabilities.
fn drop_capabilities() -> io::Result<()> {
    // linux/capability.h
    const VERSION_3: u32 = 0x2008_0522;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const NONE: Sets = Sets {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let sets = [NONE, NONE];
    // SAFETY: version 3 reads a header and two times three sets, and these are they.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Why workers have no filter of their system calls, where they have none.
pub(crate) fn missing_syscall_filter() -> Option<&'static str> {
    (!seccomp::is_available())
        .then_some("this machine or kernel has no seccomp filter that maintd supports")
}

/// Sets one of the options of this process that take a number (prctl(2)).
fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let unused: libc::c_ulong = 0;
    // SAFETY: our options take numbers only.
    check(unsafe { libc::prctl(option, value, unused, unused, unused) })
}

/// Restricts this process to what a worker needs.
pub(crate) fn restrict_worker(was_root: bool) -> Result<(), ConfinementError> {
    // This empties the ambient set too.
    drop_capabilities().map_err(at("give up its capabilities"))?;
    // Keeps the private key from other processes of the worker's user. A worker of an unprivileged supervisor has that user's
    // keys only.
    if was_root {
        set(libc::PR_SET_DUMPABLE, 0).map_err(at("keep its memory to itself"))?;
    }
    set(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(at("renounce privileges"))?;
    if seccomp::is_available() {
        seccomp::install().map_err(at("filter its system calls"))?;
    }
    Ok(())
}
