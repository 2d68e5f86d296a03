//! The measurements. The servers take turns, round after round, so that drift of the machine affects all of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::configuration::Setup;
use crate::load::{AT_ONCE, Client, Limit, Plan, Ring};
use crate::process;
use crate::report::{Figure, Row, median};
use crate::servers::{Port, Server, ServerKind};
use crate::tls::{Settings, TlsProfile};
use crate::workloads::{Goal, IdleLoad, Workload};

/// The extent of the measurements.
#[derive(Clone, Copy)]
pub struct Extent {
    pub rounds: usize,
    /// The duration of one load on one server.
    pub time: Duration,
    /// The rounds in which the time to an answer is measured.
    pub latency_rounds: usize,
    /// The duration of each of them.
    pub latency_time: Duration,
    /// Idle connections whose memory is measured.
    pub idle: usize,
    /// Idle connections that are held while new ones are opened.
    pub held: usize,
    /// Fresh starts of each server.
    pub starts: usize,
    /// The timeout of the whole run.
    pub limit: Duration,
}

/// The most new connections of one load: each needs its own port for a second.
const MAX_NEW: u64 = 20_000;

/// With fewer answers a figure would be too noisy.
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

/// The order of the servers in a round. It is reversed in every round and rotated in every other one, so each server has every
/// position, and none always follows the same one.
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

/// The servers that support a workload, with the result of `prepare`.
pub fn able<'a, T>(
    workload: &Workload,
    servers: &'a [Server],
    row: &mut Row,
    prepare: impl Fn(Plan) -> io::Result<T>,
) -> io::Result<Vec<(&'a Server, T)>> {
    let mut able = Vec::new();
    for server in servers {
        match server.kind {
            ServerKind::Maintd => {}
            ServerKind::BareClose | ServerKind::BareKeep if workload.bare != Some(server.kind) => {
                continue;
            }
            ServerKind::Nginx
            | ServerKind::Haproxy
            | ServerKind::BareClose
            | ServerKind::BareKeep => {}
        }
        match workload.plan(server).and_then(&prepare) {
            Ok(made) => able.push((server, made)),
            Err(error) if server.kind == ServerKind::Maintd => return Err(error),
            Err(error) => row.notes.push(format!(
                "{} does not support it: {error}",
                server.kind.name()
            )),
        }
    }
    row.figures = able
        .iter()
        .map(|(server, _)| Figure::new(server.kind))
        .collect();
    Ok(able)
}

/// The CPU time for each answer of a workload.
pub fn cpu(workload: &Workload, servers: &[Server], extent: Extent) -> io::Result<Row> {
    let mut row = Row::new(workload.name, workload.title, "us of CPU", workload.goals);
    if workload.tls.is_some_and(|profile| !profile.is_supported()) {
        row.notes
            .push("the cryptography of this build does not support it".to_owned());
        return Ok(row);
    }
    let mut able = able(workload, servers, &mut row, |plan| {
        let limit = limit(&plan, extent.time / 4);
        let mut ring = Ring::new(plan.clone(), AT_ONCE)?;
        // Caches, buffers and slabs grow to their size.
        ring.run(limit)?;
        Ok((ring, plan))
    })?;
    // Cheap answers are measured in many short rounds, whose ratios are less affected by the machine's noise.
    let parts = if workload.tls.is_none() { 3 } else { 1 };
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

/// The cost of a new connection while many idle ones are held, as a ratio of its cost without them.
pub fn crowded(workload: &Workload, servers: &[Server], extent: Extent) -> io::Result<Row> {
    let title = format!("{} with {} idle held", workload.title, extent.held);
    let mut row = Row::new("held", &title, "x without", &[Goal::AtMost(1.10)]);
    for server in servers {
        if !matches!(server.kind, ServerKind::Maintd | ServerKind::Nginx) {
            continue;
        }
        let mut figure = Figure::new(server.kind);
        let plan = workload.plan(server)?;
        let idle = Plan::new(server.address(workload.port), None, 1)?;
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

/// Opens idle connections that have had an answer each. They have their own source addresses, one for each thousand, so that
/// they use no port of the load, and a free port is found at once.
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
                let mut client = Client::over(socket.into());
                client.begin(plan)?;
                Ok(client)
            };
            let opened: Vec<Client> = (0..AT_ONCE.min(count - held.len()))
                .map(|_| open())
                .collect::<io::Result<_>>()?;
            for mut client in opened {
                while !client.step(plan, &mut buffer, true)? {}
                // The client's TLS session is not needed any more.
                held.push(client.stream);
            }
        }
    }
    Ok(held)
}

/// Opens connections that have sent half of a ClientHello.
fn hold_half_a_hello(plan: &Plan, count: usize) -> io::Result<Vec<TcpStream>> {
    let settings = Settings::new(TlsProfile::FULL)?;
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

/// The memory of a fresh server for each idle connection.
pub fn memory(
    held: &IdleLoad,
    kinds: &[ServerKind],
    setup: &Setup,
    extent: Extent,
) -> io::Result<Row> {
    let mut row = Row::new(held.name, held.title, "B", held.goals);
    for kind in kinds {
        let mut figure = Figure::new(*kind);
        for _ in 0..extent.starts {
            let server = Server::start(*kind, setup)?;
            let (port, tls) = if held.tls {
                (Port::P256, Some(Settings::new(TlsProfile::FULL)?))
            } else {
                (Port::Clear, None)
            };
            let plan = Plan::new(server.address(port), tls, 1)?;
            // Memory that is allocated once is allocated before.
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

/// The system calls of a new connection by name, counted by strace.
pub fn calls(workload: &Workload, servers: &[Server], setup: &Setup) -> io::Result<Row> {
    let title = "system calls of a new clear connection, by strace";
    let mut row = Row::new("calls-strace", title, "calls", &[Goal::AtMost(5.0)]);
    let able = able(workload, servers, &mut row, Ok)?;
    for (figure, (server, plan)) in row.figures.iter_mut().zip(able) {
        let mut ring = Ring::new(plan, AT_ONCE)?;
        let mut answers = 0.0;
        let counts = process::count_calls(&server.pids, &setup.directory, || {
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

/// The system calls of a new connection, counted by perf at full speed, and so with the true share of the poll.
pub fn calls_by_perf(workload: &Workload, servers: &[Server], at_once: usize) -> io::Result<Row> {
    let title = format!("system calls of a new clear connection, {at_once} at once");
    let goals: &[Goal] = if at_once == AT_ONCE {
        &[Goal::AtMost(5.0)]
    } else {
        &[]
    };
    let mut row = Row::new(&format!("calls-{at_once}"), &title, "calls", goals);
    let able = able(workload, servers, &mut row, Ok)?;
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

/// The time to the first answer, and the memory of a worker after it.
pub fn starts(kinds: &[ServerKind], setup: &Setup, extent: Extent) -> io::Result<[Row; 2]> {
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
            let server = Server::start(*kind, setup)?;
            start.figures[number]
                .rounds
                .push(server.start.as_secs_f64() * 1e3);
            let bytes = process::memory(server.worker(), "Rss")?;
            resident.figures[number].rounds.push(bytes as f64 / 1e6);
        }
    }
    Ok([start, resident])
}
