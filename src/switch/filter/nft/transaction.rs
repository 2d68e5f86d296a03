//! Generates the transaction that changes the redirected clients, for `nft -f -`.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::switch::clients::ClientSet;
use crate::switch::filter::nft::rules::{QUOTED, ZONE};
use crate::switch::filter::nft::set_names::{self, CLIENTS, EXCEPT};

/// The transaction that makes exactly these the sets' members, also for the clients that ICMP errors quote.
pub(crate) fn replace_clients(table: &str, clients: &ClientSet) -> String {
    let mut text = icmp_quoted(table, clients);
    // Without entries the exceptions have no effect, but during the change they are still needed.
    let outdated: &[_] = if clients.is_empty() { &[] } else { &EXCEPT };
    for set in CLIENTS.iter().chain(outdated) {
        text.push_str(&format!("flush set inet {table} {set}\n"));
    }
    for (sets, networks) in [(CLIENTS, &clients.entries), (EXCEPT, &clients.except)] {
        for family in [Family::Inet, Family::Inet6] {
            let of_family = networks.iter().filter(|network| network.family() == family);
            let elements: Vec<String> = of_family.map(Network::to_string).collect();
            if !elements.is_empty() {
                let (set, elements) = (sets[set_names::index(family)], elements.join(", "));
                text.push_str(&format!(
                    "add element inet {table} {set} {{ {elements} }}\n"
                ));
            }
        }
    }
    text
}

/// The commands that fill [`QUOTED`] for exactly these clients. A set cannot be looked up by a part of a quoted packet.
fn icmp_quoted(table: &str, clients: &ClientSet) -> String {
    let mut text = format!("flush chain inet {table} {QUOTED}\n");
    let zone = format!("ct original zone set {ZONE}");
    for (networks, action) in [
        (&clients.except, "accept"),
        (&clients.entries, zone.as_str()),
    ] {
        let mut networks = networks.clone();
        networks.sort_by_key(|network| (network.family(), Reverse(network.bits())));
        let kind = |network: &Network| (network.family(), network.bits());
        for alike in networks.chunk_by(|one, other| kind(one) == kind(other)) {
            let condition = quoted_address(alike);
            text.push_str(&format!(
                "add rule inet {table} {QUOTED} {condition}{action}\n"
            ));
        }
    }
    text
}

/// The condition that a quoted answer was for one of these networks, which have one family and length: one rule for all, so
/// that ten thousand exceptions are not ten thousand rules for each ICMP error.
fn quoted_address(networks: &[Network]) -> String {
    let Some(one) = networks.first() else {
        return String::new();
    };
    let (kind, offset) = match one.family() {
        Family::Inet => ("icmp", 192),
        Family::Inet6 => ("icmpv6", 256),
    };
    let bits = one.bits();
    let prefix = |network: &Network| {
        let number = match network.first() {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        number.checked_shr(128 - u32::from(bits))
    };
    let prefixes: Vec<String> = networks
        .iter()
        .filter_map(prefix)
        .map(|prefix| format!("{prefix:#x}"))
        .collect();
    match prefixes.as_slice() {
        // A prefix of 0 bits matches every address.
        [] => format!("meta l4proto {kind} "),
        [prefix] => format!("meta l4proto {kind} @th,{offset},{bits} {prefix} "),
        several => {
            let several = several.join(", ");
            format!("meta l4proto {kind} @th,{offset},{bits} {{ {several} }} ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_packets_are_matched_by_prefix() {
        let networks = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
        let entries = networks(&["0.0.0.0/0", "2001:db8::/31", "::/0"]);
        let except = networks(&["192.0.2.7", "192.0.2.8/29", "192.0.2.1", "2001:db8::7"]);
        let text = icmp_quoted("maintd", &ClientSet { entries, except });
        let expected = [
            "flush chain inet maintd quoted",
            "add rule inet maintd quoted meta l4proto icmp @th,192,32 { 0xc0000207, 0xc0000201 } accept",
            "add rule inet maintd quoted meta l4proto icmp @th,192,29 0x18000041 accept",
            "add rule inet maintd quoted meta l4proto icmpv6 @th,256,128 0x20010db8000000000000000000000007 accept",
            "add rule inet maintd quoted meta l4proto icmp ct original zone set 503",
            "add rule inet maintd quoted meta l4proto icmpv6 @th,256,31 0x100086dc ct original zone set 503",
            "add rule inet maintd quoted meta l4proto icmpv6 ct original zone set 503",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
