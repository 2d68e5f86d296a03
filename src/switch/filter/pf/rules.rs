//! Generates the rules that the switch needs, for pf.conf(5).

use std::net::IpAddr;

use crate::config::network::Family;
use crate::config::switch::{Redirect, SwitchConfig};
use crate::switch::filter::pf::interfaces::DefaultInterface;

/// The syntax of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Syntax {
    /// OpenBSD, and FreeBSD from 15
    Openbsd,
    /// FreeBSD up to 14
    Freebsd14,
}

/// The label of the rule that rejects HTTP/3 of redirected clients, so that browsers use TCP.
const LABEL_QUIC: &str = "www-quic";
/// The label of the rules that reset connections whose state was killed.
const LABEL_STALE: &str = "www-stale";
/// Short timeouts, or the states of closed connections fill the table in a flood.
const KEEP_STATE: &str = "keep state (tcp.finwait 5, tcp.closed 2)";

/// The placeholder for an unknown default interface. No interface has this name, so `on` reports it.
const NO_INTERFACE: &str = "INTERFACE";
/// Placeholders for the host's unknown addresses: for documentation (RFC 5737 3, RFC 3849 2).
const NO_INET: &str = "192.0.2.1";
const NO_INET6: &str = "2001:db8::1";

/// The rules for a host. `default` is its default interface, used if pf has no group "egress".
pub(crate) fn rules(
    settings: &SwitchConfig,
    syntax: Syntax,
    of_freebsd: bool,
    default: Option<DefaultInterface>,
) -> String {
    let own = match syntax {
        Syntax::Openbsd if of_freebsd => {
            let names = Names::new(settings, default, &[Family::Inet6]);
            openbsd(&names.settings, Some(&names))
        }
        Syntax::Openbsd => openbsd(settings, None),
        Syntax::Freebsd14 => {
            let names = Names::new(settings, default, &settings.families);
            freebsd14(&names)
        }
    };
    own.lines().flat_map(|line| [line, "\n"]).collect()
}

const fn loopback(family: Family) -> &'static str {
    match family {
        Family::Inet => "127.0.0.1",
        Family::Inet6 => "::1",
    }
}

/// The macro of the interface's address.
const fn own_address(family: Family) -> &'static str {
    match family {
        Family::Inet => "$ext_ip4",
        Family::Inet6 => "$ext_ip6",
    }
}

/// The macros of FreeBSD's rules for the host's interface and addresses, with comments.
struct Names {
    lines: Vec<String>,
    /// Without the families of which the interface has no address.
    settings: SwitchConfig,
}

impl Names {
    /// The families of `to_own` are redirected to the interface's own address, the others to loopback.
    fn new(settings: &SwitchConfig, default: Option<DefaultInterface>, to_own: &[Family]) -> Self {
        let mut lines = Vec::new();
        let address = |default: &DefaultInterface, family: Family| match family {
            Family::Inet => default.inet.map(IpAddr::from),
            Family::Inet6 => default.inet6.map(IpAddr::from),
        };
        let is_known = |default: &DefaultInterface| {
            let mut families = settings.families.iter();
            families.any(|family| address(default, *family).is_some())
        };
        let default = default.filter(is_known).unwrap_or_else(|| {
            lines.push(format!(
                "# The default interface is not known: replace {NO_INTERFACE} and the addresses below with those that visitors connect to."
            ));
            DefaultInterface {
                name: NO_INTERFACE.to_owned(),
                inet: NO_INET.parse().ok(),
                inet6: NO_INET6.parse().ok(),
            }
        });
        let mut settings = settings.clone();
        settings.families.retain(|family| {
            let has_address = address(&default, *family).is_some();
            if !has_address {
                lines.push(format!(
                    "# {} has no {} address: no rules for {}.",
                    default.name,
                    family.title(),
                    family.title()
                ));
            }
            has_address
        });
        let is_own = |family: &Family| to_own.contains(family);
        let target = |family: &Family| match address(&default, *family) {
            Some(address) if is_own(family) => address.to_string(),
            Some(_) | None => loopback(*family).to_owned(),
        };
        let targets: Vec<String> = settings.families.iter().map(target).collect();
        let ports: Vec<String> = settings
            .redirects
            .iter()
            .map(|redirect| redirect.to.to_string())
            .collect();
        lines.push(format!(
            "# maintd must listen on {}, or on every address, at port {}.",
            targets.join(" and "),
            ports.join(" and at port ")
        ));
        lines.push(format!("ext_if = \"{}\"", default.name));
        for family in settings.families.iter().filter(|family| is_own(family)) {
            let name = own_address(*family).trim_start_matches('$');
            lines.push(format!("{name} = \"{}\"", target(family)));
        }
        Self { lines, settings }
    }
}

/// Each redirect of each family, with family and port padded to columns.
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

/// The live site's ports as a list.
fn ports(settings: &SwitchConfig) -> String {
    let ports: Vec<String> = settings
        .redirects
        .iter()
        .map(|redirect| redirect.from.to_string())
        .collect();
    format!("{{ {} }}", ports.join(" "))
}

/// The live site may have HTTP/3, which uses the port of HTTPS.
fn has_quic(settings: &SwitchConfig) -> bool {
    settings
        .redirects
        .iter()
        .any(|redirect| redirect.from == 443)
}

/// Clients are redirected to loopback. On FreeBSD (with `names`) packets from outside cannot be redirected to `::1`, so IPv6
/// is redirected to an address of the interface.
fn openbsd(settings: &SwitchConfig, names: Option<&Names>) -> String {
    let label_maintenance = &settings.label_maintenance;
    let table = settings.table();
    let ports = ports(settings);
    let (interface, mut rules) = names.map_or_else(
        || ("egress", Vec::new()),
        |names| ("$ext_if", names.lines.clone()),
    );
    let target = |family: Family| match family {
        Family::Inet6 if names.is_some() => own_address(family),
        Family::Inet | Family::Inet6 => loopback(family),
    };
    rules.push(format!("table <{table}> persist counters"));
    for (inet, port, family, redirect) in each(settings) {
        rules.push(format!(
            "pass in quick on {interface} {inet} proto tcp from <{table}> to ({interface}) port {port} {KEEP_STATE} rdr-to {} port {} label \"{label_maintenance}\"",
            target(family),
            redirect.to
        ));
    }
    rules.extend(live_rules(settings, interface, &ports));
    rules.join("\n")
}

/// Translation and filtering are separate rules; the filter rule has the label, and matches the translated address.
///
/// A client's connection with the live site must be reset at its next packet. rdr translates that packet too, although it
/// opens no connection. So it is passed (`flags any`) to an address of the interface, where the host has no such connection
/// and resets it. With loopback as the target it hangs (seen on FreeBSD 15.1).
fn freebsd14(names: &Names) -> String {
    let settings = &names.settings;
    let label_maintenance = &settings.label_maintenance;
    let table = settings.table();
    let ports = ports(settings);
    let mut rules = names.lines.clone();
    rules.push(format!("table <{table}> persist counters"));
    for (inet, port, family, redirect) in each(settings) {
        rules.push(format!(
            "rdr on $ext_if {inet} proto tcp from <{table}> to any port {port} -> {} port {}",
            own_address(family),
            redirect.to
        ));
    }
    for (inet, _, family, redirect) in each(settings) {
        rules.push(format!(
            "pass in quick on $ext_if {inet} proto tcp from <{table}> to {} port {} flags any {KEEP_STATE} label \"{label_maintenance}\"",
            own_address(family),
            redirect.to
        ));
    }
    rules.extend(live_rules(settings, "$ext_if", &ports));
    rules.join("\n")
}

/// The rules below the redirections: reject HTTP/3 of redirected clients, pass all others to the live site, and reset packets
/// that belong to no state.
fn live_rules(settings: &SwitchConfig, interface: &str, ports: &str) -> Vec<String> {
    let (table, label_normal) = (settings.table(), &settings.label_normal);
    let mut rules = Vec::new();
    if has_quic(settings) {
        rules.push(format!(
            "block return in quick on {interface} proto udp from <{table}> to ({interface}) port 443 label \"{LABEL_QUIC}\""
        ));
    }
    rules.push(format!(
        "pass in quick on {interface} proto {{ tcp udp }} to ({interface}) port {ports} label \"{label_normal}\""
    ));
    rules.push(format!(
        "block return in  quick on {interface} proto tcp to   ({interface}) port {ports} label \"{LABEL_STALE}\""
    ));
    rules.push(format!(
        "block return out quick on {interface} proto tcp from ({interface}) port {ports} label \"{LABEL_STALE}\""
    ));
    rules
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
    fn the_default_rules_are_those_that_openbsd_accepted() {
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
        assert_eq!(rules(&settings(), Syntax::Openbsd, false, None), expected);
    }

    #[test]
    fn rules_follow_the_settings() {
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
        assert_eq!(rules(&settings, Syntax::Openbsd, false, None), expected);
    }

    fn em0(inet6: Option<&str>) -> Option<DefaultInterface> {
        Some(DefaultInterface {
            name: "em0".to_owned(),
            inet: Some([203, 0, 113, 5].into()),
            inet6: inet6.map(|text| text.parse().unwrap()),
        })
    }

    #[test]
    fn freebsd_up_to_14_translates_to_the_interfaces_address_and_passes_old_connections() {
        let expected = r#"# maintd must listen on 203.0.113.5 and 2001:db8:1::5, or on every address, at port 8080 and at port 8443.
ext_if = "em0"
ext_ip4 = "203.0.113.5"
ext_ip6 = "2001:db8:1::5"
table <maintenance> persist counters
rdr on $ext_if inet  proto tcp from <maintenance> to any port 80  -> $ext_ip4 port 8080
rdr on $ext_if inet  proto tcp from <maintenance> to any port 443 -> $ext_ip4 port 8443
rdr on $ext_if inet6 proto tcp from <maintenance> to any port 80  -> $ext_ip6 port 8080
rdr on $ext_if inet6 proto tcp from <maintenance> to any port 443 -> $ext_ip6 port 8443
pass in quick on $ext_if inet  proto tcp from <maintenance> to $ext_ip4 port 8080 flags any keep state (tcp.finwait 5, tcp.closed 2) label "www-maintenance"
pass in quick on $ext_if inet  proto tcp from <maintenance> to $ext_ip4 port 8443 flags any keep state (tcp.finwait 5, tcp.closed 2) label "www-maintenance"
pass in quick on $ext_if inet6 proto tcp from <maintenance> to $ext_ip6 port 8080 flags any keep state (tcp.finwait 5, tcp.closed 2) label "www-maintenance"
pass in quick on $ext_if inet6 proto tcp from <maintenance> to $ext_ip6 port 8443 flags any keep state (tcp.finwait 5, tcp.closed 2) label "www-maintenance"
block return in quick on $ext_if proto udp from <maintenance> to ($ext_if) port 443 label "www-quic"
pass in quick on $ext_if proto { tcp udp } to ($ext_if) port { 80 443 } label "www-normal"
block return in  quick on $ext_if proto tcp to   ($ext_if) port { 80 443 } label "www-stale"
block return out quick on $ext_if proto tcp from ($ext_if) port { 80 443 } label "www-stale"
"#;
        let default = em0(Some("2001:db8:1::5"));
        assert_eq!(
            rules(&settings(), Syntax::Freebsd14, true, default),
            expected
        );
    }

    #[test]
    fn freebsd_15_names_the_interface_and_its_ipv6_address() {
        let text = rules(
            &settings(),
            Syntax::Openbsd,
            true,
            em0(Some("2001:db8:1::5")),
        );
        let expected = r#"# maintd must listen on 127.0.0.1 and 2001:db8:1::5, or on every address, at port 8080 and at port 8443.
ext_if = "em0"
ext_ip6 = "2001:db8:1::5"
table <maintenance> persist counters
pass in quick on $ext_if inet  proto tcp from <maintenance> to ($ext_if) port 80  keep state (tcp.finwait 5, tcp.closed 2) rdr-to 127.0.0.1 port 8080 label "www-maintenance"
"#;
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains(" rdr-to $ext_ip6 port 8443 "), "{text}");
        assert!(!text.contains("egress") && !text.contains("::1 "), "{text}");
    }

    #[test]
    fn a_family_without_an_address_is_left_out() {
        let text = rules(&settings(), Syntax::Freebsd14, true, em0(None));
        assert!(
            text.starts_with("# em0 has no IPv6 address: no rules for IPv6.\n# maintd must listen on 203.0.113.5, "),
            "{text}"
        );
        assert!(
            !text.contains("inet6") && !text.contains("ext_ip6"),
            "{text}"
        );
    }

    #[test]
    fn without_a_default_interface_the_rules_have_placeholders() {
        let without_address = em0(None).map(|default| DefaultInterface {
            inet: None,
            ..default
        });
        for (syntax, default) in [
            (Syntax::Openbsd, None),
            (Syntax::Freebsd14, None),
            (Syntax::Freebsd14, without_address),
        ] {
            let text = rules(&settings(), syntax, true, default);
            assert!(
                text.starts_with("# The default interface is not known: replace INTERFACE and the addresses below with those that visitors connect to.\n"),
                "{text}"
            );
            assert!(text.contains("\next_if = \"INTERFACE\"\n"), "{text}");
            assert!(text.contains("\next_ip6 = \"2001:db8::1\"\n"), "{text}");
        }
    }
}
