//! The interfaces for administrators: control socket, counters, metrics and health answer.

mod announcement;
mod clients;
mod counted;
mod metrics;
mod socket;
mod watch;

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Server, maintd};

const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// A daemon with its own directory for control socket and state.
struct Daemon {
    directory: TempDir,
    server: Option<Server>,
}

impl Daemon {
    /// With these servers and further directives.
    fn start(servers: &str, more: &str) -> Self {
        let mut daemon = Self {
            directory: TempDir::new().unwrap(),
            server: None,
        };
        daemon.configure(servers, more);
        daemon.run();
        daemon
    }

    fn plain() -> Self {
        Self::start("server { listen 127.0.0.1:0; return 503; }", "")
    }

    fn configure(&self, servers: &str, more: &str) {
        let text = format!("{servers}\ncontrol control.sock;\nstate_dir state;\n{more}\n");
        fs::write(self.path("maintd.conf"), text).unwrap();
    }

    /// Starts the daemon, or restarts it.
    fn run(&mut self) {
        self.server = None;
        let text = fs::read_to_string(self.path("maintd.conf")).unwrap();
        let mut command = maintd();
        command.args(["serve", "-c"]).arg(self.path("maintd.conf"));
        // A listener that several servers share counts once.
        let listens = text.split("listen ").skip(1);
        let places: HashSet<&str> = listens.filter_map(|rest| rest.split(';').next()).collect();
        let listeners = places.len();
        self.server = Some(Server::start_command(command, listeners));
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn server_mut(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// Sends this line, and returns the answer.
    #[track_caller]
    fn ask(&self, request: &Value) -> Value {
        ask(&self.socket(), &format!("{request}\n"))
    }

    /// Sends a command that must succeed.
    #[track_caller]
    fn done(&self, request: &Value) -> Value {
        let answer = self.ask(request);
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    fn status(&self) -> Value {
        self.done(&json!({ "command": "status" }))
    }

    /// Writes what the switch writes.
    fn save_state(&self, text: &str) {
        fs::create_dir_all(self.path("state")).unwrap();
        fs::write(self.path("state/state.json"), text).unwrap();
    }

    fn reload(&self) {
        self.server().reload();
    }

    /// The address of the metrics, from the message.
    fn metrics(&self) -> String {
        let text = self.server().wait_for_stderr("/metrics\n");
        let (_, url) = text.split_once("maintd: metrics are on http://").unwrap();
        url.split_once("/metrics").unwrap().0.to_owned()
    }
}

/// Sends something, and returns the JSON that comes back before the end.
#[track_caller]
fn ask(socket: &Path, request: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    serde_json::from_str(&text).unwrap()
}
