//! `maintd on` with a failing step: its message, and the state afterwards.

use serde_json::{Value, json};

use crate::switch_pf::host::Host;
use crate::switch_pf::{
    ALL_CLIENTS, CHECKS, KILL_LIVE, LOAD_RULES, REPLACE, SHOW, STATES, TEST, denied,
};

const UNDONE: &str =
    "the change is undone, and all visitors are where they were: see \"maintd status\"";
const DENIED: &str = "\"pfctl: /dev/pf: Permission denied\"";

/// `on` fails with this line before anything has changed, and these are the last of the calls.
#[track_caller]
fn assert_nothing_happens(host: &Host, line: &str, calls: &[&str]) {
    let before = host.pf();
    host.assert_fault(&["on"], &format!("not switched on: {line}"));
    assert_eq!(host.calls(), calls);
    assert_eq!(host.pf(), before);
    assert_eq!(host.saved(), None);
}

#[test]
fn pf_is_disabled() {
    let host = Host::new();
    host.set("enabled", json!(false));
    let line = "pf is disabled, so no visitor is redirected; run \"pfctl -e\"";
    assert_nothing_happens(&host, line, &CHECKS[..1]);
}

#[test]
fn pf_does_not_report_whether_it_is_enabled() {
    let host = Host::new();
    host.fault(json!({ "call": "-s info", "status": 0, "stdout": "what\n" }));
    let line = "pfctl does not print whether pf is enabled; run \"pfctl -s info\" to see why";
    assert_nothing_happens(&host, line, &CHECKS[..1]);
}

#[test]
fn there_is_no_table() {
    let host = Host::new();
    host.set(
        "tables",
        json!({ "maint": { "flags": "-pa-r-C", "entries": [] } }),
    );
    let line = format!("pf has no table <maintenance>; {LOAD_RULES}");
    assert_nothing_happens(&host, &line, &CHECKS[..2]);
}

#[test]
fn no_rule_uses_the_table() {
    let host = Host::new();
    // As `pfctl -t maintenance -T add` makes one.
    host.set(
        "tables",
        json!({ "maintenance": { "flags": "-pa----", "entries": [] } }),
    );
    let line =
        format!("no rule uses table <maintenance>, so no visitor is redirected; {LOAD_RULES}");
    assert_nothing_happens(&host, &line, &CHECKS[..2]);
}

#[test]
fn a_label_is_missing() {
    for (labels, missing) in [
        (
            json!(["www-maintenance 4 3 300 2 200 1 100 7"]),
            "www-normal",
        ),
        (
            json!(["www-normal 4 3 300 2 200 1 100 7"]),
            "www-maintenance",
        ),
        (
            json!([
                "www-normal 4 3 300 2 200 1 100 7",
                "www-maintenance2 4 3 300 2 200 1 100 7"
            ]),
            "www-maintenance",
        ),
        (json!([]), "www-maintenance"),
    ] {
        let host = Host::new();
        host.set("labels", labels);
        let line = format!(
            "no rule has the label \"{missing}\", so connections cannot be ended by it; {LOAD_RULES}"
        );
        assert_nothing_happens(&host, &line, &CHECKS[..3]);
    }
}

#[test]
fn a_check_is_not_permitted() {
    for (number, call) in CHECKS.iter().enumerate() {
        // How much room there is need not be known, nor which interfaces there are.
        if ["-s memory", "ifconfig -a"].contains(call) {
            continue;
        }
        let host = Host::new();
        host.fault(denied(call));
        let line = format!("pfctl fails: {DENIED}; run \"pfctl {call}\" by hand to see why");
        // The rules and the interfaces are listed at the same time.
        let last = if *call == "-s rules" {
            number + 1
        } else {
            number
        };
        assert_nothing_happens(&host, &line, &CHECKS[..=last]);
    }
}

#[test]
fn no_server_answers_with_the_page() {
    for (listens, address) in [
        ([false, false], "127.0.0.1"),
        ([false, true], "127.0.0.1"),
        ([true, false], "[::1]"),
    ] {
        let mut host = Host::quiet();
        host.responder.start_on(listens);
        let line = format!(
            "no server answers on http://{}/: connection refused; start \"maintd serve\" there",
            host.page_at(address)
        );
        assert_nothing_happens(&host, &line, &CHECKS[..6]);
    }
}

#[test]
fn another_server_answers() {
    for status in [200, 301, 404, 500] {
        let host = Host::new();
        host.responder.answer_with(status);
        let line = format!(
            "the server on http://{}/ answers with {status} and not 503, so visitors would not see the page; stop it, and start \"maintd serve\"",
            host.page_at("127.0.0.1")
        );
        assert_nothing_happens(&host, &line, &CHECKS[..6]);
    }
}

#[test]
fn the_change_is_refused() {
    for before in [&[][..], &["0.0.0.0/0", "!192.0.2.10"]] {
        let host = Host::new();
        host.set_table(before);
        host.fault(denied("-T replace"));
        let line = format!(
            "pfctl cannot change table <maintenance>: {DENIED}; nothing has changed: see the command with -v, and run it by hand"
        );
        // The success is verified.
        assert_nothing_happens(&host, &line, &[&CHECKS[..], &[REPLACE, SHOW]].concat());
    }
}

#[test]
fn the_change_is_refused_and_half_done() {
    let host = Host::new();
    host.set_table(&["192.0.2.0/24", "!192.0.2.10"]);
    let mut refused = denied("-T replace");
    refused["to"] = json!(1);
    let half = json!({ "call": "-T show", "from": 2, "status": 0, "stdout": "   0.0.0.0/0\n" });
    host.faults(&[refused, half]);
    let line =
        format!("not switched on: pfctl cannot change table <maintenance>: {DENIED}; {UNDONE}");
    host.assert_fault(&["on"], &line);
    let calls = host.calls_with_input();
    let last = &calls[calls.len() - 1];
    assert_eq!(last.0, REPLACE);
    assert_eq!(last.1, "192.0.2.0/24\n!192.0.2.10\n");
    assert_eq!(host.table(), ["192.0.2.0/24", "!192.0.2.10"]);
    assert_eq!(host.saved(), None);
}

/// `on` fails when the change is verified; it is undone, by these calls.
#[track_caller]
fn assert_undone(words: &[&str], fault: Value, line: &str, proofs: &[&str]) {
    // Clients were moved before.
    let host = Host::new();
    host.set_table(&["192.0.2.0/24", "!192.0.2.10"]);
    host.fault(fault.clone());
    let line = format!("not switched on: {line}; {UNDONE}");
    host.assert_fault(words, &line);
    let calls = host.calls();
    let expected = [&CHECKS[..], &[REPLACE], proofs].concat();
    assert_eq!(calls[..expected.len()], expected);
    assert_eq!(calls[expected.len()..], [REPLACE]);
    assert_eq!(host.table(), ["192.0.2.0/24", "!192.0.2.10"]);
    assert_eq!(host.states("www-normal"), 2);
    assert_eq!(host.saved(), None);

    // None was.
    let host = Host::new();
    host.fault(fault);
    host.assert_fault(words, &line);
    assert_eq!(host.calls()[expected.len()..], [crate::switch_pf::FLUSH]);
    assert_eq!(host.table(), [""; 0]);
    assert_eq!(host.saved(), None);
}

#[test]
fn a_client_is_not_moved() {
    assert_undone(
        &["on"],
        json!({ "call": "-T test", "status": 2, "stdout": "M  2001:db8:ffff::77\n", "stderr": "1/2 addresses match.\n" }),
        "203.0.113.77 is not in table <maintenance> after it was added",
        &[TEST],
    );
    assert_undone(
        &["on"],
        json!({ "call": "-T test", "status": 2, "stdout": "M  203.0.113.77\n", "stderr": "1/2 addresses match.\n" }),
        "2001:db8:ffff::77 is not in table <maintenance> after it was added",
        &[TEST],
    );
}

#[test]
fn the_change_falsely_reports_success() {
    let host = Host::new();
    host.fault(json!({ "call": "-T replace", "lies": true }));
    let line = format!(
        "not switched on: 203.0.113.77 is not in table <maintenance> after it was added; {UNDONE}"
    );
    host.assert_fault(&["on"], &line);
}

#[test]
fn an_excepted_client_is_moved() {
    for (status, stdout, stderr, named) in [
        (2, "M  192.0.2.99\n", "1/2 addresses match.\n", "192.0.2.99"),
        (
            0,
            "M  192.0.2.98\nM  192.0.2.99\n",
            "2/2 addresses match.\n",
            "192.0.2.98",
        ),
        // All match, whatever is listed.
        (0, "", "", "192.0.2.98"),
    ] {
        assert_undone(
            &["on", "--except", "192.0.2.98", "--except", "192.0.2.99"],
            json!({ "call": "-T test", "from": 2, "status": status, "stdout": stdout, "stderr": stderr }),
            &format!("{named} is in table <maintenance>, but is excepted"),
            &[TEST, TEST],
        );
    }
}

#[test]
fn the_table_cannot_be_tested() {
    assert_undone(
        &["on"],
        json!({ "call": "-T test", "status": 255, "stderr": "pfctl: Table does not exist\n" }),
        "pfctl cannot test table <maintenance>: \"pfctl: Table does not exist\"",
        &[TEST],
    );
}

#[test]
fn what_was_on_before_stays_saved() {
    let host = Host::new();
    host.done(&["on", "--message", "the first", "198.51.100.0/24"]);
    let saved = host.saved();
    host.fault(json!({ "call": "-T test", "status": 2 }));
    assert_eq!(host.maintd(&["on"]).status, Some(1));
    assert_eq!(host.saved(), saved);
    assert_eq!(host.table(), ["198.51.100.0/24"]);
    host.fault(denied("-T replace"));
    assert_eq!(host.maintd(&["on"]).status, Some(1));
    assert_eq!(host.saved(), saved);
}

#[test]
fn the_change_cannot_be_undone() {
    let host = Host::new();
    host.set_table(&["192.0.2.0/24"]);
    let mut refused = denied("-T replace");
    refused["from"] = json!(2);
    host.faults(&[json!({ "call": "-T test", "status": 2 }), refused]);
    host.assert_fault(
        &["on"],
        &format!(
            "half switched on: 203.0.113.77 is not in table <maintenance> after it was added; the change cannot be undone (pfctl cannot change table <maintenance>: {DENIED}); some visitors may get the page: run \"maintd off\", or \"maintd on --resume\" to try again"
        ),
    );
    assert_eq!(host.table(), ALL_CLIENTS);
    // The table is as it is saved.
    assert_eq!(host.saved().unwrap()["entries"], json!(ALL_CLIENTS));
    assert_eq!(host.states("www-normal"), 2);
}

#[test]
fn states_must_not_be_killed_at_a_high_securelevel() {
    let host = Host::new();
    host.set("securelevel", json!(2));
    host.assert_fault(
        &["on"],
        "half switched on: pfctl cannot kill the states of label \"www-normal\": \"pfctl: DIOCKILLSTATES: Operation not permitted\"; new visitors get the page, old connections are still on the live site: the securelevel may forbid to kill states; stop the live server to end them",
    );
    assert_eq!(host.calls().last().unwrap(), KILL_LIVE);
    assert_eq!(host.table(), ALL_CLIENTS);
    assert_eq!(host.states("www-normal"), 2);
    // A reboot must switch on again: visitors are on the page.
    assert_eq!(host.saved().unwrap()["entries"], json!(ALL_CLIENTS));
    assert_eq!(host.maintd(&["status"]).status, Some(0));
}

#[test]
fn states_cannot_be_killed() {
    let host = Host::new();
    host.fault(json!({ "call": KILL_LIVE, "status": 1, "stderr": "pfctl: DIOCKILLSTATES: Cannot allocate memory\n" }));
    host.assert_fault(
        &["on"],
        "half switched on: pfctl cannot kill the states of label \"www-normal\": \"pfctl: DIOCKILLSTATES: Cannot allocate memory\"; new visitors get the page, old connections are still on the live site: run \"maintd on --resume\" to try again, or stop the live server to end them",
    );
    assert_eq!(host.table(), ALL_CLIENTS);
    // A repeated `on` is enough.
    host.faults(&[]);
    host.done(&["on"]);
    assert_eq!(host.states("www-normal"), 0);
}

#[test]
fn states_stay_however_often_they_are_killed() {
    for (peers, text) in [
        (&["198.51.100.7"][..], "1 connection does"),
        (&["198.51.100.7", "2001:db8::8"], "2 connections do"),
    ] {
        let host = Host::new();
        let states: Vec<Value> = peers
            .iter()
            .map(|peer| {
                let mut state = host.live_state(peer);
                state["times"] = json!(1000);
                state
            })
            .collect();
        host.set("returning", json!(states));
        host.assert_fault(
            &["on"],
            &format!(
                "half switched on: {text} not end on the live site; new visitors get the page, old connections are still on the live site: run \"maintd on --resume\" to try again, or stop the live server to end them"
            ),
        );
        assert_eq!(host.table(), ALL_CLIENTS);
        assert!(host.saved().is_some());
        // The effect of each kill is checked, of the last too.
        let calls = host.calls();
        assert_eq!(calls.iter().filter(|call| *call == KILL_LIVE).count(), 10);
        assert_eq!(calls.iter().filter(|call| *call == STATES).count(), 10);
    }
}

#[test]
fn a_later_kill_fails() {
    let host = Host::new();
    let mut state = host.live_state("198.51.100.7");
    state["times"] = json!(1000);
    host.set("returning", json!([state]));
    host.fault(json!({ "call": KILL_LIVE, "from": 2, "status": 1, "stderr": "pfctl: x\n" }));
    host.assert_fault(
        &["on"],
        "half switched on: pfctl cannot kill the states of label \"www-normal\": \"pfctl: x\"; new visitors get the page, old connections are still on the live site: run \"maintd on --resume\" to try again, or stop the live server to end them",
    );
}

#[test]
fn pfctl_prints_nothing_or_dies() {
    let host = Host::new();
    host.fault(json!({ "call": "-s labels", "status": 1 }));
    let line = "pfctl fails: exit status 1; run \"pfctl -s labels\" by hand to see why";
    assert_nothing_happens(&host, line, &CHECKS[..3]);
    host.fault(json!({ "call": "-s labels", "dies": true }));
    let line = "pfctl fails: ended by a signal; run \"pfctl -s labels\" by hand to see why";
    assert_nothing_happens(&host, line, &CHECKS[..3]);
}

#[test]
fn there_is_no_pfctl() {
    let host = Host::new();
    let link = host.path("pfctl");
    std::fs::remove_file(&link).unwrap();
    let line = format!(
        "not switched on: cannot run {}: no such file or directory; pf is part of OpenBSD and FreeBSD; on Linux use --backend nft",
        link.display()
    );
    host.assert_fault(&["on"], &line);
    assert_eq!(host.saved(), None);
}
