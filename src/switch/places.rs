//! Where the servers of both sides are asked whether they are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Switch;
use crate::config::network::Family;
use crate::config::switch::Backend;
use crate::sys;

impl Switch {
    /// Where the responder must answer: where redirected visitors arrive.
    pub(super) fn responders(&self) -> Vec<SocketAddr> {
        let ports = self.settings.redirects.iter().map(|redirect| redirect.to);
        match self.settings.backend {
            Backend::Pf => at(ports, &self.redirected_to()),
            Backend::Nft => at(ports, &self.own_switched()),
        }
    }

    /// Where the live site must accept connections.
    pub(super) fn live(&self, force: bool) -> Vec<SocketAddr> {
        let ports = self.settings.redirects.iter().map(|redirect| redirect.from);
        if force {
            Vec::new()
        } else if !self.settings.live.is_empty() {
            at(ports, &self.settings.live)
        } else {
            at(ports, &self.own_switched())
        }
    }

    fn own_switched(&self) -> Vec<IpAddr> {
        let is_switched =
            |address: &&IpAddr| self.settings.families.contains(&Family::of(**address));
        self.own.iter().filter(is_switched).copied().collect()
    }

    /// Where the rules of pf send visitors: to loopback, wherever that can be redirected to.
    fn redirected_to(&self) -> Vec<IpAddr> {
        let families = self.settings.families.iter();
        families
            .flat_map(|family| match family {
                Family::Inet => vec![Ipv4Addr::LOCALHOST.into()],
                Family::Inet6 if sys::PF_REDIRECTS_TO_IPV6_LOOPBACK => {
                    vec![Ipv6Addr::LOCALHOST.into()]
                }
                Family::Inet6 => {
                    let own = self.own.iter().copied();
                    own.filter(IpAddr::is_ipv6).collect()
                }
            })
            .collect()
    }
}

/// Every port of every address.
fn at(ports: impl Iterator<Item = u16> + Clone, addresses: &[IpAddr]) -> Vec<SocketAddr> {
    let of_address = |address: &IpAddr| {
        let address = *address;
        ports
            .clone()
            .map(move |port| SocketAddr::new(address, port))
    };
    addresses.iter().flat_map(of_address).collect()
}
