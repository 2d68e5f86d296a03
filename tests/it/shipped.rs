//! The nginx.conf that systems ship, whole, with the recipe's `server` block in the place of their own sites.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::certificates::{CertificateFiles, p256};
use crate::common::client::connect;
use crate::common::{Port, Server, maintd, skip};
use tempfile::TempDir;

/// The recipe, with names and paths filled in, on ports that the system chooses.
fn recipe(directory: &Path, certificate: &CertificateFiles) -> String {
    let [_, chain, _, key] = certificate.flags();
    format!(
        "    server {{
        listen 127.0.0.1:0;
        listen 127.0.0.1:0 ssl;
        server_name example.org;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        root {};
        return 503;
        error_page 503 @maintenance;
        location @maintenance {{
            rewrite ^(.*)$ /maintenance.html break;
        }}
    }}\n",
        directory.display()
    )
}

/// What OpenBSD's package says, without its comments and its site.
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
        recipe(self.directory.path(), &self.certificate)
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("nginx.conf");
        fs::write(&path, text).unwrap();
        path
    }
}

/// It is right as it is, and every request gets the page.
fn assert_serves(file: &Path) {
    let checked = maintd().arg("check").arg("-c").arg(file).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{told}");

    let mut command = maintd();
    command.args(["serve", "-c"]).arg(file);
    let server = Server::start_command(command, 2);
    for port in [Port::Clear, Port::Tls] {
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

/// The very file of Debian's package; only its process id and its logs go elsewhere, since they are the real nginx's.
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
