//! What Linux tells of a running process, and the descriptor limits of it and of this one.

use std::fs;
use std::io;
use std::mem::size_of;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// The memory of a process that is resident, in bytes. Unlike `VmRSS`, whose counters each CPU
/// keeps a part of, `smaps_rollup` is exact.
pub fn resident_bytes(pid: u32) -> usize {
    let text = fs::read_to_string(proc(pid, "smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<usize>().ok()).unwrap() * 1024
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(proc(pid, &format!("task/{pid}/children"))).unwrap();
    text.split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// The time that a process has run so far, in user and system mode, in clock ticks.
pub fn cpu_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(proc(pid, "stat")).unwrap();
    // proc(5): the second field is the name in parentheses; utime is the 14th, stime the 15th.
    let (_, rest) = text.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The clock ticks of one second (`USER_HZ`).
pub fn ticks_a_second() -> u64 {
    // SAFETY: sysconf touches no memory of ours.
    #[expect(unsafe_code, reason = "std does not reach it")]
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap()
}

/// Waits (20 s at most) until a process that has been sent SIGSTOP is stopped.
pub fn wait_until_stopped(pid: u32) {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(proc(pid, "stat")).unwrap();
        if text.rsplit_once(") ").unwrap().1.starts_with('T') {
            return;
        }
        assert!(Instant::now() < limit, "process {pid} has not stopped");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How many descriptors a process has open.
pub fn open_descriptors(pid: u32) -> usize {
    fs::read_dir(proc(pid, "fd")).unwrap().count()
}

/// How many sockets a process has open; none once it has ended.
pub fn open_sockets(pid: u32) -> usize {
    let entries = fs::read_dir(proc(pid, "fd"))
        .into_iter()
        .flatten()
        .flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// The number that a process's next descriptor will have. Those above it may be in use, inherited
/// from whoever started the tests.
pub fn next_descriptor(pid: u32) -> u64 {
    (0..)
        .find(|number| fs::symlink_metadata(proc(pid, &format!("fd/{number}"))).is_err())
        .unwrap()
}

fn proc(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// Raises this process's descriptor limit to `needed`, the hard one too where that is allowed;
/// returns whether it is as high now.
pub fn raise_descriptor_limit(needed: u64) -> bool {
    let limit = descriptor_limit(0, None).unwrap();
    if limit.rlim_cur >= needed {
        return true;
    }
    let raised = libc::rlimit {
        rlim_cur: needed,
        rlim_max: limit.rlim_max.max(needed),
    };
    descriptor_limit(0, Some(raised)).is_ok()
}

/// Sets the soft descriptor limit of a running process and returns the one before. It is done as the process's own user:
/// over another's even root has no power everywhere (`CAP_SYS_RESOURCE`).
pub fn set_soft_descriptor_limit(pid: u32, soft: u64) -> u64 {
    let word = |file: &str, line: &str| -> String {
        let text = fs::read_to_string(proc(pid, file)).unwrap();
        let values = text.lines().find_map(|found| found.strip_prefix(line));
        let value = values.and_then(|values| values.split_whitespace().next());
        value.unwrap().to_owned()
    };
    let before = word("limits", "Max open files").parse().unwrap();
    let set = Command::new("prlimit")
        .uid(word("status", "Uid:").parse().unwrap())
        .gid(word("status", "Gid:").parse().unwrap())
        .args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")])
        .status()
        .unwrap();
    assert!(set.success(), "prlimit: {set}");
    before
}

/// prlimit(2); process 0 is this one. Returns the limit before.
fn descriptor_limit(pid: u32, new: Option<libc::rlimit>) -> io::Result<libc::rlimit> {
    const { assert!(size_of::<libc::rlimit>() == size_of::<libc::rlimit64>()) };
    let pid = libc::pid_t::try_from(pid).unwrap();
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `new` is null or points to one rlimit, and `old` is one, for the whole call.
    #[expect(unsafe_code, reason = "std knows no limits")]
    let status = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, new, &raw mut old) };
    if status == 0 {
        Ok(old)
    } else {
        Err(io::Error::last_os_error())
    }
}
