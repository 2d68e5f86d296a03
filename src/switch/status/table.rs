//! The status as a table for people.

use std::fmt::Write as _;

use crate::clock;
use crate::switch::filter::packet_filter::{Count, StateUsage};
use crate::switch::status::daemon::{DaemonCounter, DaemonStatus};
use crate::switch::status::format::{prefixed, prefixed_count, rate, until};
use crate::switch::status::query::{ServerCheck, Status, Traffic};
use crate::switch::text;

/// The status as rows of a name and a value.
#[must_use]
pub fn to_table(status: &Status) -> String {
    let mut table = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(table, "{name:<13} {value}");
    };
    let saved = status.saved.as_ref();
    let since = saved.map_or_else(String::new, |saved| {
        let passed = text::length(status.now.saturating_sub(saved.since));
        format!(", since {} ({passed})", clock::terminal(saved.since))
    });
    row("maintenance", &format!("{}{since}", status.state.name()));
    if let Some(end) = saved.and_then(|saved| saved.announcement.until) {
        row("announced", &until(end, status.now));
    }
    if let Some(message) = saved.and_then(|saved| saved.announcement.message.as_deref()) {
        row("message", &text::on_one_line(message));
    }
    if !status.clients.is_empty() {
        let clients = text::clients_with_verb(&status.clients, status.has_obstacle);
        row("moved", &format!("{clients} the page"));
    }
    if !status.clients.is_empty() && !status.clients.except.is_empty() {
        row("excepted", &text::list(&status.clients.except));
    }
    row("on the page", &traffic(&status.page));
    row("on the site", &traffic(&status.live));
    servers(&mut row, "responder", "answers", &status.responders);
    servers(&mut row, "live server", "accepts", &status.live_servers);
    if !status.not_accepting.is_empty() {
        let servers = text::list(&status.not_accepting);
        row("live server", &format!("accepts on none of {servers}"));
    }
    if let StateUsage {
        used: Some(used),
        limit: Some(limit),
    } = status.state_usage
    {
        row("states", &format!("{used} of {limit}"));
    }
    if let Some(daemon) = &status.daemon {
        daemon_rows(&mut row, daemon);
    }
    for warning in &status.warnings {
        row("warning", warning);
    }
    table
}

fn traffic(traffic: &Traffic) -> String {
    let connections = match traffic.connections {
        Some(1) => "1 connection".to_owned(),
        Some(connections) => format!("{connections} connections"),
        None => "an unknown number of connections".to_owned(),
    };
    match traffic.count {
        Some(Count { packets, bytes }) => format!(
            "{connections} now; {packets} packets, {bytes} bytes ({})",
            traffic.label
        ),
        None => format!("{connections} now"),
    }
}

/// One row for all servers that passed, and one for each that failed.
fn servers(row: &mut impl FnMut(&str, &str), name: &str, verb: &str, checks: &[ServerCheck]) {
    let passed: Vec<String> = checks
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(server, _)| server.to_string())
        .collect();
    if !passed.is_empty() {
        row(name, &format!("{verb} on {}", passed.join(", ")));
    }
    for (_, result) in checks {
        if let Err(what) = result {
            row(name, what);
        }
    }
}

fn daemon_rows(row: &mut impl FnMut(&str, &str), daemon: &DaemonStatus) {
    row("daemon", &daemon.title());
    let in_words = |counter: &DaemonCounter| {
        format!(
            "{}/s in the last minute; {} in total",
            rate(counter.rate),
            counter.total
        )
    };
    row("requests", &in_words(&daemon.counter("requests")));
    let connections = in_words(&daemon.counter("connections"));
    let open: u64 = daemon.open().iter().map(|(_, count)| count).sum();
    row("connections", &format!("{connections}; {open} open"));
    let sent = daemon.counter("sent_bytes");
    row(
        "sent",
        &format!(
            "{}B/s in the last minute; {}B in total",
            prefixed(sent.rate),
            prefixed_count(sent.total)
        ),
    );
    for counter in daemon.rejected() {
        row(
            "rejected",
            &format!("{}: {}", counter.name, in_words(&counter)),
        );
    }
    let lost = daemon.counter("lost_lines");
    if lost.total > 0 {
        row("lost", &format!("{} log lines", lost.total));
    }
}
