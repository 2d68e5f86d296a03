//! What is about TLS itself: cleartext on its port, SNI, ALPN, and hellos in pieces.

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, ProtocolVersion};

use crate::answers::{GET, SMUGGLED, Site, assert_kept, assert_page, assert_refusal, request};
use crate::common::Port;
use crate::common::client::{Client, Tls};

fn site() -> Site {
    Site::new(Port::Tls)
}

fn client(site: &Site, tls: Tls) -> Client {
    Client::tls(site.server.https, tls)
}

fn alpn(protocols: &[&str]) -> Tls {
    Tls {
        alpn: protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect(),
        ..Tls::default()
    }
}

fn named(name: &str) -> Tls {
    Tls {
        name: name.to_owned(),
        ..Tls::default()
    }
}

#[test]
fn plaintext_gets_400_with_a_reason() {
    let site = site();
    for bytes in [
        GET.to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n".to_owned(),
        "PROPFIND /x HTTP/1.1\r\nHost: example.org\r\n\r\n".to_owned(),
        request("POST", "Content-Length: 5\r\n") + "hello",
        request("GET", &format!("Cookie: {}\r\n", "c".repeat(20_000))),
        GET.repeat(3),
    ] {
        let mut client = Client::tcp(site.server.https);
        client.send(bytes + SMUGGLED);
        let answer = client.last_answer();
        assert_eq!(answer.status, 400, "{answer:#?}");
        assert!(answer.text().contains("HTTPS"), "{answer:#?}");
        assert_refusal(&answer);
    }
}

#[test]
fn plaintext_from_a_client_that_keeps_sending() {
    let site = site();
    let mut client = Client::tcp(site.server.https);
    client.send(request("POST", "Content-Length: 1000000\r\n"));
    for piece in "x".repeat(1_000_000).as_bytes().chunks(16 * 1024) {
        client.send(piece);
    }
    let answer = client.last_answer();
    assert_eq!(answer.status, 400, "{answer:#?}");
    assert!(answer.text().contains("HTTPS"), "{answer:#?}");
}

#[test]
fn cleartext_byte_by_byte() {
    let site = site();
    let mut client = Client::tcp(site.server.https);
    for byte in GET.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.last_answer().status, 400);
}

#[test]
fn cleartext_and_a_half_close() {
    let site = site();
    let mut client = Client::tcp(site.server.https);
    client.send(GET);
    client.half_close();
    assert_eq!(client.last_answer().status, 400);
}

/// The certificate that the server shows: the same one whatever name is asked for.
fn certificate(client: &Client) -> Vec<u8> {
    client.session().unwrap().peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn no_sni_and_unknown_sni() {
    let site = site();
    let default = certificate(&client(&site, Tls::default()));
    // rustls sends no SNI for an address (RFC 6066 3).
    for name in [
        "127.0.0.1",
        "::1",
        "unknown.invalid",
        "a.b.c.d.example",
        "xn--bcher-kva.example",
    ] {
        for version in [&TLS12, &TLS13] {
            let mut client = client(
                &site,
                Tls {
                    versions: vec![version],
                    ..named(name)
                },
            );
            assert_eq!(certificate(&client), default, "{name}");
            assert_kept(&mut client);
        }
    }
}

#[test]
fn tls_1_2_and_1_3() {
    let site = site();
    for (version, protocol) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut client = client(
            &site,
            Tls {
                versions: vec![version],
                ..Tls::default()
            },
        );
        assert_eq!(client.session().unwrap().protocol_version(), Some(protocol));
        assert_kept(&mut client);
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_page(&client.last_answer(), "the last");
    }
}

#[test]
fn alpn_http_1_1_and_1_0() {
    let site = site();
    for (offered, chosen) in [
        (vec!["http/1.1"], "http/1.1"),
        (vec!["http/1.0"], "http/1.0"),
        (vec!["http/1.1", "http/1.0"], "http/1.1"),
        (vec!["h2", "http/1.1"], "http/1.1"),
        (vec!["h3", "h2", "foo", "http/1.0"], "http/1.0"),
    ] {
        let mut client = client(&site, alpn(&offered));
        let protocol = client.session().unwrap().alpn_protocol();
        assert_eq!(protocol, Some(chosen.as_bytes()), "{offered:?}");
        assert_kept(&mut client);
    }
}

#[test]
fn no_alpn() {
    let site = site();
    let mut client = client(&site, Tls::default());
    assert_eq!(client.session().unwrap().alpn_protocol(), None);
    assert_kept(&mut client);
}

/// RFC 7301 3.2.
#[test]
fn alpn_without_http_1_gets_an_alert() {
    let site = site();
    for offered in [
        vec!["h2"],
        vec!["h2", "h3"],
        vec!["acme-tls/1"],
        vec!["HTTP/1.1"],
    ] {
        for version in [&TLS12, &TLS13] {
            let tls = Tls {
                versions: vec![version],
                ..alpn(&offered)
            };
            let refused = Client::try_tls(site.server.https, tls).err();
            let alert = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
            assert_eq!(refused, Some(alert), "{offered:?}");
        }
    }
    // And the next client is served.
    assert_kept(&mut client(&site, Tls::default()));
}

/// A ClientHello is one record, but the network may cut it anywhere.
#[test]
fn a_client_hello_in_small_segments() {
    let site = site();
    for piece in [1, 2, 3, 4, 5, 6, 7, 50, 100, 250] {
        for version in [&TLS12, &TLS13] {
            let tls = Tls {
                piece,
                versions: vec![version],
                ..Tls::default()
            };
            assert_kept(&mut client(&site, tls));
        }
    }
}

/// RFC 8446 5.1: a handshake message may span several records.
#[test]
fn a_client_hello_over_several_records() {
    let site = site();
    for record in [32, 64, 100, 200] {
        let tls = Tls {
            record: Some(record),
            ..Tls::default()
        };
        assert_kept(&mut client(&site, tls));
        let tls = Tls {
            record: Some(record),
            piece: 10,
            ..Tls::default()
        };
        assert_kept(&mut client(&site, tls));
    }
}

/// RFC 8446 6.2: a peer that is refused gets an alert with the reason.
#[test]
fn a_client_hello_over_32_kib_gets_an_alert() {
    let site = site();
    // 40,000 bytes of a longer ClientHello, in records that they fill and in many small ones.
    let hello = [&[1, 0, 0xea, 0x60][..], &[0; 39_996]].concat();
    for length in [16_384, 1000, 10] {
        let records = hello.chunks(length).flat_map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[0x16, 3, 1][..], &length, part].concat()
        });
        let mut client = Client::tcp(site.server.https);
        client.send(records.collect::<Vec<_>>());
        assert_eq!(client.rest(), *b"\x15\x03\x03\x00\x02\x02\x32", "{length}");
    }
}

#[test]
fn a_request_over_many_records() {
    let site = site();
    let mut client = client(
        &site,
        Tls {
            record: Some(40),
            ..Tls::default()
        },
    );
    let cookie = format!("Cookie: {}\r\n", "c".repeat(20_000));
    client.send(request("GET", &cookie).repeat(2));
    for number in ["first", "second"] {
        assert_page(&client.answer(), number);
    }
    client.send(request("POST", "Content-Length: 65536\r\n") + &"x".repeat(65_536));
    assert_page(&client.answer(), "a body");
    assert_kept(&mut client);
}

/// `rest` and so every `assert_closed` over TLS fails without `close_notify`; this tests it alone.
#[test]
fn close_notify_on_every_kind_of_close() {
    let site = site();
    for version in [&TLS12, &TLS13] {
        for bytes in [
            "GET / HTTP/1.0\r\n\r\n",
            &request("GET", "Connection: close\r\n"),
            &request("POST", "Content-Length: 100000\r\n"),
            &request("POST", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
        ] {
            let mut client = client(
                &site,
                Tls {
                    versions: vec![version],
                    ..Tls::default()
                },
            );
            client.send(bytes);
            client.last_answer();
        }
        let mut client = client(
            &site,
            Tls {
                versions: vec![version],
                ..Tls::default()
            },
        );
        client.half_close();
        client.assert_closed();
    }
}

/// To TCP a client's `close_notify` is data: where the server has closed its socket at once, it is
/// answered by a reset, which may reach the client before it has read (RFC 9112 9.6). So a closing
/// session reads on until the client has ended too. Often, since it is a race.
#[test]
fn a_close_notify_in_a_segment_of_its_own_is_not_reset() {
    let site = site();
    let closing = request("GET", "Connection: close\r\n");
    for number in 0..100 {
        let bytes = ["GET / HTTP/1.0\r\n\r\n", &closing, "GET / HTTP/1.1\r\n\r\n"][number % 3];
        let mut client = client(&site, Tls::default());
        client.send(bytes);
        client.half_close();
        client.last_answer();
    }
}

/// Garbage closes only its own connection, whether or not an alert is sent first.
#[test]
fn nonsense_instead_of_a_handshake() {
    let site = site();
    let mut witness = client(&site, Tls::default());
    for bytes in [
        &b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"[..],
        b"\x16\x03\x01\x00\x00",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x10aaaaaaaaaaaaaaaa",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x80\x2e\x01\x00\x02",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let mut client = Client::tcp(site.server.https);
        client.send(bytes);
        client.half_close();
        assert!(
            !client.rest().starts_with(b"HTTP/"),
            "{}",
            bytes.escape_ascii()
        );
    }
    assert_kept(&mut witness);
}
