//! What stops maintd from starting: each error is one line that says what to do, with the right exit
//! status, and nothing left half-started. And how signals end it.

mod descriptors;
mod files;
mod listeners;
mod messages;
mod signals;
mod usage;

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use crate::common::{Ended, maintd};

/// A minimal request with `Connection: close`.
const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// Runs a command that must end by itself.
fn run(mut command: Command) -> Ended {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ended::of(command.spawn().unwrap())
}

/// Runs `maintd` with these arguments.
fn run_maintd<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = maintd();
    command.args(args);
    run(command)
}

/// `maintd` with these arguments ends with this status and prints exactly this line.
#[track_caller]
fn assert_fault<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, status: i32, line: &str) {
    let ended = run_maintd(args);
    assert_eq!(ended.line(), format!("maintd: {line}"));
    assert_eq!(ended.status, Some(status));
}

/// The system's text for an error, the first letter in lower case; it depends on the system.
fn system_reason(number: i32) -> String {
    let text = io::Error::from_raw_os_error(number).to_string();
    let (text, _) = text.split_once(" (os error").unwrap();
    text[..1].to_lowercase() + &text[1..]
}
