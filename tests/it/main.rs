//! The integration tests: the program as a child process, its clients, and the systems around it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "clippy.toml allows them in test functions only, not in their helpers"
)]

#[cfg(unix)]
mod control;
#[cfg(target_os = "linux")]
mod logs;
#[cfg(target_os = "linux")]
mod privileges;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
mod visitors;

mod answers;
mod browser;
mod clients;
mod common;
mod config;
mod faults;
mod forms;
mod nginx;
mod packaging;
mod page;
mod service;
mod shipped;
mod sites;
mod switch_config;
mod switch_pf;
mod timeouts;
