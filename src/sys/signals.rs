//! Signals of a command that must not stop half-way: they are noted, and handed on to the command that it runs.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;

use crate::sys::system;

/// What ends a program that does not care.
const ENDING: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// The last that has come; 0 for none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// Whom they are handed on to; 0 for nobody.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// From now on HUP, INT, QUIT and TERM do not end this process, but are noted. What is ignored already, as by nohup(1),
/// stays ignored, here and in commands that are run.
///
/// # Errors
/// What sigaction(2) says.
pub(crate) fn hold_signals() -> io::Result<()> {
    for signal in ENDING {
        if is_ignored(signal)? {
            continue;
        }
        let note = move |info: &libc::siginfo_t| {
            RECEIVED.store(signal, Ordering::Relaxed);
            let child = CHILD.load(Ordering::Relaxed);
            // What a terminal sends it sends to the whole group, the child included; twice would be once too often.
            if child > 0 && system::is_from_a_process(info.si_code) {
                // SAFETY: kill is safe in a handler (signal-safety(7)) and touches no memory.
                unsafe { libc::kill(child, signal) };
            }
        };
        // SAFETY: the action does only what a handler may: it stores and loads atomics, and calls kill.
        unsafe { signal_hook_registry::register_sigaction(signal, note) }?;
    }
    Ok(())
}

/// The signal that has come since this was last asked, if one has.
pub(crate) fn take_held_signal() -> Option<c_int> {
    Some(RECEIVED.swap(0, Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// One has come, and was not taken.
pub(crate) fn is_signal_held() -> bool {
    RECEIVED.load(Ordering::Relaxed) != 0
}

/// Whom signals are handed on to from now on, the one too that has come meanwhile; nobody without a number.
pub(crate) fn hand_signals_to(child: Option<u32>) {
    let number = child
        .and_then(|child| c_int::try_from(child).ok())
        .unwrap_or(0);
    CHILD.store(number, Ordering::Relaxed);
    if number > 0
        && let Some(signal) = take_held_signal()
    {
        // SAFETY: kill touches no memory. The child has not been waited for, so the number is its own.
        unsafe { libc::kill(number, signal) };
    }
}

fn is_ignored(signal: c_int) -> io::Result<bool> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: sigaction writes one, and `action` is one; none is set.
    if unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(action.sa_sigaction == libc::SIG_IGN)
}
