//! The CPU time, memory and system calls of a server's processes, from Linux.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A process and all of its descendants.
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(&parent) = all.get(at) {
        for task in tasks(parent) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            let children = children.split_whitespace();
            all.extend(children.filter_map(|child| child.parse::<u32>().ok()));
        }
        at += 1;
    }
    all
}

fn tasks(pid: u32) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// The CPU time of these processes and their threads in nanoseconds: the first field of `schedstat`.
pub fn cpu_time(pids: &[u32]) -> u64 {
    let threads = pids.iter().flat_map(|pid| tasks(*pid));
    threads
        .filter_map(|task| {
            let text = fs::read_to_string(task.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum()
}

/// Waits until these processes are idle (2 s at most), and returns their CPU time.
pub fn settled_cpu_time(pids: &[u32]) -> u64 {
    let limit = Instant::now() + Duration::from_secs(2);
    let mut before = cpu_time(pids);
    loop {
        thread::sleep(Duration::from_millis(20));
        let now = cpu_time(pids);
        if now == before || Instant::now() > limit {
            return now;
        }
        before = now;
    }
}

/// A line of `smaps_rollup`, in bytes: `Rss`, `Pss`. Unlike `VmRSS`, of which each CPU keeps a part, it is exact.
pub fn memory(pid: u32, line: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let found = text
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|found| found.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| io::Error::other("smaps_rollup has no such line"))? * 1024)
}

/// The proportional memory of these processes (`Pss`): shared pages are counted once.
pub fn all_memory(pids: &[u32]) -> io::Result<u64> {
    pids.iter().map(|pid| memory(*pid, "Pss")).sum()
}

/// Counts the system calls of processes by name while `work` runs.
pub fn count_calls(
    pids: &[u32],
    directory: &Path,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<BTreeMap<String, u64>> {
    let output = directory.join("strace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-c", "-U", "name,calls", "-o"])
        .arg(&output);
    for pid in pids {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("cannot run strace: {error}")))?;
    let stderr = strace
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("no pipe"))?;
    let mut lines = BufReader::new(stderr).lines();
    let attached = pids.iter().all(|_| {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        line.contains("attached")
    });
    let worked = if attached {
        work()
    } else {
        Err(io::Error::other("strace cannot attach to the server"))
    };
    // A call that blocks is counted when it returns.
    interrupt(strace.id());
    strace.wait()?;
    worked?;
    let text = fs::read_to_string(output)?;
    let counts = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let calls = words.next()?.parse().ok()?;
        (name != "total").then(|| (name.to_owned(), calls))
    });
    Ok(counts.collect())
}

/// Counts all system calls of processes without slowing them down, as strace does.
pub fn count_calls_by_perf(pids: &[u32], work: impl FnOnce() -> io::Result<()>) -> io::Result<u64> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let perf = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p"])
        .arg(pids.join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("cannot run perf: {error}")))?;
    // It does not report when it has begun.
    thread::sleep(Duration::from_millis(500));
    let worked = work();
    interrupt(perf.id());
    let output = perf.wait_with_output()?;
    worked?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text
        .lines()
        .find(|line| line.contains("raw_syscalls:sys_enter"))
        .and_then(|line| line.split(',').next()?.parse().ok());
    count.ok_or_else(|| io::Error::other(format!("perf stat: {}", text.trim())))
}

fn interrupt(pid: u32) {
    signal(pid, "INT");
}

/// Sends a signal to a child process that is not reaped.
pub fn signal(pid: u32, name: &str) {
    // The child may have ended already.
    let _ = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}
