//! System calls: their status as a result, and the step of a confinement that failed.

use std::io;

/// A step of a confinement that the system refused.
#[derive(Debug)]
pub(crate) struct ConfinementError {
    /// As in "cannot ...".
    pub(crate) step: &'static str,
    pub(crate) cause: io::Error,
}

/// Adds the step to an error.
pub(crate) fn at(step: &'static str) -> impl FnOnce(io::Error) -> ConfinementError {
    move |cause| ConfinementError { step, cause }
}

/// The status of a system call as a result: 0 is success, everything else is in `errno`.
pub(crate) fn check(status: libc::c_int) -> io::Result<()> {
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
