//! The kinds of listeners: IPv4, IPv6 and Unix sockets, all at once.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tempfile::TempDir;

use crate::answers::GET;
use crate::common::client::{Client, Tls};
use crate::common::{Answer, Server, maintd, skip};

fn assert_answers(mut client: Client) -> Answer {
    client.send(GET.repeat(2));
    let first = client.answer();
    assert_eq!(first.status, 503);
    assert!(!first.body.is_empty());
    assert_eq!(client.answer(), first);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.last_answer().body, first.body);
    first
}

/// Whether this machine has ::1. Where CI=true it must.
fn has_ipv6() -> bool {
    match TcpListener::bind("[::1]:0") {
        Ok(_) => true,
        Err(error) => skip(&format!("no IPv6: {error}")),
    }
}

/// The address in a listening line, which must be in this scheme and with a real port.
fn address(url: &str, scheme: &str) -> SocketAddr {
    let address: SocketAddr = url.strip_prefix(scheme).unwrap().parse().unwrap();
    assert_ne!(address.port(), 0);
    address
}

#[test]
fn ipv4() {
    let server = Server::start(&[]);
    assert!(server.http.is_ipv4() && server.https.is_ipv4());
    assert_answers(Client::tcp(server.http));
    assert_answers(Client::tls(server.https, Tls::default()));
}

#[test]
fn ipv6() {
    if !has_ipv6() {
        return;
    }
    let server = Server::start_raw(&["--listen", "[::1]:0", "--tls-listen", "[::1]:0"]);
    let http = address(&server.listening[0], "http://");
    let https = address(&server.listening[1], "https://");
    assert!(http.is_ipv6() && https.is_ipv6());
    assert_answers(Client::tcp(http));
    assert_answers(Client::tls(https, Tls::default()));
}

/// Unlike `listen` of a configuration, which means IPv4 alone, as nginx does.
#[test]
fn a_port_alone_is_one_of_all_addresses() {
    if !has_ipv6() {
        return;
    }
    for listen in ["0", ":0", "*:0"] {
        let mut command = maintd();
        command.args(["serve", "--listen", listen, "--tls-listen", listen]);
        let server = Server::start_command(command, 4);
        let at = |number: usize, scheme, any: &str, loopback: &str| {
            let url: &str = &server.listening[number];
            let port = address(url, scheme).port();
            assert_eq!(url, format!("{scheme}{any}:{port}"));
            format!("{loopback}:{port}").parse().unwrap()
        };
        for (number, any, loopback) in [(0, "0.0.0.0", "127.0.0.1"), (1, "[::]", "[::1]")] {
            assert_answers(Client::tcp(at(number, "http://", any, loopback)));
            let secure = at(2 + number, "https://", any, loopback);
            assert_answers(Client::tls(secure, Tls::default()));
        }
    }
}

/// Both families on the same port: an IPv6 listener is v6-only on every system.
#[test]
fn both_wildcards_on_one_port() {
    if !has_ipv6() {
        return;
    }
    // Free in both families a moment ago: no port 0 gives two listeners the same one.
    let probe = TcpListener::bind("[::]:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let _server = Server::start_raw(&["--listen", &v6, "--listen", &v4]);
    assert_answers(Client::tcp(SocketAddr::from(([127, 0, 0, 1], port))));
    assert_answers(Client::tcp(format!("[::1]:{port}").parse().unwrap()));
}

#[test]
fn unix_socket() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("maintd.sock");
    let path = path.to_str().unwrap();
    let server = Server::start_raw(&["--listen", &format!("unix:{path}")]);
    assert_eq!(server.listening, [format!("http://unix:{path}")]);
    assert_answers(Client::unix(Path::new(path)));
    // As often as one likes.
    assert_answers(Client::unix(Path::new(path)));
}

#[test]
fn every_kind_at_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("maintd.sock");
    let unix = format!("unix:{}", path.to_str().unwrap());
    let mut args = vec!["--listen", &unix];
    for _ in 0..2 {
        args.extend(["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]);
    }
    if has_ipv6() {
        args.extend(["--listen", "[::1]:0", "--tls-listen", "[::1]:0"]);
    }
    let server = Server::start_raw(&args);

    let expected = assert_answers(Client::unix(&path));
    for url in &server.listening {
        let answer = match url.split_once("://").unwrap() {
            ("http", unix) if unix.starts_with("unix:") => continue,
            ("http", _) => assert_answers(Client::tcp(address(url, "http://"))),
            _ => assert_answers(Client::tls(address(url, "https://"), Tls::default())),
        };
        assert_eq!(answer, expected, "{url}");
    }
}
