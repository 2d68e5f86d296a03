//! What an idle connection costs.

use std::io::{Read, Write};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::common::{Port, Server, process};
use crate::{
    Crowd, alone, assert_answers, descriptors_suffice, start, tcp_from, tls_from, tls_settings,
};

/// `count` connections, each answered once, grow the server by at most so many bytes each.
fn assert_cost<S: Read + Write>(
    what: &str,
    server: &Server,
    mut crowd: Crowd<S>,
    count: usize,
    most: usize,
) {
    // The first ones touch code and tables that all use together.
    for _ in 0..10 {
        assert_answers(server, Port::Plaintext);
        assert_answers(server, Port::Tls);
    }
    let before = process::resident_bytes(server.worker());
    crowd.grow(count);
    let after = process::resident_bytes(server.worker());
    assert!(process::open_descriptors(server.worker()) > count);
    crowd.assert_all_held();

    let grown = after.saturating_sub(before);
    let each = grown / count;
    eprintln!("{count} idle {what} connections: {grown} bytes, {each} each");
    assert!(
        grown <= count * most,
        "{what}: {each} bytes each instead of {most}"
    );
}

#[test]
fn idle_plaintext_connection_costs_300_bytes_at_most() {
    let _alone = alone();
    if !descriptors_suffice(10_200) {
        return;
    }
    let (server, _page) = start();
    let address = server.http;
    let crowd = Crowd::new(move |number| tcp_from(number, address));
    assert_cost("plaintext", &server, crowd, 10_000, 300);
}

fn assert_tls_cost(what: &str, version: &'static SupportedProtocolVersion, count: usize) {
    let _alone = alone();
    if !descriptors_suffice(5_200) {
        return;
    }
    let (server, _page) = start();
    let address = server.https;
    let settings = tls_settings(&[version]);
    let crowd = Crowd::new(move |number| tls_from(number, address, &settings));
    assert_cost(what, &server, crowd, count, 7 * 1024);
}

#[test]
fn idle_tls_1_3_connection_costs_7_kib_at_most() {
    assert_tls_cost("TLS 1.3", &TLS13, 5_000);
}

#[test]
fn idle_tls_1_2_connection_costs_7_kib_at_most() {
    assert_tls_cost("TLS 1.2", &TLS12, 1_500);
}
