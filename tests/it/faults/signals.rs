//! The end: by signal, with exit status 0 and nothing left behind.

use std::os::unix::net::UnixStream;
use std::process::Command;

use tempfile::TempDir;

use crate::common::client::connect;
use crate::common::{Client, Port, Server};
use crate::faults::GET;

/// maintd ends with open connections of every kind, leaves no socket file, and the next maintd can use the same ports
/// at once.
#[track_caller]
fn assert_ends(signal: i32) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let mut server = Server::start(&["--listen", &unix]);
    assert!(path.exists());

    let mut idle = connect(&server, Port::Plaintext);
    idle.send("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!(idle.answer().status, 503);
    let mut half = connect(&server, Port::Tls);
    half.send("GET / HT");
    let _silent = UnixStream::connect(&path).unwrap();

    server.signal(signal);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists(), "the socket file is left");
    assert!(UnixStream::connect(&path).is_err());

    let http = server.http.to_string();
    let https = server.https.to_string();
    let next = Server::start_raw(&["--listen", &http, "--tls-listen", &https, "--listen", &unix]);
    let mut client = connect(&next, Port::Plaintext);
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
    let mut client = Client::unix(&path);
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
}

#[test]
fn sigterm_ends_it() {
    assert_ends(libc::SIGTERM);
}

#[test]
fn sigint_ends_it() {
    assert_ends(libc::SIGINT);
}

#[test]
fn sigquit_ends_it() {
    assert_ends(libc::SIGQUIT);
}

/// Blocked and ignored signals are inherited through execve(2), as under nohup(1): the server obeys its signals all the same.
#[test]
fn signals_that_the_parent_has_blocked_or_ignored_are_obeyed() {
    for option in ["--block-signal", "--ignore-signal"] {
        let mut command = Command::new("env");
        command.arg(format!("{option}=HUP,TERM,CHLD"));
        command.args([
            env!("CARGO_BIN_EXE_maintd"),
            "serve",
            "--listen",
            "127.0.0.1:0",
        ]);
        let mut server = Server::start_command(command, 1);
        server.signal(libc::SIGHUP);
        server.wait_for_stderr("maintd: reloaded\n");
        server.signal(libc::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}
