//! HTTP versions, the `Connection` field and upgrades.

use crate::answers::{
    GET, SMUGGLED, Site, assert_kept, assert_page, assert_refusal, on_both_ports, request,
};

on_both_ports! {
    http_1_0_closes,
    http_1_0_keep_alive,
    http_1_0_keep_alive_and_close_closes,
    http_1_0_head,
    http_1_1_connection_close,
    http_1_1_connection_with_other_options_stays,
    later_minor_versions_are_as_1_1,
    other_major_versions,
    http_2_preface,
    http_0_9,
    upgrade_to_websocket,
    upgrade_to_h2c,
    upgrade_of_other_kinds,
}

fn http_1_0_closes(site: &Site) {
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: example.org\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: x-keep-alive\r\n\r\n",
        "GET / HTTP/1.0\r\nKeep-Alive: timeout=5\r\n\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
    ] {
        site.closes_later(head);
    }
}

/// RFC 9112 9.3 and C.2.2: an HTTP/1.0 client knows from `keep-alive` alone that it may go on.
fn http_1_0_keep_alive(site: &Site) {
    for options in [
        "keep-alive",
        "Keep-Alive",
        "foo, keep-alive",
        "KEEP-ALIVE ,foo",
    ] {
        let answer = site.keeps(format!("GET / HTTP/1.0\r\nConnection: {options}\r\n\r\n"));
        let connection = answer.header("Connection").unwrap_or_default();
        assert!(connection.eq_ignore_ascii_case("keep-alive"), "{answer:#?}");
    }

    let post = "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello";
    site.keeps(post);

    // The second one asks no more, and ends it.
    let mut client = site.client();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_page(&client.answer(), "the first");
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_page(&client.last_answer(), "the second");
}

fn http_1_0_keep_alive_and_close_closes(site: &Site) {
    site.closes_later("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n");
    site.closes_later("GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n");
}

fn http_1_0_head(site: &Site) {
    let mut client = site.client();
    client.send("HEAD / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer_to_head().status, 503);
    client.assert_closed();
}

fn http_1_1_connection_close(site: &Site) {
    for fields in [
        "Connection: close\r\n",
        "connection:CLOSE\r\n",
        "Connection: foo, close\r\n",
        "Connection: keep-alive,close\r\n",
        "Connection: ,close,\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: \tClose\t\r\n",
    ] {
        site.closes(request("GET", fields));
    }
}

fn http_1_1_connection_with_other_options_stays(site: &Site) {
    for fields in [
        "Connection: keep-alive\r\n",
        "Connection: closed\r\n",
        "Connection: not-close\r\n",
        "Connection: TE\r\n",
        "Connection:\r\n",
        "Proxy-Connection: close\r\n",
    ] {
        site.keeps(request("GET", fields));
    }
}

/// RFC 9110 6.2: a higher minor version of the same major one is understood as the highest known.
fn later_minor_versions_are_as_1_1(site: &Site) {
    for version in ["HTTP/1.2", "HTTP/1.3", "HTTP/1.9"] {
        let answer = site.keeps(format!("GET / {version}\r\nHost: example.org\r\n\r\n"));
        assert_eq!(answer.version, "HTTP/1.1");
        site.closes(format!(
            "GET / {version}\r\nHost: example.org\r\nConnection: close\r\n\r\n"
        ));
        // What 1.1 demands, its successors do too.
        site.refuses(400, format!("GET / {version}\r\n\r\n"));
    }
}

fn other_major_versions(site: &Site) {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9", "HTTP/2.1"] {
        site.refuses(505, format!("GET / {version}\r\nHost: example.org\r\n\r\n"));
        site.refuses(
            505,
            format!("POST / {version}\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"),
        );
    }
}

/// RFC 9113 3.4, with the SETTINGS frame that a client sends along.
fn http_2_preface(site: &Site) {
    let mut client = site.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let answer = client.last_answer();
    assert_eq!(answer.status, 505, "{answer:#?}");
    assert_refusal(&answer);
    site.refuses(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

fn http_0_9(site: &Site) {
    for line in [
        "GET /\r\n",
        "GET /\r\n\r\n",
        "GET /index.html\n\n",
        "GET\r\n\r\n",
        "FOO /\r\n\r\n",
    ] {
        site.refuses(400, line);
    }
}

/// RFC 9110 7.8: a server may ignore `Upgrade`, and then the request is an ordinary one.
fn assert_not_upgraded(site: &Site, fields: &str) {
    let answer = site.keeps(request("GET", fields));
    assert_eq!(answer.header("Upgrade"), None, "{answer:#?}");
    assert_eq!(answer.header("Sec-WebSocket-Accept"), None, "{answer:#?}");

    // Nor is what follows in the same write anything but the next request.
    let mut client = site.client();
    client.send([&request("GET", fields), SMUGGLED].concat());
    for number in ["first", "second"] {
        assert_page(&client.answer(), number);
    }
    assert_kept(&mut client);
}

fn upgrade_to_websocket(site: &Site) {
    assert_not_upgraded(
        site,
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
}

fn upgrade_to_h2c(site: &Site) {
    assert_not_upgraded(
        site,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    );
}

fn upgrade_of_other_kinds(site: &Site) {
    assert_not_upgraded(site, "Connection: upgrade\r\n");
    assert_not_upgraded(site, "Upgrade: TLS/1.0\r\n");
    assert_not_upgraded(
        site,
        "Connection: keep-alive, Upgrade\r\nUpgrade: foo/2, bar\r\n",
    );
    site.closes(request(
        "GET",
        "Connection: upgrade, close\r\nUpgrade: h2c\r\n",
    ));
    site.keeps(GET);
}
