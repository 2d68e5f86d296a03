//! Prints a plan instead of executing it: its commands for a shell, and its other steps as comments.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::switch::command::{Call, CommandOutput};
use crate::switch::error::SwitchError;
use crate::switch::execute::StepRunner;
use crate::switch::filter::packet_filter::PacketFilter;
use crate::switch::host::Host;
use crate::switch::plan::{Plan, PlanStep};
use crate::switch::text;

/// The lines of a plan.
pub(crate) fn print(plan: &Plan, filter: &dyn PacketFilter) -> String {
    let mut recorder = DryRunHost::default();
    for step in &plan.0 {
        let lines = recorder.0.len();
        if let PlanStep::CheckAnyLive {
            servers,
            is_required: false,
        } = step
        {
            let servers = text::list(servers);
            (recorder.0).push(format!("# warns if none of {servers} accepts connections"));
            continue;
        }
        // A command prints nothing here, so its step may fail.
        let _ = StepRunner::default().run(step, filter, &mut recorder);
        if matches!(step, PlanStep::CheckRedirects { .. }) && recorder.0.len() > lines {
            let line = "# each address that these rules redirect to must answer with 503";
            recorder.0.push(line.to_owned());
        }
    }
    let lines = recorder.0.iter();
    lines.flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// A host that records what a step would do.
#[derive(Default)]
struct DryRunHost(Vec<String>);

impl Host for DryRunHost {
    fn run(&mut self, call: &Call) -> Result<CommandOutput, SwitchError> {
        self.0.push(call.to_string());
        Ok(CommandOutput {
            status: Some(0),
            ..CommandOutput::default()
        })
    }

    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.0.push(format!("# reads {}", path.display()));
        Ok(String::new())
    }

    fn check_page(&mut self, server: SocketAddr) -> Result<(), SwitchError> {
        self.0.push(format!("# {server} must answer with 503"));
        Ok(())
    }

    fn connect(&mut self, server: SocketAddr) -> Result<(), SwitchError> {
        self.0.push(format!("# {server} must accept connections"));
        Ok(())
    }

    fn accepting(&mut self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let list = text::list(servers);
        (self.0).push(format!("# one of {list} must accept connections"));
        servers.to_vec()
    }

    fn is_interrupted(&mut self) -> bool {
        false
    }

    fn sleep(&mut self, _: Duration) {}
}
