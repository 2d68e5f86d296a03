//! Real clients: curl, openssl s_client, Python's http.client and a Rust HTTP client.

mod bundles;
mod certificates;
mod curl;
mod openssl;
mod python;
mod ureq;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::common::{Ended, Port, Server};
use tempfile::TempDir;

/// Not ASCII alone, so that a length in characters is found out.
const PAGE: &str = "<!doctype html>\n<title>Zurück um drei</title>\n<p>Wir bauen um. Ω\n";

/// What an uploading client sends: longer than the socket buffers.
const UPLOAD: usize = 2 << 20;

const PORTS: [Port; 2] = [Port::Plaintext, Port::Tls];

/// A server with [`PAGE`], and a directory with the page and a file to upload.
struct Site {
    server: Server,
    directory: TempDir,
}

impl Site {
    fn new() -> Self {
        Self::with_flags(&[])
    }

    fn with_flags(flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let page = directory.path().join("page.html");
        fs::write(&page, PAGE).unwrap();
        fs::write(directory.path().join("upload"), "x".repeat(UPLOAD)).unwrap();
        let mut all = vec!["--page", page.to_str().unwrap()];
        all.extend(flags);
        Self {
            server: Server::start(&all),
            directory,
        }
    }

    /// The URL of a path on one of the two ports.
    fn url(&self, port: Port, path: &str) -> String {
        let scheme = match port {
            Port::Plaintext => "http",
            Port::Tls => "https",
        };
        format!("{scheme}://{}{path}", self.server.address(port))
    }

    /// The file of [`UPLOAD`] bytes.
    fn upload(&self) -> PathBuf {
        self.directory.path().join("upload")
    }
}

/// Runs a tool to its end with `input` as its stdin.
fn run(command: &mut Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A tool that ends without reading its input closes the pipe: no failure by itself.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ended::from_output(output)
}
