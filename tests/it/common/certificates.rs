//! Certificates and keys as PEM files in a directory that goes away with the value.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// A certificate (or a chain of them), its key and the certificate that a client is to trust.
pub(crate) struct CertificateFiles {
    /// What `--cert` takes.
    pub(crate) cert: PathBuf,
    /// What `--key` takes.
    pub(crate) key: PathBuf,
    /// What the client trusts: the root, or the self-signed certificate itself.
    pub(crate) ca: PathBuf,
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

    /// The directory of the files, for more files.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// `--cert FILE --key FILE`, for the command line.
    pub(crate) fn flags(&self) -> [&str; 4] {
        [
            "--cert",
            self.cert.to_str().unwrap(),
            "--key",
            self.key.to_str().unwrap(),
        ]
    }
}

/// A self-signed P-256 certificate for these DNS names and IP addresses.
pub(crate) fn p256(names: &[&str]) -> CertificateFiles {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let cert = parameters(names, names[0]).self_signed(&key).unwrap();
    let cert = pem("CERTIFICATE", cert.der());
    CertificateFiles::write(&cert, &pem("PRIVATE KEY", &key.serialize_der()), &cert)
}

/// A P-256 root and a leaf that it signed; the certificate file is a chain, leaf first.
pub(crate) fn p256_chain(names: &[&str]) -> CertificateFiles {
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
pub(crate) fn rsa2048() -> CertificateFiles {
    let files = CertificateFiles::write("", "", "");
    let mut make = Command::new("openssl");
    make.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
    ])
    .args(["-subj", "/CN=localhost"])
    .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    make.arg("-keyout").arg(&files.key);
    openssl(make.arg("-out").arg(&files.cert));
    fs::copy(&files.cert, &files.ca).unwrap();
    files
}

/// A certificate of X.509 version 1, made by the commands of OpenBSD's ssl(8). `key` is what makes the key, such as
/// `genrsa 2048`; `openssl` makes all: call `require_tool("openssl")` first.
pub(crate) fn version_1(key: &str) -> CertificateFiles {
    let files = CertificateFiles::write("", "", "");
    let request = files.directory().join("server.csr");
    let (command, options) = key.split_once(' ').unwrap();
    let mut generate = Command::new("openssl");
    generate.arg(command).arg("-out").arg(&files.key);
    openssl(generate.args(options.split(' ')));
    let mut ask = Command::new("openssl");
    ask.args(["req", "-new", "-subj", "/CN=localhost", "-key"]);
    openssl(ask.arg(&files.key).arg("-out").arg(&request));
    let mut sign = Command::new("openssl");
    sign.args(["x509", "-req", "-days", "365", "-in"])
        .arg(&request);
    sign.arg("-signkey").arg(&files.key);
    openssl(sign.arg("-out").arg(&files.cert));
    fs::copy(&files.cert, &files.ca).unwrap();
    let mut show = Command::new("openssl");
    show.args(["x509", "-noout", "-text", "-in"])
        .arg(&files.cert);
    assert!(openssl(&mut show).contains("Version: 1 (0x0)"));
    files
}

/// Runs an openssl command, and returns its output.
pub(crate) fn openssl(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// What an authority delivers: a certificate for localhost, the intermediate certificate that signed it, and the root, each
/// as PEM. Made by `openssl`: call `require_tool("openssl")` first.
pub(crate) struct Delivery {
    pub(crate) leaf: String,
    pub(crate) intermediate: String,
    pub(crate) root: String,
    pub(crate) key: String,
    directory: TempDir,
}

impl Delivery {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(
            directory.path().join("intermediate.ext"),
            "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n",
        )
        .unwrap();
        fs::write(
            directory.path().join("leaf.ext"),
            "basicConstraints = critical,CA:FALSE\nsubjectAltName = DNS:localhost,IP:127.0.0.1\n\
             authorityInfoAccess = caIssuers;URI:http://ca.example/intermediate.crt\n",
        )
        .unwrap();
        let run = |line: &str| {
            let mut command = Command::new("openssl");
            openssl(command.args(line.split(' ')).current_dir(directory.path()))
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        run(&format!(
            "req -x509 {new_key} -days 30 -subj /CN=Root -keyout root.key -out root.pem"
        ));
        for (name, subject, issuer) in [
            ("intermediate", "Intermediate", "root"),
            ("leaf", "localhost", "intermediate"),
        ] {
            run(&format!(
                "req {new_key} -subj /CN={subject} -keyout {name}.key -out {name}.csr"
            ));
            run(&format!(
                "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 30 \
                 -extfile {name}.ext -out {name}.pem"
            ));
        }
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        Self {
            leaf: read("leaf.pem"),
            intermediate: read("intermediate.pem"),
            root: read("root.pem"),
            key: read("leaf.key"),
            directory,
        }
    }

    /// Its directory, with `leaf.pem`, `leaf.key`, `leaf.csr` and the same of `intermediate` and `root`.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Runs `openssl` in its directory.
    pub(crate) fn openssl(&self, line: &str) -> String {
        let mut command = Command::new("openssl");
        openssl(command.args(line.split(' ')).current_dir(self.directory()))
    }

    /// The leaf and the intermediate certificate, as certbot's `fullchain.pem` has them.
    pub(crate) fn fullchain(&self) -> String {
        format!("{}{}", self.leaf, self.intermediate)
    }
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
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
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
        for index in 0..4 {
            let sextet = (bits >> (18 - 6 * index)) & 63;
            let digit = ALPHABET[usize::try_from(sextet).unwrap()];
            text.push(if index > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}
