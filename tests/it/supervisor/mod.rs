//! One supervisor and its workers: reloads that lose no request, workers that die, and the ways to end.

mod end;
mod load;
mod reload;
mod tickets;
mod workers;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::common::certificates::{self, CertificateFiles};
use crate::common::client::connect;
use crate::common::{Client, Port, Server, maintd, process, wait_until};

/// A request that leaves the connection open.
const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
/// One that does not.
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// A page and a certificate in files that may change, and a server with both.
struct Site {
    server: Server,
    page: PathBuf,
    _directory: TempDir,
    certificate: CertificateFiles,
}

impl Site {
    /// With this page, and more flags.
    fn start(page: &str, flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("page.html");
        std::fs::write(&path, page).unwrap();
        let certificate = certificates::p256(&["localhost"]);
        let mut all = vec!["--page", path.to_str().unwrap()];
        all.extend(certificate.flags());
        all.extend(flags);
        Self {
            server: Server::start(&all),
            page: path,
            _directory: directory,
            certificate,
        }
    }

    fn write_page(&self, page: &str) {
        std::fs::write(&self.page, page).unwrap();
    }

    /// Reloads and waits until new workers have taken over.
    fn reload(&self) {
        self.server.reload();
    }

    fn workers(&self) -> Vec<u32> {
        process::children(self.server.pid())
    }

    /// A connection that a worker has accepted, and on which this has been sent.
    fn connect(&self, port: Port, request: &str) -> Client {
        let sockets = |worker: &u32| process::open_sockets(*worker);
        let workers = self.workers();
        let before: Vec<usize> = workers.iter().map(sockets).collect();
        let mut client = connect(&self.server, port);
        client.send(request);
        let accepted = || {
            workers
                .iter()
                .map(sockets)
                .zip(&before)
                .any(|(now, before)| now > *before)
        };
        wait_until(accepted, "no worker accepts");
        client
    }
}

/// A server that reads this configuration, in a directory of its own.
fn with_configuration(directory: &TempDir, text: &str, listeners: usize) -> Server {
    let file = directory.path().join("maintd.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = maintd();
    command.args(["serve", "-c", file.to_str().unwrap()]);
    Server::start_command(command, listeners)
}
