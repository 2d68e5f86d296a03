//! The kinds of certificate files, judged by clients that verify them.

use std::process::Command;

use crate::clients::openssl::{assert_cipher, assert_page, s_client};
use crate::clients::{PAGE, Site, run};
use crate::common::certificates::{CertificateFiles, p256, p256_chain, rsa2048, version_1};
use crate::common::{Port, require_tool};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// openssl and curl trust what the server shows, and nothing else would do.
fn assert_verified(files: &CertificateFiles, cipher_of_1_2: &str) {
    let site = Site::with_flags(&files.flags());
    let ca = files.ca.to_str().unwrap();
    let verified = [
        "-CAfile",
        ca,
        "-verify_return_error",
        "-verify_hostname",
        "localhost",
    ];
    for (version, cipher) in [
        ("-tls1_2", cipher_of_1_2),
        ("-tls1_3", "TLS_AES_128_GCM_SHA256"),
    ] {
        let ended = s_client(&site, &[&verified[..], &[version]].concat());
        assert_page(&ended);
        assert_cipher(&ended, cipher);
        let code = "Verify return code: 0 (ok)";
        assert!(ended.all().contains(code), "{}", ended.all());
    }

    if require_tool("curl") {
        let url = site.url(Port::Tls, "/");
        let curl = |ca: &str| {
            let mut command = Command::new("curl");
            command.args([
                "-q",
                "-sS",
                "--noproxy",
                "*",
                "--max-time",
                "60",
                "--cacert",
                ca,
            ]);
            run(command.arg(&url), "")
        };
        let ended = curl(ca);
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (Some(0), PAGE),
            "{}",
            ended.all()
        );
        // The test of the test: another root does not do (60: the peer cannot be authenticated).
        let other = p256(&["other.example"]);
        let ended = curl(other.ca.to_str().unwrap());
        assert_eq!(ended.status, Some(60), "{}", ended.all());
    }
}

#[test]
fn p256_self_signed() {
    if require_tool("openssl") {
        assert_verified(&p256(&NAMES), "ECDHE-ECDSA-AES128-GCM-SHA256");
    }
}

#[test]
fn rsa_2048() {
    if require_tool("openssl") {
        assert_verified(&rsa2048(), "ECDHE-RSA-AES128-GCM-SHA256");
    }
}

/// The client knows the root alone, so the file's order and wholeness matter.
#[test]
fn chain_file() {
    if !require_tool("openssl") {
        return;
    }
    let files = p256_chain(&NAMES);
    assert_verified(&files, "ECDHE-ECDSA-AES128-GCM-SHA256");

    let site = Site::with_flags(&files.flags());
    let ended = s_client(&site, &["-showcerts"]);
    let shown = ended.stdout.matches("-----BEGIN CERTIFICATE-----").count();
    assert_eq!(shown, 2, "{}", ended.all());
}

/// RSA keys come in PKCS#1 too (`-----BEGIN RSA PRIVATE KEY-----`), P-256 keys in SEC1.
#[test]
fn keys_in_the_older_formats() {
    if !require_tool("openssl") {
        return;
    }
    for (files, kind, cipher) in [
        (rsa2048(), "rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
        (p256(&NAMES), "ec", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ] {
        let old = files.directory().join("old.pem");
        let mut convert = Command::new("openssl");
        convert
            .arg(kind)
            .arg("-in")
            .arg(&files.key)
            .arg("-out")
            .arg(&old);
        if kind == "rsa" {
            convert.arg("-traditional");
        }
        let ended = run(&mut convert, "");
        assert_eq!(ended.status, Some(0), "{}", ended.all());
        let text = std::fs::read_to_string(&old).unwrap();
        let label = format!("-----BEGIN {} PRIVATE KEY-----", kind.to_ascii_uppercase());
        assert!(text.starts_with(&label), "{kind}: not in the older format");
        std::fs::copy(&old, &files.key).unwrap();
        assert_verified(&files, cipher);
    }
}

/// OpenBSD's ssl(8) makes certificates of X.509 version 1, which name no host: clients are to skip that check.
#[test]
fn version_1_certificates() {
    if !require_tool("openssl") || !require_tool("curl") {
        return;
    }
    for (key, cipher) in [
        ("genrsa 2048", "ECDHE-RSA-AES128-GCM-SHA256"),
        (
            "ecparam -name prime256v1 -genkey",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
    ] {
        let files = version_1(key);
        let site = Site::with_flags(&files.flags());
        let ca = files.ca.to_str().unwrap();
        for (version, cipher) in [("-tls1_2", cipher), ("-tls1_3", "TLS_AES_128_GCM_SHA256")] {
            let ended = s_client(&site, &["-CAfile", ca, "-verify_return_error", version]);
            assert_page(&ended);
            assert_cipher(&ended, cipher);
        }
        for version in [
            ["--tlsv1.2", "--tls-max", "1.2"],
            ["--tlsv1.3", "--tls-max", "1.3"],
        ] {
            let mut command = Command::new("curl");
            command.args(["-q", "-sSk", "--noproxy", "*", "--max-time", "60"]);
            command.args(version).arg(site.url(Port::Tls, "/"));
            let ended = run(&mut command, "");
            assert_eq!(
                (ended.status, ended.stdout.as_str()),
                (Some(0), PAGE),
                "{}",
                ended.all()
            );
        }
    }
}
