//! Filters of ss(8) that select connections by their clients' networks.

use crate::config::network::{Family, Network};
use crate::switch::clients::without_covered;

/// The most networks of a kind in one filter. A compiled filter has at most 64 KiB (a netlink attribute), and an argument of
/// a command 128 KiB: a few thousand networks.
const MAX_NETWORKS: usize = 400;

/// The clients of one filter, all of one family.
///
/// ss(8) passes a filter to the kernel and applies it again itself, where (as of iproute2 6.1) it compares only the bits of
/// addresses: `not dst 32.1.13.184` excludes clients of 2001:db8::/32. So no filter names both families.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SocketFilter {
    /// In one of these.
    include: Vec<Network>,
    /// And in one of these, which together are a range of addresses; if empty, in any range.
    range: Vec<Network>,
    /// And in none of these.
    exclude: Vec<Network>,
}

/// The filters that together match the connections of clients in `include` and not in `exclude`, each connection once.
pub(crate) fn filters(include: &[Network], exclude: &[Network]) -> Vec<String> {
    socket_filters(include, exclude)
        .iter()
        .map(SocketFilter::expression)
        .collect()
}

fn socket_filters(include: &[Network], exclude: &[Network]) -> Vec<SocketFilter> {
    let include = without_covered(include.to_vec());
    let exclude = without_covered(exclude.to_vec());
    let mut filters = Vec::new();
    let families = include.chunk_by(|one, other| one.family() == other.family());
    for include in families.flat_map(|family| family.chunks(MAX_NETWORKS)) {
        let (Some(one), Some(other)) = (include.first(), include.last()) else {
            continue;
        };
        let (mut first, last) = (one.first(), other.last());
        let overlaps = |network: &&Network| {
            network.family() == one.family() && network.last() >= first && network.first() <= last
        };
        let overlapping: Vec<Network> = exclude.iter().filter(overlaps).copied().collect();
        let mut left = overlapping.as_slice();
        let mut range = Vec::new();
        // The range is cut where an excluded network begins. Both halves exclude that network.
        while let Some(cut) = left.get(MAX_NETWORKS) {
            filters.push(SocketFilter {
                include: include.to_vec(),
                range: Network::of_range(first, cut.first()),
                exclude: left[..=MAX_NETWORKS].to_vec(),
            });
            first = cut.first();
            range = Network::of_range(first, last);
            left = &left[MAX_NETWORKS..];
        }
        filters.push(SocketFilter {
            include: include.to_vec(),
            range,
            exclude: left.to_vec(),
        });
    }
    filters
}

impl SocketFilter {
    fn expression(&self) -> String {
        let mut terms = vec![any(&self.include)];
        // If one socket serves both families, the kernel has IPv4 clients in ::ffff:0:0/96.
        if self.include.iter().any(|one| one.family() == Family::Inet6) {
            terms.push("not dst [::ffff:0:0/96]".to_owned());
        }
        if !self.range.is_empty() {
            terms.push(any(&self.range));
        }
        terms.extend(self.exclude.iter().map(|one| format!("not {}", term(one))));
        terms.join(" and ")
    }
}

fn any(networks: &[Network]) -> String {
    let terms: Vec<String> = networks.iter().map(term).collect();
    match terms.as_slice() {
        [one] => one.clone(),
        several => format!("( {} )", several.join(" or ")),
    }
}

fn term(network: &Network) -> String {
    match network.family() {
        Family::Inet => format!("dst {network}"),
        Family::Inet6 => format!("dst [{network}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn all_clients() -> Vec<Network> {
        [Family::Inet, Family::Inet6]
            .map(Family::all_addresses)
            .to_vec()
    }

    #[test]
    fn each_family_has_its_own_filter() {
        let except = networks(&["192.0.2.7", "2001:db8::/64"]);
        assert_eq!(
            filters(&all_clients(), &except),
            [
                "dst 0.0.0.0/0 and not dst 192.0.2.7",
                "dst [::/0] and not dst [::ffff:0:0/96] and not dst [2001:db8::/64]"
            ]
        );
        let some = networks(&["192.0.2.0/24", "203.0.113.7"]);
        assert_eq!(
            filters(&some, &except),
            ["( dst 192.0.2.0/24 or dst 203.0.113.7 ) and not dst 192.0.2.7"]
        );
        assert_eq!(filters(&[], &except), [""; 0]);
    }

    /// A pseudo-random number, the same in each run.
    fn scattered(number: u32) -> u32 {
        number.wrapping_mul(2_654_435_761)
    }

    #[test]
    fn many_networks_make_several_filters_of_which_one_matches() {
        let single = |address: IpAddr| Network::single(address);
        let v4 = |number: u32| IpAddr::from(scattered(number).to_be_bytes());
        let v6 = |number: u32| {
            let [a, b, c, d] = scattered(number).to_be_bytes();
            IpAddr::from([32, 1, 13, 184, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 7])
        };
        let exclude: Vec<Network> = (0..3000)
            .flat_map(|number| [v4(number), v6(number)])
            .map(single)
            .chain(networks(&[
                "0.0.0.0/8",
                "255.255.255.255",
                "::/16",
                "ff00::/8",
            ]))
            .collect();
        let has = |networks: &[Network], address| networks.iter().any(|one| one.has(address));
        let matching = |filters: &[SocketFilter], address: IpAddr| {
            let matches = |filter: &&SocketFilter| {
                (filter.range.is_empty() || has(&filter.range, address))
                    && has(&filter.include, address)
                    && !has(&filter.exclude, address)
            };
            filters.iter().filter(matches).count()
        };
        let some: Vec<Network> = (2500..3500).map(v4).map(single).collect();
        for include in [all_clients(), some] {
            let filters = socket_filters(&include, &exclude);
            let size = |filter: &SocketFilter| filter.include.len().max(filter.exclude.len());
            assert!(filters.iter().map(size).max() <= Some(MAX_NETWORKS + 1));
            assert!(filters.len() <= 2 + (include.len() + exclude.len()) / MAX_NETWORKS);
            for number in (2400..3600).step_by(7) {
                for address in [v4(number), v6(number)] {
                    let expected = has(&include, address) && !has(&exclude, address);
                    let found = matching(&filters, address);
                    assert_eq!(found, usize::from(expected), "{address}");
                }
            }
        }
    }

    #[test]
    fn a_filter_fits_into_an_argument_and_a_netlink_attribute() {
        let longest = |number: u16| {
            let address = IpAddr::from([
                0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, number,
            ]);
            Network::single(address)
        };
        let exclude: Vec<Network> = (0..2000)
            .map(|number| longest(0x8000 + 2 * number))
            .collect();
        for filter in filters(&all_clients(), &exclude) {
            assert!(filter.len() < 128 * 1024);
            // A condition of IPv6 takes 28 bytes at most and a jump 4 (linux/inet_diag.h).
            assert!(filter.matches("dst").count() * 32 < 64 * 1024);
        }
    }
}
