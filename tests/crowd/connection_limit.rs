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
enum Kind {
    Idle,
    HalfHead,
    HalfHandshake,
}

/// Connections in the order in which they were opened, and the numbers of the ones that the server
/// has closed, in the order in which it did.
struct House {
    server: Server,
    hello: Vec<u8>,
    guests: Vec<(Kind, TcpStream)>,
    closed: Vec<usize>,
}

impl House {
    fn new() -> Self {
        let mut hello = Vec::new();
        let settings = tls_settings(rustls::ALL_VERSIONS);
        tls_session(&settings).write_tls(&mut hello).unwrap();
        Self {
            server: start_limited(DESCRIPTORS),
            hello,
            guests: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn admit(&mut self, kind: Kind) {
        let number = self.guests.len();
        let guest = match kind {
            Kind::Idle => {
                let mut guest = tcp_from(number, self.server.http);
                guest.write_all(GET.as_bytes()).unwrap();
                read_answer(&mut guest);
                guest
            }
            Kind::HalfHead => {
                let mut guest = tcp_from(number, self.server.http);
                guest.write_all(HALF_HEAD.as_bytes()).unwrap();
                // Connections are accepted in their order: once this one is answered, the earlier one is accepted.
                assert_answers(&self.server, Port::Plaintext);
                guest
            }
            Kind::HalfHandshake => {
                let mut guest = tcp_from(number, self.server.https);
                guest
                    .write_all(&self.hello[..self.hello.len() / 2])
                    .unwrap();
                assert_answers(&self.server, Port::Tls);
                guest
            }
        };
        self.guests.push((kind, guest));
    }

    /// Finds connections that were closed since the last call, in the order in which they were opened.
    fn look(&mut self) {
        for (number, (_, guest)) in self.guests.iter().enumerate() {
            if !self.closed.contains(&number) && is_closed(guest) {
                self.closed.push(number);
            }
        }
    }

    fn numbers(&self, kind: Kind) -> Vec<usize> {
        let all = self.guests.iter().enumerate();
        all.filter(|(_, guest)| guest.0 == kind)
            .map(|(number, _)| number)
            .collect()
    }

    fn closed(&self, kind: Kind) -> usize {
        let all = self.closed.iter();
        all.filter(|&&number| self.guests[number].0 == kind).count()
    }

    /// Exactly the first ones of `order` have been closed.
    #[track_caller]
    fn assert_closed_in_order(&self, order: &[usize]) {
        assert_eq!(self.closed, order[..self.closed.len()]);
    }
}

/// Takes one whole answer from a connection.
fn read_answer(guest: &mut TcpStream) {
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
        let length = guest.read(&mut piece).unwrap();
        assert!(length > 0, "the connection ended inside an answer");
        answer.extend_from_slice(&piece[..length]);
    }
}

/// Evicted first are the connections that lose least, however new: idle ones, then partial heads, then
/// half handshakes, and among equals the oldest.
#[test]
fn idle_are_evicted_before_partial_heads_before_partial_handshakes() {
    let _alone = alone();
    let mut house = House::new();
    // The last to be evicted are opened first, so that age alone would evict them first.
    for kind in [Kind::HalfHandshake, Kind::HalfHead, Kind::Idle] {
        for _ in 0..8 {
            house.admit(kind);
        }
    }
    house.look();
    assert_eq!(house.closed, [0; 0], "closed although there is room");

    // Partial heads are added until some of them are evicted.
    while house.closed(Kind::HalfHead) < 12 {
        house.admit(Kind::HalfHead);
        house.look();
        assert!(house.guests.len() < 200, "no connection is evicted");
    }
    let idle = house.numbers(Kind::Idle);
    house.assert_closed_in_order(&[idle.clone(), house.numbers(Kind::HalfHead)].concat());
    assert_eq!(house.closed(Kind::Idle), 8);
    assert_eq!(house.closed(Kind::HalfHandshake), 0);

    // Partial handshakes are added until only they are left.
    while house.closed(Kind::HalfHandshake) < 12 {
        house.admit(Kind::HalfHandshake);
        house.look();
        assert!(house.guests.len() < 300, "no connection is evicted");
    }
    let order = [
        idle,
        house.numbers(Kind::HalfHead),
        house.numbers(Kind::HalfHandshake),
    ];
    house.assert_closed_in_order(&order.concat());
}

/// Many times more connections of all kinds than the limit: every request is answered, on connections that
/// come and go and on kept ones.
#[test]
fn every_new_request_is_answered() {
    let _alone = alone();
    let mut house = House::new();
    for number in 0..400 {
        // An idle one is answered before it is idle; the others come with an answered one.
        let kind = match number % 3 {
            0 => Kind::Idle,
            1 => Kind::HalfHead,
            _ => Kind::HalfHandshake,
        };
        house.admit(kind);
    }
    house.look();
    let held = house.guests.len() - house.closed.len();
    assert!(held >= 16, "only {held} are held");
    assert!(u64::try_from(held).unwrap() < DESCRIPTORS);

    let percent = idle_percent(&house.server);
    assert!(percent < 20, "{percent}% of a processor for nothing");
    assert_answers(&house.server, Port::Plaintext);
    assert_answers(&house.server, Port::Tls);
}
