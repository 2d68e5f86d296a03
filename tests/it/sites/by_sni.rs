//! The certificate by the name that TLS asks for.

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SignatureScheme};

use crate::common::certificates::{p256, rsa2048};
use crate::common::client::Tls;
use crate::common::{Client, Server, require_tool};
use crate::sites::{File, der, get, lines, named, shown};

#[test]
fn each_name_has_its_certificate() {
    let certificates = ["default", "a.example", "b.example"].map(|name| p256(&[name]));
    let [default, a, b] = &certificates;
    let text = format!(
        "ssl_protocols TLSv1.2 TLSv1.3;
        server {{ listen 127.0.0.1:0 ssl; server_name a.example *.a.example; {}; return 503 a; }}
        server {{ listen 127.0.0.1:0 ssl default_server; {}; return 503 default; }}
        server {{ listen 127.0.0.1:0 ssl; server_name b.*; {}; return 503 b; }}
        server {{ listen 127.0.0.1:0 ssl; server_name bare.example; return 503 bare; }}",
        lines(a).trim_end_matches(';'),
        lines(default).trim_end_matches(';'),
        lines(b).trim_end_matches(';'),
    );
    let server = File::new(&text).serve(1);
    for version in [&TLS12, &TLS13] {
        for (name, certificate, page) in [
            ("a.example", a, "a"),
            ("A.EXAMPLE", a, "a"),
            ("x.a.example", a, "a"),
            ("b.test", b, "b"),
            // Without a certificate the site uses the one of the default server.
            ("bare.example", default, "bare"),
            ("unknown.example", default, "default"),
            // No SNI goes with an address.
            ("127.0.0.1", default, "default"),
        ] {
            let tls = Tls {
                versions: vec![version],
                ..named(name)
            };
            let mut client = Client::tls(server.https, tls);
            assert_eq!(shown(&client), der(certificate), "{name}");
            client.send(get(name));
            assert_eq!(client.last_answer().text(), page, "{name}");
        }
    }
}

/// A server with the sites a.example and b.example, each with its certificate.
fn serve_a_and_b() -> Server {
    let (a, b) = (p256(&["a.example"]), p256(&["b.example"]));
    let text = format!(
        "server {{ listen 127.0.0.1:0 ssl; server_name a.example; {} return 503 a; }}
        server {{ listen 127.0.0.1:0 ssl; server_name b.example; {} return 503 b; }}",
        lines(&a),
        lines(&b)
    );
    File::new(&text).serve(1)
}

/// TLS and HTTP may ask for different names: each gets its own.
#[test]
fn the_page_goes_by_the_host_whatever_the_certificate() {
    let server = serve_a_and_b();
    for (sni, host, page) in [
        ("a.example", "b.example", "b"),
        ("b.example", "a.example", "a"),
        ("b.example", "b.example", "b"),
        ("b.example", "unknown.example", "a"),
        ("unknown.example", "b.example", "b"),
        ("unknown.example", "unknown.example", "a"),
    ] {
        let mut client = Client::tls(server.https, named(sni));
        client.send(get(host));
        assert_eq!(client.last_answer().text(), page, "{sni} {host}");
    }
    let mut client = Client::tls(server.https, named("b.example"));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.last_answer().text(), "a");
}

#[test]
fn a_client_gets_the_certificate_that_it_can_verify() {
    if !require_tool("openssl") {
        return;
    }
    let (ecdsa, rsa, other) = (p256(&["a.example"]), rsa2048(), p256(&["other"]));
    let text = format!(
        "server {{ listen 127.0.0.1:0 ssl; {} return 503 other; }}
        server {{ listen 127.0.0.1:0 ssl; server_name a.example; {} {} return 503 a; }}",
        lines(&other),
        lines(&ecdsa),
        lines(&rsa)
    );
    let server = File::new(&text).serve(1);
    for version in [&TLS12, &TLS13] {
        for (schemes, certificate) in [
            (vec![], &ecdsa),
            (vec![SignatureScheme::ECDSA_NISTP256_SHA256], &ecdsa),
            (
                vec![
                    SignatureScheme::RSA_PSS_SHA256,
                    SignatureScheme::RSA_PKCS1_SHA256,
                ],
                &rsa,
            ),
        ] {
            let tls = Tls {
                versions: vec![version],
                schemes,
                ..named("a.example")
            };
            let client = Client::tls(server.https, tls);
            assert_eq!(shown(&client), der(certificate));
        }
    }
}

/// A ticket is good for the name that it was given to, and for no other.
#[test]
fn tickets_resume_by_name() {
    let server = serve_a_and_b();
    for version in [&TLS12, &TLS13] {
        let tls = Tls {
            versions: vec![version],
            ..Tls::default()
        };
        let config = tls.config().unwrap();
        let visit = |name: &str, page: &str| {
            let mut client = Client::tls_again(server.https, &config, name);
            client.send(get(name));
            assert_eq!(client.last_answer().text(), page);
            client.session().unwrap().handshake_kind().unwrap()
        };
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            assert_eq!(visit("a.example", "a"), expected);
            assert_eq!(visit("b.example", "b"), expected);
        }
    }
}
