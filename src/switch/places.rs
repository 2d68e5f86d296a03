//! Where the servers of both sides are asked whether they are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Switch;
use super::plan::Required;
use super::state::Saved;
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

    /// Where the live site may accept connections.
    pub(super) fn live(&self) -> Vec<SocketAddr> {
        let ports = self.settings.redirects.iter().map(|redirect| redirect.from);
        if self.settings.live.is_empty() {
            at(ports, &self.own_switched())
        } else {
            at(ports, &self.settings.live)
        }
    }

    /// Where the live site must accept connections before visitors are moved back: where it accepted before `on`. Without
    /// any such place, those that the configuration names are all required.
    pub(super) fn required(&self, saved: Option<&Saved>) -> Required {
        let accepted = saved.map_or(self.accepted.as_deref(), |saved| saved.live.as_deref());
        match Required::of(self.live(), accepted) {
            Required::Any(places) | Required::Unknowable(places)
                if !self.settings.live.is_empty() =>
            {
                Required::Each(places)
            }
            required @ (Required::Each(_) | Required::Any(_) | Required::Unknowable(_)) => required,
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
