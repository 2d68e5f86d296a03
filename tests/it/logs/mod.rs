//! Logs: messages and the lines of requests, in files, FIFOs and at a syslogd; and the pid file.

mod combined;
mod messages;
mod settings;
mod stuck;

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Client, Server, maintd, wait_until};
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

    /// Writes a configuration: these directives, `DIR` filled in, and a plaintext server.
    fn write(&self, directives: &str) -> PathBuf {
        let path = self.path("test.conf");
        let directory = self.0.path().to_str().unwrap();
        // The default control socket may be another daemon's, which would be a message in the log.
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

/// Sends a request, and gets the page.
#[track_caller]
fn ask(server: &Server) {
    let mut client = Client::tcp(server.http);
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
}

/// Sends so many requests with long lines on few connections; each is answered.
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

/// The file names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
