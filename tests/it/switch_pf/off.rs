//! `maintd off` without errors.

use serde_json::json;

use crate::switch_pf::host::Host;
use crate::switch_pf::{ALL_CLIENTS, FLUSH, KILL_PAGE, SHOW, STATES};

const OFF: &str = "maintd: off: all visitors are on the live site\n";
const OFF_ALREADY: &str = "maintd: already off: no visitor was redirected\n";

/// Switches on, with two connections to the page. Returns the output of `on`.
pub(crate) fn switched_on(host: &Host) -> String {
    let on = host.done(&["on"]).stderr;
    host.set(
        "states",
        json!([
            host.page_state("198.51.100.7"),
            host.page_state("198.51.100.8")
        ]),
    );
    host.calls();
    on
}

#[test]
fn all_are_moved_back_once_the_live_site_accepts() {
    let host = Host::new();
    switched_on(&host);
    let ended = host.done(&["off"]);
    assert_eq!((ended.stderr.as_str(), ended.stdout.as_str()), (OFF, ""));
    assert_eq!(host.calls(), [SHOW, SHOW, FLUSH, SHOW, KILL_PAGE, STATES]);
    assert_eq!(host.table(), [""; 0]);
    assert_eq!(host.states("www-maintenance"), 0);
    assert_eq!(host.saved(), None);
}

#[test]
fn connections_of_the_live_site_stay() {
    let host = Host::new();
    switched_on(&host);
    let states = [
        host.page_state("198.51.100.7"),
        host.live_state("192.0.2.10"),
    ];
    host.set("states", json!(states));
    host.done(&["off"]);
    assert_eq!(host.states("www-normal"), 1);
}

#[test]
fn off_already_is_no_fault() {
    let host = Host::new();
    let ended = host.done(&["off"]);
    assert_eq!(ended.stderr, OFF_ALREADY);
    // As an earlier failed `off` may leave it.
    assert_eq!(host.calls(), [SHOW, KILL_PAGE, STATES]);
    switched_on(&host);
    host.done(&["off"]);
    assert_eq!(host.done(&["off"]).stderr, OFF_ALREADY);
}

#[test]
fn off_already_needs_no_live_site() {
    let mut host = Host::quiet();
    host.responder.start();
    assert_eq!(host.done(&["off"]).stderr, OFF_ALREADY);
}

#[test]
fn a_switch_off_by_hand_deletes_the_state() {
    let host = Host::new();
    switched_on(&host);
    host.set_table(&[]);
    assert_eq!(host.done(&["off"]).stderr, OFF_ALREADY);
    assert_eq!(host.states("www-maintenance"), 0);
    assert_eq!(host.saved(), None);
}

#[test]
fn off_without_a_table_moves_none() {
    for system in ["openbsd", "old", "freebsd"] {
        let host = Host::new();
        switched_on(&host);
        host.set("system", json!(system));
        host.set("tables", json!({}));
        assert_eq!(host.done(&["off"]).stderr, OFF_ALREADY);
        // An unreadable table may still exist.
        assert_eq!(host.calls(), [SHOW, "-vs Tables"]);
        assert_eq!(host.saved(), None);
        assert_eq!(host.pf()["tables"], json!({}));
    }
}

#[test]
fn it_needs_neither_the_responder_nor_pf_enabled_nor_the_rules() {
    let host = Host::quiet();
    host.live.listen();
    host.set_table(&ALL_CLIENTS);
    host.set("enabled", json!(false));
    host.set("labels", json!([]));
    assert_eq!(host.done(&["off"]).stderr, OFF);
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn clients_moved_by_hand_are_moved_back() {
    let host = Host::new();
    host.set_table(&["192.0.2.0/24", "!192.0.2.10"]);
    assert_eq!(host.done(&["off"]).stderr, OFF);
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn force_does_not_probe_the_live_site() {
    let mut host = Host::quiet();
    host.responder.start();
    switched_on(&host);
    assert_eq!(host.done(&["off", "--force"]).stderr, OFF);
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn new_states_on_the_page_are_killed_again() {
    let host = Host::new();
    switched_on(&host);
    let mut again = host.page_state("198.51.100.9");
    again["times"] = json!(1);
    host.set("returning", json!([again]));
    host.done(&["off"]);
    let calls = host.calls();
    let expected = [KILL_PAGE, STATES].repeat(2);
    assert_eq!(calls[calls.len() - 4..], expected);
}

#[test]
fn a_failed_list_of_states_is_only_a_warning() {
    let host = Host::new();
    switched_on(&host);
    host.fault(crate::switch_pf::denied("-s states"));
    assert_eq!(
        host.done(&["off"]).stderr,
        format!(
            "maintd: warning: cannot check whether connections are left: \"pfctl: /dev/pf: Permission denied\"\n{OFF}"
        )
    );
    assert_eq!(host.saved(), None);
}
