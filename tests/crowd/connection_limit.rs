//! More connections than descriptors: new ones are served, idle ones are evicted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::common::{Port, Server};
use crate::{
    GET, HALF_HEAD, alone, assert_answers, idle_percent, is_closed, start_limited, tcp_from,
    tls_session, tls_settings,
};

/// The server's descriptors; the connections that it holds are fewer.
const DESCRIPTORS: u64 = 64;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    HalfHead,
    HalfHandshake,
}

/// Connections in the order in which they were opened, and the numbers of the ones that the server
/// has closed, in the order in which it did.
struct LimitedServer {
    server: Server,
    hello: Vec<u8>,
    connections: Vec<(Phase, TcpStream)>,
    closed: Vec<usize>,
}

impl LimitedServer {
    fn new() -> Self {
        let mut hello = Vec::new();
        let settings = tls_settings(rustls::ALL_VERSIONS);
        tls_session(&settings).write_tls(&mut hello).unwrap();
        Self {
            server: start_limited(DESCRIPTORS),
            hello,
            connections: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn open(&mut self, phase: Phase) {
        let number = self.connections.len();
        let connection = match phase {
            Phase::Idle => {
                let mut connection = tcp_from(number, self.server.http);
                connection.write_all(GET.as_bytes()).unwrap();
                read_answer(&mut connection);
                connection
            }
            Phase::HalfHead => {
                let mut connection = tcp_from(number, self.server.http);
                connection.write_all(HALF_HEAD.as_bytes()).unwrap();
                // Connections are accepted in their order: once this one is answered, the earlier one is accepted.
                assert_answers(&self.server, Port::Plaintext);
                connection
            }
            Phase::HalfHandshake => {
                let mut connection = tcp_from(number, self.server.https);
                connection
                    .write_all(&self.hello[..self.hello.len() / 2])
                    .unwrap();
                assert_answers(&self.server, Port::Tls);
                connection
            }
        };
        self.connections.push((phase, connection));
    }

    /// Finds connections that were closed since the last call, in the order in which they were opened.
    fn find_closed(&mut self) {
        for (number, (_, connection)) in self.connections.iter().enumerate() {
            if !self.closed.contains(&number) && is_closed(connection) {
                self.closed.push(number);
            }
        }
    }

    fn numbers(&self, phase: Phase) -> Vec<usize> {
        let all = self.connections.iter().enumerate();
        all.filter(|(_, connection)| connection.0 == phase)
            .map(|(number, _)| number)
            .collect()
    }

    fn closed(&self, phase: Phase) -> usize {
        let all = self.closed.iter();
        all.filter(|&&number| self.connections[number].0 == phase)
            .count()
    }

    /// Exactly the first ones of `order` have been closed.
    #[track_caller]
    fn assert_closed_in_order(&self, order: &[usize]) {
        assert_eq!(self.closed, order[..self.closed.len()]);
    }
}

/// Takes one whole answer from a connection.
fn read_answer(connection: &mut TcpStream) {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if body.len() >= length {
                assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
                assert_eq!(body.len(), length);
                return;
            }
        }
        let length = connection.read(&mut piece).unwrap();
        assert!(length > 0, "the connection ended inside an answer");
        answer.extend_from_slice(&piece[..length]);
    }
}

/// Evicted first are the connections that lose least, however new: idle ones, then partial heads, then
/// half handshakes, and among equals the oldest.
#[test]
fn idle_are_evicted_before_partial_heads_before_partial_handshakes() {
    let _alone = alone();
    let mut limited = LimitedServer::new();
    // The last to be evicted are opened first, so that age alone would evict them first.
    for phase in [Phase::HalfHandshake, Phase::HalfHead, Phase::Idle] {
        for _ in 0..8 {
            limited.open(phase);
        }
    }
    limited.find_closed();
    assert_eq!(limited.closed, [0; 0], "closed although there is room");

    // Partial heads are added until some of them are evicted.
    while limited.closed(Phase::HalfHead) < 12 {
        limited.open(Phase::HalfHead);
        limited.find_closed();
        assert!(limited.connections.len() < 200, "no connection is evicted");
    }
    let idle = limited.numbers(Phase::Idle);
    limited.assert_closed_in_order(&[idle.clone(), limited.numbers(Phase::HalfHead)].concat());
    assert_eq!(limited.closed(Phase::Idle), 8);
    assert_eq!(limited.closed(Phase::HalfHandshake), 0);

    // Partial handshakes are added until only they are left.
    while limited.closed(Phase::HalfHandshake) < 12 {
        limited.open(Phase::HalfHandshake);
        limited.find_closed();
        assert!(limited.connections.len() < 300, "no connection is evicted");
    }
    let order = [
        idle,
        limited.numbers(Phase::HalfHead),
        limited.numbers(Phase::HalfHandshake),
    ];
    limited.assert_closed_in_order(&order.concat());
}

/// Many times more connections of all kinds than the limit: every request is answered, on new connections
/// and on kept ones.
#[test]
fn every_new_request_is_answered() {
    let _alone = alone();
    let mut limited = LimitedServer::new();
    for number in 0..400 {
        // An idle one is answered before it is idle; the others are opened with an answered one.
        let phase = match number % 3 {
            0 => Phase::Idle,
            1 => Phase::HalfHead,
            _ => Phase::HalfHandshake,
        };
        limited.open(phase);
    }
    limited.find_closed();
    let held = limited.connections.len() - limited.closed.len();
    assert!(held >= 16, "only {held} are held");
    assert!(u64::try_from(held).unwrap() < DESCRIPTORS);

    let percent = idle_percent(&limited.server);
    assert!(percent < 20, "{percent}% of a processor for nothing");
    assert_answers(&limited.server, Port::Plaintext);
    assert_answers(&limited.server, Port::Tls);
}
