//! The status as JSON; maintd(8) describes the members.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::clock;
use crate::config::network::Network;
use crate::switch::status::daemon::DaemonStatus;
use crate::switch::status::query::{ServerCheck, Status, Traffic};

/// The status as one JSON object.
#[must_use]
pub fn to_json(status: &Status) -> String {
    let texts = |networks: &[Network]| networks.iter().map(Network::to_string).collect::<Vec<_>>();
    let time = |seconds: Option<u64>| seconds.map(clock::rfc3339);
    let saved = status.saved.as_ref();
    let traffic = |traffic: &Traffic| {
        json!({
            "label": traffic.label,
            "packets": traffic.count.map(|count| count.packets),
            "bytes": traffic.count.map(|count| count.bytes),
            "connections": traffic.connections,
        })
    };
    let servers = |checks: &[ServerCheck]| -> Vec<Value> {
        let server = |(server, result): &ServerCheck| json!({ "address": server.to_string(), "answers": result.is_ok(), "error": result.as_ref().err() });
        checks.iter().map(server).collect()
    };
    let not_accepting = |server: &SocketAddr| {
        let what = format!("no server accepts connections on {server}");
        (*server, Err(what))
    };
    let not_accepting: Vec<ServerCheck> = status.not_accepting.iter().map(not_accepting).collect();
    let value = json!({
        "state": status.state.name(),
        "backend": status.backend,
        "table": status.table,
        "since": time(saved.map(|saved| saved.since)),
        "until": time(saved.and_then(|saved| saved.announcement.until)),
        "message": saved.and_then(|saved| saved.announcement.message.clone()),
        "entries": texts(&status.clients.entries),
        "except": texts(&status.clients.except),
        "maintenance": traffic(&status.page),
        "normal": traffic(&status.live),
        "responder": servers(&status.responders),
        "live": servers(&[&status.live_servers[..], &not_accepting].concat()),
        "states": { "used": status.state_usage.used, "limit": status.state_usage.limit },
        "warnings": status.warnings,
        "daemon": status.daemon.as_ref().map(DaemonStatus::json),
    });
    format!("{value:#}\n")
}
