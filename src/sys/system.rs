//! The items of the system that is compiled for.

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
pub(crate) use crate::sys::fallback::*;
#[cfg(target_os = "freebsd")]
pub(crate) use crate::sys::freebsd::*;
#[cfg(target_os = "linux")]
pub(crate) use crate::sys::linux::*;
#[cfg(target_os = "openbsd")]
pub(crate) use crate::sys::openbsd::*;
