//! The measurements: each server in its turn, round after round, so that what drifts on the machine hits all of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::load::{AT_ONCE, Limit, Plan, Ring, Visit};
use crate::process;
use crate::report::{Figure, Row, median};
use crate::servers::{Kind, Port, Server, Site};
use crate::tls::{Settings, Wish};
use crate::works::{Goal, Held, Work};

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Extent {
    pub rounds: usize,
    /// Of one load on one server.
    pub time: Duration,
    /// The rounds in which the time to an answer is measured.
    pub visits: usize,
    /// How long visitors come in each of them.
    pub visit: Duration,
    /// Idle connections whose memory is measured.
    pub idle: usize,
    /// Idle connections that are held while others come.
    pub held: usize,
    /// Fresh starts of each server.
    pub starts: usize,
    /// The end, whatever hangs.
    pub limit: Duration,
}

/// New connections of one load: each needs a port of its own for a second.
const MAX_NEW: u64 = 20_000;

/// Fewer answers tell nothing, should the machine have had other things to do.
const LEAST: u64 = 1000;

pub fn limit(plan: &Plan, time: Duration) -> Limit {
    let most = if plan.depth == 0 { MAX_NEW } else { u64::MAX };
    let least = LEAST;
    Limit { time, least, most }
}

/// The CPU time of one answer in microseconds, and the answers a second.
pub fn cost(server: &Server, ring: &mut Ring, limit: Limit) -> io::Result<(f64, f64)> {
    let before = process::settled_cpu_time(&server.pids);
    let outcome = ring.run(limit)?;
    let spent = process::settled_cpu_time(&server.pids) - before;
    Ok((
        spent as f64 / 1000.0 / outcome.answers as f64,
        outcome.answers as f64 / outcome.elapsed.as_secs_f64(),
    ))
}

/// The order of so many servers in a round. With each it turns around, and with each pair another one is the first: so each has
/// every place, and nobody always comes after the same one.
pub fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| {
        let at = (at + round / 2) % count;
        if round.is_multiple_of(2) {
            at
        } else {
            count - 1 - at
        }
    })
}

/// Those servers that can do a work, with what `prepare` makes of them.
pub fn able<'a, T>(
    work: &Work,
    servers: &'a [Server],
    row: &mut Row,
    prepare: impl Fn(Plan) -> io::Result<T>,
) -> io::Result<Vec<(&'a Server, T)>> {
    let mut able = Vec::new();
    for server in servers {
        match server.kind {
            Kind::Maintd => {}
            Kind::BareClose | Kind::BareKeep if work.bare != Some(server.kind) => continue,
            Kind::Nginx | Kind::Haproxy | Kind::BareClose | Kind::BareKeep => {}
        }
        match work.plan(server).and_then(&prepare) {
            Ok(made) => able.push((server, made)),
            Err(error) if server.kind == Kind::Maintd => return Err(error),
            Err(error) => row
                .notes
                .push(format!("{} cannot do it: {error}", server.kind.name())),
        }
    }
    row.figures = able
        .iter()
        .map(|(server, _)| Figure::new(server.kind))
        .collect();
    Ok(able)
}

/// The CPU time for each answer of a work.
pub fn cpu(work: &Work, servers: &[Server], extent: Extent) -> io::Result<Row> {
    let mut row = Row::new(work.name, work.title, "us of CPU", work.goals);
    if work.tls.is_some_and(|wish| !wish.is_known()) {
        row.notes
            .push("this build's cryptography does not know it".to_owned());
        return Ok(row);
    }
    let mut able = able(work, servers, &mut row, |plan| {
        let limit = limit(&plan, extent.time / 4);
        let mut ring = Ring::new(plan.clone(), AT_ONCE)?;
        // Caches, buffers and slabs take their size.
        ring.run(limit)?;
        Ok((ring, plan))
    })?;
    // What costs little is measured in many short rounds: their ratios leave more of the machine's moods out.
    let parts = if work.tls.is_none() { 3 } else { 1 };
    let time = extent.time / parts;
    for round in 0..extent.rounds * parts as usize {
        for number in order(able.len(), round) {
            let (server, (ring, plan)) = &mut able[number];
            let (cost, rate) = cost(server, ring, limit(plan, time))?;
            row.figures[number].rounds.push(cost);
            row.figures[number].rates.push(rate);
        }
    }
    Ok(row)
}

/// What a new connection costs while many idle ones are held, as a share of what it costs without them.
pub fn crowded(work: &Work, servers: &[Server], extent: Extent) -> io::Result<Row> {
    let title = format!("{} with {} idle held", work.title, extent.held);
    let mut row = Row::new("held", &title, "x without", &[Goal::AtMost(1.10)]);
    for server in servers {
        if !matches!(server.kind, Kind::Maintd | Kind::Nginx) {
            continue;
        }
        let mut figure = Figure::new(server.kind);
        let plan = work.plan(server)?;
        let idle = Plan::new(server.address(work.port), None, 1)?;
        let mut ring = Ring::new(plan.clone(), AT_ONCE)?;
        ring.run(limit(&plan, extent.time / 4))?;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..extent.rounds {
            without.push(cost(server, &mut ring, limit(&plan, extent.time))?.0);
            let held = hold(&idle, extent.held)?;
            with.push(cost(server, &mut ring, limit(&plan, extent.time))?.0);
            drop(held);
        }
        let shares = with
            .iter()
            .zip(&without)
            .map(|(with, without)| with / without);
        figure.rounds = shares.collect();
        row.notes.push(format!(
            "{}: {:.2} us without, {:.2} us with them",
            server.kind.name(),
            median(&without),
            median(&with)
        ));
        row.figures.push(figure);
    }
    Ok(row)
}

/// Connections that have had an answer each and stay. They come from addresses of their own, a new one for each thousand,
/// so that they take no port from those who come and go, and none is looked for in vain.
pub fn hold(plan: &Plan, count: usize) -> io::Result<Vec<TcpStream>> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let mut buffer = vec![0; 64 * 1024];
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0));
        for _ in 0..1000_usize.min(count - held.len()).div_ceil(AT_ONCE) {
            let open = || {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                socket.bind(&address.into())?;
                socket.connect(&plan.address.into())?;
                let mut visit = Visit::over(socket.into());
                visit.begin(plan)?;
                Ok(visit)
            };
            let opened: Vec<Visit> = (0..AT_ONCE.min(count - held.len()))
                .map(|_| open())
                .collect::<io::Result<_>>()?;
            for mut visit in opened {
                while !visit.step(plan, &mut buffer, true)? {}
                // The client's own session is of no use any more.
                held.push(visit.stream);
            }
        }
    }
    Ok(held)
}

/// Connections that have sent half of a ClientHello.
fn hold_half_a_hello(plan: &Plan, count: usize) -> io::Result<Vec<TcpStream>> {
    let settings = Settings::new(Wish::FULL)?;
    let mut hello = Vec::new();
    settings.session()?.write_tls(&mut hello)?;
    hello.truncate(hello.len() / 2);
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(plan.address)?;
            io::Write::write_all(&mut stream, &hello)?;
            Ok(stream)
        })
        .collect()
}

/// The memory that a fresh server takes for each connection of a kind.
pub fn memory(held: &Held, kinds: &[Kind], site: &Site, extent: Extent) -> io::Result<Row> {
    let mut row = Row::new(held.name, held.title, "B", held.goals);
    for kind in kinds {
        let mut figure = Figure::new(*kind);
        for _ in 0..extent.starts {
            let server = Server::start(*kind, site)?;
            let (port, tls) = if held.tls {
                (Port::P256, Some(Settings::new(Wish::FULL)?))
            } else {
                (Port::Clear, None)
            };
            let plan = Plan::new(server.address(port), tls, 1)?;
            // What is taken once is taken before.
            Ring::new(plan.clone(), AT_ONCE)?.run(Limit {
                time: extent.time,
                least: LEAST,
                most: LEAST,
            })?;
            process::settled_cpu_time(&server.pids);
            let before = process::all_memory(&server.pids)?;
            let all = if held.half {
                hold_half_a_hello(&plan, extent.idle)?
            } else {
                hold(&plan, extent.idle)?
            };
            process::settled_cpu_time(&server.pids);
            let grown = process::all_memory(&server.pids)? as f64 - before as f64;
            figure.rounds.push(grown / all.len() as f64);
        }
        row.figures.push(figure);
    }
    row.notes
        .push(format!("{} of them, Pss of all processes", extent.idle));
    Ok(row)
}

/// The system calls of a new connection, as strace counts them by their names.
pub fn calls(work: &Work, servers: &[Server], site: &Site) -> io::Result<Row> {
    let title = "system calls of a new clear connection, by strace";
    let mut row = Row::new("calls-strace", title, "calls", &[Goal::AtMost(5.0)]);
    let able = able(work, servers, &mut row, Ok)?;
    for (figure, (server, plan)) in row.figures.iter_mut().zip(able) {
        let mut ring = Ring::new(plan, AT_ONCE)?;
        let mut answers = 0.0;
        let counts = process::count_calls(&server.pids, &site.directory, || {
            answers = ring.run(COUNTED)?.answers as f64;
            Ok(())
        })?;
        figure
            .rounds
            .push(counts.values().sum::<u64>() as f64 / answers);
        let counts: Vec<String> = counts
            .iter()
            .map(|(call, count)| format!("{call} {:.2}", *count as f64 / answers))
            .collect();
        row.notes
            .push(format!("{}: {}", server.kind.name(), counts.join(", ")));
    }
    Ok(row)
}

/// The same by perf, at full speed, and so with the poll's true share.
pub fn calls_by_perf(work: &Work, servers: &[Server], at_once: usize) -> io::Result<Row> {
    let title = format!("system calls of a new clear connection, {at_once} at once");
    let goals: &[Goal] = if at_once == AT_ONCE {
        &[Goal::AtMost(5.0)]
    } else {
        &[]
    };
    let mut row = Row::new(&format!("calls-{at_once}"), &title, "calls", goals);
    let able = able(work, servers, &mut row, Ok)?;
    for (figure, (server, plan)) in row.figures.iter_mut().zip(able) {
        let mut ring = Ring::new(plan, at_once)?;
        let mut answers = 0.0;
        let count = process::count_calls_by_perf(&server.pids, || {
            answers = ring.run(COUNTED)?.answers as f64;
            Ok(())
        })?;
        figure.rounds.push(count as f64 / answers);
    }
    Ok(row)
}

/// The load whose system calls are counted.
const COUNTED: Limit = Limit {
    time: Duration::from_secs(2),
    least: 2000,
    most: 2000,
};

/// The time to the first answer, and the memory of a worker that has given no more than that.
pub fn starts(kinds: &[Kind], site: &Site, extent: Extent) -> io::Result<[Row; 2]> {
    let mut start = Row::new(
        "start",
        "start to first answer",
        "ms",
        &[Goal::AtMost(60.0)],
    );
    let mut resident = Row::new(
        "resident",
        "resident memory of an idle worker",
        "MB",
        &[Goal::AtMost(6.0)],
    );
    start.figures = kinds.iter().map(|kind| Figure::new(*kind)).collect();
    resident.figures.clone_from(&start.figures);
    for _ in 0..extent.starts * 3 {
        for (number, kind) in kinds.iter().enumerate() {
            let server = Server::start(*kind, site)?;
            start.figures[number]
                .rounds
                .push(server.start.as_secs_f64() * 1e3);
            let bytes = process::memory(server.worker(), "Rss")?;
            resident.figures[number].rounds.push(bytes as f64 / 1e6);
        }
    }
    Ok([start, resident])
}
