//! `cargo bench --bench flood`: what an answer costs maintd, nginx, HAProxy, and the least that it can cost.
//!
//! ```text
//! cargo bench --bench flood [-- [--quick] [--only WORD]...]
//! ```
//!
//! The figure is the server's own CPU time for each answer, of all of its processes: the load is the first to be at its
//! limit, and rates drift on machines that are not alone. Servers have one CPU, the load another. Compare only what one
//! run has found. The report and its charts go to `target/flood`.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a bench prints, and nobody else uses its parts"
)]

#[cfg(target_os = "linux")]
mod answer;
#[cfg(target_os = "linux")]
mod chart;
#[cfg(target_os = "linux")]
mod configuration;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod pace;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
mod tls;
#[cfg(target_os = "linux")]
#[path = "../../tests/it/common/trusting.rs"]
mod trusting;
#[cfg(target_os = "linux")]
mod workers;
#[cfg(target_os = "linux")]
mod works;

#[cfg(target_os = "linux")]
use run::{failure, main as run};

#[cfg(not(target_os = "linux"))]
fn run() -> std::process::ExitCode {
    eprintln!("flood: it counts by what Linux tells of processes, and runs nowhere else");
    std::process::ExitCode::SUCCESS
}

fn main() -> std::process::ExitCode {
    run()
}
