//! Processes: fork, exit, kill, reap, signal dispositions.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use crate::sys::syscall::check;

/// A process id.
pub(crate) type Pid = libc::pid_t;

/// Forks this process (fork(2)). Returns the child's id in the parent, and nothing in the child.
///
/// This process must have no other thread: the child would inherit the locks that the thread holds, but not the thread.
///
/// # Errors
/// Of fork(2).
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with a single thread, which the caller ensures, the child may do all that its parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

/// Ends this process at once (_exit(2)): no buffer is flushed, no value dropped, no exit handler run.
pub(crate) fn exit(status: u8) -> ! {
    // SAFETY: _exit touches no memory.
    unsafe { libc::_exit(status.into()) }
}

/// A change of a child's state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChildChange {
    /// It has ended and has been reaped.
    Ended(ExitStatus),
    /// A signal such as SIGSTOP has stopped it.
    Stopped,
    /// SIGCONT has continued it.
    Continued,
}

/// The next change of a child (waitpid(2)), if there is one.
pub(crate) fn child_change() -> Option<(Pid, ChildChange)> {
    let mut status = 0;
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: waitpid writes one int, and `status` is one.
    let child = unsafe { libc::waitpid(-1, &raw mut status, options) };
    let status = ExitStatus::from_raw(status);
    let change = if status.stopped_signal().is_some() {
        ChildChange::Stopped
    } else if status.continued() {
        ChildChange::Continued
    } else {
        ChildChange::Ended(status)
    };
    (child > 0).then_some((child, change))
}

/// Kills a child (kill(2), SIGKILL).
///
/// # Errors
/// Of kill(2): root without `CAP_KILL` may not end a process of another user.
pub(crate) fn kill(child: Pid) -> io::Result<()> {
    // SAFETY: kill touches no memory. Until it is reaped the number is the child's.
    check(unsafe { libc::kill(child, libc::SIGKILL) })
}

/// Ignores signals (signal(3)).
pub(crate) fn ignore_signals(signals: &[libc::c_int]) {
    for signal in signals {
        // SAFETY: SIG_IGN is no handler of ours.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Unblocks signals (sigprocmask(2)): a process inherits its mask from its parent through execve(2).
///
/// # Errors
/// Of sigprocmask(2).
pub(crate) fn unblock_signals(signals: &[libc::c_int]) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigset_t, and sigemptyset makes it one without members.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes one sigset_t, and `set` is one.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: `set` has been initialised above.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: the call reads `set`, and writes no old mask to null.
    check(unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) })
}
