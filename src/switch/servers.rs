//! The addresses of both servers: where the responder must answer, and where the live site may accept connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::network::Family;
use crate::config::switch::{Backend, SwitchConfig};
use crate::switch::plan::LiveRequirement;

/// The servers of a configuration on a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Servers<'a> {
    pub(crate) settings: &'a SwitchConfig,
    /// The host's own addresses.
    pub(crate) own: &'a [IpAddr],
}

impl Servers<'_> {
    /// Where the responder must answer. With pf that follows from the loaded rules, which `PlanStep::CheckRedirects` reads.
    pub(crate) fn responders(self) -> Vec<SocketAddr> {
        match self.settings.backend {
            Backend::Pf => Vec::new(),
            Backend::Nft => at(self.responder_ports(), &self.switched_addresses()),
        }
    }

    /// Where the responder usually answers, if no loaded rules show where clients are redirected to.
    pub(crate) fn usual_responders(self) -> Vec<SocketAddr> {
        let loopback = |family: &Family| match family {
            Family::Inet => IpAddr::from(Ipv4Addr::LOCALHOST),
            Family::Inet6 => Ipv6Addr::LOCALHOST.into(),
        };
        match self.settings.backend {
            Backend::Pf => {
                let addresses: Vec<_> = self.settings.families.iter().map(loopback).collect();
                at(self.responder_ports(), &addresses)
            }
            Backend::Nft => self.responders(),
        }
    }

    fn responder_ports(&self) -> impl Iterator<Item = u16> + Clone {
        self.settings.redirects.iter().map(|redirect| redirect.to)
    }

    /// Where the live site may accept connections.
    pub(crate) fn live(self) -> Vec<SocketAddr> {
        let ports = self.settings.redirects.iter().map(|redirect| redirect.from);
        if self.settings.live.is_empty() {
            at(ports, &self.switched_addresses())
        } else {
            at(ports, &self.settings.live)
        }
    }

    /// Where the live site must accept connections before `off`: where it accepted before `on`. If it accepted nowhere, on
    /// one of the addresses that the configuration names, because those can be reached from this host.
    pub(crate) fn live_requirement(self, accepted: Option<&[SocketAddr]>) -> LiveRequirement {
        match LiveRequirement::new(self.live(), accepted) {
            LiveRequirement::Unknown(servers) if !self.settings.live.is_empty() => {
                LiveRequirement::any(servers)
            }
            requirement @ (LiveRequirement::Each(_)
            | LiveRequirement::Any(_)
            | LiveRequirement::Unknown(_)) => requirement,
        }
    }

    fn switched_addresses(self) -> Vec<IpAddr> {
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
