//! Fairness: neither one busy client nor many short connections starve the other clients.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::connect;
use crate::common::{Port, Server, process, send_signal};
use crate::{
    GET, GET_AND_CLOSE, alone, assert_answers, start, tcp_from, tls_from, tls_session,
    tls_settings, try_tcp_from,
};

/// Generates load until it is stopped; returns how much there was.
#[derive(Default)]
struct Disturbance {
    ended: AtomicBool,
    count: AtomicUsize,
}

impl Disturbance {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    fn add(&self, more: usize) {
        self.count.fetch_add(more, Ordering::SeqCst);
    }
}

struct EndOnDrop<'a>(&'a Disturbance);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}

/// While `disturb` runs, a client is answered on one connection and on new ones, on both ports.
/// The delay is not measured; a client fails at its read timeout.
fn assert_answered_during(least: usize, disturb: impl Fn(&Server, &Disturbance) + Sync) {
    let _alone = alone();
    let (server, _page) = start();
    let disturbance = Disturbance::default();
    thread::scope(|scope| {
        scope.spawn(|| disturb(&server, &disturbance));
        let _end = EndOnDrop(&disturbance);
        let limit = Instant::now() + Duration::from_secs(60);
        let mut answered = 0;
        while answered < 200 || disturbance.count.load(Ordering::SeqCst) < least {
            for port in [Port::Plaintext, Port::Tls] {
                let mut client = connect(&server, port);
                for _ in 0..10 {
                    client.send(GET);
                    assert_eq!(client.answer().status, 503);
                    answered += 1;
                }
                assert_answers(&server, port);
            }
            assert!(disturbance.goes_on(), "nothing disturbs any more");
            assert!(Instant::now() < limit, "the busy client is starved itself");
        }
    });
}

/// A thread of requests after requests, and one that takes the answers.
fn pipeline(address: SocketAddr, disturbance: &Disturbance) {
    let _end = EndOnDrop(disturbance);
    let batch = GET.repeat(100).into_bytes();
    let batch = batch.as_slice();
    while disturbance.goes_on() {
        let mut reader = tcp_from(0, address);
        let mut writer = reader.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                // The server closes after its 1,000th answer, perhaps under a write.
                while disturbance.goes_on() && writer.write_all(batch).is_ok() {}
                let _ = writer.shutdown(Shutdown::Write);
            });
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                disturbance.add(length);
            }
            // Ends the writer too, which the server drains for a while.
            let _ = reader.shutdown(Shutdown::Both);
        });
    }
}

#[test]
fn busy_client_does_not_starve_others() {
    // Bytes of answers: more than the share of one connection.
    assert_answered_during(1_000_000, |server, disturbance| {
        pipeline(server.http, disturbance);
    });
}

#[test]
fn busy_tls_client_does_not_starve_others() {
    let settings = tls_settings(rustls::ALL_VERSIONS);
    assert_answered_during(100_000, move |server, disturbance| {
        let _end = EndOnDrop(disturbance);
        let batch = GET.repeat(50);
        let mut buffer = vec![0; 64 * 1024];
        while disturbance.goes_on() {
            let mut client = tls_from(0, server.https, &settings);
            for _ in 0..20 {
                if client.write_all(batch.as_bytes()).is_err() {
                    break;
                }
                match client.read(&mut buffer) {
                    Ok(length @ 1..) => disturbance.add(length),
                    Ok(0) | Err(_) => break,
                }
            }
        }
    });
}

/// Connections by the hundred, each of which asks, and as many as the backlog holds well.
#[test]
fn storm_of_connects_does_not_starve_others() {
    const THREADS: usize = 4;
    const WAITING: usize = 200;
    assert_answered_during(5_000, |server, disturbance| {
        let _end = EndOnDrop(disturbance);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let mut waiting = VecDeque::new();
                    for number in thread.. {
                        let mut socket = tcp_from(number, server.http);
                        socket.write_all(GET_AND_CLOSE.as_bytes()).unwrap();
                        waiting.push_back(socket);
                        if waiting.len() < WAITING {
                            continue;
                        }
                        let mut oldest = waiting.pop_front().unwrap();
                        oldest.read_to_end(&mut Vec::new()).unwrap();
                        disturbance.add(1);
                        if !disturbance.goes_on() {
                            return;
                        }
                    }
                });
            }
        });
    });
}

/// Connections on both ports as fast as they can be made, all given up before their answer.
#[test]
fn storm_of_aborted_connects_does_not_starve_others() {
    assert_answered_during(2_000, |server, disturbance| {
        let _end = EndOnDrop(disturbance);
        thread::scope(|scope| {
            for address in [server.http, server.https] {
                scope.spawn(move || {
                    for number in 0.. {
                        if !disturbance.goes_on() {
                            return;
                        }
                        // The load may run out of ports, which is no failure.
                        if let Ok(mut socket) = try_tcp_from(number, address)
                            && socket.write_all(GET_AND_CLOSE.as_bytes()).is_ok()
                        {
                            disturbance.add(1);
                        }
                    }
                });
            }
        });
    });
}

/// Connections made while the worker is stopped, after which nothing
/// more arrives: an edge-triggered event does not repeat, and yet all of them are answered.
#[test]
fn burst_on_a_sleeping_server_is_answered_to_the_last() {
    // Under the smallest backlog that systems cut ours to.
    const BURST: usize = 120;
    let _alone = alone();
    let (server, _page) = start();
    assert_answers(&server, Port::Plaintext);
    assert_answers(&server, Port::Tls);
    let mut hello = Vec::new();
    let settings = tls_settings(rustls::ALL_VERSIONS);
    tls_session(&settings).write_tls(&mut hello).unwrap();

    let worker = server.worker();
    send_signal(worker, libc::SIGSTOP);
    process::wait_until_stopped(worker);
    let burst = |address, bytes: &[u8]| -> Vec<TcpStream> {
        (0..BURST)
            .map(|number| {
                let mut socket = tcp_from(number, address);
                socket.write_all(bytes).unwrap();
                socket
            })
            .collect()
    };
    let mut plaintext = burst(server.http, GET_AND_CLOSE.as_bytes());
    let mut secure = burst(server.https, &hello);
    send_signal(worker, libc::SIGCONT);

    for socket in &mut plaintext {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 503 "));
    }
    for socket in &mut secure {
        // A handshake record: the server's hello.
        let mut first = [0];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(first, [22]);
    }
}
