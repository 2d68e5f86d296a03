//! CPU time and descriptor limits of a running process.

use std::fs;
use std::io;
use std::mem::size_of;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

use crate::common::process::proc;

/// The time that a process has run so far, in user and system mode, in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(proc(pid, "stat")).unwrap();
    // proc(5): the second field is the name in parentheses; utime is the 14th, stime the 15th.
    let (_, rest) = text.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The clock ticks of one second (`USER_HZ`).
pub(crate) fn ticks_a_second() -> u64 {
    // SAFETY: sysconf touches no memory of ours.
    #[expect(unsafe_code, reason = "std does not reach it")]
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap()
}

/// The number that a process's next descriptor will have. Higher ones may be in use, inherited
/// from the parent process.
pub(crate) fn next_descriptor(pid: u32) -> u64 {
    (0..)
        .find(|number| fs::symlink_metadata(proc(pid, &format!("fd/{number}"))).is_err())
        .unwrap()
}

/// Raises this process's descriptor limit to `needed`, the hard one too where that is allowed;
/// returns whether it is as high now.
pub(crate) fn raise_descriptor_limit(needed: u64) -> bool {
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
pub(crate) fn set_soft_descriptor_limit(pid: u32, soft: u64) -> u64 {
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
