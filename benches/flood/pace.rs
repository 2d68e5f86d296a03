//! Latency at a fixed rate of new connections. The time of an answer counts from the moment its connection was due, so a
//! server that delays connections cannot hide it (coordinated omission).

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::load::{AT_ONCE, Client, Plan, Ring};
use crate::measure::{Extent, able, cost, limit, order};
use crate::report::Row;
use crate::servers::Server;
use crate::workloads::Workload;

/// With more concurrent connections than this the server does not keep up.
const MAX_AT_ONCE: usize = 4000;

/// Percentiles of the time to a complete answer, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// Selects one percentile.
type Percentile = fn(&Latency) -> f64;

const PERCENTILES: [(&str, Percentile); 3] = [
    ("p50", |latency| latency.p50),
    ("p99", |latency| latency.p99),
    ("p99.9", |latency| latency.p999),
];

/// The time to an answer at half the rate that the slowest server reaches. The rate is the same for all servers.
///
/// A shared machine stalls for some ms now and then. In every second of short rounds, and in every long round, that stall is
/// the p99 of all servers, the bare limit included. So rounds are short, and the better half of them is kept for each server.
pub fn latency(workload: &Workload, servers: &[Server], extent: Extent) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = PERCENTILES
        .iter()
        .map(|(part, _)| {
            let goals = if *part == "p99" { workload.goals } else { &[] };
            let title = format!("{part} at half load, {}", workload.title);
            Row::new(&format!("{}-{part}", workload.name), &title, "us", goals)
        })
        .collect();
    let able = able(workload, servers, &mut rows[0], Ok)?;
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
    while done < extent.latency_rounds {
        let order = order(able.len(), done);
        let Some(round) = measure_round(&able, order, rate, extent.latency_time)? else {
            late += 1;
            if late > extent.latency_rounds {
                return Err(io::Error::other(
                    "a server does not keep up with half of its rate",
                ));
            }
            continue;
        };
        for (number, latency) in round {
            for (row, (_, part)) in rows.iter_mut().zip(PERCENTILES) {
                row.figures[number].rounds.push(part(&latency));
            }
        }
        done += 1;
    }
    for figure in rows.iter_mut().flat_map(|row| &mut row.figures) {
        figure.rounds.sort_by(f64::total_cmp);
        figure.rounds.truncate(extent.latency_rounds.div_ceil(2));
    }
    rows[0].notes.push(format!(
        "of the better half of rounds, at {rate:.0} connections a second; rounds repeated because a server did not keep up: {late}"
    ));
    Ok(rows)
}

/// One round of all servers. `None` if one of them did not keep up: since each can do twice as much, the machine was busy.
fn measure_round(
    able: &[(&Server, Plan)],
    order: impl Iterator<Item = usize>,
    rate: f64,
    time: Duration,
) -> io::Result<Option<Vec<(usize, Latency)>>> {
    let measure = |number: usize| {
        let latency = connect_at_rate(&able[number].1, rate, time)?;
        Ok(latency.map(|latency| (number, latency)))
    };
    order.map(measure).collect()
}

/// Opens `rate` connections a second. Returns `None` if the server does not keep up.
fn connect_at_rate(plan: &Plan, rate: f64, time: Duration) -> io::Result<Option<Latency>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut clients: Slab<(Client, Instant)> = Slab::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut times = Vec::new();
    let between = Duration::from_secs_f64(1.0 / rate);
    let began = Instant::now();
    let mut due = began;
    while due < began + time || !clients.is_empty() {
        if due < began + time && due <= Instant::now() {
            let client = Client::open(plan)?;
            client.stream.set_nonblocking(true)?;
            let source = client.stream.as_raw_fd();
            let token = Token(clients.insert((client, due)));
            poll.registry()
                .register(&mut SourceFd(&source), token, Interest::READABLE)?;
            due += between;
        }
        if clients.len() > MAX_AT_ONCE || began.elapsed() > time * 4 {
            return Ok(None);
        }
        // Busy polling: this CPU is idle otherwise, and the clock of the poll is too coarse.
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            let index = event.token().0;
            let Some((client, due)) = clients.get_mut(index) else {
                continue;
            };
            if is_complete(client, plan, &mut buffer)? {
                times.push(due.elapsed().as_secs_f64() * 1e6);
                clients.remove(index).0.close();
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
        _ => Err(io::Error::other("no connection was made")),
    }
}

/// Reads until `WouldBlock`, as edge-triggered polling requires.
fn is_complete(client: &mut Client, plan: &Plan, buffer: &mut [u8]) -> io::Result<bool> {
    loop {
        match client.step(plan, buffer, true) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
