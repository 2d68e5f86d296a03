//! The metrics listener: what Prometheus reads, and the health answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::client::connect;
use crate::common::{Port, require_tool, wait_until};
use crate::control::{Daemon, GET};

const OPERATION: &str = "metrics 127.0.0.1:0; health /health;";
const SERVER: &str = "server { listen 127.0.0.1:0; server_name a.example; return 503; }";

/// Sends a request, and returns all that comes back.
fn fetch(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn get(address: &str, path: &str) -> String {
    fetch(address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

/// Asserts the status of an answer, and the fields of its head.
#[track_caller]
fn assert_status(answer: &str, status: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(head.contains("\r\nDate: "), "{answer}");
    let length = format!("\r\nContent-Length: {}\r\n", body.len());
    assert!(head.contains(&length), "{answer}");
}

#[test]
fn every_path_has_its_answer() {
    let daemon = Daemon::start(SERVER, OPERATION);
    let address = daemon.metrics();
    for (path, status) in [
        ("/metrics", "200 OK"),
        ("/metrics?x=1", "200 OK"),
        ("/health", "200 OK"),
        ("/", "404 Not Found"),
        ("/health/", "404 Not Found"),
    ] {
        assert_status(&get(&address, path), status);
    }
    let text = get(&address, "/metrics");
    assert!(text.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let head = fetch(&address, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        head.ends_with("\r\n\r\n") && head.contains("Content-Length: "),
        "{head}"
    );
    let post = fetch(
        &address,
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    assert_status(&post, "405 Method Not Allowed");
    assert!(post.contains("\r\nAllow: GET, HEAD\r\n"));
    assert_status(&fetch(&address, "GET /metrics\r\n\r\n"), "400 Bad Request");
    // The metrics listener never sends the page, and the page's listener never the metrics.
    let mut visitor = connect(daemon.server(), Port::Plaintext);
    visitor.send("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(visitor.last_answer().status, 503);
}

#[test]
fn a_port_alone_is_one_of_all_ipv4_addresses() {
    for place in ["0", ":0", "*:0"] {
        let daemon = Daemon::start(SERVER, &format!("metrics {place};"));
        let address = daemon.metrics();
        let port = address.strip_prefix("0.0.0.0:").unwrap();
        assert_status(&get(&format!("127.0.0.1:{port}"), "/metrics"), "200 OK");
    }
}

#[test]
fn without_a_health_path_there_is_none() {
    let daemon = Daemon::start(SERVER, "metrics 127.0.0.1:0;");
    assert_status(&get(&daemon.metrics(), "/health"), "404 Not Found");
}

#[test]
fn metrics_show_the_counters_and_promtool_accepts_them() {
    let daemon = Daemon::start(SERVER, OPERATION);
    let address = daemon.metrics();
    let mut visitor = connect(daemon.server(), Port::Plaintext);
    visitor.send(GET);
    visitor.last_answer();
    let sample = |line: &str| get(&address, "/metrics").lines().any(|one| one == line);
    wait_until(
        || sample("maintd_requests_total{method=\"GET\"} 1"),
        "the request is not counted",
    );
    assert!(sample("maintd_host_requests_total{host=\"a.example\"} 1"));
    assert!(sample("maintd_connections_total 1"));
    assert!(sample("maintd_announced_end_seconds 0"));
    if !require_tool("promtool") {
        return;
    }
    let answer = get(&address, "/metrics");
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
    let output_text = output_text + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && output_text.is_empty(),
        "{output_text}"
    );
}

/// The dashboard uses only metrics that exist.
#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let daemon = Daemon::start(SERVER, OPERATION);
    let output_text = get(&daemon.metrics(), "/metrics");
    let dashboard = include_str!("../../../packaging/grafana/maintd.json");
    serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let mut asked = 0;
    for rest in dashboard.split("maintd_").skip(1) {
        let name: String = rest.chars().take_while(|letter| is_name(*letter)).collect();
        assert!(
            output_text.contains(&format!("\n# TYPE maintd_{name} "))
                || output_text.contains(&format!("# HELP maintd_{name} ")),
            "{name}"
        );
        asked += 1;
    }
    assert!(asked > 10);
}

/// Neither requests for metrics nor silent connections delay visitors or each other.
#[test]
fn silent_inspectors_make_room() {
    let daemon = Daemon::start(SERVER, OPERATION);
    let address = daemon.metrics();
    let silent: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /he").unwrap();
            stream
        })
        .collect();
    assert_status(&get(&address, "/health"), "200 OK");
    drop(silent);
}

#[test]
fn a_reload_keeps_the_address_and_can_change_it() {
    let daemon = Daemon::start(SERVER, OPERATION);
    let address = daemon.metrics();
    daemon.reload();
    assert_status(&get(&address, "/health"), "200 OK");
    daemon.configure(SERVER, "");
    daemon.reload();
    wait_until(
        || TcpStream::connect(&address).is_err(),
        "it is still listened on",
    );
}

/// A load balancer sees the end while the last requests are still answered.
#[test]
fn a_draining_daemon_is_not_healthy() {
    let mut daemon = Daemon::start(SERVER, OPERATION);
    let address = daemon.metrics();
    let mut slow = connect(daemon.server(), Port::Plaintext);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n");
    wait_until(
        || daemon.status()["open"]["head"] == 1,
        "the request has not come",
    );
    daemon.server().signal(libc::SIGQUIT);
    wait_until(
        || get(&address, "/health").starts_with("HTTP/1.1 503 "),
        "it says that it is well",
    );
    for _ in 0..3 {
        assert_status(&get(&address, "/health"), "503 Service Unavailable");
    }
    slow.send("\r\n");
    assert_eq!(slow.last_answer().status, 503);
    // The daemon waits 5 s for a client that does not close.
    drop(slow);
    assert!(daemon.server_mut().wait().success());
}

#[test]
fn a_port_that_is_taken_is_a_fault_that_names_the_directive() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("maintd.conf");
    std::fs::write(&path, format!("{SERVER} control c; metrics {address};")).unwrap();
    let output = crate::control::maintd()
        .args(["serve", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "maintd: cannot listen on {address}: address already in use; stop the other server or change \"metrics\"\n"
    );
    assert!(stderr.ends_with(&expected), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}
