//! Which places get a socket, and which are taken care of by another one's.

use std::net::SocketAddr;

use crate::config::{BindAddr, Endpoint};

/// An endpoint without a socket of its own: a single address, of which a socket on the wildcard address takes care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// Its address.
    pub address: SocketAddr,
    /// TLS is spoken there.
    pub secure: bool,
    /// Its number.
    pub endpoint: usize,
}

/// Whether whoever comes to `narrow` comes to a socket on `wide` too: the wildcard address with the same port.
pub(crate) fn takes_in(wide: &BindAddr, narrow: &BindAddr) -> bool {
    match (wide, narrow) {
        (BindAddr::Tcp(wide), BindAddr::Tcp(narrow)) => {
            wide.ip().is_unspecified()
                && !narrow.ip().is_unspecified()
                && wide.is_ipv4() == narrow.is_ipv4()
                && wide.port() == narrow.port()
                && wide.port() != 0
        }
        (BindAddr::Tcp(_) | BindAddr::Unix(_), _) => false,
    }
}

/// The endpoints that get a socket, by their numbers, each with those that it takes in. As in nginx, an address whose port
/// is also listened on at the wildcard address needs none, and on Linux it could not be had.
#[must_use]
pub fn plan(endpoints: &[Endpoint]) -> Vec<(usize, Vec<Within>)> {
    let takes_in = |wide: &Endpoint, narrow: &Endpoint| takes_in(&wide.place, &narrow.place);
    let mut plan = Vec::with_capacity(endpoints.len());
    for (number, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().any(|wide| takes_in(wide, endpoint)) {
            continue;
        }
        let narrow = endpoints.iter().enumerate();
        let narrow = narrow.filter(|(_, narrow)| takes_in(endpoint, narrow));
        let within = narrow.filter_map(|(number, narrow)| match narrow.place {
            BindAddr::Tcp(address) => Some(Within {
                address,
                secure: narrow.secure,
                endpoint: number,
            }),
            BindAddr::Unix(_) => None,
        });
        plan.push((number, within.collect()));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan for these places, as the numbers of those with a socket and of those within each.
    fn planned(places: &[&str]) -> Vec<(usize, Vec<usize>)> {
        let endpoints: Vec<Endpoint> = places
            .iter()
            .map(|place| Endpoint::new(BindAddr::Tcp(place.parse().unwrap()), false))
            .collect();
        plan(&endpoints)
            .into_iter()
            .map(|(number, within)| (number, within.iter().map(|one| one.endpoint).collect()))
            .collect()
    }

    #[test]
    fn a_single_address_is_within_all_addresses_of_its_port() {
        let places = [
            "127.0.0.1:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::1]:80",
            "127.0.0.1:81",
            "127.0.0.2:80",
        ];
        assert_eq!(
            planned(&places),
            [(1, vec![0, 5]), (2, vec![3]), (4, vec![])]
        );
        // A free port is another one for each.
        let any = ["127.0.0.1:0", "0.0.0.0:0"];
        assert_eq!(planned(&any), [(0, vec![]), (1, vec![])]);
    }
}
