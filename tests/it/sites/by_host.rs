//! The page by the host that a request names.

use std::net::SocketAddr;

use crate::common::{Answer, Client};
use crate::sites::{File, get, page};

/// One listener, and a site for each kind of name.
const KINDS: &str = r#"
server { listen 127.0.0.1:0; server_name first.example; return 503 "first"; }
server { listen 127.0.0.1:0; server_name a.example www.a.example; return 503 "exact"; }
server { listen 127.0.0.1:0; server_name *.example; return 503 "star"; }
server { listen 127.0.0.1:0; server_name *.b.example; return 503 "longer star"; }
server { listen 127.0.0.1:0; server_name www.*; return 503 "behind"; }
server { listen 127.0.0.1:0; server_name www.c.*; return 503 "longer behind"; }
server { listen 127.0.0.1:0; server_name .dot.test; return 503 "dot"; }
server { listen 127.0.0.1:0 default_server; server_name _; return 503 "default"; }
server { listen 127.0.0.1:0; server_name [::1] 192.0.2.1; return 503 "address"; }
"#;

#[test]
fn names_go_before_stars_and_longer_stars_before_shorter() {
    let server = File::new(KINDS).serve(1);
    for (host, expected) in [
        ("first.example", "first"),
        ("a.example", "exact"),
        ("A.Example", "exact"),
        ("a.example:8080", "exact"),
        ("a.example.", "exact"),
        ("a.example.:80", "exact"),
        ("b.example", "star"),
        ("y.x.example", "star"),
        ("x.b.example", "longer star"),
        ("www.b.example", "longer star"),
        ("www.test", "behind"),
        ("www.c.test", "longer behind"),
        ("dot.test", "dot"),
        ("x.dot.test", "dot"),
        ("example", "default"),
        ("other.test", "default"),
        ("", "default"),
        ("127.0.0.1", "default"),
        ("192.0.2.1:80", "address"),
        ("[::1]", "address"),
        ("[::1]:80", "address"),
        ("[::2]", "default"),
        (&"x.".repeat(500), "default"),
    ] {
        assert_eq!(page(server.http, &get(host)), expected, "{host}");
    }
}

#[test]
fn an_absolute_target_names_the_host_and_no_name_gets_the_default() {
    let server = File::new(KINDS).serve(1);
    for (request, expected) in [
        (
            "GET http://a.example/x HTTP/1.1\r\nHost: dot.test\r\nConnection: close\r\n\r\n",
            "exact",
        ),
        (
            "GET http://u@a.example:80?x HTTP/1.1\r\nHost: dot.test\r\nConnection: close\r\n\r\n",
            "exact",
        ),
        (
            "GET /http://a.example/ HTTP/1.1\r\nHost: dot.test\r\nConnection: close\r\n\r\n",
            "dot",
        ),
        ("GET http://a.example/ HTTP/1.0\r\n\r\n", "exact"),
        ("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", "exact"),
        ("GET / HTTP/1.0\r\n\r\n", "default"),
    ] {
        assert_eq!(page(server.http, request), expected, "{request}");
    }
}

#[test]
fn the_empty_name_is_that_of_requests_without_one() {
    let text = "server { listen 127.0.0.1:0; server_name a.example; return 503 a; }
        server { listen 127.0.0.1:0; server_name b.example \"\"; return 503 b; }";
    let server = File::new(text).serve(1);
    assert_eq!(page(server.http, "GET / HTTP/1.0\r\n\r\n"), "b");
    assert_eq!(page(server.http, &get("other.example")), "a");
}

/// One connection may request several hosts, pipelined or in turn.
#[test]
fn every_request_of_a_connection_has_its_own_host() {
    let server = File::new(KINDS).serve(1);
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let hosts = ["a.example", "dot.test", "other.test", "a.example", "www.x"];
    let expected = ["exact", "dot", "default", "exact", "behind"];
    let mut client = Client::tcp(server.http);
    for (host, expected) in hosts.iter().zip(expected) {
        client.send(ask(host));
        assert_eq!(client.answer().text(), expected, "{host}");
    }
    for _ in 0..20 {
        client.send(hosts.map(ask).concat());
        for (host, expected) in hosts.iter().zip(expected) {
            assert_eq!(client.answer().text(), expected, "{host}");
        }
    }
}

#[test]
fn fields_and_types_are_those_of_the_site() {
    let text = "add_header X-All all; charset koi8-r;
        server { listen 127.0.0.1:0; server_name a; add_header X-Own own; retry_after 11; return 503 a; }
        server { listen 127.0.0.1:0; server_name b; default_type text/html; return 503 b; }";
    let server = File::new(text).serve(1);
    let answer = |host: &str| -> Answer {
        let mut client = Client::tcp(server.http);
        client.send(get(host));
        client.last_answer()
    };
    let (a, b) = (answer("a"), answer("b"));
    // As in nginx, a field of its own takes the place of all that are inherited.
    assert_eq!((a.header("X-Own"), a.header("X-All")), (Some("own"), None));
    assert_eq!((b.header("X-Own"), b.header("X-All")), (None, Some("all")));
    assert_eq!(a.header("Retry-After"), Some("11"));
    assert_eq!(b.header("Retry-After"), Some("300"));
    assert_eq!(a.header("Content-Type"), Some("text/plain; charset=koi8-r"));
    assert_eq!(b.header("Content-Type"), Some("text/html; charset=koi8-r"));
}

/// The addresses of a server's plaintext listeners, in their order.
fn addresses(listening: &[String]) -> Vec<SocketAddr> {
    let plaintext = listening.iter().map(|url| url.strip_prefix("http://"));
    plaintext.map(|url| url.unwrap().parse().unwrap()).collect()
}

#[test]
fn only_sites_with_a_listener_answer_at_its_address() {
    let text = "server { listen 127.0.0.1:0; listen [::1]:0; server_name a; return 503 a; }
        server { listen 127.0.0.1:0; server_name b; return 503 b; }
        server { listen [::1]:0 default_server; server_name c; return 503 c; }";
    let server = File::new(text).serve(2);
    let listening = addresses(&server.listening);
    for (host, on_four, on_six) in [("a", "a", "a"), ("b", "b", "c"), ("c", "a", "c")] {
        assert_eq!(page(listening[0], &get(host)), on_four, "{host}");
        assert_eq!(page(listening[1], &get(host)), on_six, "{host}");
    }
}

/// As in nginx, they share a socket, and the address that a client has connected to decides.
#[test]
fn a_single_address_stands_beside_all_addresses() {
    let port = crate::common::free_address().port();
    let text = format!(
        "server {{ listen {port}; server_name a; return 503 all; }}
        server {{ listen 127.0.0.2:{port}; server_name b; return 503 two; }}
        server {{ listen 127.0.0.3:{port}; server_name b; return 503 three; }}
        server {{ listen 127.0.0.3:{port}; server_name a; return 503 \"three a\"; }}"
    );
    let server = File::new(&text).serve(3);
    let address = |last| SocketAddr::from(([127, 0, 0, last], port));
    assert_eq!(
        server.listening,
        [
            format!("http://0.0.0.0:{port}"),
            format!("http://127.0.0.2:{port}"),
            format!("http://127.0.0.3:{port}")
        ]
    );
    assert_eq!(page(address(1), &get("b")), "all");
    assert_eq!(page(address(2), &get("a")), "two");
    assert_eq!(page(address(3), &get("a")), "three a");
    assert_eq!(page(address(3), &get("b")), "three");
}

#[test]
fn a_unix_socket_has_its_own_sites() {
    let directory = tempfile::TempDir::new().unwrap();
    let socket = directory.path().join("socket");
    let text = format!(
        "server {{ listen unix:{0}; server_name a; return 503 a; }}
        server {{ listen unix:{0}; server_name b; return 503 b; }}",
        socket.display()
    );
    let _server = File::new(&text).serve(1);
    for host in ["a", "b"] {
        let mut client = Client::unix(&socket);
        client.send(get(host));
        assert_eq!(client.last_answer().text(), host);
    }
}

/// Pipelined answers wait in the socket's and the worker's buffers until they are read; each is of its own site.
#[test]
fn blocked_answers_are_those_of_their_sites() {
    let pages = ["a", "b"].map(|letter| letter.repeat(300_000));
    let file = File::new("");
    for (name, page) in ["a", "b"].iter().zip(&pages) {
        std::fs::write(file.directory.path().join(name), page).unwrap();
    }
    let site = |name: &str| {
        format!(
            "server {{ listen 127.0.0.1:0; server_name {name}; root .; error_page 503 /{name}; return 503; }}"
        )
    };
    std::fs::write(&file.path, site("a") + &site("b")).unwrap();
    let server = file.serve(1);
    let mut client = Client::tcp(server.http);
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client.send((ask("a") + &ask("b")).repeat(40));
    for _ in 0..40 {
        for page in &pages {
            assert!(client.answer().text() == *page);
        }
    }
}
