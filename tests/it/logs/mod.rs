//! Logs: messages and the lines of requests, in files, FIFOs and at a syslogd; and the pid file.

mod combined;
mod messages;
mod settings;
mod stuck;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, maintd};
use tempfile::TempDir;

/// A request on a connection that ends with it.
const GET: &str = "GET /path HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// A directory for configurations and logs.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a configuration: these directives, `DIR` filled in, and a server in the clear.
    fn write(&self, directives: &str) -> PathBuf {
        let path = self.path("test.conf");
        let directory = self.0.path().to_str().unwrap();
        // The default control socket may be another daemon's, which would be told in the log.
        let text = format!(
            "{}\nserver {{ listen 127.0.0.1:0; return 503 'page'; }} control {directory}/maintd.sock;\n",
            directives.replace("DIR", directory)
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn start(&self, directives: &str, flags: &[&str]) -> Server {
        let path = self.write(directives);
        let mut command = maintd();
        command.arg("serve").arg("-c").arg(path).args(flags);
        Server::start_command(command, 1)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a file has that many lines, and returns them.
    #[track_caller]
    fn lines(&self, name: &str, count: usize) -> Vec<String> {
        let lines = || self.read(name).lines().count();
        wait_until(|| lines() >= count, &format!("not {count} lines in {name}"));
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// Waits until a file has this text.
    #[track_caller]
    fn wait_for(&self, name: &str, text: &str) -> String {
        wait_until(
            || self.read(name).contains(text),
            &format!("no {text:?} in {name}"),
        );
        self.read(name)
    }

    fn mkfifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        path
    }
}

/// Asks once, and gets the page.
#[track_caller]
fn ask(server: &Server) {
    let mut client = Client::tcp(server.http);
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
}

/// Asks that many times, on as few connections as may be, with long lines; every request is answered.
#[track_caller]
fn ask_often(server: &Server, count: usize) {
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "x".repeat(900)
    );
    let mut left = count;
    while left > 0 {
        let mut client = Client::tcp(server.http);
        let batch = left.min(1000);
        for _ in 0..batch {
            client.send(&request);
            assert_eq!(client.answer().status, 503);
        }
        left -= batch;
    }
}

/// Waits (20 s at most) until something is so.
#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool, failure: &str) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < limit, "{failure}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process that has not been waited for.
fn signal(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: kill touches no memory of ours.
    #[expect(unsafe_code, reason = "std sends no signal but SIGKILL")]
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0);
}

/// What is in a directory.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
