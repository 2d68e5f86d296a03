//! The complete nginx.conf of systems, with the recipe's `server` block in place of their own sites.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::certificates::{CertificateFiles, p256};
use crate::common::client::connect;
use crate::common::{Port, Server, maintd, skip};
use crate::nginx::recipe;
use tempfile::TempDir;

/// The file of OpenBSD's package, without its comments and its site.
const OPENBSD: &str = "worker_processes  1;

worker_rlimit_nofile 1024;
events {
    worker_connections  800;
}

http {
    include       mime.types;
    default_type  application/octet-stream;
    index         index.html index.htm;

    keepalive_timeout  65;

    server_tokens off;

SITE}
";

/// A directory as /etc/nginx is one.
struct Etc {
    directory: TempDir,
    certificate: CertificateFiles,
}

impl Etc {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let write = |name, text| fs::write(directory.path().join(name), text).unwrap();
        write("maintenance.html", "<h1>Mine</h1>");
        write(
            "mime.types",
            "types {\n    text/html html htm shtml;\n    image/png png;\n}\n",
        );
        Self {
            directory,
            certificate: p256(&["example.org"]),
        }
    }

    fn site(&self) -> String {
        recipe(self.directory.path(), 0, 0, &self.certificate.flags())
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("nginx.conf");
        fs::write(&path, text).unwrap();
        path
    }
}

/// The file is valid unchanged, and every request gets the page.
fn assert_serves(file: &Path) {
    let checked = maintd().arg("check").arg("-c").arg(file).output().unwrap();
    let output = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{output}");

    let mut command = maintd();
    command.args(["serve", "-c"]).arg(file);
    let server = Server::start_command(command, 2);
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(&server, port);
        client.send("GET /any HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
        let answer = client.last_answer();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.text(), "<h1>Mine</h1>");
    }
}

#[test]
fn openbsd_s() {
    let etc = Etc::new();
    assert_serves(&etc.write(&OPENBSD.replace("SITE", &etc.site())));
}

/// The file of Debian's package; only the paths of the pid file and the logs differ, which belong to the real nginx.
#[test]
fn debian_s() {
    const FILE: &str = "/etc/nginx/nginx.conf";
    const SITES: &str = "include /etc/nginx/sites-enabled/*;";
    let Ok(text) = fs::read_to_string(FILE) else {
        skip("Debian's nginx is not installed");
        return;
    };
    if !text.contains(SITES) {
        skip("this is not Debian's nginx.conf");
        return;
    }
    let etc = Etc::new();
    let elsewhere = etc.directory.path().display();
    let text = text
        .replace(SITES, &etc.site())
        .replace("/run/nginx.pid", &format!("{elsewhere}/nginx.pid"))
        .replace("/var/log/nginx", &elsewhere.to_string());
    assert_serves(&etc.write(&text));
}
