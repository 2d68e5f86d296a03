//! The packet filters that redirect clients: pf(4) and nftables, behind one interface.

pub(crate) mod nft;
pub(crate) mod packet_filter;
pub(crate) mod pf;

use std::net::IpAddr;

use crate::config::switch::{Backend, SwitchConfig};
use crate::switch::filter::nft::Nft;
use crate::switch::filter::packet_filter::PacketFilter;
use crate::switch::filter::pf::Pf;
use crate::switch::tools::Tools;

/// The packet filter of a configuration. `own` are this host's addresses.
pub(crate) fn open(
    settings: SwitchConfig,
    tools: &Tools,
    own: Vec<IpAddr>,
) -> Box<dyn PacketFilter> {
    match settings.backend {
        Backend::Pf => Box::new(Pf::new(settings, tools, own)),
        Backend::Nft => Box::new(Nft::new(settings, tools, own)),
    }
}
