//! Visitors at a fixed rate, whether the server keeps up or not: the time of an answer counts from when its visitor was
//! meant to come, so a server that makes them wait cannot hide it.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::failure;
use crate::load::{Plan, Visit};

/// With more visitors at once than this the server has been lost long ago.
const MAX_AT_ONCE: usize = 4000;

/// Percentiles of the time to a whole answer, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// Has new visitors come `rate` times a second.
pub fn visit_at_rate(plan: &Plan, rate: f64, time: Duration) -> io::Result<Latency> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut visits: Slab<(Visit, Instant)> = Slab::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut times = Vec::new();
    let between = Duration::from_secs_f64(1.0 / rate);
    let began = Instant::now();
    let mut due = began;
    while due < began + time || !visits.is_empty() {
        if due < began + time && due <= Instant::now() {
            let visit = Visit::open(plan)?;
            visit.stream.set_nonblocking(true)?;
            let source = visit.stream.as_raw_fd();
            let token = Token(visits.insert((visit, due)));
            poll.registry()
                .register(&mut SourceFd(&source), token, Interest::READABLE)?;
            due += between;
        }
        if visits.len() > MAX_AT_ONCE || began.elapsed() > time * 4 {
            return Err(failure("the server does not keep up with half the rate"));
        }
        // Without waiting: this CPU has nothing else to do, and the poll's clock is too coarse.
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            let index = event.token().0;
            let Some((visit, meant)) = visits.get_mut(index) else {
                continue;
            };
            if is_complete(visit, plan, &mut buffer)? {
                times.push(meant.elapsed().as_secs_f64() * 1e6);
                visits.remove(index).0.leave();
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |thousandth: usize| {
        let index = (times.len() * thousandth / 1000).min(times.len().saturating_sub(1));
        times.get(index).copied()
    };
    match (at(500), at(990), at(999)) {
        (Some(p50), Some(p99), Some(p999)) => Ok(Latency { p50, p99, p999 }),
        _ => Err(failure("nobody has come")),
    }
}

/// Reads until there is nothing more, as an edge-triggered poll wants it.
fn is_complete(visit: &mut Visit, plan: &Plan, buffer: &mut [u8]) -> io::Result<bool> {
    loop {
        match visit.step(plan, buffer, true) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
