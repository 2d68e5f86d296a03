//! The metrics and health listener: few connections with one short request each. They are kept apart from clients, whose
//! limits and timeouts they do not share.

use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant, SystemTime};

use mio::{Interest, Registry, Token};

use crate::config::control::METRICS_PATH;
use crate::serve::http1;
use crate::serve::http1::{Parsed, Scan};
use crate::serve::listeners::stream::Stream;
use crate::serve::metrics::counters::Board;
use crate::serve::metrics::hosts::Hosts;
use crate::serve::metrics::prometheus;

/// The connection limit. Beyond it the oldest connection is closed.
const MAX_CONNECTIONS: usize = 16;
/// How long each connection may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest head.
const MAX_REQUEST: usize = 8 * 1024;
/// The first token of these connections, far beyond those of clients.
const FIRST_TOKEN: usize = usize::MAX / 2;

/// The endpoint of metrics and health, and what it reports.
#[derive(Clone, Debug)]
pub struct AdminEndpoint {
    /// The number of the endpoint.
    pub(crate) endpoint: usize,
    /// The path that reports whether workers answer.
    pub(crate) health: Option<String>,
    pub(crate) board: Board,
    pub(crate) hosts: Hosts,
    /// When the daemon was started, in seconds since 1970.
    pub(crate) started: u64,
    /// The announced end of the maintenance.
    pub(crate) until: Option<u64>,
}

impl AdminEndpoint {
    /// The descriptors that its connections need.
    pub(crate) const DESCRIPTORS: usize = MAX_CONNECTIONS;
}

/// The connections of the metrics and health listener.
pub(crate) struct AdminConnections {
    endpoint: AdminEndpoint,
    connections: Vec<Option<AdminConnection>>,
    /// The worker is to end without a successor.
    is_draining: bool,
}

struct AdminConnection {
    stream: Stream,
    request: Vec<u8>,
    scan: Scan,
    /// The unsent rest of the answer, once there is one.
    answer: Option<Vec<u8>>,
    deadline: Instant,
}

impl AdminConnections {
    pub(crate) fn new(endpoint: AdminEndpoint) -> Self {
        let mut connections = Vec::new();
        connections.resize_with(MAX_CONNECTIONS, || None);
        Self {
            endpoint,
            connections,
            is_draining: false,
        }
    }

    pub(crate) const fn endpoint(&self) -> usize {
        self.endpoint.endpoint
    }

    /// Reports from now on that the worker is draining.
    pub(crate) const fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(crate) fn accept(&mut self, mut stream: Stream, registry: &Registry, now: Instant) {
        // A free slot comes before the oldest connection.
        let slots = self.connections.iter().enumerate();
        let slot = slots.min_by_key(|(_, slot)| slot.as_ref().map(|one| one.deadline));
        let number = slot.map_or(0, |(number, _)| number);
        let token = Token(FIRST_TOKEN + number);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if stream.watch(registry, token, interest, false).is_ok() {
            self.connections[number] = Some(AdminConnection {
                stream,
                request: Vec::new(),
                scan: Scan::default(),
                answer: None,
                deadline: now + TIMEOUT,
            });
            // The request may have arrived already.
            self.advance(number);
        }
    }

    /// The number of the connection with this token, if it is one of these.
    pub(crate) fn number(token: Token) -> Option<usize> {
        token.0.checked_sub(FIRST_TOKEN)
    }

    /// Reads and writes on a connection until it blocks or ends.
    pub(crate) fn advance(&mut self, number: usize) {
        if let Some(slot) = self.connections.get_mut(number)
            && let Some(connection) = slot
            && connection
                .advance(&self.endpoint, self.is_draining)
                .is_break()
        {
            *slot = None;
        }
    }

    /// Closes the connections whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        for slot in &mut self.connections {
            if slot.as_ref().is_some_and(|one| one.deadline <= now) {
                *slot = None;
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let all = self.connections.iter().flatten();
        all.map(|one| one.deadline).min()
    }
}

impl AdminConnection {
    /// Reads and writes until the socket blocks (`Continue`) or the connection ends (`Break`).
    fn advance(&mut self, endpoint: &AdminEndpoint, is_draining: bool) -> ControlFlow<()> {
        while self.answer.is_none() {
            let mut buffer = [0; 2048];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Break(()),
                Ok(length) => self.request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Continue(()),
                Err(_) => return Break(()),
            }
            self.answer = match http1::parse(&self.request, &mut self.scan) {
                Parsed::Partial if self.request.len() < MAX_REQUEST => None,
                Parsed::Partial | Parsed::Refusal(_) => Some(response(
                    "400 Bad Request",
                    TEXT,
                    "",
                    "This is not an HTTP request.\n",
                    true,
                )),
                Parsed::Request(..) => Some(answer(&self.request, endpoint, is_draining)),
            };
        }
        self.write()
    }

    /// Writes the answer. The connection ends after it: the only unread input is a body, which is ignored.
    fn write(&mut self) -> ControlFlow<()> {
        let Some(left) = &mut self.answer else {
            return Continue(());
        };
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(length @ 1..) => drop(left.drain(..length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Continue(()),
                Ok(0) | Err(_) => return Break(()),
            }
        }
        Break(())
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The answer to a request.
fn answer(request: &[u8], endpoint: &AdminEndpoint, is_draining: bool) -> Vec<u8> {
    let mut words = http1::request_line(request).split(|byte| *byte == b' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    let with_body = match method {
        b"GET" => true,
        b"HEAD" => false,
        _ => {
            let fields = "Allow: GET, HEAD\r\n";
            return response(
                "405 Method Not Allowed",
                TEXT,
                fields,
                "Only GET and HEAD.\n",
                true,
            );
        }
    };
    if path == METRICS_PATH.as_bytes() {
        let AdminEndpoint {
            board,
            hosts,
            started,
            until,
            ..
        } = endpoint;
        let body = prometheus::render(&board.figures(), hosts, *started, *until);
        response("200 OK", prometheus::CONTENT_TYPE, "", &body, with_body)
    } else if endpoint
        .health
        .as_ref()
        .is_some_and(|health| health.as_bytes() == path)
    {
        if is_draining {
            response("503 Service Unavailable", TEXT, "", "draining\n", with_body)
        } else {
            response("200 OK", TEXT, "", "ok\n", with_body)
        }
    } else {
        response("404 Not Found", TEXT, "", "Not found.\n", with_body)
    }
}

fn response(
    status: &str,
    content_type: &str,
    fields: &str,
    body: &str,
    with_body: bool,
) -> Vec<u8> {
    let now = SystemTime::now();
    http1::response::response(status, content_type, fields, body, with_body, now)
}
