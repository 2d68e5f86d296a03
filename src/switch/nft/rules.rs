//! The rules that the switch needs, as nft(8) reads them.

use super::output::Table;
use super::{CLIENTS, EXCEPT, number};
use crate::config::network::Family;
use crate::config::switch::SwitchConfig;

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
    for family in [Family::Inet, Family::Inet6] {
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
    text.push_str(&format!(
        "\tchain prerouting {{\n\t\ttype nat hook prerouting priority dstnat - 10; policy accept;\n\t}}\n\
         \tchain input {{\n\t\ttype filter hook input priority filter - 10; policy accept;\n\t}}\n}}\n\
         flush chain inet {table} prerouting\nflush chain inet {table} input\ntable inet {table} {{\n"
    ));
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

/// What lets those who are excepted pass, before anything else is asked.
fn exceptions() -> impl Iterator<Item = String> {
    [Family::Inet, Family::Inet6].into_iter().map(|family| {
        format!(
            "{} saddr @{} accept",
            protocol(family),
            EXCEPT[number(family)]
        )
    })
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
    exceptions().chain(redirects).collect()
}

/// Visitors are counted; who comes to the responder's ports unasked is dropped; HTTP/3 is refused to those who are moved,
/// so that browsers come by TCP.
fn input(settings: &SwitchConfig) -> Vec<String> {
    let list = |ports: Vec<u16>| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        format!("{{ {} }}", ports.join(", "))
    };
    let from = list(
        settings
            .redirects
            .iter()
            .map(|redirect| redirect.from)
            .collect(),
    );
    let to = list(
        settings
            .redirects
            .iter()
            .map(|redirect| redirect.to)
            .collect(),
    );
    let mut rules = vec![
        "iif \"lo\" accept".to_owned(),
        format!(
            "tcp dport {from} counter name \"{}\" accept",
            settings.label_normal
        ),
        format!(
            "tcp dport {to} ct status dnat counter name \"{}\" accept",
            settings.label_maintenance
        ),
        format!("tcp dport {to} drop"),
    ];
    if settings
        .redirects
        .iter()
        .any(|redirect| redirect.from == 443)
    {
        rules.extend(exceptions());
        rules.extend(settings.families.iter().map(|family| {
            format!(
                "{} saddr @{} udp dport 443 reject",
                protocol(*family),
                CLIENTS[number(*family)]
            )
        }));
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
    use crate::config::switch::{Backend, Redirect};

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
            "\t\ttcp dport { 8080, 8443 } drop",
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
