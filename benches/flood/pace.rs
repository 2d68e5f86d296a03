//! Visitors at a fixed rate, whether the server keeps up or not: the time of an answer counts from when its visitor was
//! meant to come, so a server that makes them wait cannot hide it.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::failure;
use crate::load::{AT_ONCE, Plan, Ring, Visit};
use crate::measure::{Extent, able, cost, limit, order};
use crate::report::Row;
use crate::servers::Server;
use crate::works::Work;

/// With more visitors at once than this the server has been lost long ago.
const MAX_AT_ONCE: usize = 4000;

/// Percentiles of the time to a whole answer, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// Takes one figure out of many.
type Part = fn(&Latency) -> f64;

const PARTS: [(&str, Part); 3] = [
    ("p50", |latency| latency.p50),
    ("p99", |latency| latency.p99),
    ("p99.9", |latency| latency.p999),
];

/// The time to an answer at half of the rate that the slowest of the servers reaches: the same rate for all of them.
///
/// Machines that others share stand still for some ms now and then, whoever is measured: in every second of short rounds that
/// is the p99 of all servers alike, the bare limit's too, and in long rounds it always is. So rounds are short, and of each
/// server the better half of them is kept.
pub fn latency(work: &Work, servers: &[Server], extent: Extent) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = PARTS
        .iter()
        .map(|(part, _)| {
            let goals = if *part == "p99" { work.goals } else { &[] };
            let title = format!("{part} at half load, {}", work.title);
            Row::new(&format!("{}-{part}", work.name), &title, "us", goals)
        })
        .collect();
    let able = able(work, servers, &mut rows[0], Ok)?;
    let mut slowest = f64::MAX;
    for (server, plan) in &able {
        let mut ring = Ring::new(plan.clone(), AT_ONCE)?;
        let (_, rate) = cost(server, &mut ring, limit(plan, extent.time))?;
        slowest = slowest.min(rate);
    }
    let rate = slowest / 2.0;
    let figures = rows[0].figures.clone();
    for row in &mut rows {
        row.figures.clone_from(&figures);
    }
    let (mut done, mut late) = (0, 0);
    while done < extent.visits {
        let order = order(able.len(), done);
        let Some(round) = visit_all(&able, order, rate, extent.visit)? else {
            late += 1;
            if late > extent.visits {
                return Err(failure("a server does not keep up with half the rate"));
            }
            continue;
        };
        for (number, latency) in round {
            for (row, (_, part)) in rows.iter_mut().zip(PARTS) {
                row.figures[number].rounds.push(part(&latency));
            }
        }
        done += 1;
    }
    for figure in rows.iter_mut().flat_map(|row| &mut row.figures) {
        figure.rounds.sort_by(f64::total_cmp);
        figure.rounds.truncate(extent.visits.div_ceil(2));
    }
    rows[0].notes.push(format!(
        "of the better half of rounds, at {rate:.0} connections a second; rounds made again since a server had not kept up: {late}"
    ));
    Ok(rows)
}

/// One round of all servers; nothing where one of them has not kept up: since each can do twice as much, the machine had
/// other things to do.
fn visit_all(
    able: &[(&Server, Plan)],
    order: impl Iterator<Item = usize>,
    rate: f64,
    time: Duration,
) -> io::Result<Option<Vec<(usize, Latency)>>> {
    let visit = |number: usize| {
        let latency = visit_at_rate(&able[number].1, rate, time)?;
        Ok(latency.map(|latency| (number, latency)))
    };
    order.map(visit).collect()
}

/// Has new visitors come `rate` times a second. Returns nothing where the server does not keep up with that.
fn visit_at_rate(plan: &Plan, rate: f64, time: Duration) -> io::Result<Option<Latency>> {
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
            return Ok(None);
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
        (Some(p50), Some(p99), Some(p999)) => Ok(Some(Latency { p50, p99, p999 })),
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
