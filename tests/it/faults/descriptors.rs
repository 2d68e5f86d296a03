//! A descriptor limit that is too low.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::common::client::connect;
use crate::common::{Port, Server};
use crate::faults::{GET, run};

const ADVICE: &str = "raise it with \"ulimit -n\" or openfiles in login.conf";

/// `maintd` with these arguments under this limit, soft and hard.
fn limited(limit: u64, args: &[&str]) -> Command {
    let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_maintd"), "serve"])
        .args(args);
    command
}

/// The number of descriptors in the message is exact.
#[test]
fn descriptor_limit_too_low() {
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, "page").unwrap();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--tls-listen",
        "127.0.0.1:0",
        "--listen",
        &unix,
        "--page",
        page.to_str().unwrap(),
    ];

    let ended = run(limited(14, &args));
    let needed: u64 = ended
        .line()
        .strip_prefix("maintd: the descriptor limit of 14 is too low: ")
        .and_then(|rest| rest.split_once(' ')?.0.parse().ok())
        .unwrap_or_else(|| panic!("{ended:?}"));
    assert!((15..=64).contains(&needed), "{ended:?}");
    for limit in [14, needed - 1] {
        let ended = run(limited(limit, &args));
        let expected = format!(
            "maintd: the descriptor limit of {limit} is too low: {needed} are needed at least; \
             {ADVICE}"
        );
        assert_eq!(ended.line(), expected);
        assert_eq!(ended.status, Some(1));
        assert!(!path.exists(), "the socket file is left at {limit}");
    }

    let server = Server::start_command(limited(needed, &args), 3);
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(&server, port);
        client.send(GET);
        assert_eq!(client.last_answer().body, b"page", "{port:?}");
    }
}

/// A limit too low for the listeners: still one line that says what to do.
#[test]
fn descriptor_limit_far_too_low() {
    for limit in 5..14 {
        let args = ["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
        let ended = run(limited(limit, &args));
        let line = ended.line();
        assert!(line.starts_with("maintd: "), "at {limit}: {line}");
        assert!(line.ends_with(ADVICE), "at {limit}: {line}");
        assert_eq!(ended.status, Some(1), "at {limit}");
    }
}
