//! Processes: what a supervisor needs to have workers.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

/// A process's number.
pub(crate) type Pid = libc::pid_t;

/// Makes a copy of this process (fork(2)). Returns the copy's number, and nothing within the copy.
///
/// This process must have no other thread: the copy would have the locks that they held, and not them.
///
/// # Errors
/// What fork(2) says.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with a single thread, which is the caller's to see to, the child may do all that its parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

/// Ends this process at once (_exit(2)): no buffer is flushed, no value dropped, no handler run that is another's.
pub(crate) fn exit(status: u8) -> ! {
    // SAFETY: _exit touches no memory.
    unsafe { libc::_exit(status.into()) }
}

/// What has become of a child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// It has ended, and its number is free.
    Ended(ExitStatus),
    /// A signal such as SIGSTOP has stopped it.
    Stopped,
    /// SIGCONT lets it run again.
    Continued,
}

/// Takes one change of a child (waitpid(2)); nothing where there is none.
pub(crate) fn child_change() -> Option<(Pid, Change)> {
    let mut status = 0;
    let which = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: waitpid writes one int, and `status` is one.
    let child = unsafe { libc::waitpid(-1, &raw mut status, which) };
    let status = ExitStatus::from_raw(status);
    let change = if status.stopped_signal().is_some() {
        Change::Stopped
    } else if status.continued() {
        Change::Continued
    } else {
        Change::Ended(status)
    };
    (child > 0).then_some((child, change))
}

/// Ends a child that does not do so by itself (kill(2), SIGKILL).
///
/// # Errors
/// What kill(2) says: root without `CAP_KILL` may not end a process of another user.
pub(crate) fn kill(child: Pid) -> io::Result<()> {
    // SAFETY: kill touches no memory. Until it is reaped the number is the child's.
    match unsafe { libc::kill(child, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has this process ignore signals (signal(3)).
pub(crate) fn ignore_signals(signals: &[libc::c_int]) {
    for signal in signals {
        // SAFETY: SIG_IGN is no function of ours that could do anything wrong.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Lets signals through that whoever started this process had blocked (sigprocmask(2)): the mask outlives execve(2).
///
/// # Errors
/// What sigprocmask(2) says.
pub(crate) fn unblock_signals(signals: &[libc::c_int]) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigset_t, and sigemptyset makes it one without members.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is one sigset_t for the whole of both calls.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: as above.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: `set` is read, and the mask of before is not asked for.
    match unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Something to read, or an end.
    Input(BorrowedFd<'a>),
    /// Room to write, or nobody to write to.
    Room(BorrowedFd<'a>),
}

/// Waits until one of `sources` has what is waited for (poll(2)), and tells which. None of them may have, after `limit` or
/// when a signal has come.
///
/// poll(2) keeps nothing in the system, so nothing is left in a copy of this process; kqueue(2) and epoll(7) do not share
/// well.
///
/// # Errors
/// What poll(2) says, but for `EINTR`.
pub(crate) fn wait_for(sources: &[Source<'_>], limit: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = sources
        .iter()
        .map(|source| {
            let (source, events) = match source {
                Source::Input(source) => (source, libc::POLLIN),
                Source::Room(source) => (source, libc::POLLOUT),
            };
            libc::pollfd {
                fd: source.as_raw_fd(),
                events,
                revents: 0,
            }
        })
        .collect();
    // Rounded up: who wakes too early would wait for nothing, again and again.
    let milliseconds = limit.map_or(-1, |limit| {
        libc::c_int::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
    });
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // SAFETY: the pointer and the count are those of `polled`, which outlives the call.
    if unsafe { libc::poll(polled.as_mut_ptr(), count, milliseconds) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        polled.iter_mut().for_each(|one| one.revents = 0);
    }
    Ok(polled.iter().map(|one| one.revents != 0).collect())
}
