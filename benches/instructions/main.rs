//! `cargo bench --bench instructions`: the number of instructions of an answer, counted by valgrind. Unlike a time it is
//! reproducible on a busy machine. The benchmark fails if a number exceeds that in `benches/instructions/counts.txt` by more
//! than 10 %.
//!
//! ```text
//! cargo bench --bench instructions [-- --write]      --write: writes the numbers to counts.txt
//! ```
//!
//! Only the functions whose names begin with `counted_` are counted, in user mode, without system calls. The numbers of TLS
//! depend on the CPU features that valgrind emulates.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints"
)]

#[path = "../../tests/it/common/trusting.rs"]
mod trusting;
mod workload;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use workload::Workload;

/// The permitted growth of a number.
const MARGIN: f64 = 0.10;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--do", name, times] => repeat(name, times).map(|()| true),
        ["--bench"] => compare(),
        ["--write", "--bench"] => count_all()
            .and_then(|counts| fs::write(kept_file(), text(&counts)))
            .map(|()| true),
        ["--list"] | [] => Ok(true),
        _ => Err(io::Error::other("usage: [--write]")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a workload; called under valgrind.
fn repeat(name: &str, times: &str) -> io::Result<()> {
    let times = times.parse().map_err(io::Error::other)?;
    let workload = Workload::ALL
        .into_iter()
        .find(|workload| workload.name() == name);
    workload
        .ok_or_else(|| io::Error::other("no such workload"))?
        .repeat(times)
}

/// Counts, and compares the numbers with those in the file.
fn compare() -> io::Result<bool> {
    let kept = fs::read_to_string(kept_file())?;
    let kept = |name: &str| {
        let value = kept
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.parse::<u64>().ok())
    };
    let mut good = true;
    for (workload, count) in count_all()? {
        let name = workload.name();
        let Some(before) = kept(name) else {
            println!("{name:16} {count:>9}  not in counts.txt; add it by --write");
            good = false;
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        let verdict = if change > MARGIN {
            good = false;
            "MORE INSTRUCTIONS: reduce them, or explain them and update counts.txt by --write"
        } else if change < -MARGIN {
            "fewer: update counts.txt by --write"
        } else {
            ""
        };
        println!(
            "{name:16} {count:>9}  {:+6.1}% of {before:>9}  {verdict}",
            change * 100.0
        );
    }
    Ok(good)
}

fn count_all() -> io::Result<Vec<(Workload, u64)>> {
    Workload::ALL
        .into_iter()
        .map(|workload| {
            let few = count(workload, workload.times())?;
            let more = count(workload, 2 * workload.times())?;
            // The cost of the start is in both.
            let counted = more.saturating_sub(few) / u64::from(workload.times());
            if counted == 0 {
                return Err(io::Error::other(
                    "valgrind has not found the counted functions",
                ));
            }
            Ok((workload, counted))
        })
        .collect()
}

fn text(counts: &[(Workload, u64)]) -> String {
    let mut text =
        "# Instructions in user mode, written by `cargo bench --bench instructions -- --write`.\n"
            .to_owned();
    for (workload, count) in counts {
        let _ = writeln!(text, "{}: {count}", workload.name());
    }
    text
}

fn kept_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/counts.txt")
}

/// The instructions of the counted functions for so many repetitions.
fn count(workload: Workload, times: u32) -> io::Result<u64> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("callgrind");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--toggle-collect=*counted_*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args(["--do", workload.name(), &times.to_string()])
        .stdin(Stdio::null());
    let output = valgrind
        .output()
        .map_err(|error| io::Error::other(format!("cannot run valgrind: {error}; install it")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{valgrind:?}: {stderr}")));
    }
    let text = fs::read_to_string(file)?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse().ok());
    total.ok_or_else(|| io::Error::other("valgrind has printed no total"))
}
