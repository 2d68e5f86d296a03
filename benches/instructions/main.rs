//! `cargo bench --bench instructions`: how many instructions an answer takes, as valgrind counts them. Unlike a time it is
//! the same on a busy machine, so it fails where an answer has become dearer by more than a tenth than
//! `benches/instructions/counts.txt` has it.
//!
//! ```text
//! cargo bench --bench instructions [-- --write]      --write: takes the numbers found for those to be kept
//! ```
//!
//! Only maintd's own part is counted, in user mode: the functions whose names begin with `counted_`. The system calls do
//! nothing here. Processors that valgrind shows other abilities have other numbers for cryptography.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints"
)]

#[path = "../../tests/it/common/trusting.rs"]
mod trusting;
mod work;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use work::Work;

/// By how much a number may grow.
const MARGIN: f64 = 0.10;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--do", name, times] => work(name, times).map(|()| true),
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

/// What runs under valgrind.
fn work(name: &str, times: &str) -> io::Result<()> {
    let times = times.parse().map_err(io::Error::other)?;
    let work = Work::ALL.into_iter().find(|work| work.name() == name);
    work.ok_or_else(|| io::Error::other("no such work"))?
        .repeat(times)
}

/// Counts, and holds the numbers against those that are kept.
fn compare() -> io::Result<bool> {
    let kept = fs::read_to_string(kept_file())?;
    let kept = |name: &str| {
        let value = kept
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.parse::<u64>().ok())
    };
    let mut good = true;
    for (work, count) in count_all()? {
        let name = work.name();
        let Some(before) = kept(name) else {
            println!("{name:16} {count:>9}  not in counts.txt; take it up by --write");
            good = false;
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        let verdict = if change > MARGIN {
            good = false;
            "DEARER: make it cheaper, or say why and take it up by --write"
        } else if change < -MARGIN {
            "cheaper: take it up by --write"
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

fn count_all() -> io::Result<Vec<(Work, u64)>> {
    Work::ALL
        .into_iter()
        .map(|work| {
            let few = count(work, work.times())?;
            let more = count(work, 2 * work.times())?;
            // What happens once is in both.
            let counted = more.saturating_sub(few) / u64::from(work.times());
            if counted == 0 {
                return Err(io::Error::other(
                    "valgrind has not found what is to be counted",
                ));
            }
            Ok((work, counted))
        })
        .collect()
}

fn text(counts: &[(Work, u64)]) -> String {
    let mut text =
        "# Instructions in user mode, written by `cargo bench --bench instructions -- --write`.\n"
            .to_owned();
    for (work, count) in counts {
        let _ = writeln!(text, "{}: {count}", work.name());
    }
    text
}

fn kept_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/counts.txt")
}

/// The instructions of the counted functions when a work is done so many times.
fn count(work: Work, times: u32) -> io::Result<u64> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("callgrind");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--toggle-collect=*counted_*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args(["--do", work.name(), &times.to_string()])
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
    total.ok_or_else(|| io::Error::other("valgrind has counted nothing"))
}
