//! The rules that the switch needs, as nft(8) reads them.

use super::output::Table;
use super::{CLIENTS, EXCEPT, number};
use crate::config::network::Family;
use crate::config::switch::{Redirect, SwitchConfig};

/// The zone of conntrack for those who are moved; any that nobody else has will do.
const ZONE: u16 = 503;

const BOTH: [Family; 2] = [Family::Inet, Family::Inet6];

/// The family as nft's expressions have it.
const fn protocol(family: Family) -> &'static str {
    match family {
        Family::Inet => "ip",
        Family::Inet6 => "ip6",
    }
}

/// The rules. Loaded again they leave the sets and counters as they are, so that a reload ends no maintenance.
pub(in crate::switch) fn rules(settings: &SwitchConfig) -> String {
    let table = settings.table();
    let mut text = format!("table inet {table} {{\n");
    for family in BOTH {
        let kind = match family {
            Family::Inet => "ipv4_addr",
            Family::Inet6 => "ipv6_addr",
        };
        for set in [CLIENTS[number(family)], EXCEPT[number(family)]] {
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
         \tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat - 10; policy accept;\n\t}\n\
         \tchain input {\n\t\ttype filter hook input priority filter - 10; policy accept;\n\t}\n}\n",
    );
    for name in ["raw", "prerouting", "input"] {
        text.push_str(&format!("flush chain inet {table} {name}\n"));
    }
    text.push_str(&format!("table inet {table} {{\n"));
    chain(&mut text, "raw", &raw(settings));
    chain(&mut text, "prerouting", &prerouting(settings));
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

/// What a rule does with visitors of each family who are in one of the sets.
fn each(families: &[Family], sets: [&str; 2], what: &str) -> Vec<String> {
    let rule = |family: &Family| {
        let (protocol, set) = (protocol(*family), sets[number(*family)]);
        format!("{protocol} saddr @{set} {what}")
    };
    families.iter().map(rule).collect()
}

fn ports(settings: &SwitchConfig, port: fn(&Redirect) -> u16) -> String {
    let ports = settings.redirects.iter();
    let ports: Vec<String> = ports.map(|redirect| port(redirect).to_string()).collect();
    format!("{{ {} }}", ports.join(", "))
}

/// The kernel keeps account of those who are moved apart from all others.
///
/// Otherwise it would know where a connection went before the change: of one that the server has reset for 10 s
/// (`nf_conntrack_tcp_timeout_close`), in which a new one from the same port of the same client goes there too. Answers are
/// found in the zone of all others, where the server's port tells them apart.
fn raw(settings: &SwitchConfig) -> Vec<String> {
    let ports = ports(settings, |redirect| redirect.from);
    let mut rules = each(&BOTH, EXCEPT, "accept");
    let zone = each(
        &settings.families,
        CLIENTS,
        &format!("tcp dport {ports} ct original zone set {ZONE}"),
    );
    rules.extend(
        zone.iter()
            .map(|rule| format!("fib daddr type local {rule}")),
    );
    rules
}

/// Visitors of this host, and not those who only pass through it, are redirected.
fn prerouting(settings: &SwitchConfig) -> Vec<String> {
    let redirects = settings.families.iter().flat_map(|family| {
        settings.redirects.iter().map(|redirect| {
            format!(
                "fib daddr type local {} saddr @{} tcp dport {} redirect to :{}",
                protocol(*family),
                CLIENTS[number(*family)],
                redirect.from,
                redirect.to
            )
        })
    });
    let mut rules = each(&BOTH, EXCEPT, "accept");
    rules.extend(redirects);
    rules
}

/// Visitors are counted on the side where they belong, and their connections end on the other one; who comes to the
/// responder's ports unasked is dropped; HTTP/3 is refused to those who are moved, so that browsers come by TCP.
fn input(settings: &SwitchConfig) -> Vec<String> {
    let families = &settings.families;
    let live = format!("tcp dport {}", ports(settings, |redirect| redirect.from));
    let on_live = format!("counter name \"{}\" accept", settings.label_normal);
    let page = format!("tcp dport {}", ports(settings, |redirect| redirect.to));
    let on_page = format!("counter name \"{}\" accept", settings.label_maintenance);
    let mut rules = vec!["iif \"lo\" accept".to_owned()];
    rules.extend(each(&BOTH, EXCEPT, &format!("{live} {on_live}")));
    rules.extend(each(
        families,
        CLIENTS,
        &format!("{live} reject with tcp reset"),
    ));
    rules.push(format!("{live} {on_live}"));
    rules.push(format!("{page} ct status ! dnat drop"));
    rules.extend(each(
        &BOTH,
        EXCEPT,
        &format!("{page} reject with tcp reset"),
    ));
    rules.extend(each(families, CLIENTS, &format!("{page} {on_page}")));
    rules.push(format!("{page} reject with tcp reset"));
    if settings
        .redirects
        .iter()
        .any(|redirect| redirect.from == 443)
    {
        rules.extend(each(&BOTH, EXCEPT, "accept"));
        rules.extend(each(families, CLIENTS, "udp dport 443 reject"));
    }
    rules
}

/// What of the rules a table lacks.
pub(super) fn missing(settings: &SwitchConfig, table: &Table) -> Option<String> {
    let mut sets = CLIENTS.iter().chain(&EXCEPT);
    if let Some(set) = sets.find(|set| !table.sets.iter().any(|other| other == *set)) {
        return Some(format!("has no set \"{set}\""));
    }
    let wanted = settings.families.iter().flat_map(|family| {
        let redirects = settings.redirects.iter();
        redirects.map(|redirect| (*family, redirect.from, redirect.to))
    });
    let missing = wanted
        .into_iter()
        .find(|one| !table.redirects.contains(one));
    missing.map(|(family, from, to)| {
        format!(
            "does not redirect port {from} to {to} for {}",
            family.name()
        )
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
    fn rules_say_who_goes_where() {
        let text = rules(&settings());
        for line in [
            "\t\tip saddr @except4 accept",
            "\t\tfib daddr type local ip saddr @clients4 tcp dport 80 redirect to :8080",
            "\t\tfib daddr type local ip6 saddr @clients6 tcp dport 443 redirect to :8443",
            "\t\tip6 saddr @clients6 tcp dport { 80, 443 } reject with tcp reset",
            "\t\ttcp dport { 8080, 8443 } ct status ! dnat drop",
            "\t\tip saddr @except4 tcp dport { 8080, 8443 } reject with tcp reset",
            "\t\tip6 saddr @clients6 udp dport 443 reject",
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
    fn what_is_missing_is_named() {
        let mut table = Table {
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
            ..Table::default()
        };
        assert_eq!(missing(&settings(), &table), None);
        table.redirects.pop();
        let what = missing(&settings(), &table);
        assert_eq!(
            what.as_deref(),
            Some("does not redirect port 443 to 8443 for inet6")
        );
        table.sets.pop();
        assert_eq!(
            missing(&settings(), &table).as_deref(),
            Some("has no set \"except6\"")
        );
    }
}
