//! Unusable files: the page, certificates and keys. Exit status 1.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::certificates::{self, pem};
use crate::common::client::connect;
use crate::common::{Port, Server};
use crate::faults::{GET, run_maintd, system_reason};

/// A directory with a certificate and its key, and more files as a test needs them.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let made = certificates::p256(&["localhost"]);
        let files = Self {
            directory: TempDir::new().unwrap(),
        };
        fs::copy(&made.cert, files.path("cert.pem")).unwrap();
        fs::copy(&made.key, files.path("key.pem")).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Starting with these flags, whose values are names in the directory, fails with this line,
    /// in which `DIR` stands for the directory, before the first listener was there.
    #[track_caller]
    fn assert_fault(&self, flags: &[&str], line: &str) {
        let socket = self.path("socket");
        let directory = self.directory.path().to_str().unwrap();
        let mut args = vec!["serve".to_owned()];
        for flag in ["--listen", "--tls-listen"] {
            args.push(flag.to_owned());
            // Each flag has a socket of its own.
            args.push(format!("unix:{}{flag}", socket.display()));
        }
        for pair in flags.chunks(2) {
            args.push(pair[0].to_owned());
            args.push(self.path(pair[1]).to_str().unwrap().to_owned());
        }
        let ended = run_maintd(&args);
        let line = line.replace("DIR", directory);
        assert_eq!(ended.line(), format!("maintd: {line}"));
        assert_eq!(ended.status, Some(1));
        let left: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().starts_with("socket"))
            .collect();
        assert!(left.is_empty(), "half-started: {left:?}");
    }
}

fn missing() -> String {
    system_reason(libc::ENOENT)
}

#[test]
fn page_missing() {
    let line = format!(
        "cannot read page \"DIR/none.html\": {}; give a readable file",
        missing()
    );
    Files::new().assert_fault(&["--page", "none.html"], &line);
}

#[test]
fn page_empty() {
    let files = Files::new();
    files.write("page.html", "");
    files.assert_fault(
        &["--page", "page.html"],
        "page \"DIR/page.html\" is empty; put the page into it",
    );
}

#[test]
fn page_is_a_directory() {
    let files = Files::new();
    fs::create_dir(files.path("page.html")).unwrap();
    files.assert_fault(
        &["--page", "page.html"],
        "page \"DIR/page.html\" is not a regular file; give a file",
    );
}

#[test]
fn page_is_a_device() {
    // It would never end.
    let line = "maintd: page \"/dev/zero\" is not a regular file; give a file";
    let ended = run_maintd(["serve", "--listen", "127.0.0.1:0", "--page", "/dev/zero"]);
    assert_eq!(ended.line(), line);
    assert_eq!(ended.status, Some(1));
}

#[test]
fn page_over_16_mib() {
    let files = Files::new();
    let page = File::create(files.path("page.html")).unwrap();
    page.set_len(16 * 1024 * 1024 + 1).unwrap();
    files.assert_fault(
        &["--page", "page.html"],
        "page \"DIR/page.html\" is over 16 MiB; give a smaller one",
    );
    // One byte less is accepted.
    page.set_len(16 * 1024 * 1024).unwrap();
    let server = Server::start(&["--page", files.path("page.html").to_str().unwrap()]);
    let mut client = connect(&server, Port::Plaintext);
    client.send(GET);
    assert_eq!(client.last_answer().body.len(), 16 * 1024 * 1024);
}

#[test]
fn certificate_missing() {
    let line = format!(
        "cannot read certificate \"DIR/none.pem\": {}; give a readable file",
        missing()
    );
    Files::new().assert_fault(&["--cert", "none.pem", "--key", "key.pem"], &line);
}

#[test]
fn key_missing() {
    let line = format!(
        "cannot read key \"DIR/none.pem\": {}; give a readable file",
        missing()
    );
    Files::new().assert_fault(&["--cert", "cert.pem", "--key", "none.pem"], &line);
}

#[test]
fn certificate_or_key_is_a_directory() {
    let files = Files::new();
    fs::create_dir(files.path("directory")).unwrap();
    let reason = system_reason(libc::EISDIR);
    let line = format!("cannot read certificate \"DIR/directory\": {reason}; give a readable file");
    files.assert_fault(&["--cert", "directory", "--key", "key.pem"], &line);
    let line = format!("cannot read key \"DIR/directory\": {reason}; give a readable file");
    files.assert_fault(&["--cert", "cert.pem", "--key", "directory"], &line);
}

#[test]
fn certificate_and_key_exchanged() {
    Files::new().assert_fault(
        &["--cert", "key.pem", "--key", "cert.pem"],
        "cannot read certificate \"DIR/key.pem\": no CERTIFICATE in it but PRIVATE KEY; give another file",
    );
}

#[test]
fn key_of_another_certificate() {
    let files = Files::new();
    let other = certificates::p256(&["localhost"]);
    fs::copy(&other.key, files.path("other.pem")).unwrap();
    files.assert_fault(
        &["--cert", "cert.pem", "--key", "other.pem"],
        "key \"DIR/other.pem\" is not the key of certificate \"DIR/cert.pem\" (\"CN=localhost\"); \
         give the key of this certificate",
    );
}

/// Also where the first pair is right.
#[test]
fn second_pair_mismatched() {
    let files = Files::new();
    let other = certificates::p256(&["localhost"]);
    fs::copy(&other.key, files.path("other.pem")).unwrap();
    let flags = [
        "--cert",
        "cert.pem",
        "--key",
        "key.pem",
        "--cert",
        "cert.pem",
        "--key",
        "other.pem",
    ];
    files.assert_fault(
        &flags,
        "key \"DIR/other.pem\" is not the key of certificate \"DIR/cert.pem\" (\"CN=localhost\"); \
         give the key of this certificate",
    );
}

/// Both the forms that openssl writes: PKCS #8, and the older one, which LibreSSL's
/// `openssl genrsa -aes256` still makes.
#[test]
fn key_encrypted() {
    let files = Files::new();
    for (name, text) in [
        ("pkcs8.pem", ENCRYPTED_PKCS8),
        ("legacy.pem", ENCRYPTED_LEGACY),
    ] {
        files.write(name, text);
        let line = format!(
            "cannot read key \"DIR/{name}\": it is encrypted; decrypt it with \"openssl pkey -in FILE -out FILE.pem\""
        );
        files.assert_fault(&["--cert", "cert.pem", "--key", name], &line);
    }
}

#[test]
fn pem_damaged() {
    let files = Files::new();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let cert = read(&files.path("cert.pem"));
    let key = read(&files.path("key.pem"));
    let without_end = |label: &str| {
        format!(
            "\"-----BEGIN {label}-----\" without its end; copy the file again, or add \"-----END {label}-----\""
        )
    };
    files.write("cut.pem", &cert[..cert.len() / 2]);
    files.assert_fault(
        &["--cert", "cut.pem", "--key", "key.pem"],
        &format!("DIR/cut.pem:1: {}", without_end("CERTIFICATE")),
    );
    files.write("letter.pem", cert.replacen("\nMI", "\nM!", 1));
    files.assert_fault(
        &["--cert", "letter.pem", "--key", "key.pem"],
        "DIR/letter.pem:2: \"!\" is not base64; copy the CERTIFICATE of line 1 again",
    );
    files.write("cut.pem", &key[..key.len() / 2]);
    files.assert_fault(
        &["--cert", "cert.pem", "--key", "cut.pem"],
        &format!("DIR/cut.pem:1: {}", without_end("PRIVATE KEY")),
    );
}

#[test]
fn certificate_or_key_without_pem() {
    let files = Files::new();
    files.write("empty.pem", "");
    files.write("der.pem", b"\x30\x82\x01\x00\xff\xfe");
    for name in ["empty.pem", "der.pem"] {
        let line = format!(
            "cannot read certificate \"DIR/{name}\": no CERTIFICATE in it; give a PEM file"
        );
        files.assert_fault(&["--cert", name, "--key", "key.pem"], &line);
        let line = format!("cannot read key \"DIR/{name}\": no PRIVATE KEY in it; give a PEM file");
        files.assert_fault(&["--cert", "cert.pem", "--key", name], &line);
    }
}

#[test]
fn pem_of_something_else() {
    let files = Files::new();
    files.write("cert2.pem", pem("CERTIFICATE", b"no certificate"));
    files.assert_fault(
        &["--cert", "cert2.pem", "--key", "key.pem"],
        "DIR/cert2.pem:1: not a certificate, or a damaged one; copy it again",
    );
    files.write("key2.pem", pem("PRIVATE KEY", b"no key"));
    files.assert_fault(
        &["--cert", "cert.pem", "--key", "key2.pem"],
        "cannot use key \"DIR/key2.pem\": not a key that TLS can use; \
         make an ECDSA key on P-256, or an RSA key of 2048 to 8192 bits",
    );
}

/// `openssl pkcs8 -topk8 -v2 aes-256-cbc` of a P-256 key.
const ENCRYPTED_PKCS8: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiFsLr6NoVlGQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEMn9AjNJpUcjbBr/0qrOgP4EgZDF
4AzjNSSGnxdLtM1vHKu3BPA13sJgXIqr+m2FgaGfDQc1FjzS7Ad67KESYVyk4YSI
j+SA454oHWZEIy/iw8NtCQzyVJSSa8X0r/Miq6shkTEaAKTArY6rNbBSExIOP6+z
rU0oBuBomH5BbPDVa8Znm7MFj4wyJIvnl3gYBKvOVxf0MqQH0+a1xpK7CAoIh38=
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl ec -aes256` of the same key.
const ENCRYPTED_LEGACY: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,3E668A4F35C980FA87396F267A249141

B9vWdF81acJ0gqGHbpEvgHCXoK0J9ZvwcLAvdalD7lCHzf5rMQAYSTMfy8kqH6wB
nXc/r7bpfuJlkMOJPgNRU3SSQq+qnpQ2u3V/ad+fHR6XD4cljSgrRf1YEn1xYTEn
78gT6fBLkUYhBZUXv+EyK8C5G2G99+GoQjcE42nihYI=
-----END EC PRIVATE KEY-----
";
