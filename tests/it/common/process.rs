//! A running process as `/proc` shows it.

use std::fs;
use std::path::PathBuf;

use crate::common::wait_until;

/// The memory of a process that is resident, in bytes. Unlike `VmRSS`, whose counters each CPU
/// keeps a part of, `smaps_rollup` is exact.
pub(crate) fn resident_bytes(pid: u32) -> usize {
    let text = fs::read_to_string(proc(pid, "smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<usize>().ok()).unwrap() * 1024
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(proc(pid, &format!("task/{pid}/children"))).unwrap();
    text.split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// Waits until a process that has been sent SIGSTOP is stopped.
pub(crate) fn wait_until_stopped(pid: u32) {
    let is_stopped = || {
        let text = fs::read_to_string(proc(pid, "stat")).unwrap();
        text.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    wait_until(is_stopped, "the process has not stopped");
}

/// How many descriptors a process has open.
pub(crate) fn open_descriptors(pid: u32) -> usize {
    fs::read_dir(proc(pid, "fd")).unwrap().count()
}

/// How many sockets a process has open; none once it has ended.
pub(crate) fn open_sockets(pid: u32) -> usize {
    let entries = fs::read_dir(proc(pid, "fd"))
        .into_iter()
        .flatten()
        .flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// A file of a process in `/proc`.
pub(crate) fn proc(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}
