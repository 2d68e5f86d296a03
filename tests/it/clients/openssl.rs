//! openssl s_client: protocol versions, SNI, ALPN, resumption and the choice of ciphers.

use std::process::Command;

use tempfile::TempDir;

use crate::clients::{PAGE, Site, run};
use crate::common::client::{Client, Tls};
use crate::common::{Ended, require_tool};

pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// One request by `openssl s_client`, which stays until the server closes.
pub(crate) fn s_client(site: &Site, args: &[&str]) -> Ended {
    let address = site.server.https.to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-ign_eof"]);
    run(command.args(args), REQUEST)
}

/// The 503 with the page came through, and s_client saw a proper end.
pub(crate) fn assert_page(ended: &Ended) {
    assert!(ended.stdout.contains("HTTP/1.1 503 "), "{}", ended.all());
    assert!(ended.stdout.contains(PAGE), "{}", ended.all());
    // OpenSSL 3 prints this if close_notify is missing, and fails.
    let all = ended.all();
    assert!(!all.contains("unexpected eof"), "{all}");
    assert_eq!(ended.status, Some(0), "{all}");
}

/// The test of one set of arguments; returns what s_client has ended.
fn page_with(args: &[&str]) -> Option<Ended> {
    if !require_tool("openssl") {
        return None;
    }
    let ended = s_client(&Site::new(), args);
    assert_page(&ended);
    Some(ended)
}

pub(crate) fn assert_cipher(ended: &Ended, cipher: &str) {
    let line = format!("Cipher is {cipher}\n");
    assert!(ended.all().contains(&line), "{}", ended.all());
}

/// What the manual of s_client recommends for a script.
#[test]
fn quiet() {
    if let Some(ended) = page_with(&["-quiet"]) {
        assert!(ended.stdout.starts_with("HTTP/1.1 503 "), "{}", ended.all());
        assert!(ended.stdout.ends_with(PAGE), "{}", ended.all());
    }
}

/// s_client names the 256-bit suite first: the preference is the server's.
#[test]
fn tls_1_3_with_aes_128() {
    if let Some(ended) = page_with(&["-tls1_3"]) {
        assert_cipher(&ended, "TLS_AES_128_GCM_SHA256");
    }
}

#[test]
fn tls_1_2_with_aes_128() {
    if let Some(ended) = page_with(&["-tls1_2"]) {
        assert_cipher(&ended, "ECDHE-ECDSA-AES128-GCM-SHA256");
    }
}

/// The newest version is taken where both are offered.
#[test]
fn tls_1_3_is_preferred() {
    if let Some(ended) = page_with(&[]) {
        assert_cipher(&ended, "TLS_AES_128_GCM_SHA256");
    }
}

#[test]
fn other_ciphers_on_demand() {
    for cipher in ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        if let Some(ended) = page_with(&["-tls1_3", "-ciphersuites", cipher]) {
            assert_cipher(&ended, cipher);
        }
    }
    for cipher in [
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ] {
        if let Some(ended) = page_with(&["-tls1_2", "-cipher", cipher]) {
            assert_cipher(&ended, cipher);
        }
    }
}

/// Forward secrecy and AEAD or nothing.
#[test]
fn weak_ciphers_are_refused() {
    if !require_tool("openssl") {
        return;
    }
    let site = Site::new();
    for cipher in [
        "AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA384",
    ] {
        let ended = s_client(&site, &["-tls1_2", "-cipher", cipher]);
        assert!(
            ended.all().contains("handshake failure"),
            "{cipher}: {}",
            ended.all()
        );
        assert!(
            !ended.stdout.contains("HTTP/1.1"),
            "{cipher}: {}",
            ended.all()
        );
    }
}

/// SECLEVEL=0, or s_client would not even try. The alert is the server's: RFC 8446 4.2.1 requires
/// `protocol_version`, but rustls may stop before that at a hello without signature algorithms.
#[test]
fn tls_1_1_and_1_0_are_refused() {
    if !require_tool("openssl") {
        return;
    }
    let site = Site::new();
    for version in ["-tls1_1", "-tls1"] {
        let ended = s_client(&site, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        let all = ended.all();
        let alerts = ["alert protocol version", "alert handshake failure"];
        assert!(alerts.iter().any(|alert| all.contains(alert)), "{all}");
        assert!(!ended.stdout.contains("HTTP/1.1"), "{all}");
    }
    // And the next client is served.
    assert_page(&s_client(&site, &[]));
}

#[test]
fn no_sni() {
    page_with(&["-noservername", "-tls1_2"]);
    page_with(&["-noservername", "-tls1_3"]);
}

#[test]
fn wrong_sni() {
    for name in [
        "unknown.invalid",
        "a.very.long.name.that.no.site.has.example",
        "localhost.",
    ] {
        page_with(&["-servername", name, "-tls1_2"]);
        page_with(&["-servername", name, "-tls1_3"]);
    }
}

#[test]
fn alpn() {
    if let Some(ended) = page_with(&["-alpn", "h2,http/1.1"]) {
        assert!(
            ended.all().contains("ALPN protocol: http/1.1"),
            "{}",
            ended.all()
        );
    }
    if require_tool("openssl") {
        let ended = s_client(&Site::new(), &["-alpn", "h2"]);
        assert!(
            ended.all().contains("alert no application protocol"),
            "{}",
            ended.all()
        );
    }
}

/// RFC 8446 4.1.4: a client whose first key share is of a group that the server lacks.
#[test]
fn hello_retry_request() {
    page_with(&["-tls1_3", "-groups", "P-521:P-256"]);
}

fn resumes(version: &str) {
    if !require_tool("openssl") {
        return;
    }
    let site = Site::new();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("session.pem");
    let path = path.to_str().unwrap();

    let ended = s_client(&site, &[version, "-sess_out", path]);
    assert_page(&ended);
    assert!(ended.all().contains("New, "), "{}", ended.all());

    // Other clients in between must not cost the ticket.
    for _ in 0..5 {
        let mut client = Client::tls(site.server.https, Tls::default());
        client.send(REQUEST);
        assert_eq!(client.last_answer().status, 503);
    }

    let ended = s_client(&site, &[version, "-sess_in", path]);
    assert_page(&ended);
    assert!(ended.all().contains("Reused, "), "{}", ended.all());
}

#[test]
fn resumption_by_ticket_in_tls_1_2() {
    resumes("-tls1_2");
}

#[test]
fn resumption_by_ticket_in_tls_1_3() {
    resumes("-tls1_3");
}

/// Another server has other ticket keys: a full handshake, no error.
#[test]
fn a_foreign_ticket_is_no_error() {
    if !require_tool("openssl") {
        return;
    }
    let directory = TempDir::new().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let path = directory.path().join(version);
        let path = path.to_str().unwrap();
        assert_page(&s_client(&Site::new(), &[version, "-sess_out", path]));
        let ended = s_client(&Site::new(), &[version, "-sess_in", path]);
        assert_page(&ended);
        assert!(ended.all().contains("New, "), "{}", ended.all());
    }
}
