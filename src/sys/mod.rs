//! What the standard library does not reach: the only module with unsafe code, and the only one that knows systems apart.
//!
//! Each system has a file of its own with the same functions; this file chooses it and holds what all of them share.
#![expect(unsafe_code, reason = "the line to the operating system")]

use std::io;

#[cfg(target_os = "freebsd")]
#[path = "freebsd.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
#[path = "openbsd.rs"]
mod system;

mod addresses;
mod logs;
#[cfg(not(target_os = "openbsd"))]
mod one_domain;
mod peers;
mod privileges;
mod process;
mod service;
mod shared;
mod signals;
mod terminal;

pub(crate) use crate::sys::addresses::own_addresses;
pub(crate) use crate::sys::logs::{
    LocalTime, has_no_reader, is_writable, local_time, seconds_of, utc_time,
};
pub(crate) use crate::sys::peers::{accept, peer_uid};
pub(crate) use crate::sys::privileges::{
    Confinement, Refusal, check_root, find_group, find_group_of, find_user, is_root, own_ids,
};
pub(crate) use crate::sys::process::{
    Change, Pid, Source, child_change, exit, fork, ignore_signals, kill, unblock_signals, wait_for,
};
pub(crate) use crate::sys::service::{monotonic_micros, take_listening};
pub(crate) use crate::sys::shared::shared_numbers;
pub(crate) use crate::sys::signals::{
    hand_signals_to, hold_signals, is_signal_held, take_held_signal,
};
pub(crate) use crate::sys::terminal::{SingleKeys, terminal_size};
pub(crate) use system::{
    CONTROL_SOCKET, DEFAULT_USER, HAS_CHROOT, HAS_PF, MORE_FOLLOWS, PF_IS_OF_FREEBSD,
    PF_KILLS_BY_LABEL, PIPE_BUF, SPREADS_CONNECTIONS, SYSLOG_SOCKET, WILDCARD_EXCLUDES_OTHERS,
    backlog_limit, confine_supervisor, defer_accept, let_newcomers_in, share_port,
    turn_newcomers_away, unacknowledged, unfiltered,
};

/// Sets the soft limit of open descriptors to what is wanted, for which the hard one is raised too where that is allowed;
/// without a wish, to the hard one. Returns what holds then (setrlimit(2)).
///
/// # Errors
/// What getrlimit(2) says. A refused raise is none: the limit that holds is returned.
#[allow(
    clippy::unnecessary_fallible_conversions,
    clippy::useless_conversion,
    reason = "`rlim_t` is not the same type everywhere: signed on FreeBSD, where no limit is negative"
)]
pub(crate) fn set_descriptor_limit(wanted: Option<u32>) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one rlimit, and `limit` is one.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = wanted.map_or(limit.rlim_max, libc::rlim_t::from);
    // As far as it may go by itself first: the hard limit is raised by root alone.
    for rlim_max in [limit.rlim_max, limit.rlim_max.max(wanted)] {
        let raised = libc::rlimit {
            rlim_cur: wanted.min(rlim_max),
            rlim_max,
        };
        // SAFETY: setrlimit reads one rlimit, and `raised` is one.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    Ok(u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX))
}

/// The descriptors that are open in this process now, at least: the number of the next one to be opened.
///
/// # Errors
/// What dup(2) says, `EMFILE` above all.
pub(crate) fn next_descriptor() -> io::Result<u64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let next = io::stderr().as_fd().try_clone_to_owned()?;
    Ok(u64::try_from(next.as_raw_fd()).unwrap_or(0))
}

/// The name of this host (gethostname(3)), where it has one.
pub(crate) fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: gethostname writes no more bytes than it is told, and `name` has so many.
    if unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) } != 0 {
        return None;
    }
    let end = name.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&name[..end]).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Asks a socket for a number (ioctl(2)); 0 where it has none to tell.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn socket_count(socket: &impl std::os::fd::AsRawFd, request: system::Request) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the requests of our system files write one c_int, and `bytes` is one.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) };
    if status == 0 {
        usize::try_from(bytes).unwrap_or(0)
    } else {
        0
    }
}

/// Sets one integer option of a socket (setsockopt(2)).
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn set_option(
    socket: &socket2::Socket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the pointer and the size are those of `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
