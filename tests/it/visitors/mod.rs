//! The switch with real nft, ss and nginx, in network namespaces: which clients get which side, and that no request is lost
//! on the way. Clients use IPv4 and IPv6, plaintext and TLS, new connections and kept ones.

mod cycles;
mod firewalls;
mod live_addresses;
mod moves;
mod namespaces;
mod narrow;
mod refusals;
mod sides;
mod site;
mod site_client;

use crate::common::{require_tool, skip};

/// Namespaces can be made, and what runs in them is there.
fn can_run() -> bool {
    let tools = ["ip", "nft", "ss", "nginx"];
    // SAFETY: geteuid touches no memory.
    #[expect(unsafe_code, reason = "std has no geteuid")]
    let is_root = unsafe { libc::geteuid() } == 0;
    (is_root || skip("only root can make network namespaces"))
        && tools.into_iter().all(require_tool)
}
