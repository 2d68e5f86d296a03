//! Networks and addresses of the switch: an address and a prefix length (RFC 4632 3.1, RFC 4291 2.3).

use crate::quote::Quoted;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, or a single address, whose prefix is as long as the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// The address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }

    /// The name in pf.conf(5) and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
        }
    }

    /// The name in messages.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Inet => "IPv4",
            Self::Inet6 => "IPv6",
        }
    }

    /// The bits of an address.
    const fn bits(self) -> u8 {
        match self {
            Self::Inet => 32,
            Self::Inet6 => 128,
        }
    }

    /// All addresses: 0.0.0.0/0 or ::/0.
    #[must_use]
    pub const fn all_addresses(self) -> Network {
        let address = match self {
            Self::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Network { address, length: 0 }
    }

    /// The loopback addresses: 127.0.0.0/8 or `::1`.
    #[must_use]
    pub const fn loopback(self) -> Network {
        let (address, length) = match self {
            Self::Inet => (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            Self::Inet6 => (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        };
        Network { address, length }
    }
}

impl Network {
    /// A single address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self {
            address,
            length: Family::of(address).bits(),
        }
    }

    /// The family of its addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Its first address.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.address
    }

    /// Its last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        let host_bits = u128::MAX
            .checked_shr(128 - u32::from(self.family().bits() - self.length))
            .unwrap_or(0);
        from_number(self.family(), number(self.address) | host_bits)
    }

    /// The prefix length.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.length
    }

    /// It has all addresses of its family.
    #[must_use]
    pub const fn is_all_addresses(&self) -> bool {
        self.length == 0
    }

    /// It contains the address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.covers(&Self::single(address))
    }

    /// It contains all addresses of the other network.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.family() == other.family()
            && self.length <= other.length
            && masked(other.address, self.length) == self.address
    }

    /// The fewest networks that contain exactly the addresses from `first` to `last`, which must be of one family.
    #[must_use]
    pub fn of_range(first: IpAddr, last: IpAddr) -> Vec<Self> {
        let family = Family::of(first);
        let (mut next, last) = (number(first), number(last));
        let mut networks = Vec::new();
        while next <= last {
            // As many host bits as the first address has trailing zeroes and the last one allows.
            let zeroes = next.trailing_zeros().min(u32::from(family.bits()));
            let size = |bits: u32| u128::MAX.checked_shr(128 - bits).unwrap_or(0);
            let bits = (0..=zeroes)
                .rev()
                .find(|bits| last - next >= size(*bits))
                .unwrap_or(0);
            networks.push(Self {
                address: from_number(family, next),
                length: family.bits() - u8::try_from(bits).unwrap_or(0),
            });
            match next
                .checked_add(size(bits))
                .and_then(|end| end.checked_add(1))
            {
                Some(after) => next = after,
                None => break,
            }
        }
        networks
    }
}

/// An address as a number; those of IPv4 in the last 32 bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn from_number(family: Family, number: u128) -> IpAddr {
    match family {
        Family::Inet => {
            Ipv4Addr::from(u32::try_from(number & u128::from(u32::MAX)).unwrap_or(0)).into()
        }
        Family::Inet6 => Ipv6Addr::from(number).into(),
    }
}

/// An address with all bits after the prefix cleared.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    let family = Family::of(address);
    let host_bits = u128::MAX
        .checked_shr(128 - u32::from(family.bits() - length))
        .unwrap_or(0);
    from_number(family, number(address) & !host_bits)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!(
                "{} is not an address; write one as 192.0.2.10, 203.0.113.0/24 or 2001:db8::/32; names are not looked up",
                Quoted(text)
            )
        })?;
        // An IPv4-mapped address, as sockets report IPv4 peers, is an IPv4 address for the packet filter.
        let address = if length.is_none() {
            address.to_canonical()
        } else {
            address
        };
        let bits = Family::of(address).bits();
        let length = match length {
            None => bits,
            Some(length) if length.bytes().all(|digit| digit.is_ascii_digit()) => length
                .parse()
                .ok()
                .filter(|length| *length <= bits)
                .ok_or_else(|| {
                    format!("{} has too many bits; write /{bits} at most", Quoted(text))
                })?,
            Some(_) => {
                return Err(format!(
                    "{} is not a network; write ADDR/BITS",
                    Quoted(text)
                ));
            }
        };
        // The same for an IPv4-mapped network.
        let (address, length) = match (address.to_canonical(), length.checked_sub(96)) {
            (inner @ IpAddr::V4(_), Some(length)) if address.is_ipv6() => (inner, length),
            _ => (address, length),
        };
        let network = Self {
            address: masked(address, length),
            length,
        };
        if network.address != address {
            return Err(format!(
                "{} is an address in a network; write {network} for the network, or {address} for the address alone",
                Quoted(text)
            ));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == self.family().bits() {
            self.address.fmt(to)
        } else {
            write!(to, "{}/{}", self.address, self.length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_printed_as_they_are_parsed() {
        for text in [
            "0.0.0.0/0",
            "::/0",
            "192.0.2.10",
            "203.0.113.0/24",
            "2001:db8::/32",
            "2001:db8::1",
            "128.0.0.0/1",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("192.0.2.10/32").to_string(), "192.0.2.10");
        assert_eq!(network("::1/128").to_string(), "::1");
        assert_eq!(network("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.1/128").to_string(), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.0/120").to_string(), "192.0.2.0/24");
        assert_eq!(network("::/95").to_string(), "::/95");
    }

    #[test]
    fn the_error_says_how_a_network_is_written() {
        for (text, expected) in [
            ("example.org", "names are not looked up"),
            ("", "not an address"),
            ("192.0.2", "not an address"),
            ("192.0.2.1/33", "/32 at most"),
            ("::/129", "/128 at most"),
            ("192.0.2.0/", "too many bits"),
            ("192.0.2.0/+8", "ADDR/BITS"),
            ("203.0.113.5/24", "write 203.0.113.0/24 for the network"),
            ("!192.0.2.1", "not an address"),
        ] {
            let what = text.parse::<Network>().unwrap_err();
            assert!(what.contains(expected), "{text}: {what}");
        }
    }

    #[test]
    fn a_network_covers_the_addresses_in_it() {
        let net = network("203.0.113.0/24");
        assert!(net.covers(&net));
        assert!(net.covers(&network("203.0.113.128/25")));
        assert!(!net.covers(&network("203.0.0.0/16")));
        assert!(net.has("203.0.113.255".parse().unwrap()));
        assert!(!net.has("203.0.114.0".parse().unwrap()));
        assert!(Family::Inet.all_addresses().covers(&net));
        assert!(!Family::Inet6.all_addresses().covers(&net));
        assert_eq!(net.last().to_string(), "203.0.113.255");
        assert_eq!(
            Family::Inet.all_addresses().last().to_string(),
            "255.255.255.255"
        );
        assert!(
            Family::Inet6
                .all_addresses()
                .has("ffff::1".parse().unwrap())
        );
    }

    #[test]
    fn a_range_is_the_fewest_networks() {
        for (first, last, expected) in [
            ("0.0.0.0", "255.255.255.255", &["0.0.0.0/0"][..]),
            ("192.0.2.1", "192.0.2.1", &["192.0.2.1"]),
            (
                "192.0.2.1",
                "192.0.2.4",
                &["192.0.2.1", "192.0.2.2/31", "192.0.2.4"],
            ),
            ("128.0.0.0", "255.255.255.255", &["128.0.0.0/1"]),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["::/0"]),
            ("2001:db8::", "2001:db8::1", &["2001:db8::/127"]),
        ] {
            let networks = Network::of_range(first.parse().unwrap(), last.parse().unwrap());
            let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        }
    }
}
