//! Several `server` blocks: the page and the certificate by the name that a client asks for.

mod by_host;
mod by_sni;
mod nginx;
mod settings;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::common::certificates::CertificateFiles;
use crate::common::client::Tls;
use crate::common::{Client, Server, maintd};

/// A configuration file in a directory of its own.
struct File {
    path: PathBuf,
    directory: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("test.conf");
        fs::write(&path, text).unwrap();
        Self { path, directory }
    }

    /// `maintd serve -c` with this file, which has so many listeners.
    fn serve(&self, listeners: usize) -> Server {
        let mut command = maintd();
        command.arg("serve").arg("-c").arg(&self.path);
        Server::start_command(command, listeners)
    }

    /// The output of `maintd check -c` with this file.
    fn check(&self) -> String {
        let output = maintd()
            .arg("check")
            .arg("-c")
            .arg(&self.path)
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The directives for a certificate.
fn lines(certificate: &CertificateFiles) -> String {
    let [_, chain, _, key] = certificate.flags();
    format!("ssl_certificate {chain}; ssl_certificate_key {key};")
}

/// A request for a host, after which the connection is closed.
fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// The page for a plaintext request.
fn page(address: SocketAddr, request: &str) -> String {
    let mut client = Client::tcp(address);
    client.send(request);
    client.last_answer().text()
}

/// A TLS client with this SNI.
fn named(name: &str) -> Tls {
    Tls {
        name: name.to_owned(),
        ..Tls::default()
    }
}

/// The certificate that a client was shown.
fn shown(client: &Client) -> Vec<u8> {
    client.session().unwrap().peer_certificates().unwrap()[0].to_vec()
}

/// The first certificate of a file, as it is shown.
fn der(certificate: &CertificateFiles) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(&certificate.cert)
        .unwrap()
        .to_vec()
}
