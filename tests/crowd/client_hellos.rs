//! Partial TLS handshakes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::StreamOwned;

use crate::common::{Port, Server, process};
use crate::{
    GET_AND_CLOSE, alone, assert_answers, descriptors_suffice, is_closed, start, tcp_from,
    tls_session, tls_settings,
};

const HALVES: usize = 2_000;

/// nginx needs 84 MB for as many.
const MOST_BYTES: usize = 8_000_000;

#[test]
fn half_client_hellos_cost_little_and_can_still_be_completed() {
    let _alone = alone();
    if !descriptors_suffice(2_200) {
        return;
    }
    let (server, _page) = start();
    // As long as a browser's, with its key share of 1.2 KB for ML-KEM.
    let mut settings = tls_settings(rustls::ALL_VERSIONS);
    Arc::get_mut(&mut settings).unwrap().alpn_protocols = [b"http/1.1".to_vec()]
        .into_iter()
        .chain((0..6).map(|number| vec![number; 250]))
        .collect();
    let mut session = tls_session(&settings);
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let (half, rest) = hello.split_at(hello.len() / 2);

    let mut halves = hold(&server, half, MOST_BYTES);

    // The one that is farthest from its deadline continues, byte by byte.
    let mut socket = halves.pop().unwrap();
    for byte in rest {
        socket.write_all(&[*byte]).unwrap();
    }
    let mut client = StreamOwned::new(session, socket);
    client.write_all(GET_AND_CLOSE.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "));
    assert!(answer.ends_with(b"<p>Back at nine\n"));
    assert_answers(&server, Port::Tls);
}

/// There is no session before there is a record: a few bytes wait in a buffer of just their size.
#[test]
fn first_bytes_of_a_client_hello_make_no_session() {
    let _alone = alone();
    if !descriptors_suffice(2_200) {
        return;
    }
    let (server, _page) = start();
    let mut hello = Vec::new();
    let settings = tls_settings(rustls::ALL_VERSIONS);
    tls_session(&settings).write_tls(&mut hello).unwrap();
    hold(&server, &hello[..100], HALVES * 1024);
}

/// Holds so many connections, each with these bytes sent; they grow the server by `most` bytes at
/// most.
fn hold(server: &Server, beginning: &[u8], most: usize) -> Vec<TcpStream> {
    // The first ones touch code and tables that all use together.
    for _ in 0..10 {
        assert_answers(server, Port::Plaintext);
        assert_answers(server, Port::Tls);
    }
    let before = process::resident_bytes(server.worker());
    let held: Vec<TcpStream> = (0..HALVES)
        .map(|number| {
            let mut socket = tcp_from(number, server.https);
            socket.write_all(beginning).unwrap();
            socket
        })
        .collect();
    // Connections are accepted in their order, so these are the last.
    assert_answers(server, Port::Tls);
    assert_answers(server, Port::Plaintext);
    let after = process::resident_bytes(server.worker());
    assert!(process::open_descriptors(server.worker()) > HALVES);
    assert!(!held.iter().any(is_closed), "one was closed");

    let grown = after.saturating_sub(before);
    let (each, bytes) = (grown / HALVES, beginning.len());
    eprintln!("{HALVES} times {bytes} bytes of a ClientHello: {grown} bytes, {each} each");
    assert!(grown <= most, "{grown} bytes instead of {most}");
    held
}
