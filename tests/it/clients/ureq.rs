//! ureq: what a program in Rust sees.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::clients::{PAGE, PORTS, Port, Site, UPLOAD};
use crate::common::certificates::{p256, p256_chain};
use crate::common::client::provider;

/// With `roots`, certificates are verified against them; without, not at all.
fn agent(roots: Option<&[u8]>) -> Agent {
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(provider()));
    let tls = match roots {
        Some(pem) => {
            let root = Certificate::from_pem(pem).unwrap();
            tls.root_certs(RootCerts::new_with_certs(&[root]))
        }
        None => tls.disable_verification(true),
    };
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .tls_config(tls.build())
        .build()
        .new_agent()
}

fn assert_page(mut response: Response<Body>) {
    assert_eq!(response.status().as_u16(), 503);
    assert_eq!(response.headers()["retry-after"], "300");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.body_mut().read_to_string().unwrap(), PAGE);
}

#[test]
fn every_method() {
    let site = Site::new();
    let agent = agent(None);
    for port in PORTS {
        let url = site.url(port, "/path?query");
        // The agent keeps its connections: these share one.
        for _ in 0..5 {
            assert_page(agent.get(&url).call().unwrap());
            assert_page(agent.post(&url).send("x=1").unwrap());
            assert_page(agent.put(&url).send_empty().unwrap());
            assert_page(agent.delete(&url).call().unwrap());
            assert_page(agent.options(&url).call().unwrap());
            let mut head = agent.head(&url).call().unwrap();
            assert_eq!(head.status().as_u16(), 503);
            assert_eq!(head.body_mut().read_to_vec().unwrap(), b"");
        }
    }
}

#[test]
fn upload_of_2_mib() {
    let site = Site::new();
    let body = "x".repeat(UPLOAD);
    for port in PORTS {
        let url = site.url(port, "/upload");
        let agent = agent(None);
        assert_page(agent.post(&url).send(&body).unwrap());
        let expecting = agent.put(&url).header("Expect", "100-continue");
        assert_page(expecting.send(&body).unwrap());
        // The connection of an upload is closed, and the agent takes another one.
        assert_page(agent.get(&url).call().unwrap());
    }
}

#[test]
fn chunked_upload() {
    let site = Site::new();
    for port in PORTS {
        let url = site.url(port, "/upload");
        let agent = agent(None);
        for length in [0, 1, 10_000] {
            let body = vec![b'x'; length];
            let body = ureq::SendBody::from_owned_reader(std::io::Cursor::new(body));
            assert_page(agent.post(&url).send(body).unwrap());
        }
        assert_page(agent.get(&url).call().unwrap());
    }
}

#[test]
fn verified_by_a_root() {
    let files = p256_chain(&["127.0.0.1"]);
    let site = Site::with_flags(&files.flags());
    let url = site.url(Port::Tls, "/");
    let root = fs::read(&files.ca).unwrap();
    assert_page(agent(Some(&root)).get(&url).call().unwrap());

    // The test of the test: another root does not do.
    let other = p256(&["127.0.0.1"]);
    let other = fs::read(&other.ca).unwrap();
    assert!(agent(Some(&other)).get(&url).call().is_err());
}
