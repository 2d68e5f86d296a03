//! Routing domains on systems that have none: OpenBSD alone lists interfaces of other domains.

use std::ffi::CStr;
use std::io;

/// The routing domain of this process. A network namespace, or a jail with its own network stack, lists only its own
/// interfaces.
#[derive(Debug)]
pub(crate) struct RoutingDomain;

impl RoutingDomain {
    /// There is only one.
    #[expect(clippy::unnecessary_wraps, reason = "that of OpenBSD can fail")]
    pub(crate) fn own() -> io::Result<Self> {
        Ok(Self)
    }

    /// Every interface is in it.
    #[expect(clippy::unused_self, reason = "that of OpenBSD differs by interface")]
    pub(crate) fn has(&self, _interface: &CStr) -> bool {
        true
    }
}
