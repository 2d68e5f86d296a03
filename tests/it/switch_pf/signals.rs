//! Signals: a started change is completed, and `run` forwards them to its command.

use std::fs;
use std::process::Child;

use serde_json::json;

use crate::common::{Ended, send_signal};
use crate::switch_pf::host::Host;
use crate::switch_pf::{ALL_CLIENTS, CHECKS, KILL_PAGE, REPLACE};

const SIGNALS: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
const ON: &str = "maintd: on: all visitors get the page\n";
const OFF: &str = "maintd: off: all visitors are on the live site\n";

/// maintd, in the middle of a call of pfctl that contains these words.
fn held(host: &Host, call: &str, words: &[&str]) -> Child {
    for name in ["waiting", "go"] {
        let _ = fs::remove_file(host.path(name));
    }
    host.fault(json!({ "call": call, "waits": true }));
    let child = host.command(words).spawn().unwrap();
    host.wait_for("waiting");
    child
}

fn go(host: &Host) {
    fs::write(host.path("go"), "").unwrap();
}

/// `run` of a script that has begun.
fn begun(host: &Host, script: &str) -> Child {
    let _ = fs::remove_file(host.path("begun"));
    let child = host
        .command(&["run", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    host.wait_for("begun");
    child
}

#[test]
fn before_the_change_on_stops() {
    for signal in SIGNALS {
        for (number, call) in CHECKS.iter().enumerate() {
            let host = Host::new();
            let child = held(&host, call, &["on"]);
            send_signal(child.id(), signal);
            go(&host);
            let ended = Ended::of(child);
            assert_eq!(ended.status, Some(1), "{ended:?}");
            assert_eq!(ended.stderr, "maintd: not switched on: interrupted\n");
            // The rules and the interfaces are listed at the same time.
            let last = if *call == "-s rules" {
                number + 1
            } else {
                number
            };
            assert_eq!(host.calls(), CHECKS[..=last]);
            assert_eq!(host.table(), [""; 0]);
            assert_eq!(host.saved(), None);
        }
    }
}

#[test]
fn a_started_change_is_completed() {
    for signal in SIGNALS {
        let host = Host::new();
        let child = held(&host, REPLACE, &["on"]);
        send_signal(child.id(), signal);
        go(&host);
        let ended = Ended::of(child);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.stderr, ON);
        assert_eq!(host.table(), ALL_CLIENTS);
        assert_eq!(host.states("www-normal"), 0);
    }
}

#[test]
fn off_stops_before_the_change_and_not_after() {
    let host = Host::new();
    host.done(&["on"]);
    let child = held(&host, "-T show", &["off"]);
    send_signal(child.id(), libc::SIGTERM);
    go(&host);
    let stopped = Ended::of(child);
    assert_eq!(stopped.status, Some(1));
    assert_eq!(stopped.stderr, "maintd: not switched off: interrupted\n");
    assert_eq!(host.table(), ALL_CLIENTS);
    assert!(host.saved().is_some());

    let child = held(&host, "-T flush", &["off"]);
    send_signal(child.id(), libc::SIGTERM);
    go(&host);
    let done = Ended::of(child);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert_eq!(done.stderr, OFF);
    assert_eq!(host.saved(), None);
}

#[test]
fn the_command_gets_the_signal_and_off_follows() {
    for (signal, name) in [
        (libc::SIGTERM, "TERM"),
        (libc::SIGINT, "INT"),
        (libc::SIGHUP, "HUP"),
    ] {
        let host = Host::new();
        // It ends by itself, in its own time and with its own status.
        let script =
            format!("trap 'echo {name}; exit 9' {name}; : > begun; while :; do sleep 0.01; done");
        let child = begun(&host, &script);
        assert_eq!(host.table(), ALL_CLIENTS);
        send_signal(child.id(), signal);
        let ended = Ended::of(child);
        assert_eq!(ended.status, Some(9), "{ended:?}");
        assert_eq!(ended.stdout, format!("{name}\n"));
        assert_eq!(ended.stderr, format!("{ON}{OFF}"));
        assert_eq!(host.table(), [""; 0]);
    }
}

#[test]
fn a_command_that_the_signal_ends_is_128_and_its_number() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let host = Host::new();
        let child = begun(&host, ": > begun; exec sleep 1000");
        send_signal(child.id(), signal);
        let ended = Ended::of(child);
        assert_eq!(ended.status, Some(128 + signal), "{ended:?}");
        assert_eq!(ended.stderr, format!("{ON}{OFF}"));
        assert_eq!(host.table(), [""; 0]);
    }
}

#[test]
fn a_command_may_ignore_it() {
    let host = Host::new();
    let script = "trap '' TERM; : > begun; while [ ! -e go ]; do sleep 0.01; done; exit 4";
    let child = begun(&host, script);
    send_signal(child.id(), libc::SIGTERM);
    send_signal(child.id(), libc::SIGTERM);
    go(&host);
    let ended = Ended::of(child);
    assert_eq!(ended.status, Some(4), "{ended:?}");
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn an_interrupted_on_runs_no_command() {
    let host = Host::new();
    let ran = host.path("ran");
    let words = ["run", "--", "touch", ran.to_str().unwrap()];
    let child = held(&host, REPLACE, &words);
    send_signal(child.id(), libc::SIGTERM);
    go(&host);
    let after = Ended::of(child);
    assert_eq!(after.status, Some(128 + libc::SIGTERM), "{after:?}");
    assert_eq!(after.stderr, format!("{ON}{OFF}"));
    assert!(!ran.exists());
    assert_eq!(host.table(), [""; 0]);

    // Before the change there is nothing to switch off.
    let child = held(&host, "-s labels", &words);
    send_signal(child.id(), libc::SIGINT);
    go(&host);
    let before = Ended::of(child);
    assert_eq!(before.status, Some(1));
    assert_eq!(
        before.stderr,
        "maintd: the command was not run: not switched on: interrupted\n"
    );
    assert!(!ran.exists());
}

#[test]
fn the_off_of_run_is_not_interrupted() {
    for call in ["-T flush", KILL_PAGE] {
        let host = Host::new();
        let child = held(&host, call, &["run", "--", "true"]);
        for signal in SIGNALS {
            send_signal(child.id(), signal);
        }
        go(&host);
        let ended = Ended::of(child);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.stderr, format!("{ON}{OFF}"));
        assert_eq!(host.table(), [""; 0]);
    }
    // Nor is it before its change: the first that shows the table behind the one of "on".
    let host = Host::new();
    let mut child = held(
        &host,
        "-T show",
        &["run", "--", "sh", "-c", "rm -f waiting go; : > begun"],
    );
    go(&host);
    host.wait_for("begun");
    host.wait_for("waiting");
    assert!(child.try_wait().unwrap().is_none());
    send_signal(child.id(), libc::SIGTERM);
    go(&host);
    let ended = Ended::of(child);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(host.table(), [""; 0]);
}
