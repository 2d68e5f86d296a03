//! What is kept on disk: `on --resume` after a reboot, the lock, and a state directory that cannot be used.

use std::fs;

use serde_json::json;

use crate::common::Ended;
use crate::switch_pf::host::Host;
use crate::switch_pf::{ALL_CLIENTS, CHECKS, REPLACE};

#[test]
fn nothing_is_resumed_where_nothing_was_on() {
    let host = Host::new();
    let text = "maintd: nothing to resume: it was not on\n";
    assert_eq!(host.done(&["on", "--resume"]).stderr, text);
    host.done(&["on"]);
    host.done(&["off"]);
    host.calls();
    assert_eq!(host.done(&["on", "--resume"]).stderr, text);
    assert_eq!(host.calls(), [""; 0]);
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn after_a_reboot_it_is_on_as_before() {
    let host = Host::new();
    host.done(&[
        "on",
        "--except",
        "192.0.2.10",
        "--for",
        "2h",
        "--message",
        "back soon",
    ]);
    let (table, saved) = (host.table(), host.saved());
    host.set_table(&[]);
    host.calls();
    let resumed = host.done(&["on", "--resume"]);
    assert!(
        resumed.stderr.starts_with(
            "maintd: on: all visitors get the page, but for 192.0.2.10; announced until "
        ),
        "{resumed:?}"
    );
    assert_eq!(host.table(), table);
    // Since when, until when, and the message for visitors.
    assert_eq!(host.saved(), saved);
    let calls = host.calls();
    assert_eq!(calls[..CHECKS.len()], CHECKS);
    assert_eq!(calls[CHECKS.len()], REPLACE);
}

#[test]
fn configured_exceptions_are_those_saved_by_on() {
    let host = Host::new();
    host.configure("except 192.0.2.10;");
    host.done(&["on", "198.51.100.0/24"]);
    host.set_table(&[]);
    host.configure("");
    host.done(&["on", "--resume"]);
    assert_eq!(host.table(), ["!192.0.2.10", "198.51.100.0/24"]);
}

#[test]
fn it_is_still_to_be_resumed_where_that_fails() {
    let host = Host::new();
    host.done(&["on"]);
    let saved = host.saved();
    // As at a boot that has not loaded the rules yet.
    host.set("tables", json!({}));
    host.assert_fault(
        &["on", "--resume"],
        "not switched on: pf has no table <maintenance>; put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\"",
    );
    assert_eq!(host.saved(), saved);
}

#[test]
fn a_damaged_file_is_not_resumed() {
    for text in [
        "",
        "{",
        "{}",
        "\u{0}",
        "{\"version\":1,\"since\":1,\"entries\":[\"x\"],\"except\":[]}",
    ] {
        let host = Host::new();
        fs::create_dir(host.path("state")).unwrap();
        let path = host.path("state/state.json");
        fs::write(&path, text).unwrap();
        let line = format!(
            "cannot read \"{}\": it is damaged; delete it and switch again",
            path.display()
        );
        host.assert_fault(&["on", "--resume"], &line);
        assert_eq!(host.calls(), [""; 0]);
        // A new `on` replaces it.
        assert_eq!(
            host.done(&["on"]).stderr,
            format!("maintd: warning: {line}\nmaintd: on: all visitors get the page\n")
        );
        assert_eq!(host.saved().unwrap()["entries"], json!(ALL_CLIENTS));
    }
}

#[test]
fn two_do_not_switch_at_once() {
    let host = Host::new();
    host.fault(json!({ "call": "-T replace", "waits": true }));
    let first = host.command(&["on"]).spawn().unwrap();
    host.wait_for("waiting");
    let line = format!(
        "another maintd is switching (process {}); wait for it, or check \"maintd status\"",
        first.id()
    );
    for words in [
        &["on"][..],
        &["off"],
        &["off", "--force"],
        &["on", "--resume"],
    ] {
        host.assert_fault(words, &line);
    }
    host.assert_fault(
        &["run", "--", "true"],
        &format!("the command was not run: {line}"),
    );
    // `status` takes no lock.
    assert_eq!(host.maintd(&["status"]).status, Some(3));
    fs::write(host.path("go"), "").unwrap();
    assert_eq!(Ended::of(first).status, Some(0));
    assert_eq!(host.table(), ALL_CLIENTS);
    host.faults(&[]);
    host.done(&["off"]);
}

#[test]
fn a_failed_state_directory_is_only_a_warning() {
    let host = Host::new();
    fs::write(host.path("state"), "a file").unwrap();
    let warnings = format!(
        "maintd: warning: switching without a lock: cannot open \"{}\": {reason}; set state_dir to a directory that root owns\n\
         maintd: warning: cannot save \"{}\": {reason}; a reboot would end the maintenance: free some space, and switch on again\n",
        host.path("state/lock").display(),
        host.path("state/state.json").display(),
        reason = fs::create_dir_all(host.path("state"))
            .map_err(|error| error
                .to_string()
                .split(" (os")
                .next()
                .unwrap()
                .to_lowercase())
            .unwrap_err(),
    );
    assert_eq!(
        host.done(&["on"]).stderr,
        format!("{warnings}maintd: on: all visitors get the page\n")
    );
    assert_eq!(host.table(), ALL_CLIENTS);
    // There is nothing that a reboot would switch on.
    let off = host.done(&["off"]).stderr;
    assert!(
        off.ends_with("\nmaintd: off: all visitors are on the live site\n"),
        "{off}"
    );
    assert_eq!(off.lines().count(), 2, "{off}");
}
