//! What is announced: told through the socket, read from the state, and kept.

use std::collections::HashSet;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::common::client::connect;
use crate::common::{Answer, Port, maintd};
use crate::control::{Daemon, wait_until};

/// An end that is near enough to be one.
fn end() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() + 3600
}

/// What the switch writes down where this is announced.
fn state(until: impl Into<Option<u64>>, message: &str) -> String {
    json!({ "version": 1, "since": 1, "until": until.into(), "message": message, "entries": [], "except": [] })
        .to_string()
}

fn announced(daemon: &Daemon) -> Value {
    daemon.status()["announced"].clone()
}

fn nothing() -> Value {
    json!({ "until": null, "message": null })
}

#[test]
fn an_announcement_is_answered_when_new_workers_serve() {
    let daemon = Daemon::plain();
    assert_eq!(announced(&daemon), nothing());
    let until = end();
    let window = json!({ "until": until, "message": "new \"disks\"\n" });
    let mut request = window.clone();
    request["command"] = json!("announce");
    daemon.done(&request);
    let told = daemon.server().wait_for_stderr("maintd: reloaded\n");
    assert!(
        told.contains("maintd: a maintenance is announced\n"),
        "{told}"
    );
    assert_eq!(announced(&daemon), window);
    daemon.done(&json!({ "command": "announce" }));
    assert_eq!(announced(&daemon), nothing());
}

#[test]
fn the_window_outlives_a_restart_and_a_reload() {
    let mut daemon = Daemon::plain();
    let until = end();
    daemon.save_state(&state(until, "saved"));
    let saved = json!({ "until": until, "message": "saved" });
    daemon.reload();
    assert_eq!(announced(&daemon), saved);
    daemon.run();
    assert_eq!(announced(&daemon), saved);
    // Switched off, while nobody could tell it.
    fs::remove_file(daemon.path("state/state.json")).unwrap();
    daemon.reload();
    assert_eq!(announced(&daemon), nothing());
}

/// Retry-After counts down in the head and differs from client to client; the body has the announced end.
#[test]
fn programs_get_the_countdown_in_the_head_and_the_end_in_the_body() {
    let daemon = Daemon::start(
        "server { listen 127.0.0.1:0; return 503; }",
        "access_log access.log;",
    );
    let message = "new disks ".repeat(100);
    daemon.done(&json!({ "command": "announce", "until": end(), "message": message }));
    // The old worker may still have the next visitor, and its page.
    #[cfg(target_os = "linux")]
    wait_until(
        || crate::common::process::children(daemon.server().pid()).len() == 1,
        "the old worker has not gone",
    );
    let ask = |method: &str, coding: &str| {
        let mut client = connect(daemon.server(), Port::Clear);
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nAccept: application/problem+json\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"
        ));
        let answer = if method == "HEAD" {
            client.answer_to_head()
        } else {
            client.answer()
        };
        client.assert_closed();
        answer
    };
    let length = |answer: &Answer| answer.header("Content-Length").unwrap().to_owned();
    let whole = length(&ask("HEAD", "identity"));
    let mut waits = HashSet::new();
    for _ in 0..20 {
        let answer = ask("GET", "identity");
        let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
        assert!((3500..=3600 + 600).contains(&wait), "{wait}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem.get("retry-after"), None);
        assert_eq!(
            (&problem["status"], &problem["detail"]),
            (&json!(503), &json!(message))
        );
        assert!(problem["until"].is_string());
        assert_eq!(length(&answer), answer.body.len().to_string());
        assert_eq!(length(&answer), whole);
        waits.insert(wait);
    }
    assert!(waits.len() > 10, "{waits:?}");
    let compressed = ask("GET", "gzip, br");
    assert_eq!(compressed.header("Content-Encoding"), Some("br"));
    let compressed = compressed.body.len();
    wait_until(
        || {
            let log = fs::read_to_string(daemon.path("access.log")).unwrap();
            let lengths = [
                format!("\" 503 {whole} "),
                format!("\" 503 {compressed} "),
                "\" 503 0 ".to_owned(),
            ];
            lengths.map(|length| log.matches(&length).count()) == [20, 1, 1]
        },
        "the access log has other lengths",
    );
}

/// The disk is full, the switch has another state directory, or somebody spoke to the socket himself.
#[test]
fn what_is_not_saved_is_announced_until_something_else_is() {
    let daemon = Daemon::plain();
    daemon.save_state(&state(end(), "saved"));
    for request in [
        json!({ "command": "announce", "message": "unsaved", "saved": false }),
        json!({ "command": "announce", "message": "unsaved" }),
        json!({ "command": "announce", "message": "unsaved", "saved": null }),
    ] {
        daemon.done(&request);
        for _ in 0..2 {
            daemon.reload();
            assert_eq!(announced(&daemon)["message"], "unsaved", "{request}");
        }
        // The same once more, now that it is saved; and then what is saved has changed.
        daemon.save_state(&state(None, "unsaved"));
        daemon.done(&json!({ "command": "announce", "message": "unsaved", "saved": true }));
        daemon.save_state(&state(end(), "saved"));
        daemon.reload();
        assert_eq!(announced(&daemon)["message"], "saved", "{request}");
    }
    // That nothing is announced can be unsaved too.
    daemon.done(&json!({ "command": "announce" }));
    daemon.reload();
    assert_eq!(announced(&daemon), nothing());
}

/// The switch saves it where its own configuration says.
#[test]
fn what_is_saved_elsewhere_is_announced_until_something_else_is() {
    let daemon = Daemon::plain();
    daemon.done(&json!({ "command": "announce", "message": "elsewhere", "saved": true }));
    daemon.reload();
    assert_eq!(announced(&daemon)["message"], "elsewhere");
    daemon.done(&json!({ "command": "announce", "saved": true }));
    daemon.reload();
    assert_eq!(announced(&daemon), nothing());
}

#[test]
fn what_was_shown_already_stays_where_it_is_not_saved() {
    let daemon = Daemon::plain();
    daemon.save_state(&state(end(), "m"));
    daemon.reload();
    let shown = announced(&daemon);
    let mut request = shown.clone();
    request["command"] = json!("announce");
    daemon.done(&request);
    fs::remove_file(daemon.path("state/state.json")).unwrap();
    daemon.reload();
    assert_eq!(announced(&daemon), shown);
}

#[test]
fn an_end_in_another_century_is_a_warning_and_not_announced() {
    let mut daemon = Daemon::plain();
    daemon.save_state(&state(u64::MAX, "saved"));
    daemon.run();
    let warning = format!(
        "maintd: warning: cannot read what is announced from \"{}\": its end is more than a year ahead; switch anew, or delete it\n",
        daemon.path("state/state.json").display()
    );
    let told = daemon.server().stderr();
    assert!(told.contains(&warning), "{told}");
    assert_eq!(announced(&daemon), nothing());
    let answer = daemon.ask(&json!({ "command": "announce", "until": u64::MAX }));
    assert_eq!(answer["fault"], "\"until\" is more than a year ahead");
    assert_eq!(announced(&daemon), nothing());
}

#[test]
fn a_damaged_state_is_a_warning() {
    let mut daemon = Daemon::plain();
    daemon.save_state("{");
    daemon.run();
    let warning = format!(
        "maintd: warning: cannot read what is announced from \"{}\": it is damaged; switch anew, or delete it\n",
        daemon.path("state/state.json").display()
    );
    let told = daemon.server().stderr();
    assert!(told.contains(&warning), "{told}");
    assert_eq!(announced(&daemon), nothing());
    // What was right stays.
    daemon.save_state(&state(end(), "saved"));
    daemon.reload();
    daemon.save_state("[]");
    daemon.reload();
    assert_eq!(announced(&daemon)["message"], Value::Null);
    daemon.save_state(&state(end(), "saved"));
    daemon.reload();
    daemon.save_state("");
    daemon.reload();
    assert_eq!(announced(&daemon)["message"], "saved");
}

#[test]
fn a_faulty_configuration_is_answered_and_the_page_stays() {
    let daemon = Daemon::plain();
    daemon.configure("server { listen 127.0.0.1:0; return 404; }", "");
    let answer = daemon.ask(&json!({ "command": "announce", "message": "m" }));
    assert_eq!(answer["ok"], false);
    let fault = answer["fault"].as_str().unwrap();
    assert!(
        fault.starts_with("its configuration cannot be read anew: "),
        "{fault}"
    );
    assert!(fault.contains("1 error; fix it"), "{fault}");
    assert_eq!(announced(&daemon), nothing());
    // The announcement applies once the file is fixed.
    daemon.configure("server { listen 127.0.0.1:0; return 503; }", "");
    daemon.reload();
    assert_eq!(announced(&daemon)["message"], "m");
}

#[test]
fn faults_of_the_directives_have_their_places() {
    let daemon = Daemon::plain();
    let server = "server { listen 127.0.0.1:8080; return 503; }";
    let long = "x".repeat(104);
    for (text, expected) in [
        (
            "control;".to_owned(),
            "2:1: control takes one value; write control VALUE;",
        ),
        (format!("control /{long};"), "2:9: wrong value \"/xxx"),
        (
            "metrics 127.0.0.1;".to_owned(),
            "2:9: wrong value \"127.0.0.1\" for metrics; give PORT, ADDR:PORT or [ADDR]:PORT, as in 127.0.0.1:9503",
        ),
        (
            "metrics 127.0.0.1:8080;".to_owned(),
            "2:1: the page is served on 127.0.0.1:8080; give metrics another port",
        ),
        (
            "health /health;".to_owned(),
            "2:1: health without metrics; add \"metrics 127.0.0.1:9503;\"",
        ),
        (
            "metrics 127.0.0.1:9503; health health;".to_owned(),
            "2:32: wrong value \"health\" for health; give a path, as in /health",
        ),
        (
            "metrics 127.0.0.1:9503; health /metrics;".to_owned(),
            "2:32: wrong value \"/metrics\" for health; give another path: this is that of the metrics",
        ),
        (
            "http { server { control x; } }".to_owned(),
            "2:17: control belongs at the top level; move it out of server",
        ),
    ] {
        let path = daemon.path("faulty.conf");
        fs::write(&path, format!("{server}\n{text}\n")).unwrap();
        let output = maintd().args(["check", "-c"]).arg(&path).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}: {stderr}");
        assert!(stderr.contains(expected), "{text}: {stderr}");
    }
}
