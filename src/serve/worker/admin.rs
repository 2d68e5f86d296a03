//! Those who ask for metrics and health: few, each with one short request, and apart from visitors, whose place and patience
//! they must not cost.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant, SystemTime};

use mio::{Interest, Registry, Token};

use crate::config::control::METRICS_PATH;
use crate::serve::http1;
use crate::serve::http1::{Parsed, Scan};
use crate::serve::listeners::stream::Stream;
use crate::serve::metrics::counters::Board;
use crate::serve::metrics::hosts::Hosts;
use crate::serve::metrics::prometheus;

/// Those who may be there at once; a further one takes the place of the one who came first.
const MAX_INSPECTORS: usize = 16;
/// How long each of them may stay.
const STAY: Duration = Duration::from_secs(5);
/// The longest head.
const MAX_REQUEST: usize = 8 * 1024;
/// The first of their tokens, far beyond those of visitors.
const FIRST: usize = usize::MAX / 2;

/// What is told, and where it is asked for.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The endpoint, by its number.
    pub(crate) endpoint: usize,
    /// The path that says whether workers answer.
    pub(crate) health: Option<String>,
    pub(crate) board: Board,
    pub(crate) hosts: Hosts,
    /// When the daemon was started, in seconds since 1970.
    pub(crate) started: u64,
    /// The announced end.
    pub(crate) until: Option<u64>,
}

impl Inspection {
    /// The descriptors that those need who ask.
    pub(crate) const DESCRIPTORS: usize = MAX_INSPECTORS;
}

/// Those who are there.
pub(crate) struct Inspectors {
    inspection: Inspection,
    all: Vec<Option<Inspector>>,
}

struct Inspector {
    stream: Stream,
    request: Vec<u8>,
    scan: Scan,
    /// What is left of the answer, once there is one.
    answer: Option<Vec<u8>>,
    limit: Instant,
}

impl Inspectors {
    pub(crate) fn new(inspection: Inspection) -> Self {
        let mut all = Vec::new();
        all.resize_with(MAX_INSPECTORS, || None);
        Self { inspection, all }
    }

    pub(crate) const fn endpoint(&self) -> usize {
        self.inspection.endpoint
    }

    /// Takes somebody in.
    pub(crate) fn welcome(&mut self, mut stream: Stream, registry: &Registry, turn: Turn) {
        let free = self.all.iter().position(Option::is_none);
        let oldest = || {
            let limits = self.all.iter().enumerate();
            let limits = limits.filter_map(|(at, one)| Some((one.as_ref()?.limit, at)));
            limits.min().map_or(0, |(_, at)| at)
        };
        let at = free.unwrap_or_else(oldest);
        let both = Interest::READABLE | Interest::WRITABLE;
        if stream
            .watch(registry, Token(FIRST + at), both, false)
            .is_ok()
        {
            self.all[at] = Some(Inspector {
                stream,
                request: Vec::new(),
                scan: Scan::default(),
                answer: None,
                limit: turn.now + STAY,
            });
            // The request may be there already.
            self.attend(at, turn);
        }
    }

    /// Whose event this is, where it is one of theirs.
    pub(crate) fn number(token: Token) -> Option<usize> {
        token.0.checked_sub(FIRST)
    }

    /// Goes on with one of them.
    pub(crate) fn attend(&mut self, at: usize, turn: Turn) {
        let Some(place) = self.all.get_mut(at) else {
            return;
        };
        if let Some(inspector) = place
            && inspector.advance(&self.inspection, turn) == Progress::Over
        {
            *place = None;
        }
    }

    /// Sends those away who have been there too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        for place in &mut self.all {
            if place.as_ref().is_some_and(|one| one.limit <= now) {
                *place = None;
            }
        }
    }

    /// When the next of them has been there too long.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.all.iter().flatten().map(|one| one.limit).min()
    }
}

/// What a turn of the loop is about.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) now: Instant,
    /// The worker is to end, and no other takes its place.
    pub(crate) is_quitting: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Over,
}

impl Inspector {
    /// Reads and writes until the socket blocks.
    fn advance(&mut self, inspection: &Inspection, turn: Turn) -> Progress {
        while self.answer.is_none() {
            let mut buffer = [0; 2048];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Progress::Over,
                Ok(length) => self.request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
                Err(_) => return Progress::Over,
            }
            self.answer = match http1::parse(&self.request, &mut self.scan) {
                Parsed::Partial if self.request.len() < MAX_REQUEST => None,
                Parsed::Partial | Parsed::Refusal(_) => Some(response(
                    "400 Bad Request",
                    TEXT,
                    "",
                    "This is no request.\n",
                    true,
                )),
                Parsed::Request(..) => Some(answer(&self.request, inspection, turn.is_quitting)),
            };
        }
        self.write()
    }

    /// Writes the answer, and closes once it has gone: what is left unread is no more than a body that nobody asked for.
    fn write(&mut self) -> Progress {
        let Some(left) = &mut self.answer else {
            return Progress::Waiting;
        };
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(length @ 1..) => drop(left.drain(..length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
                Ok(0) | Err(_) => return Progress::Over,
            }
        }
        Progress::Over
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The answer to a request.
fn answer(request: &[u8], inspection: &Inspection, is_quitting: bool) -> Vec<u8> {
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
        let Inspection {
            board,
            hosts,
            started,
            until,
            ..
        } = inspection;
        let body = prometheus::render(&board.figures(), hosts, *started, *until);
        response("200 OK", prometheus::CONTENT_TYPE, "", &body, with_body)
    } else if inspection
        .health
        .as_ref()
        .is_some_and(|health| health.as_bytes() == path)
    {
        if is_quitting {
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
