//! `maintd off` with a failing step: its message, and the state afterwards.

use std::fs;

use serde_json::json;

use crate::switch_pf::host::{Host, Port};
use crate::switch_pf::off::switched_on;
use crate::switch_pf::{ALL_CLIENTS, FLUSH, KILL_PAGE, REPLACE, SHOW, denied};

const UNDONE: &str =
    "the change is undone, and all visitors are where they were: see \"maintd status\"";
const DENIED: &str = "\"pfctl: /dev/pf: Permission denied\"";

/// `off` fails with this line, after these calls, and it is on as before.
#[track_caller]
fn assert_still_on(host: &Host, line: &str, calls: &[&str]) {
    let saved = host.saved();
    host.assert_fault(&["off"], &format!("not switched off: {line}"));
    assert_eq!(host.calls(), calls);
    assert_eq!(host.table(), ALL_CLIENTS);
    assert_eq!(host.states("www-maintenance"), 2);
    assert!(saved.is_some());
    assert_eq!(host.saved(), saved);
}

#[test]
fn the_live_site_does_not_accept() {
    let mut host = Host::quiet();
    host.responder.start();
    switched_on(&host);
    let line = format!(
        "no server accepts connections on 127.0.0.1:{}: connection refused; start the live site, name its address by \"live\" in \"switch\", or use --force",
        host.live.number
    );
    assert_still_on(&host, &line, &[SHOW, SHOW]);
    host.live.listen();
    host.done(&["off"]);
}

/// A live site with two ports, of which one refuses connections.
fn with_a_closed_port() -> (Host, Port) {
    let host = Host::new();
    let (live, page) = (host.live.number, host.responder.port.number);
    let closed = Port::taken();
    host.configure_all(&format!(
        "server {{ listen 127.0.0.1:{page}; return 503; }} state_dir state; switch {{ backend pf; redirect {live} {page}; redirect {} {page}; live ::1; }}",
        closed.number
    ));
    (host, closed)
}

#[test]
fn a_place_that_never_accepted_is_not_required() {
    let (host, _closed) = with_a_closed_port();
    switched_on(&host);
    let live = host.live.number;
    assert_eq!(
        host.saved().unwrap()["live"],
        json!([format!("[::1]:{live}")])
    );
    host.done(&["off"]);
}

#[test]
fn each_place_that_accepted_before_on_must_accept() {
    let (host, closed) = with_a_closed_port();
    let line = format!(
        "no server accepts connections on [::1]:{}: connection refused; start the live site, name its address by \"live\" in \"switch\", or use --force",
        closed.number
    );
    switched_on(&host);
    let mut saved = host.saved().unwrap();
    saved["live"] = json!([host.live.number, closed.number].map(|port| format!("[::1]:{port}")));
    fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    assert_still_on(&host, &line, &[SHOW, SHOW]);
}

#[test]
fn one_configured_address_must_accept_if_none_did_before_on() {
    for is_saved in [true, false] {
        let mut host = Host::quiet();
        host.responder.start();
        let (live, page) = (host.live.number, host.responder.port.number);
        let closed = Port::taken();
        host.configure_all(&format!(
            "server {{ listen 127.0.0.1:{page}; return 503; }} state_dir state; switch {{ backend pf; redirect {live} {page}; redirect {} {page}; live ::1; }}",
            closed.number
        ));
        let places = format!("[::1]:{live} and [::1]:{}", closed.number);
        let warning = format!(
            "maintd: warning: no server accepts connections on {places}, and \"off\" will require one of them to accept; start the live site before \"off\"\n"
        );
        let on = switched_on(&host);
        assert!(on.starts_with(&warning), "{on}");
        let mut saved = host.saved().unwrap();
        assert_eq!(saved["live"], json!([]));
        if !is_saved {
            // As an older version has saved it.
            saved.as_object_mut().unwrap().remove("live");
            fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
        }
        let line = format!(
            "no server accepts connections on any of {places}; start the live site, name its address by \"live\" in \"switch\", or use --force"
        );
        assert_still_on(&host, &line, &[SHOW, SHOW]);
        host.live.listen();
        host.done(&["off"]);
    }
}

#[test]
fn addresses_that_accepted_before_the_first_on_stay_required() {
    let (host, closed) = with_a_closed_port();
    switched_on(&host);
    let mut saved = host.saved().unwrap();
    let places = json!([format!("[::1]:{}", closed.number)]);
    saved["live"] = places.clone();
    for words in [&["on", "--except", "192.0.2.10"][..], &["on", "--resume"]] {
        fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
        host.done(words);
        assert_eq!(host.saved().unwrap()["live"], places, "{words:?}");
    }
    // Where nothing accepted, a later probe may find more.
    saved["live"] = json!([]);
    fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    host.done(&["on"]);
    let places = json!([format!("[::1]:{}", host.live.number)]);
    assert_eq!(host.saved().unwrap()["live"], places);
}

#[test]
fn the_table_cannot_be_read() {
    let host = Host::new();
    switched_on(&host);
    host.fault(denied("-T show"));
    let line =
        format!("pfctl fails: {DENIED}; run \"pfctl -t maintenance -T show\" by hand to see why");
    assert_still_on(&host, &line, &[SHOW]);
}

#[test]
fn the_change_is_refused() {
    let host = Host::new();
    switched_on(&host);
    host.fault(denied("-T flush"));
    let line = format!(
        "pfctl cannot change table <maintenance>: {DENIED}; nothing has changed: see the command with -v, and run it by hand"
    );
    assert_still_on(&host, &line, &[SHOW, SHOW, FLUSH, SHOW]);
}

#[test]
fn the_change_is_refused_and_half_done() {
    let host = Host::new();
    switched_on(&host);
    let half = json!({ "call": "-T show", "from": 3, "status": 0, "stdout": "   0.0.0.0/0\n" });
    host.faults(&[denied("-T flush"), half]);
    let line = format!("pfctl cannot change table <maintenance>: {DENIED}; {UNDONE}");
    assert_still_on(&host, &line, &[SHOW, SHOW, FLUSH, SHOW, REPLACE]);
}

#[test]
fn entries_remain_in_the_table() {
    let host = Host::new();
    switched_on(&host);
    host.fault(json!({ "call": "-T flush", "lies": true }));
    let line = "table <maintenance> is not empty after it was emptied";
    assert_still_on(&host, line, &[SHOW, SHOW, FLUSH, SHOW, SHOW]);
}

#[test]
fn the_result_of_the_flush_cannot_be_read() {
    let host = Host::new();
    switched_on(&host);
    let mut fault = denied("-T show");
    fault["from"] = json!(3);
    host.fault(fault);
    let line = format!(
        "pfctl fails: {DENIED}; run \"pfctl -t maintenance -T show\" by hand to see why; {UNDONE}"
    );
    assert_still_on(&host, &line, &[SHOW, SHOW, FLUSH, SHOW, SHOW, REPLACE]);
}

#[test]
fn the_change_cannot_be_undone() {
    let host = Host::new();
    switched_on(&host);
    let saved = host.saved();
    host.faults(&[
        json!({ "call": "-T show", "from": 3, "status": 0, "stdout": "   0.0.0.0/0\n" }),
        denied("-T replace"),
    ]);
    host.assert_fault(
        &["off"],
        &format!(
            "half switched off: table <maintenance> is not empty after it was emptied; the change cannot be undone (pfctl cannot change table <maintenance>: {DENIED}); some visitors may still get the page: run \"maintd off\" again"
        ),
    );
    assert_eq!(host.saved(), saved);
    assert_eq!(host.states("www-maintenance"), 2);
}

/// `off` fails when new visitors are on the live site already.
#[track_caller]
fn assert_half_off(host: &Host, what: &str, advice: &str) {
    host.assert_fault(
        &["off"],
        &format!(
            "half switched off: {what}; new visitors are on the live site, old connections still get the page: {advice}"
        ),
    );
    assert_eq!(host.table(), [""; 0]);
    // A reboot must not switch on again.
    assert_eq!(host.saved(), None);
}

#[test]
fn states_must_not_be_killed_at_a_high_securelevel() {
    let host = Host::new();
    switched_on(&host);
    host.set("securelevel", json!(2));
    assert_half_off(
        &host,
        "pfctl cannot kill the states of label \"www-maintenance\": \"pfctl: DIOCKILLSTATES: Operation not permitted\"",
        "the securelevel may forbid to kill states; they end by themselves when they are idle",
    );
    assert_eq!(host.states("www-maintenance"), 2);
    assert_eq!(host.maintd(&["status"]).status, Some(3));
}

#[test]
fn states_cannot_be_killed_and_can_the_next_time() {
    let host = Host::new();
    switched_on(&host);
    host.fault(json!({ "call": KILL_PAGE, "status": 1, "stderr": "pfctl: x\n" }));
    assert_half_off(
        &host,
        "pfctl cannot kill the states of label \"www-maintenance\": \"pfctl: x\"",
        "run \"maintd off\" again, or they end by themselves when they are idle",
    );
    host.faults(&[]);
    host.done(&["off"]);
    assert_eq!(host.states("www-maintenance"), 0);
}

#[test]
fn states_stay_however_often_they_are_killed() {
    let host = Host::new();
    switched_on(&host);
    let mut again = host.page_state("198.51.100.9");
    again["times"] = json!(1000);
    host.set("returning", json!([again]));
    assert_half_off(
        &host,
        "1 connection does not end on the page",
        "run \"maintd off\" again, or they end by themselves when they are idle",
    );
}

#[test]
fn the_state_file_cannot_be_deleted() {
    let host = Host::new();
    switched_on(&host);
    let path = host.path("state/state.json");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let ended = host.maintd(&["off"]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(
        ended.stderr,
        format!(
            "maintd: switched off, but cannot delete \"{}\": is a directory; delete it by hand, or a reboot will switch on again\n",
            path.display()
        )
    );
    assert_eq!(host.table(), [""; 0]);
    assert_eq!(host.states("www-maintenance"), 0);
}
