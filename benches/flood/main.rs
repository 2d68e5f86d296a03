//! `cargo bench --bench flood`: the CPU time of an answer in maintd, nginx, HAProxy and a bare responder, the lower bound.
//!
//! ```text
//! cargo bench --bench flood [-- [--quick] [--only WORD]...]
//! ```
//!
//! The figure is the CPU time of all processes of a server for each answer. Rates are no measure: the load reaches its limit
//! first, and rates drift on shared machines. Servers have one CPU, the load another. Compare only figures of the same run.
//! The report and its charts are written to `target/flood`.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a bench prints, and its items are used only here"
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
mod workloads;

#[cfg(target_os = "linux")]
use run::main as run;

#[cfg(not(target_os = "linux"))]
fn run() -> std::process::ExitCode {
    eprintln!("flood: it requires the process counters of Linux");
    std::process::ExitCode::SUCCESS
}

fn main() -> std::process::ExitCode {
    run()
}
