//! Certificates and keys as PEM files in a directory that goes away with the value.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// A certificate (or a chain of them), its key and the certificate that a client is to trust.
pub struct CertificateFiles {
    /// What `--cert` takes.
    pub cert: PathBuf,
    /// What `--key` takes.
    pub key: PathBuf,
    /// What the client trusts: the root, or the self-signed certificate itself.
    pub ca: PathBuf,
    directory: TempDir,
}

impl CertificateFiles {
    fn write(cert: &str, key: &str, ca: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = |name| directory.path().join(name);
        let files = Self {
            cert: path("cert.pem"),
            key: path("key.pem"),
            ca: path("ca.pem"),
            directory,
        };
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        fs::write(&files.ca, ca).unwrap();
        files
    }

    /// The directory of the files, for more files beside them.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// `--cert FILE --key FILE`, for the command line.
    pub fn flags(&self) -> [&str; 4] {
        [
            "--cert",
            self.cert.to_str().unwrap(),
            "--key",
            self.key.to_str().unwrap(),
        ]
    }
}

/// A self-signed P-256 certificate for these DNS names and IP addresses.
pub fn p256(names: &[&str]) -> CertificateFiles {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let cert = parameters(names, names[0]).self_signed(&key).unwrap();
    let cert = pem("CERTIFICATE", cert.der());
    CertificateFiles::write(&cert, &pem("PRIVATE KEY", &key.serialize_der()), &cert)
}

/// A P-256 root and a leaf that it signed; the certificate file is a chain, leaf first.
pub fn p256_chain(names: &[&str]) -> CertificateFiles {
    let root_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut root = parameters(&[], "maintd test root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = rcgen::CertifiedIssuer::self_signed(root, root_key).unwrap();

    let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = parameters(names, names[0])
        .signed_by(&leaf_key, &root)
        .unwrap();

    let root = pem("CERTIFICATE", root.der());
    let chain = pem("CERTIFICATE", leaf.der()) + &root;
    CertificateFiles::write(
        &chain,
        &pem("PRIVATE KEY", &leaf_key.serialize_der()),
        &root,
    )
}

/// A self-signed RSA-2048 certificate for localhost. `openssl` makes it, since `rcgen` cannot
/// generate RSA keys with every provider: call `require_tool("openssl")` first.
pub fn rsa2048() -> CertificateFiles {
    let files = CertificateFiles::write("", "", "");
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&files.key)
        .arg("-out")
        .arg(&files.cert)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "openssl req: {stderr}");
    fs::copy(&files.cert, &files.ca).unwrap();
    files
}

fn parameters(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters
}

/// RFC 7468 by hand: the `pem` feature of `rcgen` is not among the crate's dependencies.
pub fn pem(label: &str, der: &[u8]) -> String {
    let encoded = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            let digit = ALPHABET[usize::try_from(sextet).unwrap()];
            text.push(if place > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}
