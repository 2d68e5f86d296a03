//! Several workers: the CPU time of an answer, and the distribution of connections.

use std::fs;
use std::io;

use crate::configuration::Setup;
use crate::load::{AT_ONCE, Ring};
use crate::measure::{Extent, cost, hold, limit};
use crate::process;
use crate::report::{Figure, Row, median};
use crate::servers::{Server, ServerKind};
use crate::workloads::{Goal, Workload};

/// The number of workers.
const SEVERAL: u32 = 2;

/// The cost of a new connection with two workers of maintd and of nginx on two CPUs, one of which the load uses too, and the
/// share of connections that the busiest worker holds. A note has the cost with one worker of maintd on the same CPUs.
pub fn shared(
    workload: &Workload,
    kinds: &[ServerKind],
    setup: &Setup,
    extent: Extent,
) -> io::Result<[Row; 2]> {
    let title = format!("{}, {SEVERAL} workers", workload.title);
    let mut costs = Row::new("workers", &title, "us of CPU", &[]);
    let title = format!("connections of the busiest of {SEVERAL} workers");
    let mut shares = Row::new("workers-share", &title, "of 1", &[Goal::AtMost(0.60)]);
    let kinds = kinds
        .iter()
        .filter(|kind| matches!(kind, ServerKind::Maintd | ServerKind::Nginx));
    let several = kinds.map(|kind| (*kind, SEVERAL));
    let mut servers = Vec::new();
    for (kind, workers) in several.chain([(ServerKind::Maintd, 1)]) {
        let setup = Setup {
            cpus: setup.all_cpus.clone(),
            workers,
            ..setup.clone()
        };
        let server = Server::start(kind, &setup)?;
        let plan = workload.plan(&server)?;
        let mut ring = Ring::new(plan.clone(), AT_ONCE)?;
        ring.run(limit(&plan, extent.time / 4))?;
        servers.push((server, plan, ring, Figure::new(kind)));
    }
    for _ in 0..extent.rounds {
        for (server, plan, ring, figure) in &mut servers {
            let (cost, rate) = cost(server, ring, limit(plan, extent.time))?;
            figure.rounds.push(cost);
            figure.rates.push(rate);
        }
    }
    if let Some((.., alone)) = servers.pop() {
        let rate = median(&alone.rates);
        costs.notes.push(format!(
            "one worker of maintd: {:.2} us, {rate:.0} answers a second",
            alone.value()
        ));
    }
    for (server, _, _, figure) in servers {
        let (name, rate) = (server.kind.name(), median(&figure.rates));
        let note = format!("{name}: {rate:.0} answers a second");
        costs.notes.push(note);
        let mut share = Figure::new(server.kind);
        share
            .rounds
            .push(greatest_share(workload, &server, extent)?);
        costs.figures.push(figure);
        shares.figures.push(share);
    }
    Ok([costs, shares])
}

/// The share of many held connections that the busiest worker has.
fn greatest_share(workload: &Workload, server: &Server, extent: Extent) -> io::Result<f64> {
    let before = descriptors(server)?;
    let plan = Workload {
        depth: 1,
        ..*workload
    }
    .plan(server)?;
    let held = hold(&plan, extent.idle)?;
    process::settled_cpu_time(&server.pids);
    let after = descriptors(server)?;
    let grown = after.iter().zip(before).map(|(after, before)| {
        // Connections open before may be closed by now.
        after.saturating_sub(before)
    });
    let most = grown.max().unwrap_or(0);
    Ok(most as f64 / held.len() as f64)
}

/// The number of open descriptors of each process of a server.
fn descriptors(server: &Server) -> io::Result<Vec<usize>> {
    let open = |pid: &u32| Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count());
    server.pids.iter().map(open).collect()
}
