//! FreeBSD's pf: rules for translation of their own, its texts at a high securelevel, and the rules that are printed for it.

use serde_json::json;

use crate::switch_pf::host::Host;
use crate::switch_pf::{ALL_CLIENTS, CHECKS, LOAD_RULES, assert_missing_table};

/// What ifconfig lists on FreeBSD.
const INTERFACES: &str =
    "em0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\toptions=48505bb<RXCSUM,TXCSUM,VLAN_MTU>
\tether 58:9c:fc:00:00:01
\tinet 203.0.113.1 netmask 0xffffff00 broadcast 203.0.113.255
\tinet6 fe80::5a9c:fcff:fe00:1%em0 prefixlen 64 scopeid 0x1
\tinet6 2001:db8:1::1 prefixlen 64
lo0: flags=1008049<UP,LOOPBACK,RUNNING,MULTICAST,LOWER_UP> metric 0 mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tgroups: lo
";
const ROUTE: &str = "   route to: default
destination: default
       mask: default
    gateway: 203.0.113.254
        fib: 0
  interface: em0
      flags: <UP,GATEWAY,DONE,STATIC>
 recvpipe  sendpipe  ssthresh  rtt,msec    mtu        weight    expire
       0         0         0         0      1500         1         0
";

/// A host with the rules of `maintd rules --pf-syntax freebsd14`, for IPv4: it takes one address to stand for the
/// interface's own, which the test's responder must have.
fn host() -> Host {
    let host = Host::new();
    host.configure("family inet;");
    host.set("system", json!("freebsd"));
    host.set("interfaces", json!(INTERFACES));
    host.set("route", json!(ROUTE));
    let (live, page) = (host.live.number, host.responder.port.number);
    host.set(
        "nat",
        json!([format!(
            "rdr on em0 inet proto tcp from <maintenance> to any port = {live} -> 127.0.0.1 port {page}"
        )]),
    );
    host.set(
        "rules",
        json!([
            format!("pass in quick on em0 inet proto tcp from <maintenance> to 127.0.0.1 port = {page} flags any keep state label \"www-maintenance\""),
            format!("pass in quick on em0 proto tcp from any to (em0) port = {live} flags S/SA keep state label \"www-normal\""),
            format!("block return in quick on em0 proto tcp from any to (em0) port = {live} label \"www-stale\""),
        ]),
    );
    host.set("states", json!([host.live_state("198.51.100.7")]));
    host
}

#[test]
fn rules_for_translation_are_read_too() {
    let host = host();
    let ended = host.done(&["on", "--except", "192.0.2.10", "-v"]);
    assert!(
        ended.stderr.contains(&format!(
            "maintd: requesting the page from http://{}/\n",
            host.page_at("127.0.0.1")
        )),
        "{ended:?}"
    );
    assert_eq!(host.calls()[4..7], ["-s rules", "-s nat", "ifconfig -a"]);
    let ended = host.maintd(&["status"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(!ended.stdout.contains("warning"), "{ended:?}");
    assert_eq!(
        host.done(&["off"]).stderr,
        "maintd: off: all visitors are on the live site\n"
    );
}

#[test]
fn missing_translation_rules_are_an_error() {
    let host = host();
    host.set("nat", json!([]));
    host.assert_fault(
        &["on"],
        &format!(
            "not switched on: no rule redirects the addresses of table <maintenance>, so no visitor is redirected; {LOAD_RULES}"
        ),
    );
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn the_rules_of_freebsd_15_are_those_of_openbsd() {
    let host = host();
    host.set("nat", json!([]));
    let rules = host.rules("em0", "maintenance", "www-maintenance", "www-normal");
    host.set("rules", json!(rules));
    host.done(&["on"]);
    // To ::1 nothing from outside can be redirected.
    host.configure("");
    host.assert_fault(
        &["on"],
        &format!(
            "not switched on: the rules redirect to {}, where visitors never arrive on FreeBSD; redirect to an address of the interface, as \"maintd rules\" prints it",
            host.page_at("[::1]")
        ),
    );
}

#[test]
fn a_final_dot_and_noise_change_nothing() {
    let host = host();
    assert_missing_table(&host);
    let host = self::host();
    host.set("dev_pf", json!(false));
    host.assert_fault(
        &["on"],
        "not switched on: pfctl fails: \"pfctl: /dev/pf: Permission denied\"; run \"pfctl -s info\" by hand to see why",
    );
    assert_eq!(host.calls(), CHECKS[..1]);
}

#[test]
fn at_securelevel_2_a_table_cannot_be_changed() {
    let host = host();
    host.set("securelevel", json!(2));
    host.assert_fault(
        &["on"],
        "not switched on: pfctl cannot change table <maintenance>: \"pfctl: Anchor does not exist.\", which a securelevel of 2 or more forbids (see \"sysctl kern.securelevel\"); nothing has changed: see the command with -v, and run it by hand",
    );
    assert_eq!(host.table(), [""; 0]);
    assert_eq!(host.saved(), None);
}

#[test]
fn at_securelevel_2_states_cannot_be_killed() {
    let host = host();
    host.done(&["on"]);
    host.set("securelevel", json!(2));
    host.set("states", json!([host.page_state("198.51.100.7")]));
    host.assert_fault(
        &["off"],
        "half switched off: pfctl cannot kill the states of label \"www-maintenance\": \"pfctl: DIOCKILLSTATES\"; new visitors are on the live site, old connections still get the page: the securelevel may forbid to kill states; they end by themselves when they are idle",
    );
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn a_flush_that_falsely_reports_success_is_detected() {
    let host = host();
    host.done(&["on"]);
    host.set("securelevel", json!(2));
    host.fault(json!({ "call": "-T flush", "lies": true }));
    host.assert_fault(
        &["off"],
        "not switched off: table <maintenance> is not empty after it was emptied",
    );
    assert_eq!(host.table(), [ALL_CLIENTS[0]]);
    assert!(host.saved().is_some());
}

#[test]
fn at_securelevel_3_pf_seems_to_be_disabled() {
    let host = host();
    host.set("securelevel", json!(3));
    host.assert_fault(
        &["on"],
        "not switched on: pf is disabled, so no visitor is redirected; run \"pfctl -e\" (at securelevel 3 pfctl says so of a pf that is enabled too)",
    );
}

#[test]
fn rules_name_the_interface_of_the_default_route_and_its_addresses() {
    let host = host();
    host.configure("");
    let rules = host.done(&["rules", "--pf-syntax", "freebsd14"]).stdout;
    let page = host.responder.port.number;
    assert!(
        rules.starts_with(&format!(
            "# maintd must listen on 203.0.113.1 and 2001:db8:1::1, or on every address, at port {page}.\next_if = \"em0\"\next_ip4 = \"203.0.113.1\"\next_ip6 = \"2001:db8:1::1\"\n"
        )),
        "{rules}"
    );
    assert_eq!(host.calls(), ["route -n get -inet default", "ifconfig -a"]);
    let rules = host.done(&["rules"]).stdout;
    assert!(
        rules.starts_with(&format!(
            "# maintd must listen on 127.0.0.1 and 2001:db8:1::1, or on every address, at port {page}.\next_if = \"em0\"\next_ip6 = \"2001:db8:1::1\"\n"
        )),
        "{rules}"
    );
    assert!(!rules.contains("egress"), "{rules}");
}

#[test]
fn rules_without_a_default_route_name_what_to_replace() {
    let host = host();
    host.set("route", json!(null));
    for words in [&["rules"][..], &["rules", "--pf-syntax", "freebsd14"]] {
        let rules = host.done(words).stdout;
        assert!(
            rules.starts_with("# The default interface is not known: replace INTERFACE and the addresses below with those that visitors connect to.\n"),
            "{rules}"
        );
        assert!(rules.contains("\next_if = \"INTERFACE\"\n"), "{rules}");
    }
    assert_eq!(
        host.calls()[..2],
        ["route -n get -inet default", "route -n get -inet6 default"]
    );
}
