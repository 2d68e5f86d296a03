//! What is announced: told through the socket, read from the state, and kept.

use std::fs;

use serde_json::{Value, json};

use super::Daemon;
use super::common::maintd;

const STATE: &str = "{\"version\":1,\"since\":1,\"until\":4000000000,\"message\":\"saved\",\"entries\":[],\"except\":[]}";

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
    let window = json!({ "until": 4_000_000_000_u64, "message": "new \"disks\"\n" });
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
    daemon.save_state(STATE);
    let saved = json!({ "until": 4_000_000_000_u64, "message": "saved" });
    daemon.reload();
    assert_eq!(announced(&daemon), saved);
    daemon.run();
    assert_eq!(announced(&daemon), saved);
    // Switched off, while nobody could tell it.
    fs::remove_file(daemon.path("state/state.json")).unwrap();
    daemon.reload();
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
    daemon.save_state(STATE);
    daemon.reload();
    daemon.save_state("[]");
    daemon.reload();
    assert_eq!(announced(&daemon)["message"], Value::Null);
    daemon.save_state(STATE);
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
    assert!(fault.contains("has 1 fault"), "{fault}");
    assert_eq!(announced(&daemon), nothing());
    // What it was told holds when that is mended.
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
            "metrics 9503;".to_owned(),
            "2:9: wrong value \"9503\" for metrics; give an address and a port, as in 127.0.0.1:9503",
        ),
        (
            "metrics 127.0.0.1:8080;".to_owned(),
            "2:1: visitors get the page on 127.0.0.1:8080; give metrics a port of their own",
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
            "2:32: wrong value \"/metrics\" for health; give another path: the metrics are there",
        ),
        (
            "http { server { control x; } }".to_owned(),
            "2:17: control stands at the top level; move it out of server",
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
