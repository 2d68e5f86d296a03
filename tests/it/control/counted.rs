//! The counters.

use serde_json::{Value, json};

use crate::common::client::{Client, Tls, connect};
use crate::common::{Port, certificates, wait_until};
use crate::control::Daemon;

/// Whether `actual` contains `expected`.
fn has(actual: &Value, expected: &Value) -> bool {
    match expected.as_object() {
        Some(members) => members
            .iter()
            .all(|(name, value)| has(&actual[name], value)),
        None => actual == expected,
    }
}

/// Waits until the status contains `expected`.
#[track_caller]
fn assert_comes_to(daemon: &Daemon, part: &str, expected: &Value) {
    let mut last = Value::Null;
    let is_so = || {
        last = daemon.status()[part].clone();
        has(&last, expected)
    };
    let failure = format!("{part} does not come to {expected}");
    wait_until(is_so, &failure);
}

fn send(daemon: &Daemon, port: Port, request: &str) -> u16 {
    let mut client = connect(daemon.server(), port);
    client.send(request);
    client.last_answer().status
}

#[test]
fn requests_are_counted_by_method_host_and_status() {
    let daemon = Daemon::start(
        "server { listen 127.0.0.1:0; server_name a.example www.a.example; return 503; }
         server { listen 127.0.0.1:0; server_name *.b.example; return 503 b; }",
        "",
    );
    for (method, host) in [
        ("GET", "a.example"),
        ("GET", "www.a.example"),
        ("POST", "x.b.example"),
        ("OPTIONS", "unknown.example"),
        ("PROPFIND", "a.example"),
    ] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(send(&daemon, Port::Plaintext, &request), 503);
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000));
    assert_eq!(send(&daemon, Port::Plaintext, &long), 414);
    assert_eq!(
        send(&daemon, Port::Plaintext, "GET / HTTP/1.1\r\n\r\n"),
        400
    );
    assert_eq!(
        send(&daemon, Port::Plaintext, "GET / HTTP/1.1\r\n\r\n"),
        400
    );
    assert_comes_to(
        &daemon,
        "totals",
        &json!({
            "connections": 8,
            "requests": 5,
            "methods": { "GET": 2, "POST": 1, "OPTIONS": 1, "other": 1, "HEAD": 0 },
            "forms": { "page": 5, "json": 0, "text": 0, "empty": 0 },
            "hosts": { "a.example": 4, "*.b.example": 1, "other": 0 },
            "refusals": { "400": 2, "414": 1, "431": 0, "501": 0, "505": 0 },
            "closes": { "refused": 3, "answered": 5 },
        }),
    );
    let totals = daemon.status()["totals"].clone();
    assert!(totals["sent_bytes"].as_u64().unwrap() > 1000, "{totals}");
}

#[test]
fn a_preflight_is_a_request_and_no_refusal() {
    let daemon = Daemon::start(
        "server { listen 127.0.0.1:0; cors_origin https://app.example; return 503; }",
        "",
    );
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\
                     Access-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(send(&daemon, Port::Plaintext, preflight), 204);
    }
    let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(send(&daemon, Port::Plaintext, get), 503);
    assert_comes_to(
        &daemon,
        "totals",
        &json!({
            "requests": 4,
            "methods": { "GET": 1, "OPTIONS": 3 },
            // The page went out once.
            "forms": { "page": 1, "json": 0, "text": 0, "empty": 0 },
            "hosts": { "_": 1 },
            "refusals": { "400": 0, "414": 0, "431": 0, "501": 0, "505": 0 },
        }),
    );
}

#[test]
fn pipelined_requests_count_each() {
    let daemon = Daemon::plain();
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = connect(daemon.server(), Port::Plaintext);
    client.send(format!("{}{head}", get.repeat(40)));
    client.rest();
    assert_comes_to(
        &daemon,
        "totals",
        &json!({ "connections": 1, "requests": 41, "methods": { "GET": 40, "HEAD": 1 }, "hosts": { "_": 41 } }),
    );
}

#[test]
fn forms_are_counted() {
    let daemon = Daemon::plain();
    for (fields, count) in [
        ("Accept: application/json", 3),
        ("Accept: text/plain", 2),
        ("Accept: image/png", 4),
        ("Accept: text/html", 1),
    ] {
        let get = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\nConnection: close\r\n\r\n");
        for _ in 0..count {
            assert_eq!(send(&daemon, Port::Plaintext, &get), 503);
        }
    }
    assert_comes_to(
        &daemon,
        "totals",
        &json!({ "requests": 10, "forms": { "page": 1, "json": 3, "text": 2, "empty": 4 } }),
    );
}

#[test]
fn handshakes_are_counted_by_version_and_resumptions_too() {
    let certificate = certificates::p256(&["localhost"]);
    let [_, chain, _, key] = certificate.flags();
    let daemon = Daemon::start(
        &format!(
            "server {{ listen 127.0.0.1:0 ssl; ssl_certificate {chain}; ssl_certificate_key {key}; return 503; }}"
        ),
        "",
    );
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tls = Tls {
            versions: vec![version],
            ..Tls::default()
        };
        let config = tls.config().unwrap();
        for _ in 0..2 {
            let mut client = Client::tls_again(daemon.server().https, &config, "localhost");
            client.send(request);
            assert_eq!(client.last_answer().status, 503);
        }
    }
    assert_comes_to(
        &daemon,
        "totals",
        &json!({ "handshakes": { "1.2": 2, "1.3": 2 }, "resumptions": 2, "requests": 4 }),
    );
}

#[test]
fn open_connections_are_counted_by_phase() {
    let daemon = Daemon::plain();
    let mut half = connect(daemon.server(), Port::Plaintext);
    half.send("GET / HTTP/1.1\r\n");
    let mut idle = connect(daemon.server(), Port::Plaintext);
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_comes_to(
        &daemon,
        "open",
        &json!({ "head": 1, "keep_alive": 1, "write": 0 }),
    );
    drop((half, idle));
    assert_comes_to(&daemon, "open", &json!({ "head": 0, "keep_alive": 0 }));
}

/// The counters of ended workers too; and a total does not change while they end.
#[test]
fn totals_outlive_workers_and_reloads() {
    let daemon = Daemon::start(
        "worker_processes 2; server { listen 127.0.0.1:0; server_name a; return 503; }",
        "",
    );
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let json = "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        for _ in 0..4 {
            send(&daemon, Port::Plaintext, request);
        }
        send(&daemon, Port::Plaintext, json);
        daemon.reload();
    }
    let status = daemon.status();
    assert_eq!(status["workers"], 2);
    assert_comes_to(
        &daemon,
        "totals",
        &json!({ "requests": 15, "hosts": { "a": 15 }, "forms": { "page": 12, "json": 3 }, "died": 0 }),
    );
    // Ended workers have no open connections.
    assert_comes_to(
        &daemon,
        "open",
        &json!({ "head": 0, "keep_alive": 0, "linger": 0 }),
    );
}

#[test]
fn rates_are_those_of_the_last_minute() {
    let daemon = Daemon::plain();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for _ in 0..30 {
        send(&daemon, Port::Plaintext, request);
    }
    wait_until(
        || daemon.status()["rates"]["requests"].as_f64().unwrap() > 0.0,
        "no rate",
    );
    let status = daemon.status();
    let seconds = status["seconds"]["requests"].as_array().unwrap().iter();
    let sum: u64 = seconds.map(|second| second.as_u64().unwrap()).sum();
    assert_eq!(sum, 30, "{status}");
    assert_eq!(status["rates"]["hosts"]["_"], status["rates"]["requests"]);
}
