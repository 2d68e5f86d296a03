//! More than one worker: what an answer costs then, and whether each has its share.

use std::fs;
use std::io;

use crate::load::{AT_ONCE, Ring};
use crate::measure::{Extent, cost, hold, limit};
use crate::process;
use crate::report::{Figure, Row, median};
use crate::servers::{Kind, Server, Site};
use crate::works::{Goal, Work};

/// The workers of a server that has more than one.
const SEVERAL: u32 = 2;

/// A new connection with two workers of maintd and of nginx, on two CPUs of which the load has one too; and the part of
/// the connections that the busiest worker holds. What one worker of maintd costs in the same place is noted.
pub fn shared(work: &Work, kinds: &[Kind], site: &Site, extent: Extent) -> io::Result<[Row; 2]> {
    let title = format!("{}, {SEVERAL} workers", work.title);
    let mut costs = Row::new("workers", &title, "us of CPU", &[]);
    let title = format!("connections of the busiest of {SEVERAL} workers");
    let mut shares = Row::new("workers-share", &title, "of 1", &[Goal::AtMost(0.60)]);
    let kinds = kinds
        .iter()
        .filter(|kind| matches!(kind, Kind::Maintd | Kind::Nginx));
    let several = kinds.map(|kind| (*kind, SEVERAL));
    let mut servers = Vec::new();
    for (kind, workers) in several.chain([(Kind::Maintd, 1)]) {
        let site = Site {
            cpus: site.all_cpus.clone(),
            workers,
            ..site.clone()
        };
        let server = Server::start(kind, &site)?;
        let plan = work.plan(&server)?;
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
        share.rounds.push(greatest_share(work, &server, extent)?);
        costs.figures.push(figure);
        shares.figures.push(share);
    }
    Ok([costs, shares])
}

/// The part of many held connections that the worker with the most of them has.
fn greatest_share(work: &Work, server: &Server, extent: Extent) -> io::Result<f64> {
    let before = descriptors(server)?;
    let plan = Work { depth: 1, ..*work }.plan(server)?;
    let held = hold(&plan, extent.idle)?;
    process::settled_cpu_time(&server.pids);
    let after = descriptors(server)?;
    let grown = after.iter().zip(before).map(|(after, before)| {
        // A worker has closed what it had open before.
        after.saturating_sub(before)
    });
    let most = grown.max().unwrap_or(0);
    Ok(most as f64 / held.len() as f64)
}

/// What each process of a server has open.
fn descriptors(server: &Server) -> io::Result<Vec<usize>> {
    let open = |pid: &u32| Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count());
    server.pids.iter().map(open).collect()
}
