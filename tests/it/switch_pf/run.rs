//! `maintd run`: on, a command, and off after any end of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::common::Ended;
use crate::switch_pf::host::Host;
use crate::switch_pf::{
    ALL_CLIENTS, CHECKS, FLUSH, KILL_LIVE, KILL_PAGE, REPLACE, SHOW, STATES, TEST, denied,
};

const ON: &str = "maintd: on: all visitors get the page\n";
const OFF: &str = "maintd: off: all visitors are on the live site\n";

/// `run -- sh -c SCRIPT`, in which `$1` is pf on disk.
fn script(host: &Host, script: &str) -> [String; 6] {
    let pf = host.path("pf.json").display().to_string();
    ["run", "--", "sh", "-c", script, &pf].map(str::to_owned)
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn on_then_the_command_then_off() {
    let host = Host::new();
    // While it runs, visitors get the page: "$0" is pf on disk.
    let run = script(&host, "cat \"$0\"; echo said >&2");
    let ended = host.done(&words(&run));
    assert_eq!(ended.stderr, format!("{ON}said\n{OFF}"));
    let meanwhile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        meanwhile["tables"]["maintenance"]["entries"],
        json!(ALL_CLIENTS)
    );
    assert_eq!(meanwhile["states"], json!([]));
    assert_eq!(host.table(), [""; 0]);
    assert_eq!(host.saved(), None);
    let on = [&CHECKS[..], &[REPLACE, TEST, KILL_LIVE, STATES, STATES]].concat();
    let off = [SHOW, SHOW, FLUSH, SHOW, KILL_PAGE, STATES];
    assert_eq!(host.calls(), [&on[..], &off].concat());
}

#[test]
fn the_command_has_our_terminal_environment_and_directory() {
    let host = Host::new();
    let mut command = host.command(&["run", "--", "sh", "-c", "cat; echo $MINE; pwd"]);
    let input = host.path("input");
    fs::write(&input, "typed\n").unwrap();
    command
        .stdin(fs::File::open(input).unwrap())
        .env("MINE", "kept");
    let ended = Ended::of(command.spawn().unwrap());
    let directory = fs::canonicalize(host.path(".")).unwrap();
    assert_eq!(
        ended.stdout,
        format!("typed\nkept\n{}\n", directory.display())
    );
}

#[test]
fn the_exit_status_is_the_commands() {
    let host = Host::new();
    for status in [0, 1, 3, 77, 255] {
        let run = script(&host, &format!("exit {status}")).to_vec();
        let ended = host.maintd(&words(&run));
        assert_eq!(ended.status, Some(status), "{ended:?}");
        assert_eq!(ended.stderr, format!("{ON}{OFF}"));
        assert_eq!(host.table(), [""; 0]);
    }
}

#[test]
fn a_command_that_a_signal_ends_is_128_and_its_number() {
    let host = Host::new();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("INT", 2), ("USR1", 10)] {
        let run = script(&host, &format!("kill -{name} $$")).to_vec();
        let ended = host.maintd(&words(&run));
        assert_eq!(ended.status, Some(128 + number), "{ended:?}");
        assert_eq!(ended.stderr, format!("{ON}{OFF}"));
        assert_eq!(host.table(), [""; 0]);
    }
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let host = Host::new();
    for name in ["no-such-command", "/no/such/command"] {
        let ended = host.maintd(&["run", "--", name]);
        assert_eq!(ended.status, Some(127));
        assert_eq!(
            ended.stderr,
            format!("{ON}maintd: cannot run \"{name}\": not found; write its whole path\n{OFF}")
        );
        assert_eq!(host.table(), [""; 0]);
    }
}

#[test]
fn a_command_that_cannot_be_run_is_126() {
    let host = Host::new();
    let path = host.path("command");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    for path in [path.as_path(), std::path::Path::new("/")] {
        let ended = host.maintd(&["run", "--", path.to_str().unwrap()]);
        assert_eq!(ended.status, Some(126));
        assert_eq!(
            ended.stderr,
            format!(
                "{ON}maintd: cannot run \"{}\": permission denied; name a program that can be run\n{OFF}",
                path.display()
            )
        );
        assert_eq!(host.table(), [""; 0]);
    }
}

#[test]
fn the_command_is_not_run_where_it_cannot_be_switched_on() {
    let host = Host::quiet();
    host.live.listen();
    let ran = host.path("ran");
    host.assert_fault(
        &["run", "--", "touch", ran.to_str().unwrap()],
        &format!(
            "the command was not run: not switched on: no server answers on http://{}/: connection refused; start \"maintd serve\" there",
            host.page_at("127.0.0.1")
        ),
    );
    assert!(!ran.exists());
    assert_eq!(host.calls(), CHECKS[..6]);
}

#[test]
fn an_earlier_on_stays_if_the_command_is_not_run() {
    let host = Host::new();
    host.done(&["on"]);
    let saved = host.saved();
    host.responder.answer_with(200);
    let ran = host.path("ran");
    assert_eq!(
        host.maintd(&["run", "--", "touch", ran.to_str().unwrap()])
            .status,
        Some(1)
    );
    assert!(!ran.exists());
    assert_eq!(host.table(), ALL_CLIENTS);
    assert_eq!(host.saved(), saved);
}

#[test]
fn half_on_is_switched_off_and_the_command_not_run() {
    let host = Host::new();
    host.fault(json!({ "call": KILL_LIVE, "status": 1, "stderr": "pfctl: x\n" }));
    let ran = host.path("ran");
    let ended = host.maintd(&["run", "--", "touch", ran.to_str().unwrap()]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(
        ended.stderr,
        format!(
            "maintd: the command was not run: half switched on: pfctl cannot kill the states of label \"www-normal\": \"pfctl: x\"; new visitors get the page, old connections are still on the live site: run \"maintd on --resume\" to try again, or stop the live server to end them\n{OFF}"
        )
    );
    assert!(!ran.exists());
    assert_eq!(host.table(), [""; 0]);
    assert_eq!(host.saved(), None);
}

#[test]
fn at_a_high_securelevel_neither_way_is_done_whole() {
    let host = Host::new();
    host.set("securelevel", json!(2));
    let ended = host.maintd(&["run", "--", "true"]);
    assert_eq!(ended.status, Some(1));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(
        lines[0].starts_with("maintd: the command was not run: half switched on: "),
        "{ended:?}"
    );
    // Only old connections get the page: no message in capitals.
    assert!(
        lines[1].starts_with("maintd: half switched off: pfctl cannot kill "),
        "{ended:?}"
    );
    assert_eq!(host.table(), [""; 0]);
}

/// The live site does not accept when the command has ended: the last line reports it, with this exit status, and it stays on.
#[track_caller]
fn assert_still_on(command: &str, before: &str, status: i32) {
    let mut host = Host::quiet();
    host.responder.start();
    let live = format!("127.0.0.1:{}", host.live.number);
    let run = script(&host, command).to_vec();
    let ended = host.maintd(&words(&run));
    assert_eq!(ended.status, Some(status), "{ended:?}");
    assert_eq!(
        ended.stderr,
        format!(
            "maintd: warning: no server accepts connections on {live}, and \"off\" will require it to accept; start the live site before \"off\"\n\
             {ON}{before}maintd: VISITORS STILL GET THE PAGE: not switched off: no server accepts connections on {live}: connection refused; start the live site, name its address by \"live\" in \"switch\", or use --force; then run \"maintd off\"\n"
        )
    );
    assert_eq!(host.table(), ALL_CLIENTS);
    assert!(host.saved().is_some());
}

#[test]
fn visitors_left_on_the_page_are_reported_last() {
    assert_still_on("echo said >&2", "said\n", 1);
}

#[test]
fn a_command_that_failed_keeps_its_status_where_off_fails_too() {
    assert_still_on("exit 7", "", 7);
    assert_still_on("kill -9 $$", "", 137);
}

#[test]
fn a_failed_undo_of_off_is_reported_last_too() {
    let host = Host::new();
    let mut refused = denied("-T replace");
    refused["from"] = json!(2);
    // The fourth `show` is the one by which `off` verifies that the table is empty.
    let half = json!({ "call": "-T show", "from": 4, "status": 0, "stdout": "   0.0.0.0/0\n" });
    host.faults(&[half, refused]);
    let ended = host.maintd(&["run", "--", "true"]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(
        ended.stderr,
        format!(
            "{ON}maintd: VISITORS MAY STILL GET THE PAGE: half switched off: table <maintenance> is not empty after it was emptied; the change cannot be undone (pfctl cannot change table <maintenance>: \"pfctl: /dev/pf: Permission denied\"); some visitors may still get the page: run \"maintd off\" again\n"
        )
    );
}

#[test]
fn off_that_leaves_old_connections_is_a_fault_and_not_loud() {
    let host = Host::new();
    host.fault(json!({ "call": KILL_PAGE, "status": 1, "stderr": "pfctl: x\n" }));
    let ended = host.maintd(&["run", "--", "true"]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(
        ended.stderr,
        format!(
            "{ON}maintd: half switched off: pfctl cannot kill the states of label \"www-maintenance\": \"pfctl: x\"; new visitors are on the live site, old connections still get the page: run \"maintd off\" again, or they end by themselves when they are idle\n"
        )
    );
}

#[test]
fn quiet_leaves_the_faults() {
    let mut host = Host::quiet();
    host.responder.start();
    let ended = host.maintd(&["run", "-q", "--", "true"]);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended
            .stderr
            .starts_with("maintd: VISITORS STILL GET THE PAGE: "),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[test]
fn it_takes_the_flags_of_on() {
    let host = Host::new();
    let kept = host.path("kept.json");
    let copy = format!("cp state/state.json {}", kept.display());
    host.done(&[
        "run",
        "--except",
        "192.0.2.10",
        "--for",
        "1h",
        "--message",
        "soon",
        "--",
        "sh",
        "-c",
        &copy,
    ]);
    let saved: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(kept).unwrap()).unwrap();
    assert_eq!(saved["except"], json!(["192.0.2.10"]));
    assert_eq!(saved["message"], "soon");
    assert!(saved["until"].is_u64());
}

#[test]
fn it_may_be_on_already() {
    let host = Host::new();
    host.done(&["on"]);
    host.done(&["run", "--", "true"]);
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn a_switch_by_hand_meanwhile_is_no_fault() {
    let host = Host::new();
    // The command itself may switch: the lock is free while it runs.
    let off = host.command(&["off"]);
    let mut run = host.command(&["run", "--"]);
    run.arg(off.get_program()).args(off.get_args());
    let ended = Ended::of(run.spawn().unwrap());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(
        ended.stderr,
        format!("{ON}{OFF}maintd: already off: no visitor was redirected\n")
    );
}
