//! Generates the rules that the switch needs, for nft(8).

use crate::config::network::Family;
use crate::config::switch::{Redirect, SwitchConfig};
use crate::switch::filter::nft::output::MaintdTable;
use crate::switch::filter::nft::set_names::{self, CLIENTS, EXCEPT};

/// The conntrack zone of redirected clients: any that no other rule uses.
pub(super) const ZONE: u16 = 503;

/// The chain that finds redirected clients in the packets that ICMP errors quote. It is filled together with the sets.
pub(crate) const QUOTED: &str = "quoted";

const BOTH: [Family; 2] = [Family::Inet, Family::Inet6];

/// The family in nft's expressions.
const fn protocol(family: Family) -> &'static str {
    match family {
        Family::Inet => "ip",
        Family::Inet6 => "ip6",
    }
}

/// The rules. Loading them again keeps the sets and counters, so that a reload does not end a maintenance.
pub(crate) fn rules(settings: &SwitchConfig) -> String {
    let table = settings.table();
    let mut text = format!("table inet {table} {{\n");
    for family in BOTH {
        let kind = match family {
            Family::Inet => "ipv4_addr",
            Family::Inet6 => "ipv6_addr",
        };
        for set in [
            CLIENTS[set_names::index(family)],
            EXCEPT[set_names::index(family)],
        ] {
            text.push_str(&format!(
                "\tset {set} {{\n\t\ttype {kind}\n\t\tflags interval\n\t}}\n"
            ));
        }
    }
    for label in [&settings.label_maintenance, &settings.label_normal] {
        text.push_str(&format!("\tcounter {label} {{\n\t}}\n"));
    }
    text.push_str(
        "\tchain raw {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t}\n\
         \tchain quoted {\n\t}\n\
         \tchain elsewhere {\n\t}\n\
         \tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat - 10; policy accept;\n\t}\n\
         \tchain input {\n\t\ttype filter hook input priority filter - 10; policy accept;\n\t}\n}\n",
    );
    for name in ["raw", "prerouting", "elsewhere", "input"] {
        text.push_str(&format!("flush chain inet {table} {name}\n"));
    }
    text.push_str(&format!("table inet {table} {{\n"));
    chain(&mut text, "raw", &raw(settings));
    chain(&mut text, "prerouting", &prerouting(settings));
    chain(&mut text, "elsewhere", &elsewhere());
    chain(&mut text, "input", &input(settings));
    text.push_str("}\n");
    text
}

fn chain(text: &mut String, name: &str, rules: &[String]) {
    text.push_str(&format!("\tchain {name} {{\n"));
    for rule in rules {
        text.push_str(&format!("\t\t{rule}\n"));
    }
    text.push_str("\t}\n");
}

/// One rule for each family that does `action` with redirected clients.
///
/// The order of the lookups matters: during a change the first may read the old sets and the second the new ones. The
/// exceptions must exist whenever the first lookup can match; so they stay in their sets when the last client is removed
/// (see [`crate::switch::filter::nft::transaction`]).
fn redirected(families: &[Family], action: &str) -> Vec<String> {
    let rule = |family: &Family| {
        let (protocol, index) = (protocol(*family), set_names::index(*family));
        format!(
            "{protocol} saddr @{} {protocol} saddr != @{} {action}",
            CLIENTS[index], EXCEPT[index]
        )
    };
    families.iter().map(rule).collect()
}

fn ports(settings: &SwitchConfig, port: fn(&Redirect) -> u16) -> String {
    let ports = settings.redirects.iter();
    let ports: Vec<String> = ports.map(|redirect| port(redirect).to_string()).collect();
    format!("{{ {} }}", ports.join(", "))
}

/// Puts redirected clients of this host, not forwarded ones, into their own conntrack zone.
///
/// Otherwise conntrack knows where a connection went before the change: for 10 s after the server has reset it
/// (`nf_conntrack_tcp_timeout_close`) a new one from the same port of the same client goes there too. Answers are in the
/// default zone, where the server's port distinguishes them.
///
/// The ICMP error about an answer that is too long comes from any router (RFC 1191, RFC 8201); its zone depends on the
/// client that the answer was for. The error quotes the answer's IP header, without options, after 8 bytes of its own.
///
/// The host's packets to itself are exempt, such as the probes of `off`. Mostly conntrack knows them already and their zone
/// stays, but not if another rule exempts them from conntrack (`notrack`): then they would be redirected here.
fn raw(settings: &SwitchConfig) -> Vec<String> {
    let ports = ports(settings, |redirect| redirect.from);
    let mut rules = vec![
        "iif \"lo\" accept".to_owned(),
        format!(
            "icmp type destination-unreachable icmp code frag-needed @th,136,8 6 @th,224,16 {ports} goto {QUOTED}"
        ),
        format!("icmpv6 type packet-too-big @th,112,8 6 @th,384,16 {ports} goto {QUOTED}"),
    ];
    let action = format!("fib daddr type local tcp dport {ports} ct original zone set {ZONE}");
    rules.extend(redirected(&settings.families, &action));
    rules
}

/// Redirects the connections in the zone. The sets are not looked up again: during a change the result could differ, and a
/// connection would be lost that is redirected in the wrong zone, or not redirected in the right one.
fn prerouting(settings: &SwitchConfig) -> Vec<String> {
    let rule = |family: &Family, redirect: &Redirect| {
        let protocol = match family {
            Family::Inet => "ipv4",
            Family::Inet6 => "ipv6",
        };
        let Redirect { from, to } = redirect;
        format!(
            "meta nfproto {protocol} ct original zone {ZONE} tcp dport {from} redirect to :{to}"
        )
    };
    let families = settings.families.iter();
    families
        .flat_map(|family| {
            settings
                .redirects
                .iter()
                .map(move |redirect| rule(family, redirect))
        })
        .collect()
}

/// Counts clients on the side where they belong and ends their connections on the other one; drops direct connections to
/// the responder's ports; rejects HTTP/3 of redirected clients, so that browsers use TCP.
fn input(settings: &SwitchConfig) -> Vec<String> {
    let families = &settings.families;
    let live = format!("tcp dport {}", ports(settings, |redirect| redirect.from));
    let on_live = format!("counter name \"{}\" accept", settings.label_normal);
    let page = format!("tcp dport {}", ports(settings, |redirect| redirect.to));
    let on_page = format!("counter name \"{}\" accept", settings.label_maintenance);
    let mut rules = vec!["iif \"lo\" accept".to_owned()];
    rules.extend(redirected(families, &format!("{live} goto elsewhere")));
    rules.push(format!("{live} {on_live}"));
    rules.push(format!("{page} ct status ! dnat drop"));
    rules.extend(redirected(families, &format!("{page} {on_page}")));
    rules.push(format!("{page} goto elsewhere"));
    if settings
        .redirects
        .iter()
        .any(|redirect| redirect.from == 443)
    {
        rules.extend(redirected(families, "udp dport 443 reject"));
    }
    rules
}

/// For clients on the wrong side: ends their connections. A SYN was redirected before the change and arrives after it. A
/// reset would refuse the connection; after a drop the client's system sends it again, a second later.
fn elsewhere() -> [String; 2] {
    [
        "tcp flags & (syn | ack) == syn drop",
        "meta l4proto tcp reject with tcp reset",
    ]
    .map(str::to_owned)
}

/// The first part of the rules that a table lacks.
pub(crate) fn missing(settings: &SwitchConfig, table: &MaintdTable) -> Option<String> {
    let mut sets = CLIENTS.iter().chain(&EXCEPT);
    if let Some(set) = sets.find(|set| !table.sets.iter().any(|other| other == *set)) {
        return Some(format!("has no set \"{set}\""));
    }
    if !table.chains.iter().any(|chain| chain == QUOTED) {
        return Some(format!("has no chain \"{QUOTED}\""));
    }
    let required = settings.families.iter().flat_map(|family| {
        let redirects = settings.redirects.iter();
        redirects.map(|redirect| (*family, redirect.from, redirect.to))
    });
    let missing = required
        .into_iter()
        .find(|one| !table.redirects.contains(one));
    missing.map(|(family, from, to)| {
        format!(
            "does not redirect port {from} to {to} for {}",
            family.name()
        )
    })
}

/// What the rules of an older maintd lack. They redirect clients, but also the host's packets to itself if another rule
/// exempts those from conntrack, and then `off` cannot connect to the live site.
pub(crate) fn outdated(table: &MaintdTable) -> Option<String> {
    (!table.exempts_loopback).then(|| {
        "has the rules of an older maintd, without \"iif lo accept\" in chain \"raw\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::switch::Backend;

    fn settings() -> SwitchConfig {
        SwitchConfig {
            backend: Backend::Nft,
            ..SwitchConfig::default()
        }
    }

    #[test]
    fn rules_redirect_count_and_reset() {
        let text = rules(&settings());
        for line in [
            "\t\tip saddr @clients4 ip saddr != @except4 fib daddr type local tcp dport { 80, 443 } ct original zone set 503",
            "\t\tmeta nfproto ipv4 ct original zone 503 tcp dport 80 redirect to :8080",
            "\t\tmeta nfproto ipv6 ct original zone 503 tcp dport 443 redirect to :8443",
            "\t\tip6 saddr @clients6 ip6 saddr != @except6 tcp dport { 80, 443 } goto elsewhere",
            "\t\ttcp dport { 8080, 8443 } ct status ! dnat drop",
            "\t\ttcp dport { 8080, 8443 } goto elsewhere",
            "\t\tip6 saddr @clients6 ip6 saddr != @except6 udp dport 443 reject",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        let one = SwitchConfig {
            redirects: vec![Redirect { from: 80, to: 9000 }],
            families: vec![Family::Inet],
            ..settings()
        };
        let text = rules(&one);
        assert!(text.contains("redirect to :9000"));
        assert!(!text.contains("@clients6") && !text.contains("udp"));
    }

    #[test]
    fn missing_parts_are_named() {
        let mut table = MaintdTable {
            sets: CLIENTS
                .iter()
                .chain(&EXCEPT)
                .map(|set| (*set).to_owned())
                .collect(),
            redirects: vec![
                (Family::Inet, 80, 8080),
                (Family::Inet, 443, 8443),
                (Family::Inet6, 80, 8080),
                (Family::Inet6, 443, 8443),
            ],
            chains: vec![QUOTED.to_owned()],
            ..MaintdTable::default()
        };
        assert_eq!(missing(&settings(), &table), None);
        table.redirects.pop();
        let what = missing(&settings(), &table);
        assert_eq!(
            what.as_deref(),
            Some("does not redirect port 443 to 8443 for inet6")
        );
        table.chains.pop();
        assert_eq!(
            missing(&settings(), &table).as_deref(),
            Some("has no chain \"quoted\"")
        );
        table.sets.pop();
        assert_eq!(
            missing(&settings(), &table).as_deref(),
            Some("has no set \"except6\"")
        );
    }
}
