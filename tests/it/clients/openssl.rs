//! openssl s_client: protocol versions, SNI, ALPN, resumption and the choice of ciphers.

use std::process::Command;

use tempfile::TempDir;

use crate::clients::{PAGE, Said, Site, run};
use crate::common::client::{Client, Tls};
use crate::common::require_tool;

pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// One request by `openssl s_client`, which stays until the server closes.
pub(crate) fn s_client(site: &Site, args: &[&str]) -> Said {
    let address = site.server.https.to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-ign_eof"]);
    run(command.args(args), REQUEST)
}

/// The 503 with the page came through, and s_client saw a proper end.
pub(crate) fn assert_page(said: &Said) {
    assert!(said.stdout.contains("HTTP/1.1 503 "), "{}", said.all());
    assert!(said.stdout.contains(PAGE), "{}", said.all());
    // OpenSSL 3 says this where close_notify is missing, and its exit status tells.
    let all = said.all();
    assert!(!all.contains("unexpected eof"), "{all}");
    assert_eq!(said.code, Some(0), "{all}");
}

/// The test of one set of arguments; returns what s_client has said.
fn page_with(args: &[&str]) -> Option<Said> {
    if !require_tool("openssl") {
        return None;
    }
    let said = s_client(&Site::new(), args);
    assert_page(&said);
    Some(said)
}

pub(crate) fn assert_cipher(said: &Said, cipher: &str) {
    let line = format!("Cipher is {cipher}\n");
    assert!(said.all().contains(&line), "{}", said.all());
}

/// What the manual of s_client recommends for a script.
#[test]
fn quiet() {
    if let Some(said) = page_with(&["-quiet"]) {
        assert!(said.stdout.starts_with("HTTP/1.1 503 "), "{}", said.all());
        assert!(said.stdout.ends_with(PAGE), "{}", said.all());
    }
}

/// s_client names the 256-bit suite first: the preference is the server's.
#[test]
fn tls_1_3_with_aes_128() {
    if let Some(said) = page_with(&["-tls1_3"]) {
        assert_cipher(&said, "TLS_AES_128_GCM_SHA256");
    }
}

#[test]
fn tls_1_2_with_aes_128() {
    if let Some(said) = page_with(&["-tls1_2"]) {
        assert_cipher(&said, "ECDHE-ECDSA-AES128-GCM-SHA256");
    }
}

/// The newest version is taken where both are offered.
#[test]
fn tls_1_3_is_preferred() {
    if let Some(said) = page_with(&[]) {
        assert_cipher(&said, "TLS_AES_128_GCM_SHA256");
    }
}

#[test]
fn other_ciphers_on_demand() {
    for cipher in ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        if let Some(said) = page_with(&["-tls1_3", "-ciphersuites", cipher]) {
            assert_cipher(&said, cipher);
        }
    }
    for cipher in [
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ] {
        if let Some(said) = page_with(&["-tls1_2", "-cipher", cipher]) {
            assert_cipher(&said, cipher);
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
        let said = s_client(&site, &["-tls1_2", "-cipher", cipher]);
        assert!(
            said.all().contains("handshake failure"),
            "{cipher}: {}",
            said.all()
        );
        assert!(
            !said.stdout.contains("HTTP/1.1"),
            "{cipher}: {}",
            said.all()
        );
    }
}

/// SECLEVEL=0, or s_client would not even try. The alert is the server's: RFC 8446 4.2.1 wants
/// `protocol_version`, but rustls may stop before that at a hello without signature algorithms.
#[test]
fn tls_1_1_and_1_0_are_refused() {
    if !require_tool("openssl") {
        return;
    }
    let site = Site::new();
    for version in ["-tls1_1", "-tls1"] {
        let said = s_client(&site, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        let all = said.all();
        let alerts = ["alert protocol version", "alert handshake failure"];
        assert!(alerts.iter().any(|alert| all.contains(alert)), "{all}");
        assert!(!said.stdout.contains("HTTP/1.1"), "{all}");
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
        "a.very.long.name.that.nobody.has.example",
        "localhost.",
    ] {
        page_with(&["-servername", name, "-tls1_2"]);
        page_with(&["-servername", name, "-tls1_3"]);
    }
}

#[test]
fn alpn() {
    if let Some(said) = page_with(&["-alpn", "h2,http/1.1"]) {
        assert!(
            said.all().contains("ALPN protocol: http/1.1"),
            "{}",
            said.all()
        );
    }
    if require_tool("openssl") {
        let said = s_client(&Site::new(), &["-alpn", "h2"]);
        assert!(
            said.all().contains("alert no application protocol"),
            "{}",
            said.all()
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

    let said = s_client(&site, &[version, "-sess_out", path]);
    assert_page(&said);
    assert!(said.all().contains("New, "), "{}", said.all());

    // Other clients in between must not cost the ticket.
    for _ in 0..5 {
        let mut client = Client::tls(site.server.https, Tls::default());
        client.send(REQUEST);
        assert_eq!(client.last_answer().status, 503);
    }

    let said = s_client(&site, &[version, "-sess_in", path]);
    assert_page(&said);
    assert!(said.all().contains("Reused, "), "{}", said.all());
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
        let said = s_client(&Site::new(), &[version, "-sess_in", path]);
        assert_page(&said);
        assert!(said.all().contains("New, "), "{}", said.all());
    }
}
