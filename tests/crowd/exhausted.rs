//! Descriptor exhaustion: no busy loop, and service as soon as one is free.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::{Tls, connect};
use crate::common::{Client, Port};
use crate::{
    Crowd, GET_AND_CLOSE, alone, assert_answers, idle_percent, is_closed, limits, start, tcp_from,
};

/// The limit is below the number of open descriptors, and no connection can be evicted.
#[test]
fn out_of_descriptors_it_pauses_and_then_serves_waiting_clients() {
    let _alone = alone();
    let (mut server, _page) = start();
    assert_answers(&server, Port::Plaintext);
    assert_answers(&server, Port::Tls);

    let before = limits::set_soft_descriptor_limit(server.worker(), 3);
    let mut waiting: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::tcp(server.http);
            client.send(GET_AND_CLOSE);
            client
        })
        .collect();
    // These wait for the answer to their hello, on the other listener.
    let address = server.https;
    let secure: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::tls(address, Tls::default());
                client.send(GET_AND_CLOSE);
                client.last_answer().status
            })
        })
        .collect();
    let percent = idle_percent(&server);
    assert!(percent < 20, "{percent}% of a processor for nothing");
    assert!(server.is_running());

    limits::set_soft_descriptor_limit(server.worker(), before);
    let freed = Instant::now();
    for client in &mut waiting {
        assert_eq!(client.last_answer().status, 503);
    }
    for client in secure {
        assert_eq!(client.join().unwrap(), 503);
    }
    let waited = freed.elapsed();
    // A failure limit: a loaded machine may take longer than the specified second.
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    assert_answers(&server, Port::Plaintext);
    assert_answers(&server, Port::Tls);
}

/// The connection that has been idle longest is evicted, and no other.
#[test]
fn out_of_descriptors_the_idlest_makes_room() {
    let _alone = alone();
    for port in [Port::Plaintext, Port::Tls] {
        let (server, _page) = start();
        let address = server.http;
        let mut crowd: Crowd<TcpStream> = Crowd::new(move |number| tcp_from(number, address));
        for _ in 0..20 {
            // One by one, so that there is an order.
            crowd.grow(1);
        }
        let next = limits::next_descriptor(server.worker());
        limits::set_soft_descriptor_limit(server.worker(), next);
        for _ in 0..5 {
            assert_answers(&server, port);
        }
        // One each at most: a new connection that has ended frees its descriptor for the next.
        let closed: Vec<usize> = (0..crowd.held.len())
            .filter(|&number| is_closed(&crowd.held[number].0))
            .collect();
        assert!((1..=5).contains(&closed.len()), "{port:?}: {closed:?}");
        assert_eq!(closed, Vec::from_iter(0..closed.len()), "{port:?}");
    }
}

/// A client that sends nothing for as long as the server is out must not be forgotten either.
#[test]
fn request_sent_after_the_shortage_is_answered() {
    let _alone = alone();
    let (server, _page) = start();
    assert_answers(&server, Port::Plaintext);
    let before = limits::set_soft_descriptor_limit(server.worker(), 3);
    let mut silent = tcp_from(0, server.http);
    // Past the time for which Linux holds back a connection without input (TCP_DEFER_ACCEPT).
    let percent = idle_percent(&server);
    assert!(percent < 20, "{percent}% of a processor for nothing");
    limits::set_soft_descriptor_limit(server.worker(), before);
    silent.write_all(GET_AND_CLOSE.as_bytes()).unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "));
    let mut client = connect(&server, Port::Tls);
    client.send(GET_AND_CLOSE);
    assert_eq!(client.last_answer().status, 503);
}
