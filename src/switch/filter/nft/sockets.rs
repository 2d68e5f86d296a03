//! Filters of ss(8) for connections by their clients' networks.

use crate::config::network::{Family, Network};
use crate::switch::plan::without_covered;

/// How many networks of a kind one filter names at most. The kernel takes a compiled filter of 64 KiB (a netlink attribute),
/// and an argument of a command holds 128 KiB: a few thousand networks.
const MANY: usize = 400;

/// The clients of one filter, all of one family.
///
/// ss(8) hands a filter to the kernel and applies it once more itself, and there (as of iproute2 6.1) it compares only the
/// bits of addresses: `not dst 32.1.13.184` leaves out clients of 2001:db8::/32. So no filter names both families.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// They are in one of these.
    include: Vec<Network>,
    /// They are in one of these too, which cover a range of addresses; without any, wherever they are.
    range: Vec<Network>,
    /// They are in none of these.
    exclude: Vec<Network>,
}

/// The filters that together match the connections of clients in `include` and not in `exclude`, each connection once.
pub(crate) fn filters(include: &[Network], exclude: &[Network]) -> Vec<String> {
    parts(include, exclude).iter().map(Part::filter).collect()
}

fn parts(include: &[Network], exclude: &[Network]) -> Vec<Part> {
    let include = without_covered(include.to_vec());
    let exclude = without_covered(exclude.to_vec());
    let mut parts = Vec::new();
    let families = include.chunk_by(|one, other| one.family() == other.family());
    for include in families.flat_map(|family| family.chunks(MANY)) {
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
        // The range is cut where an excluded network begins, which belongs to both halves: neither matches it.
        while let Some(cut) = left.get(MANY) {
            parts.push(Part {
                include: include.to_vec(),
                range: Network::of_range(first, cut.first()),
                exclude: left[..=MANY].to_vec(),
            });
            first = cut.first();
            range = Network::of_range(first, last);
            left = &left[MANY..];
        }
        parts.push(Part {
            include: include.to_vec(),
            range,
            exclude: left.to_vec(),
        });
    }
    parts
}

impl Part {
    fn filter(&self) -> String {
        let mut terms = vec![any(&self.include)];
        // To the kernel the clients of IPv4 are in ::ffff:0:0/96 where one socket serves both families.
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

    fn everybody() -> Vec<Network> {
        [Family::Inet, Family::Inet6]
            .map(Family::everybody)
            .to_vec()
    }

    #[test]
    fn each_family_has_a_filter_of_its_own() {
        let except = networks(&["192.0.2.7", "2001:db8::/64"]);
        assert_eq!(
            filters(&everybody(), &except),
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

    /// A number that looks random, and is the same in each run.
    fn scattered(number: u32) -> u32 {
        number.wrapping_mul(2_654_435_761)
    }

    #[test]
    fn many_networks_are_several_filters_of_which_one_matches_what_is_not_excluded() {
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
        let matching = |parts: &[Part], address: IpAddr| {
            let matches = |part: &&Part| {
                (part.range.is_empty() || has(&part.range, address))
                    && has(&part.include, address)
                    && !has(&part.exclude, address)
            };
            parts.iter().filter(matches).count()
        };
        let some: Vec<Network> = (2500..3500).map(v4).map(single).collect();
        for include in [everybody(), some] {
            let parts = parts(&include, &exclude);
            let size = |part: &Part| part.include.len().max(part.exclude.len());
            assert!(parts.iter().map(size).max() <= Some(MANY + 1));
            assert!(parts.len() <= 2 + (include.len() + exclude.len()) / MANY);
            for number in (2400..3600).step_by(7) {
                for address in [v4(number), v6(number)] {
                    let expected = has(&include, address) && !has(&exclude, address);
                    let found = matching(&parts, address);
                    assert_eq!(found, usize::from(expected), "{address}");
                }
            }
        }
    }

    #[test]
    fn a_filter_fits_into_an_argument_and_an_attribute() {
        let longest = |number: u16| {
            let address = IpAddr::from([
                0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, number,
            ]);
            Network::single(address)
        };
        let exclude: Vec<Network> = (0..2000)
            .map(|number| longest(0x8000 + 2 * number))
            .collect();
        for filter in filters(&everybody(), &exclude) {
            assert!(filter.len() < 128 * 1024);
            // A condition of IPv6 takes 28 bytes at most and a jump 4 (linux/inet_diag.h).
            assert!(filter.matches("dst").count() * 32 < 64 * 1024);
        }
    }
}
