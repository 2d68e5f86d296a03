//! Linux.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use socket2::Socket;

use crate::sys::privileges;
use crate::sys::privileges::{Refusal, at, done};

pub(crate) use crate::sys::one_domain::RoutingDomain;

#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
))]
#[path = "seccomp.rs"]
mod seccomp;
/// Where the filters' compiler does not know the machine.
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

/// What a pipe takes as a whole, and has room for when it can be written to (limits.h).
pub(crate) const PIPE_BUF: usize = 4096;
/// Where the control socket is, where nothing else is said.
/// systemd gives this directory to the service, which can write to nothing else in /run.
pub(crate) const CONTROL_SOCKET: &str = "/run/maintd/maintd.sock";
/// Where the system's syslogd is to be found (syslogd(8)).
pub(crate) const SYSLOG_SOCKET: &str = "/dev/log";
/// It has nftables.
pub(crate) const HAS_PF: bool = false;
/// pf(4), if there is one, is OpenBSD's: visitors can be redirected to ::1 (pf.conf(5), rdr-to).
pub(crate) const PF_IS_OF_FREEBSD: bool = false;
/// Its pfctl, where a guest has brought one, kills states by their rule's label.
pub(crate) const PF_KILLS_BY_LABEL: bool = true;
/// Who a worker is unless the configuration names another.
pub(crate) const DEFAULT_USER: &str = "nobody";
/// A worker can be given another root directory.
pub(crate) const HAS_CHROOT: bool = true;

/// Where an empty directory may be made for a moment; a container without a writable root has the last one still.
const TEMPORARY: [&str; 4] = ["/run", "/tmp", "/var/tmp", "/dev/shm"];

/// Has the kernel hand out a connection when its first bytes are there (`TCP_DEFER_ACCEPT`, tcp(7)).
///
/// The value is in seconds and decides how often the SYN-ACK is sent again before a silent client is handed out all
/// the same: 1 means after about a second, and 5 would hide it from our deadlines for 7.
pub(crate) fn defer_accept(listener: &Socket) -> io::Result<()> {
    super::set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)
}

/// Has a listening socket let nobody else in: a SYN is dropped as if it had been lost on the way, so its sender tries again
/// after a second. Who has had the SYN-ACK already comes through, and no longer waits for its first bytes to do so.
///
/// A closed listener resets all whose handshake it has begun, and with `TCP_DEFER_ACCEPT` those are all who have not sent
/// anything yet. Accepted sockets inherit the filter, and no SYN comes to them.
pub(crate) fn turn_newcomers_away(listener: &socket2::SockRef<'_>) -> io::Result<()> {
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let step = |code: u32, jt, jf, k| {
        socket2::SockFilter::new(u16::try_from(code).unwrap_or(0), jt, jf, k)
    };
    // The filter sees a segment from its TCP header on (RFC 9293 3.1).
    listener.attach_filter(&[
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ])?;
    super::set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 0)
}

/// Has a listening socket let newcomers in again.
pub(crate) fn let_newcomers_in(listener: &socket2::SockRef<'_>) -> io::Result<()> {
    listener.detach_filter()?;
    defer_accept(listener)
}

/// What the kernel cuts a longer backlog to, and the name of that setting (listen(2)).
pub(crate) fn backlog_limit() -> Option<(u32, &'static str)> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    Some((text.trim().parse().ok()?, "net.core.somaxconn"))
}

/// ioctl(2)'s requests: glibc and musl have not the same type for them.
pub(crate) type Request = libc::Ioctl;

/// The bytes written to a socket that its peer has not acknowledged (`SIOCOUTQ`, tcp(7)).
pub(crate) fn unacknowledged(socket: &impl std::os::fd::AsRawFd) -> usize {
    super::socket_count(socket, libc::TIOCOUTQ)
}

/// The flag of bytes that go along with what follows them (`MSG_MORE`, send(2)); the close of a socket sends them too.
pub(crate) const MORE_FOLLOWS: libc::c_int = libc::MSG_MORE;

/// Several sockets can listen on one address and share its connections.
pub(crate) const SPREADS_CONNECTIONS: bool = true;

/// Where one socket listens on the wildcard address, none can on another address with the same port, nor the other way
/// round, unless both share their port. It is not too late for that when one of them listens already: bind(2) looks at the
/// flags as they are then.
pub(crate) const WILDCARD_EXCLUDES_OTHERS: bool = true;

/// Lets several sockets listen on one address, each with connections of its own (`SO_REUSEPORT`, socket(7)), or on the
/// wildcard address and others; or does so no more.
pub(crate) fn share_port(socket: &Socket, shares: bool) -> io::Result<()> {
    super::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, shares.into())
}

/// What becomes a worker's root directory: an open one, that need not have a name any more.
#[derive(Debug)]
pub(crate) struct Root(File);

impl Root {
    /// Opens a directory that was asked for; else makes an empty one and removes it at once, so that nothing can be put
    /// there and nothing is left behind.
    pub(crate) fn open(wanted: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = wanted {
            let directory = open_directory(path)?;
            privileges::check_root(&directory.metadata()?)?;
            return Ok(Self(directory));
        }
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for place in TEMPORARY {
            match removed_directory(place) {
                Ok(directory) => return Ok(Self(directory)),
                Err(error) => refused = error,
            }
        }
        Err(io::Error::new(
            refused.kind(),
            format!(
                "no empty directory can be made in {}: {refused}",
                TEMPORARY.join(", ")
            ),
        ))
    }

    /// Goes there, and makes it the root.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // SAFETY: it takes a number only, and the descriptor is open.
        done(unsafe { libc::fchdir(self.0.as_raw_fd()) })?;
        privileges::chroot(c".")
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_PATH)
        .open(path)
}

/// A directory of ours alone that is open and has no name any more.
fn removed_directory(place: &str) -> io::Result<File> {
    let mut name = format!("{place}/maintd.XXXXXX\0").into_bytes();
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

/// Takes from this process what no program that it might run could get either. Without the right to it, there is nothing
/// to be won by it: `no_new_privs` comes, and a process that runs another program is killed.
pub(crate) fn limit_capabilities() {
    // The kernel says of the first number past its last one that there is none (prctl(2)).
    for capability in 0..64 {
        if set(libc::PR_CAPBSET_DROP, capability).is_err() {
            return;
        }
    }
}

/// Empties the sets of capabilities (capset(2)): the kernel does so itself where root becomes another user, but for the
/// inheritable one, and not for a process that was started as another user with some.
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

/// Why workers go without a filter of their system calls, where they do.
pub(crate) fn unfiltered() -> Option<&'static str> {
    (!seccomp::is_available()).then_some("this machine or kernel has no seccomp that maintd knows")
}

/// Sets one of the options of this process that take a number (prctl(2)).
fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let unused: libc::c_ulong = 0;
    // SAFETY: our options take numbers only.
    done(unsafe { libc::prctl(option, value, unused, unused, unused) })
}

/// Leaves this process what a worker needs.
pub(crate) fn lock_in(was_root: bool) -> Result<(), Refusal> {
    // The ambient set loses with the inheritable one.
    drop_capabilities().map_err(at("give up its capabilities"))?;
    // The key is in its memory. A process that is no other user than before keeps nothing from that user.
    if was_root {
        set(libc::PR_SET_DUMPABLE, 0).map_err(at("keep its memory to itself"))?;
    }
    set(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(at("renounce privileges"))?;
    if seccomp::is_available() {
        seccomp::install().map_err(at("filter its system calls"))?;
    }
    Ok(())
}

/// The supervisor keeps what it has here.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn confine_supervisor(_written: &[&Path]) -> io::Result<()> {
    Ok(())
}

/// What `si_code` says of where a signal is from: kill(2) and its like, and not the kernel, as for a terminal's Ctrl-C
/// (sigaction(2)).
pub(crate) const fn is_from_a_process(code: libc::c_int) -> bool {
    code <= 0
}
