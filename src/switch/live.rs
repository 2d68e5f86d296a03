//! Where the servers of both sides are asked whether they are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::network::Family;
use crate::config::switch::Backend;
use crate::switch::Switch;
use crate::switch::plan::Required;
use crate::switch::state::Saved;

impl Switch {
    /// Where the responder must answer, as far as that does not follow from the loaded rules, which `Step::Redirects` reads.
    pub(crate) fn responders(&self) -> Vec<SocketAddr> {
        match self.settings.backend {
            Backend::Pf => Vec::new(),
            Backend::Nft => at(self.responder_ports(), &self.own_switched()),
        }
    }

    /// Where the responder is looked for while there are no rules that say where visitors are sent.
    pub(crate) fn usual_responders(&self) -> Vec<SocketAddr> {
        let loopback = |family: &Family| match family {
            Family::Inet => IpAddr::from(Ipv4Addr::LOCALHOST),
            Family::Inet6 => Ipv6Addr::LOCALHOST.into(),
        };
        match self.settings.backend {
            Backend::Pf => {
                let families = self.settings.families.iter();
                at(
                    self.responder_ports(),
                    &families.map(loopback).collect::<Vec<_>>(),
                )
            }
            Backend::Nft => self.responders(),
        }
    }

    fn responder_ports(&self) -> impl Iterator<Item = u16> + Clone {
        self.settings.redirects.iter().map(|redirect| redirect.to)
    }

    /// Where the live site may accept connections.
    pub(crate) fn live(&self) -> Vec<SocketAddr> {
        let ports = self.settings.redirects.iter().map(|redirect| redirect.from);
        if self.settings.live.is_empty() {
            at(ports, &self.own_switched())
        } else {
            at(ports, &self.settings.live)
        }
    }

    /// Where the live site must accept connections before visitors are moved back: where it accepted before `on`. Without
    /// any such place, one of those that the configuration names: they can be reached from this host, or they would not be
    /// named.
    pub(crate) fn required(&self, saved: Option<&Saved>) -> Required {
        let accepted = saved.map_or(self.accepted.as_deref(), |saved| saved.live.as_deref());
        match Required::of(self.live(), accepted) {
            Required::Unknowable(places) if !self.settings.live.is_empty() => Required::any(places),
            required @ (Required::Each(_) | Required::Any(_) | Required::Unknowable(_)) => required,
        }
    }

    fn own_switched(&self) -> Vec<IpAddr> {
        let is_switched =
            |address: &&IpAddr| self.settings.families.contains(&Family::of(**address));
        self.own.iter().filter(is_switched).copied().collect()
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
