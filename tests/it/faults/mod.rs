//! What stops maintd from starting: each fault told in one line with what to do, the right exit
//! status, and nothing left half-started. And how signals end it.

mod descriptors;
mod files;
mod listeners;
mod messages;
mod signals;
mod usage;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::maintd;

/// The plainest request that is not kept alive.
const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// What a command that ended by itself has left.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// The one line on stderr, without its end; nothing else was printed.
    fn line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n');
        let line = line.unwrap_or_else(|| panic!("no whole line on stderr: {self:?}"));
        assert!(!line.contains('\n'), "not one line: {self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        line
    }
}

/// Runs a command that must end by itself, 20 s at most.
fn run(mut command: Command) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What a fault has to say fits into the pipes many times over, so nothing blocks on them.
    let limit = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let mut texts = [String::new(), String::new()];
    child.stdout.unwrap().read_to_string(&mut texts[0]).unwrap();
    child.stderr.unwrap().read_to_string(&mut texts[1]).unwrap();
    let [stdout, stderr] = texts;
    let Some(status) = status else {
        panic!("{command:?} has not ended; its stderr:\n{stderr}");
    };
    Ended {
        status: status.code(),
        stdout,
        stderr,
    }
}

/// Runs `maintd` with these arguments.
fn run_maintd<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = maintd();
    command.args(args);
    run(command)
}

/// `maintd` with these arguments ends with this status and says exactly this line, and no more.
#[track_caller]
fn assert_fault<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, status: i32, line: &str) {
    let ended = run_maintd(args);
    assert_eq!(ended.line(), format!("maintd: {line}"));
    assert_eq!(ended.status, Some(status));
}

/// The system's words for an error, the first letter in lower case: they are not the same on
/// every system.
fn system_reason(number: i32) -> String {
    let text = io::Error::from_raw_os_error(number).to_string();
    let (text, _) = text.split_once(" (os error").unwrap();
    text[..1].to_lowercase() + &text[1..]
}
