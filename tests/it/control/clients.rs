//! Misbehaving clients of the control socket: none of them delays others.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::common::Port;
use crate::common::client::connect;
use crate::control::{Daemon, GET, ask};

#[test]
fn an_invalid_request_gets_a_reply() {
    let daemon = Daemon::plain();
    for (line, expected) in [
        ("nonsense\n".to_owned(), "not a line of JSON"),
        ("{\"command\":\"stop\"}\n".to_owned(), "unknown command"),
        ("\n".to_owned(), "not a line of JSON"),
        ("{\"command\":\"announce\"}\n".to_owned(), "unknown command"),
        ("x".repeat(1024), "the line is over 1 KiB"),
    ] {
        let answer = ask(&daemon.socket(), &line);
        assert_eq!(answer["ok"], false);
        let fault = answer["fault"].as_str().unwrap();
        assert!(fault.contains(expected), "{fault}");
    }
}

/// More clients than are served at once: silent, with half a line, or with unread answers.
#[test]
fn silent_clients_do_not_delay_others() {
    let daemon = Daemon::plain();
    let mut silent = Vec::new();
    for number in 0..12 {
        let mut client = UnixStream::connect(daemon.socket()).unwrap();
        match number % 3 {
            0 => {}
            1 => client.write_all(b"{\"command\":").unwrap(),
            _ => client.write_all(b"{\"command\":\"status\"}\n").unwrap(),
        }
        silent.push(client);
    }
    let began = Instant::now();
    // Visitors and signals come first.
    daemon.reload();
    let mut visitor = connect(daemon.server(), Port::Plaintext);
    visitor.send(GET);
    assert_eq!(visitor.last_answer().status, 503);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    daemon.status();
    // The silent clients have been disconnected.
    let mut rest = Vec::new();
    let first = &mut silent[0];
    first
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(first.read_to_end(&mut rest).unwrap(), 0);
}

#[test]
fn a_client_that_disconnects_while_waiting_costs_nothing() {
    let daemon = Daemon::plain();
    daemon.save_state("{\"message\":\"m\"}");
    for _ in 0..3 {
        let mut client = UnixStream::connect(daemon.socket()).unwrap();
        client.write_all(b"{\"command\":\"reload\"}\n").unwrap();
    }
    crate::common::wait_until(
        || daemon.status()["announced"]["message"] == "m",
        "nothing is announced",
    );
}

#[test]
fn many_ask_one_after_the_other_and_at_once() {
    let daemon = Daemon::plain();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..10 {
                    daemon.status();
                }
            });
        }
    });
}
