//! Prints a plan instead of executing it: its commands for a shell, and its other steps as comments.

use std::fmt::Write as _;

use crate::switch::filter::packet_filter::PacketFilter;
use crate::switch::plan::{Plan, Step};
use crate::switch::text;

pub(crate) fn print(plan: &Plan, filter: &dyn PacketFilter) -> String {
    let mut output = String::new();
    for step in &plan.0 {
        for line in lines(step, filter) {
            let _ = writeln!(output, "{line}");
        }
    }
    output
}

fn lines(step: &Step, filter: &dyn PacketFilter) -> Vec<String> {
    match step {
        Step::CheckResponder { server, .. } => vec![format!("# {server} must answer with 503")],
        Step::CheckLive(server) => vec![format!("# {server} must accept connections")],
        Step::CheckAnyLive {
            servers,
            is_required,
        } => {
            let servers = text::list(servers);
            vec![if *is_required {
                format!("# one of {servers} must accept connections")
            } else {
                format!("# warns if none of {servers} accepts connections")
            }]
        }
        Step::CheckEnabled
        | Step::CheckRules { .. }
        | Step::CheckSelectors
        | Step::CheckCapacity
        | Step::CheckRedirects { .. }
        | Step::CheckFirewalls { .. }
        | Step::ReadClients
        | Step::ReplaceClients(_)
        | Step::VerifyRedirected(_)
        | Step::VerifyExcepted(_)
        | Step::VerifyEmpty
        | Step::KillConnections(..)
        | Step::VerifyKilled(..) => filter.dry_run(step),
    }
}
