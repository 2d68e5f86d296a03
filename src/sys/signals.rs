//! Signals during a command that must not stop half-way: they are held, and forwarded to the program that it runs.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;

use crate::sys::system;

/// The signals that end a process by default and can be sent by a user.
const ENDING: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// The held signal, which is the last one; 0 for none.
static HELD: AtomicI32 = AtomicI32::new(0);
/// The process that signals are forwarded to; 0 for none.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// Holds HUP, INT, QUIT and TERM from now on, instead of ending this process. A signal that is ignored already, as by
/// nohup(1), stays ignored, here and in programs that are run.
///
/// # Errors
/// Of sigaction(2).
pub(crate) fn hold_signals() -> io::Result<()> {
    for signal in ENDING {
        if is_ignored(signal)? {
            continue;
        }
        let hold = move |info: &libc::siginfo_t| {
            HELD.store(signal, Ordering::Relaxed);
            let child = CHILD.load(Ordering::Relaxed);
            // A terminal sends a signal to the whole process group, so the child already has it.
            if child > 0 && system::is_sent_by_process(info.si_code) {
                // SAFETY: kill is safe in a handler (signal-safety(7)) and touches no memory.
                unsafe { libc::kill(child, signal) };
            }
        };
        // SAFETY: the action stores and loads atomics and calls kill, which a signal handler may do.
        unsafe { signal_hook_registry::register_sigaction(signal, hold) }?;
    }
    Ok(())
}

/// Takes the held signal, if there is one.
pub(crate) fn take_held_signal() -> Option<c_int> {
    Some(HELD.swap(0, Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// Whether a signal is held.
pub(crate) fn is_signal_held() -> bool {
    HELD.load(Ordering::Relaxed) != 0
}

/// Forwards signals to `child` from now on, also the held one; to no process without `child`.
pub(crate) fn forward_signals_to(child: Option<u32>) {
    let number = child
        .and_then(|child| c_int::try_from(child).ok())
        .unwrap_or(0);
    CHILD.store(number, Ordering::Relaxed);
    if number > 0
        && let Some(signal) = take_held_signal()
    {
        // SAFETY: kill touches no memory. The child has not been reaped, so the number is the child's.
        unsafe { libc::kill(number, signal) };
    }
}

fn is_ignored(signal: c_int) -> io::Result<bool> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: sigaction writes to `action` and sets nothing.
    if unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(action.sa_sigaction == libc::SIG_IGN)
}
