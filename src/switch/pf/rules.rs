//! The rules that the switch needs, as pf.conf(5) has them.

use crate::config::network::Family;
use crate::config::switch::{Redirect, SwitchConfig};

/// Which pf reads the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Syntax {
    /// OpenBSD's, which FreeBSD 15 takes too
    Openbsd,
    /// FreeBSD's up to 14
    Freebsd14,
}

/// The label of what refuses HTTP/3 to those who are moved, so that browsers come by TCP.
const LABEL_QUIC: &str = "www-quic";
/// The label of what answers a visitor whose state was killed.
const LABEL_STALE: &str = "www-stale";
/// Short, or the states of visitors long gone fill the table in a flood.
const KEEP_STATE: &str = "keep state (tcp.finwait 5, tcp.closed 2)";

/// The rules.
pub(in crate::switch) fn rules(settings: &SwitchConfig, syntax: Syntax) -> String {
    let own = match syntax {
        Syntax::Openbsd => openbsd(settings),
        Syntax::Freebsd14 => freebsd14(settings),
    };
    own.lines().flat_map(|line| [line, "\n"]).collect()
}

const fn loopback(family: Family) -> &'static str {
    match family {
        Family::Inet => "127.0.0.1",
        Family::Inet6 => "::1",
    }
}

/// Each redirect of each family, with both padded so that rules stand in columns.
fn each(settings: &SwitchConfig) -> Vec<(String, String, Family, Redirect)> {
    let width = |lengths: Vec<usize>| lengths.into_iter().max().unwrap_or(0);
    let family_width = width(
        settings
            .families
            .iter()
            .map(|one| one.name().len())
            .collect(),
    );
    let port_width = width(
        settings
            .redirects
            .iter()
            .map(|one| one.from.to_string().len())
            .collect(),
    );
    let pairs = settings.families.iter().flat_map(|family| {
        let redirects = settings.redirects.iter();
        redirects.map(|redirect| {
            (
                format!("{:family_width$}", family.name()),
                format!("{:<port_width$}", redirect.from),
                *family,
                *redirect,
            )
        })
    });
    pairs.collect()
}

/// The visitors' ports as a list.
fn ports(settings: &SwitchConfig) -> String {
    let ports: Vec<String> = settings
        .redirects
        .iter()
        .map(|redirect| redirect.from.to_string())
        .collect();
    format!("{{ {} }}", ports.join(" "))
}

/// HTTP/3 comes to the port of HTTPS alone.
fn has_quic(settings: &SwitchConfig) -> bool {
    settings
        .redirects
        .iter()
        .any(|redirect| redirect.from == 443)
}

fn openbsd(settings: &SwitchConfig) -> String {
    let SwitchConfig {
        label_maintenance,
        label_normal,
        ..
    } = settings;
    let table = settings.table();
    let ports = ports(settings);
    let mut rules = vec![format!("table <{table}> persist counters")];
    for (inet, port, family, redirect) in each(settings) {
        rules.push(format!(
            "pass in quick on egress {inet} proto tcp from <{table}> to (egress) port {port} {KEEP_STATE} rdr-to {} port {} label \"{label_maintenance}\"",
            loopback(family),
            redirect.to
        ));
    }
    if has_quic(settings) {
        rules.push(format!(
            "block return in quick on egress proto udp from <{table}> to (egress) port 443 label \"{LABEL_QUIC}\""
        ));
    }
    rules.push(format!(
        "pass in quick on egress proto {{ tcp udp }} to (egress) port {ports} label \"{label_normal}\""
    ));
    rules.push(format!(
        "block return in  quick on egress proto tcp to   (egress) port {ports} label \"{LABEL_STALE}\""
    ));
    rules.push(format!(
        "block return out quick on egress proto tcp from (egress) port {ports} label \"{LABEL_STALE}\""
    ));
    rules.join("\n")
}

/// Translation and filtering are rules apart, and a label stands on the filtering one, which sees the translated address.
/// To ::1 nothing from outside can be redirected there, so IPv6 goes to an address of the interface.
fn freebsd14(settings: &SwitchConfig) -> String {
    let SwitchConfig {
        label_maintenance,
        label_normal,
        ..
    } = settings;
    let table = settings.table();
    let ports = ports(settings);
    let target = |family: Family| match family {
        Family::Inet => loopback(family),
        Family::Inet6 => "$ext_ip6",
    };
    let mut rules = vec!["ext_if = \"em0\"  # the interface to the outside".to_owned()];
    if settings.families.contains(&Family::Inet6) {
        rules.push(
            "ext_ip6 = \"2001:db8::1\"  # its IPv6 address, on which maintd must listen too: ::1 cannot be redirected to".to_owned(),
        );
    }
    rules.push(format!("table <{table}> persist counters"));
    for (inet, port, family, redirect) in each(settings) {
        rules.push(format!(
            "rdr on $ext_if {inet} proto tcp from <{table}> to any port {port} -> {} port {}",
            target(family),
            redirect.to
        ));
    }
    for (inet, _, family, redirect) in each(settings) {
        rules.push(format!(
            "pass in quick on $ext_if {inet} proto tcp from <{table}> to {} port {} {KEEP_STATE} label \"{label_maintenance}\"",
            target(family),
            redirect.to
        ));
    }
    if has_quic(settings) {
        rules.push(format!(
            "block return in quick on $ext_if proto udp from <{table}> to ($ext_if) port 443 label \"{LABEL_QUIC}\""
        ));
    }
    rules.push(format!(
        "pass in quick on $ext_if proto {{ tcp udp }} to ($ext_if) port {ports} label \"{label_normal}\""
    ));
    rules.push(format!(
        "block return in  quick on $ext_if proto tcp to   ($ext_if) port {ports} label \"{LABEL_STALE}\""
    ));
    rules.push(format!(
        "block return out quick on $ext_if proto tcp from ($ext_if) port {ports} label \"{LABEL_STALE}\""
    ));
    rules.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::switch::Backend;

    fn settings() -> SwitchConfig {
        SwitchConfig {
            backend: Backend::Pf,
            ..SwitchConfig::default()
        }
    }

    #[test]
    fn the_default_rules_are_those_that_openbsd_was_seen_to_take() {
        let expected = r#"table <maintenance> persist counters
pass in quick on egress inet  proto tcp from <maintenance> to (egress) port 80  keep state (tcp.finwait 5, tcp.closed 2) rdr-to 127.0.0.1 port 8080 label "www-maintenance"
pass in quick on egress inet  proto tcp from <maintenance> to (egress) port 443 keep state (tcp.finwait 5, tcp.closed 2) rdr-to 127.0.0.1 port 8443 label "www-maintenance"
pass in quick on egress inet6 proto tcp from <maintenance> to (egress) port 80  keep state (tcp.finwait 5, tcp.closed 2) rdr-to ::1 port 8080 label "www-maintenance"
pass in quick on egress inet6 proto tcp from <maintenance> to (egress) port 443 keep state (tcp.finwait 5, tcp.closed 2) rdr-to ::1 port 8443 label "www-maintenance"
block return in quick on egress proto udp from <maintenance> to (egress) port 443 label "www-quic"
pass in quick on egress proto { tcp udp } to (egress) port { 80 443 } label "www-normal"
block return in  quick on egress proto tcp to   (egress) port { 80 443 } label "www-stale"
block return out quick on egress proto tcp from (egress) port { 80 443 } label "www-stale"
"#;
        assert_eq!(rules(&settings(), Syntax::Openbsd), expected);
    }

    #[test]
    fn other_settings_make_other_rules() {
        let settings = SwitchConfig {
            table: Some("down".to_owned()),
            label_maintenance: "m".to_owned(),
            label_normal: "n".to_owned(),
            redirects: vec![Redirect {
                from: 8000,
                to: 9000,
            }],
            families: vec![Family::Inet],
            ..settings()
        };
        let expected = r#"table <down> persist counters
pass in quick on egress inet proto tcp from <down> to (egress) port 8000 keep state (tcp.finwait 5, tcp.closed 2) rdr-to 127.0.0.1 port 9000 label "m"
pass in quick on egress proto { tcp udp } to (egress) port { 8000 } label "n"
block return in  quick on egress proto tcp to   (egress) port { 8000 } label "www-stale"
block return out quick on egress proto tcp from (egress) port { 8000 } label "www-stale"
"#;
        assert_eq!(rules(&settings, Syntax::Openbsd), expected);
    }

    #[test]
    fn freebsd_up_to_14_translates_and_filters_by_rules_apart() {
        let text = rules(&settings(), Syntax::Freebsd14);
        for line in [
            "rdr on $ext_if inet  proto tcp from <maintenance> to any port 80  -> 127.0.0.1 port 8080",
            "rdr on $ext_if inet6 proto tcp from <maintenance> to any port 443 -> $ext_ip6 port 8443",
            "pass in quick on $ext_if inet  proto tcp from <maintenance> to 127.0.0.1 port 8080 keep state (tcp.finwait 5, tcp.closed 2) label \"www-maintenance\"",
            "pass in quick on $ext_if proto { tcp udp } to ($ext_if) port { 80 443 } label \"www-normal\"",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        let last_rdr = text
            .lines()
            .collect::<Vec<_>>()
            .iter()
            .rposition(|line| line.starts_with("rdr"));
        let first_pass = text.lines().position(|line| line.starts_with("pass"));
        assert!(last_rdr < first_pass, "translation stands before filtering");
    }
}
