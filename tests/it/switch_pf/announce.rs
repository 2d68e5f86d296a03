//! What `on` and `off` tell a running daemon: what is announced, so that the page shows it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Server, maintd};
use crate::switch_pf::KILL_LIVE;
use crate::switch_pf::host::Host;

/// A daemon with a control socket where the host's configuration has it, and its state where the switch writes it.
fn daemon(host: &Host) -> Server {
    let path = host.path("daemon.conf");
    let text = "server { listen 127.0.0.1:0; return 503; } control control.sock; state_dir state;";
    fs::write(&path, text).unwrap();
    let conf = fs::read_to_string(host.path("maintd.conf")).unwrap();
    host.configure_all(&format!("{conf} control control.sock;"));
    let mut command = maintd();
    command.args(["serve", "-c"]).arg(path);
    Server::start_command(command, 1)
}

/// What the daemon announces, as `status --json` has it.
fn announced(host: &Host) -> Value {
    let status = host.maintd(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    status["daemon"]["announced"].clone()
}

#[test]
fn the_daemon_shows_what_is_announced_until_off() {
    let host = Host::new();
    let server = daemon(&host);
    let ended = host.done(&["on", "--for", "2h", "--message", "new disks"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    let told = announced(&host);
    assert_eq!(told["message"], "new disks");
    assert!(told["until"].as_str().unwrap().contains('T'), "{told}");
    // It serves by then.
    server.wait_for_stderr("maintd: reloaded\n");
    let table = host.done(&["status"]).stdout;
    assert!(table.contains("\ndaemon        maintd "), "{table}");
    assert!(table.contains("\nrequests      "), "{table}");

    host.done(&["on", "--message", ""]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    host.done(&["on", "--message", "again"]);
    host.done(&["off"]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
}

/// Who only excepts one address more does not end what visitors are told.
#[test]
fn what_is_announced_stays_where_it_is_switched_on_again_without() {
    let host = Host::new();
    let _server = daemon(&host);
    host.done(&["on", "--for", "2h", "--message", "new disks"]);
    let (told, saved) = (announced(&host), host.saved().unwrap());
    let ended = host.done(&["on", "--except", "192.0.2.10"]);
    assert!(
        ended.stderr.contains("; announced until "),
        "{}",
        ended.stderr
    );
    assert_eq!(announced(&host), told);
    let now = host.saved().unwrap();
    assert_eq!(
        [&now["until"], &now["message"]],
        [&saved["until"], &saved["message"]]
    );
    // One of them says all.
    host.done(&["on", "--message", "other"]);
    assert_eq!(
        announced(&host),
        json!({ "until": null, "message": "other" })
    );
    // Ended by hand: that was another maintenance.
    host.set_table(&[]);
    host.done(&["on"]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
    assert_eq!(host.saved().unwrap()["message"], Value::Null);
}

#[test]
fn what_could_not_be_saved_outlives_a_reload() {
    let host = Host::new();
    let server = daemon(&host);
    fs::write(host.path("state"), "a file").unwrap();
    let ended = host.done(&["on", "--message", "the disk is full"]);
    assert!(ended.stderr.contains("cannot save "), "{}", ended.stderr);
    server.wait_for_stderr("maintd: reloaded\n");
    server.signal(libc::SIGHUP);
    let reloads = || server.stderr().matches("maintd: reloaded\n").count();
    let limit = Instant::now() + Duration::from_secs(20);
    while reloads() < 2 {
        assert!(Instant::now() < limit, "it has not reloaded");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(announced(&host)["message"], "the disk is full");
    host.done(&["off"]);
    assert_eq!(announced(&host), json!({ "until": null, "message": null }));
}

#[test]
fn new_visitors_are_told_though_old_connections_stay() {
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
fn status_warns_where_the_daemon_announces_something_else() {
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
fn resume_announces_what_was_announced() {
    let host = Host::new();
    host.done(&["on", "--message", "new disks"]);
    let _server = daemon(&host);
    host.set_table(&[]);
    // Read from the state at the start, and told again.
    assert_eq!(announced(&host)["message"], "new disks");
    let ended = host.done(&["on", "--resume"]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert_eq!(announced(&host)["message"], "new disks");
}

#[test]
fn without_a_daemon_one_warning_says_so_where_there_is_something_to_show() {
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
fn a_daemon_that_cannot_show_it_says_why() {
    let host = Host::new();
    let server = daemon(&host);
    fs::write(host.path("daemon.conf"), "server { listen 127.0.0.1:0; }").unwrap();
    let ended = host.done(&["on", "--message", "new disks"]);
    let warning = "maintd: warning: the page does not show what is announced: its configuration cannot be read anew: ";
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
        "maintd: wrong value for --message: it is over 4096 bytes; say it in fewer words\n"
    );
}
