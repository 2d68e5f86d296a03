//! The announcement: the daemon reads it from the state file at start and at each reload.

use std::collections::HashSet;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::common::client::connect;
use crate::common::{Answer, Port, maintd, wait_until};
use crate::control::Daemon;

/// An end in an hour.
fn end() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() + 3600
}

/// A state file that announces this.
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

fn reload(daemon: &Daemon) -> Value {
    daemon.done(&json!({ "command": "reload" }))["announced"].clone()
}

#[test]
fn a_reload_request_is_answered_when_new_workers_accept() {
    let daemon = Daemon::plain();
    assert_eq!(announced(&daemon), nothing());
    let until = end();
    daemon.save_state(&state(until, "new \"disks\"\n"));
    let announcement = json!({ "until": until, "message": "new \"disks\"\n" });
    assert_eq!(reload(&daemon), announcement);
    let count = |text: &str| daemon.server().stderr().matches(text).count();
    let reloads = |number| {
        wait_until(
            || count("maintd: reloaded\n") == number,
            "it has not reloaded",
        )
    };
    reloads(1);
    assert_eq!(count("maintd: a maintenance is announced\n"), 1);
    assert_eq!(announced(&daemon), announcement);
    // A message stands only where the announcement changes.
    assert_eq!(reload(&daemon), announcement);
    reloads(2);
    assert_eq!(count("maintd: a maintenance is announced\n"), 1);
    fs::remove_file(daemon.path("state/state.json")).unwrap();
    assert_eq!(reload(&daemon), nothing());
    assert_eq!(announced(&daemon), nothing());
    reloads(3);
    assert_eq!(count("maintd: nothing is announced any more\n"), 1);
}

#[test]
fn the_announcement_outlives_a_restart_and_a_reload() {
    let mut daemon = Daemon::plain();
    let until = end();
    daemon.save_state(&state(until, "saved"));
    let saved = json!({ "until": until, "message": "saved" });
    daemon.reload();
    assert_eq!(announced(&daemon), saved);
    daemon.run();
    assert_eq!(announced(&daemon), saved);
    daemon.reload();
    assert_eq!(announced(&daemon), saved);
    // Switched off while the control socket did not answer.
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
    daemon.save_state(&state(end(), &message));
    reload(&daemon);
    // The old worker may still have the next visitor, and its page.
    #[cfg(target_os = "linux")]
    wait_until(
        || crate::common::process::children(daemon.server().pid()).len() == 1,
        "the old worker has not gone",
    );
    let ask = |method: &str, coding: &str| {
        let mut client = connect(daemon.server(), Port::Plaintext);
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

/// Up to version 0.1 a client could send the announcement itself.
#[test]
fn only_the_state_file_announces() {
    let daemon = Daemon::plain();
    let answer = daemon.ask(&json!({ "command": "announce", "message": "m", "saved": true }));
    assert_eq!(answer["fault"], "unknown command; write reload or status");
    let answer = daemon.done(&json!({ "command": "reload", "message": "m", "until": end() }));
    assert_eq!(answer["announced"], nothing());
    assert_eq!(announced(&daemon), nothing());
    // The last saved one counts, not the last that was announced.
    for message in ["first", "second"] {
        daemon.save_state(&state(None, message));
        assert_eq!(reload(&daemon)["message"], message);
        for _ in 0..2 {
            daemon.reload();
            assert_eq!(announced(&daemon)["message"], message);
        }
    }
}

#[test]
fn an_end_in_another_century_is_a_warning() {
    let mut daemon = Daemon::plain();
    daemon.save_state(&state(u64::MAX, "saved"));
    daemon.run();
    let warning = format!(
        "maintd: warning: cannot read what is announced from \"{}\": its end is more than 30 days ahead; switch on again, or delete it\n",
        daemon.path("state/state.json").display()
    );
    let log = daemon.server().stderr();
    assert!(log.contains(&warning), "{log}");
    assert_eq!(announced(&daemon), nothing());
    assert_eq!(reload(&daemon), nothing());
}

#[test]
fn a_damaged_state_is_a_warning() {
    let mut daemon = Daemon::plain();
    daemon.save_state("{");
    daemon.run();
    let warning = format!(
        "maintd: warning: cannot read what is announced from \"{}\": it is damaged; switch on again, or delete it\n",
        daemon.path("state/state.json").display()
    );
    let log = daemon.server().stderr();
    assert!(log.contains(&warning), "{log}");
    assert_eq!(announced(&daemon), nothing());
    // The last announcement that could be read stays.
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
fn an_invalid_configuration_is_reported_and_the_page_stays() {
    let daemon = Daemon::plain();
    daemon.configure("server { listen 127.0.0.1:0; return 404; }", "");
    daemon.save_state(&state(None, "m"));
    let answer = daemon.ask(&json!({ "command": "reload" }));
    assert_eq!(answer["ok"], false);
    let fault = answer["fault"].as_str().unwrap();
    assert!(
        fault.starts_with("the daemon did not reload its configuration: "),
        "{fault}"
    );
    assert!(fault.contains("1 error; fix it"), "{fault}");
    assert_eq!(announced(&daemon), nothing());
    // A later reload reads the state file again.
    daemon.configure("server { listen 127.0.0.1:0; return 503; }", "");
    daemon.reload();
    assert_eq!(announced(&daemon)["message"], "m");
}

#[test]
fn faults_of_the_directives_have_their_positions() {
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
            "2:32: wrong value \"/metrics\" for health; give another path: this one is the path of the metrics",
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
