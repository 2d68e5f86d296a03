//! This host's interfaces, from ifconfig(8), and the interface of the default route, from route(8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::network::Family;
use crate::switch::command::Call;
use crate::switch::tools::Tools;

/// The interface of the default route with its first address of each family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultInterface {
    pub(crate) name: String,
    pub(crate) inet: Option<Ipv4Addr>,
    pub(crate) inet6: Option<Ipv6Addr>,
}

impl DefaultInterface {
    /// The one of IPv4, or else of IPv6; `None` without a default route.
    pub(crate) fn find(tools: &Tools) -> Option<Self> {
        let name = [Family::Inet, Family::Inet6].iter().find_map(|family| {
            let family = format!("-{}", family.name());
            let call = Call::new(&tools.route, ["-n", "get", &family, "default"]);
            interface_of_route(&succeeded(&call)?).map(str::to_owned)
        })?;
        let addresses = addresses(&succeeded(&list(tools))?, &name);
        Some(Self {
            inet: addresses.iter().find_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            }),
            inet6: addresses.iter().find_map(|address| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            }),
            name,
        })
    }
}

/// Lists all interfaces with their addresses and groups.
pub(crate) fn list(tools: &Tools) -> Call {
    Call::new(&tools.ifconfig, ["-a"])
}

/// The output of a command; `None` if it fails.
fn succeeded(call: &Call) -> Option<String> {
    let output = call.run().ok()?;
    (output.status == Some(0)).then_some(output.stdout)
}

/// `route -n get default`: the line `  interface: em0`.
fn interface_of_route(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix("interface: "))
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// `ifconfig -a`: the interface name in `em0: flags=8843<UP,...> mtu 1500`.
fn interface_of_line(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(": ")?;
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    (is_name && rest.starts_with("flags=")).then_some(name)
}

/// `ifconfig -a`: the names that a rule can have after `on`: interfaces and groups (`<TAB>groups: egress`). `all` and `any`
/// are not listed and match every interface (pf.conf(5)).
pub(crate) fn names(text: &str) -> Vec<&str> {
    let own = text.lines().filter_map(interface_of_line);
    let groups = text
        .lines()
        .filter_map(|line| line.strip_prefix('\t')?.strip_prefix("groups:"))
        .flat_map(str::split_whitespace);
    let mut names: Vec<&str> = own.chain(groups).collect();
    if !names.is_empty() {
        names.extend(["all", "any"]);
    }
    names
}

/// `ifconfig -a`: the global addresses of an interface, permanent before temporary ones.
fn addresses(text: &str, interface: &str) -> Vec<IpAddr> {
    let mut is_interface = false;
    let mut addresses = Vec::new();
    for line in text.lines() {
        if let Some(name) = interface_of_line(line) {
            is_interface = name == interface;
        }
        let mut words = line.split_whitespace();
        let is_address = matches!(words.next(), Some("inet" | "inet6"));
        // A link-local address does not parse because of its scope, and is not for clients.
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        if is_interface && is_address {
            let is_temporary = words.any(|word| {
                matches!(
                    word,
                    "temporary" | "deprecated" | "tentative" | "detached" | "duplicated"
                )
            });
            addresses.push((is_temporary, address));
        }
    }
    addresses.sort_by_key(|(is_temporary, _)| *is_temporary);
    addresses.into_iter().map(|(_, address)| address).collect()
}

/// Reads a text with every parser of this module, for fuzzing.
pub(crate) fn read_everything(text: &str) {
    names(text);
    addresses(text, "em0");
    interface_of_route(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREEBSD: &str =
        "em0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\tdescription: to: flags=outside
\toptions=48505bb<RXCSUM,TXCSUM,VLAN_MTU>
\tether 58:9c:fc:00:00:01
\tinet 203.0.113.5 netmask 0xffffff00 broadcast 203.0.113.255
\tinet 203.0.113.6 netmask 0xffffffff broadcast 203.0.113.6
\tinet6 fe80::5a9c:fcff:fe00:1%em0 prefixlen 64 scopeid 0x1
\tinet6 2001:db8:1::1234 prefixlen 64 autoconf temporary
\tinet6 2001:db8:1::5 prefixlen 64
\tmedia: Ethernet autoselect (1000baseT <full-duplex>)
\tstatus: active
\tnd6 options=23<PERFORMNUD,ACCEPT_RTADV,AUTO_LINKLOCAL>
lo0: flags=1008049<UP,LOOPBACK,RUNNING,MULTICAST,LOWER_UP> metric 0 mtu 16384
\tinet6 ::1 prefixlen 128
\tinet 127.0.0.1 netmask 0xff000000
\tgroups: lo
";
    const OPENBSD: &str =
        "vio0: flags=808843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,AUTOCONF4> mtu 1500
\tlladdr fe:e1:bb:d1:00:01
\tindex 1 priority 0 llprio 3
\tgroups: egress dmz
\tinet 203.0.113.5 netmask 0xffffff00 broadcast 203.0.113.255
";

    #[test]
    fn rules_can_name_interfaces_and_groups() {
        assert_eq!(names(FREEBSD), ["em0", "lo0", "lo", "all", "any"]);
        assert_eq!(names(OPENBSD), ["vio0", "egress", "dmz", "all", "any"]);
        assert_eq!(names("ifconfig: what\n"), [""; 0]);
    }

    #[test]
    fn an_interface_has_addresses() {
        let texts = |interface: &str| -> Vec<String> {
            let addresses = addresses(FREEBSD, interface).into_iter();
            addresses.map(|address| address.to_string()).collect()
        };
        assert_eq!(
            texts("em0"),
            [
                "203.0.113.5",
                "203.0.113.6",
                "2001:db8:1::5",
                "2001:db8:1::1234"
            ]
        );
        assert_eq!(texts("em1"), [""; 0]);
    }

    #[test]
    fn the_default_route_has_an_interface() {
        let text = "   route to: default\ndestination: default\n       mask: default\n    gateway: 203.0.113.1\n        fib: 0\n  interface: em0\n      flags: <UP,GATEWAY,DONE,STATIC>\n";
        assert_eq!(interface_of_route(text), Some("em0"));
        assert_eq!(
            interface_of_route("route: route has not been found\n"),
            None
        );
    }
}
