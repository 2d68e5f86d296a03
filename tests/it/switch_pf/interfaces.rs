//! The loaded rules: their interfaces must exist, and the responder is probed at the address to which they redirect.

use serde_json::{Value, json};

use crate::switch_pf::host::Host;
use crate::switch_pf::{ALL_CLIENTS, CHECKS, LOAD_RULES, denied};

/// The message about rules for an interface that does not exist.
fn absent(name: &str) -> String {
    format!(
        "the rules are for the interface \"{name}\", which this host does not have, so visitors stay on the live site; put the interface that visitors connect to into /etc/pf.conf, and run \"pfctl -f /etc/pf.conf\""
    )
}

/// The rules of an interface.
fn rules_on(host: &Host, interface: &str) -> Vec<String> {
    host.rules(interface, "maintenance", "www-maintenance", "www-normal")
}

/// `on` refuses before it changes anything, and `status` does not report that visitors get the page.
#[track_caller]
fn assert_refused(host: &Host, what: &str) {
    let before = host.pf();
    host.assert_fault(&["on"], &format!("not switched on: {what}"));
    assert_eq!(host.calls(), CHECKS[..6]);
    assert_eq!(host.pf(), before);
    assert_eq!(host.saved(), None);
    host.set_table(&ALL_CLIENTS);
    let ended = host.maintd(&["status"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(
        ended.stderr,
        format!("maintd: visitors should get the page but do not: {what}\n")
    );
}

#[test]
fn rules_for_an_interface_that_does_not_exist_are_refused() {
    // As "maintd rules" prints it where there is no default route, a card of another name, and a group without members.
    for name in ["INTERFACE", "em9", "dmz"] {
        let host = Host::new();
        host.set("rules", json!(rules_on(&host, name)));
        assert_refused(&host, &absent(name));
    }
}

#[test]
fn a_missing_interface_behind_to_is_refused_too() {
    let host = Host::new();
    let rules = rules_on(&host, "em0").into_iter();
    let rules: Vec<String> = rules
        .map(|rule| rule.replace("to (em0)", "to (em9)"))
        .collect();
    host.set("rules", json!(rules));
    assert_refused(&host, &absent("em9"));
}

#[test]
fn the_live_sites_rule_must_have_an_interface_too() {
    let host = Host::new();
    let [mut rules, other] = ["em0", "em9"].map(|name| rules_on(&host, name));
    rules[2].clone_from(&other[2]);
    host.set("rules", json!(rules));
    assert_refused(&host, &absent("em9"));
}

#[test]
fn after_a_reboot_and_by_force_a_missing_interface_is_a_warning() {
    let host = Host::new();
    host.done(&["on"]);
    host.set("rules", json!(rules_on(&host, "ppp0")));
    for flag in ["--resume", "--force"] {
        host.set_table(&[]);
        let ended = host.done(&["on", flag]);
        assert_eq!(
            ended.stderr,
            format!(
                "maintd: warning: {}\nmaintd: on: all visitors get the page\n",
                absent("ppp0")
            )
        );
        assert_eq!(host.table(), ALL_CLIENTS);
    }
}

#[test]
fn interfaces_and_groups_that_exist_are_taken() {
    for name in ["em0", "egress", "any"] {
        let host = Host::new();
        host.set("rules", json!(rules_on(&host, name)));
        assert_eq!(
            host.done(&["on"]).stderr,
            "maintd: on: all visitors get the page\n"
        );
    }
}

#[test]
fn a_missing_interface_beside_one_that_exists_is_a_warning() {
    let host = Host::new();
    let rules = [rules_on(&host, "ppp0"), rules_on(&host, "em0")].concat();
    host.set("rules", json!(rules));
    let ended = host.done(&["on"]);
    let warning = "the rules are for the interface \"ppp0\", which this host does not have\n";
    assert!(ended.stderr.contains(warning), "{ended:?}");
    assert_eq!(ended.stderr.matches("ppp0").count(), 1, "{ended:?}");
    assert_eq!(host.table(), ALL_CLIENTS);

    // Only IPv6 would come in by it.
    let mut rules = rules_on(&host, "em0");
    rules[1] = rules_on(&host, "ppp0").remove(1);
    host.set("rules", json!(rules));
    host.assert_fault(&["on"], &format!("not switched on: {}", absent("ppp0")));
}

#[test]
fn missing_rules_are_detected_while_the_table_still_has_its_flag() {
    let host = Host::new();
    host.set("rules", json!([]));
    assert_refused(
        &host,
        &format!(
            "no rule redirects the addresses of table <maintenance>, so no visitor is redirected; {LOAD_RULES}"
        ),
    );
}

#[test]
fn a_family_or_port_that_is_not_redirected_is_a_warning() {
    let host = Host::new();
    let mut rules = rules_on(&host, "egress");
    rules.remove(1);
    host.set("rules", json!(rules));
    let ended = host.done(&["on"]);
    assert!(
        ended.stderr.contains(&format!(
            "only 1 of 2 rules redirect visitors, one for each port of IPv4 and of IPv6, so some may stay on the live site; {LOAD_RULES}\n"
        )),
        "{ended:?}"
    );
}

#[test]
fn the_responder_is_asked_where_the_rules_redirect_to() {
    let host = Host::new();
    let rules = rules_on(&host, "egress").into_iter();
    let rules: Vec<String> = rules
        .map(|rule| rule.replace("rdr-to 127.0.0.1 ", "rdr-to 127.0.0.2 "))
        .collect();
    host.set("rules", json!(rules));
    let refused = format!(
        "no server answers on http://{}/: connection refused; start \"maintd serve\" there",
        host.page_at("127.0.0.2")
    );
    host.assert_fault(&["on"], &format!("not switched on: {refused}"));
    let status = host.maintd(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    let responders = status["responder"].as_array().unwrap().iter();
    let answers: Vec<_> = responders
        .map(|one| {
            (
                one["address"].as_str().unwrap(),
                one["answers"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        answers,
        [
            (host.page_at("127.0.0.2").as_str(), false),
            (host.page_at("[::1]").as_str(), true)
        ]
    );
}

#[test]
fn a_target_that_is_no_address_is_a_warning() {
    let host = Host::new();
    let rules = rules_on(&host, "egress").into_iter();
    let rules: Vec<String> = rules
        .map(|rule| rule.replace("rdr-to 127.0.0.1 ", "rdr-to (lo1) "))
        .collect();
    host.set("rules", json!(rules));
    let ended = host.done(&["on"]);
    assert!(
        ended.stderr.contains("a rule redirects to a target that is not an address with a port, so the responder is not checked there\n"),
        "{ended:?}"
    );
}

#[test]
fn connections_left_on_the_live_site_are_reported() {
    let host = Host::new();
    host.done(&["on"]);
    let warnings = || {
        let status = host.done(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        status["warnings"].clone()
    };
    assert_eq!(warnings(), json!([]));
    let check = "check that the rules match the interface and the addresses of visitors, and run \"maintd on\" again to end these connections";
    host.set("states", json!([host.live_state("198.51.100.7")]));
    assert_eq!(
        warnings(),
        json!([format!(
            "1 connection of a redirected visitor is on the live site; {check}"
        )])
    );
    host.set(
        "states",
        json!([
            host.live_state("198.51.100.7"),
            host.live_state("198.51.100.8"),
            // This host itself, which is never moved.
            host.live_state("203.0.113.1"),
            host.page_state("198.51.100.9"),
        ]),
    );
    host.set(
        "labels",
        json!([
            "www-maintenance 4 0 0 0 0 0 0 0",
            "www-normal 1 2 3 4 5 6 7 8"
        ]),
    );
    assert_eq!(
        warnings(),
        json!([format!(
            "2 connections of redirected visitors are on the live site, and the rules \"www-maintenance\" have matched no packet; {check}"
        )])
    );
    // An excepted visitor belongs there.
    host.set("states", json!([]));
    host.done(&["on", "--except", "198.51.100.7"]);
    host.set("states", json!([host.live_state("198.51.100.7")]));
    assert_eq!(warnings(), json!([]));
}

#[test]
fn interfaces_that_cannot_be_listed_are_a_warning() {
    let host = Host::new();
    host.set("rules", json!(rules_on(&host, "em9")));
    host.fault(denied("ifconfig -a"));
    let warning = "cannot check that the interfaces of the rules exist: ifconfig fails: \"pfctl: /dev/pf: Permission denied\"; run \"ifconfig -a\" by hand to see why";
    let ended = host.done(&["on"]);
    assert_eq!(
        ended.stderr,
        format!("maintd: warning: {warning}\nmaintd: on: all visitors get the page\n")
    );
    assert_eq!(host.table(), ALL_CLIENTS);
    let status: Value = serde_json::from_str(&host.done(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["warnings"], json!([warning]));
}
