//! nginx and maintd with the same file of several servers: the same server answers.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::certificates::{CertificateFiles, p256};
use crate::common::nginx::Nginx;
use crate::common::{Client, free_address, require_tool};
use crate::sites::{File, lines, named, page, shown};

/// A plaintext listener, one with TLS, and one on all addresses with specific ones on its port.
fn servers(plaintext: u16, secure: u16, all: u16, certificates: &[CertificateFiles; 3]) -> String {
    let [first, second, third] = certificates.each_ref().map(lines);
    format!(
        "ssl_session_tickets off;
server {{ listen 127.0.0.1:{plaintext}; listen 127.0.0.1:{secure} ssl; server_name first.example; {first} return 503 first; }}
server {{ listen 127.0.0.1:{plaintext}; listen 127.0.0.1:{secure} ssl; server_name a.example WWW.a.example; {second} return 503 exact; }}
server {{ listen 127.0.0.1:{plaintext}; listen 127.0.0.1:{secure} ssl; server_name *.example; {third} return 503 star; }}
server {{ listen 127.0.0.1:{plaintext}; listen 127.0.0.1:{secure} ssl; server_name *.b.example; return 503 longer; }}
server {{ listen 127.0.0.1:{plaintext}; listen 127.0.0.1:{secure} ssl; server_name www.*; {third} return 503 behind; }}
server {{ listen 127.0.0.1:{plaintext}; server_name .dot.test a.example; return 503 dot; }}
server {{ listen 127.0.0.1:{plaintext}; server_name dot.test [::1] \"\"; return 503 nameless; }}
server {{ listen 127.0.0.1:{plaintext} default_server; server_name _; return 503 default; }}
server {{ listen {all}; server_name a.example; return 503 all; }}
server {{ listen 127.0.0.2:{all}; server_name b.example; return 503 single; }}
"
    )
}

/// A request: the listener, the SNI with TLS, and the bytes.
fn questions() -> Vec<(usize, Option<&'static str>, String)> {
    let hosts = [
        "first.example",
        "a.example",
        "A.EXAMPLE:8080",
        "a.example.",
        "www.a.example",
        "x.example",
        "y.x.example",
        "x.b.example",
        "b.example",
        "www.test",
        "www.b.example",
        "dot.test",
        "x.dot.test",
        "other.test",
        "example",
        "[::1]:80",
        "127.0.0.1",
    ];
    let close =
        |line: &str, host: &str| format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let get = |host: &str| close("GET / HTTP/1.1", host);
    let mut all: Vec<_> = hosts.iter().map(|host| (0, None, get(host))).collect();
    all.extend([
        (0, None, "GET / HTTP/1.0\r\n\r\n".to_owned()),
        (
            0,
            None,
            close("GET http://a.example/ HTTP/1.1", "other.test"),
        ),
        (
            0,
            None,
            close("GET http://x.example:81?a HTTP/1.1", "a.example"),
        ),
        (1, Some("127.0.0.1"), "GET / HTTP/1.0\r\n\r\n".to_owned()),
        (1, Some("a.example"), "GET / HTTP/1.0\r\n\r\n".to_owned()),
        (2, None, get("b.example")),
        (3, None, get("a.example")),
    ]);
    for sni in [
        "a.example",
        "x.example",
        "x.b.example",
        "unknown.test",
        "127.0.0.1",
    ] {
        for host in ["a.example", "x.b.example", "first.example", "unknown.test"] {
            all.push((1, Some(sni), get(host)));
        }
    }
    all
}

#[test]
fn the_same_server_answers() {
    if !require_tool("nginx") {
        return;
    }
    let certificates = ["first", "second", "third"].map(|name| p256(&[name]));
    let (plaintext, secure, all) = (
        free_address().port(),
        free_address().port(),
        free_address().port(),
    );
    let file = File::new(&servers(plaintext, secure, all, &certificates));
    fs::set_permissions(file.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let addresses = [
        SocketAddr::from(([127, 0, 0, 1], plaintext)),
        SocketAddr::from(([127, 0, 0, 1], secure)),
        SocketAddr::from(([127, 0, 0, 1], all)),
        SocketAddr::from(([127, 0, 0, 2], all)),
    ];
    let questions = questions();
    let ask = |(listener, sni, request): &(usize, Option<&str>, String)| match sni {
        None => (page(addresses[*listener], request), Vec::new()),
        Some(name) => {
            let mut client = Client::tls(addresses[*listener], named(name));
            client.send(request);
            let answer = client.answer();
            (answer.text(), shown(&client))
        }
    };
    let nginx = Nginx::start(file.directory.path(), &file.path, addresses[0]);
    let by_nginx: Vec<_> = questions.iter().map(ask).collect();
    drop(nginx);
    let server = file.serve(4);
    let mut wrong = Vec::new();
    for (question, expected) in questions.iter().zip(by_nginx) {
        let answer = ask(question);
        if answer != expected {
            let (_, sni, request) = question;
            let mismatch = format!("{} and not {}: {sni:?} {request}", answer.0, expected.0);
            wrong.push(mismatch);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Both warn of the names that two servers have.
    let warned = server.stderr();
    for name in ["a.example", "dot.test"] {
        let warning =
            format!("conflicting server name \"{name}\" on 127.0.0.1:{plaintext} is ignored");
        assert!(warned.contains(&warning), "{warned}");
    }
}
