//! `on` and `off` save what is announced and make a running daemon reload, so that its pages show it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Server, maintd};
use crate::switch_pf::KILL_LIVE;
use crate::switch_pf::host::Host;

/// A daemon with the control socket and the state directory of the host's configuration.
fn daemon(host: &Host) -> Server {
    daemon_with(host, "state")
}

fn daemon_with(host: &Host, state_dir: &str) -> Server {
    let path = host.path("daemon.conf");
    let server = "server { listen 127.0.0.1:0; return 503; } control control.sock;";
    fs::write(&path, format!("{server} state_dir {state_dir};")).unwrap();
    let conf = fs::read_to_string(host.path("maintd.conf")).unwrap();
    host.configure_all(&format!("{conf} control control.sock;"));
    let mut command = maintd();
    command.args(["serve", "-c"]).arg(path);
    Server::start_command(command, 1)
}

/// What the daemon announces, from `status --json`.
fn announced(host: &Host) -> Value {
    let status = host.maintd(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    status["daemon"]["announced"].clone()
}

#[test]
fn the_daemon_shows_the_announcement_until_off() {
    let host = Host::new();
    let server = daemon(&host);
    let ended = host.done(&["on", "--for", "2h", "--message", "new disks"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    let shown = announced(&host);
    assert_eq!(shown["message"], "new disks");
    assert!(shown["until"].as_str().unwrap().contains('T'), "{shown}");
    // The new workers accept by then.
    server.wait_for_stderr("maintd: reloaded\n");
    let table = host.done(&["status"]).stdout;
    assert!(table.contains("\ndaemon        maintd "), "{table}");
    assert!(table.contains("\nrequests      "), "{table}");

    host.done(&["on", "--message", ""]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    host.done(&["on", "--message", "again"]);
    host.done(&["off"]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    // What does not change the announcement replaces no workers: a reload would fail here.
    fs::write(host.path("daemon.conf"), "server { listen 127.0.0.1:0; }").unwrap();
    for words in ["on", "off"] {
        let ended = host.done(&[words]);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    }
    assert!(
        !server.stderr().contains("not reloaded"),
        "{}",
        server.stderr()
    );
}

/// An `on` that only adds an exception does not end the announcement.
#[test]
fn a_second_on_without_a_message_keeps_the_announcement() {
    let host = Host::new();
    let _server = daemon(&host);
    host.done(&["on", "--for", "2h", "--message", "new disks"]);
    let (shown, saved) = (announced(&host), host.saved().unwrap());
    let ended = host.done(&["on", "--except", "192.0.2.10"]);
    assert!(
        ended.stderr.contains("; announced until "),
        "{}",
        ended.stderr
    );
    assert_eq!(announced(&host), shown);
    let now = host.saved().unwrap();
    assert_eq!(
        [&now["until"], &now["message"]],
        [&saved["until"], &saved["message"]]
    );
    // --message alone replaces both.
    host.done(&["on", "--message", "other"]);
    assert_eq!(
        announced(&host),
        json!({ "until": null, "message": "other" })
    );
    // The table was emptied by hand: the next `on` is another maintenance.
    host.set_table(&[]);
    host.done(&["on"]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    assert_eq!(host.saved().unwrap()["message"], Value::Null);
}

#[test]
fn what_cannot_be_saved_is_a_warning_and_not_announced() {
    let host = Host::new();
    let server = daemon(&host);
    fs::write(host.path("state"), "a file").unwrap();
    let ended = host.done(&["on", "--message", "the disk is full"]);
    assert!(ended.stderr.contains("cannot save "), "{}", ended.stderr);
    let warning = "maintd: warning: the page does not show what is announced: the state could not be saved; switch again when that is fixed\n";
    assert!(ended.stderr.ends_with(warning), "{}", ended.stderr);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    let ended = host.done(&["off"]);
    assert!(!ended.stderr.contains("announced"), "{}", ended.stderr);
    // Without a message there is nothing to announce.
    let ended = host.done(&["on"]);
    assert!(!ended.stderr.contains("announced"), "{}", ended.stderr);
    fs::remove_file(host.path("state")).unwrap();
    let ended = host.done(&["on", "--message", "the disk is full"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert_eq!(announced(&host)["message"], "the disk is full");
    assert!(
        !server.stderr().contains("cannot read"),
        "{}",
        server.stderr()
    );
}

#[test]
fn a_daemon_with_another_state_dir_is_a_warning() {
    let host = Host::new();
    let _server = daemon_with(&host, "elsewhere");
    let ended = host.done(&["on", "--message", "new disks"]);
    let warning = "maintd: warning: the page does not show what is announced: the daemon cannot read the state file, or has another state_dir; see its error_log\n";
    assert!(ended.stderr.ends_with(warning), "{}", ended.stderr);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    let ended = host.done(&["off"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

/// The daemon may run as another user than root, which switches.
#[test]
fn the_state_file_is_readable_for_all_whatever_the_umask_is() {
    let host = Host::new();
    let on = host.command(&["on", "--message", "new disks"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(on.get_program())
        .args(on.get_args())
        .envs(
            on.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(on.get_current_dir().unwrap());
    assert!(shell.output().unwrap().status.success());
    let mode = |name: &str| host.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("state"), mode("state/state.json")], [0o755, 0o644]);
}

#[test]
fn a_half_finished_on_announces_too() {
    let host = Host::new();
    let _server = daemon(&host);
    host.fault(json!({ "call": KILL_LIVE, "status": 1, "stderr": "pfctl: x\n" }));
    let ended = host.maintd(&["on", "--message", "new disks"]);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stderr.starts_with("maintd: half switched on: "),
        "{}",
        ended.stderr
    );
    assert_eq!(announced(&host)["message"], "new disks");
}

#[test]
fn status_warns_if_the_daemon_announces_something_else() {
    let host = Host::new();
    let warning = format!(
        "the daemon's announcement differs from \"{}\"; switch on again, or off",
        host.path("state/state.json").display()
    );
    let warnings = |host: &Host| {
        let status: Value =
            serde_json::from_str(&host.maintd(&["status", "--json"]).stdout).unwrap();
        status["warnings"].clone()
    };
    let _server = daemon(&host);
    assert_eq!(warnings(&host), json!([]));
    host.done(&["on", "--message", "new disks"]);
    assert_eq!(warnings(&host), json!([]));
    let mut saved = host.saved().unwrap();
    saved["message"] = json!("newer disks");
    fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    assert_eq!(warnings(&host), json!([warning]));
    host.done(&["off"]);
    assert_eq!(warnings(&host), json!([]));
}

#[test]
fn resume_keeps_the_announcement() {
    let host = Host::new();
    host.done(&["on", "--message", "new disks"]);
    let _server = daemon(&host);
    host.set_table(&[]);
    // Read from the state file at start.
    assert_eq!(announced(&host)["message"], "new disks");
    let ended = host.done(&["on", "--resume"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert_eq!(announced(&host)["message"], "new disks");
}

#[test]
fn an_announcement_without_a_daemon_is_one_warning() {
    let host = Host::new();
    let ended = host.done(&["on", "--message", "new disks"]);
    let warning = "maintd: warning: the page does not show what is announced: no daemon at \"/nonexistent\": no such file or directory; give \"maintd serve\" a configuration or --control, or send it HUP\n";
    assert_eq!(
        ended.stderr.matches("warning").count(),
        1,
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.ends_with(warning), "{}", ended.stderr);
    for words in [&["off"][..], &["on"], &["off"]] {
        let ended = host.done(words);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    }
}

#[test]
fn a_daemon_that_cannot_reload_is_a_warning_with_the_cause() {
    let host = Host::new();
    let server = daemon(&host);
    fs::write(host.path("daemon.conf"), "server { listen 127.0.0.1:0; }").unwrap();
    let ended = host.done(&["on", "--message", "new disks"]);
    let warning = "maintd: warning: the page does not show what is announced: the daemon did not reload its configuration: ";
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);
    drop(server);
}

#[test]
fn a_message_that_is_too_long_is_wrong_usage() {
    let host = Host::new();
    let ended = host.maintd(&["on", "--message", &"x".repeat(4097)]);
    assert_eq!(ended.status, Some(2));
    assert_eq!(
        ended.stderr,
        "maintd: wrong value for --message: it is over 4096 bytes; write fewer words\n"
    );
}
