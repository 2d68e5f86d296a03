//! One run of the benchmark, from its arguments to its report.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::answer;
use crate::chart;
use crate::configuration::Setup;
use crate::load::AT_ONCE;
use crate::measure::{self, Extent};
use crate::pace;
use crate::report::{self, Machine, Row};
use crate::servers::{self, Server, ServerKind};
use crate::workers;
use crate::workloads::{IDLE_LOADS, PACED, WORKLOADS};

/// Set to the servers' CPU in the process that is pinned to the load's CPU.
const PINNED: &str = "MAINTD_FLOOD_CPU";

const QUICK: Extent = Extent {
    rounds: 3,
    time: Duration::from_millis(200),
    latency_rounds: 16,
    latency_time: Duration::from_millis(250),
    idle: 3000,
    held: 15_000,
    starts: 1,
    limit: Duration::from_secs(900),
};

const FULL: Extent = Extent {
    rounds: 7,
    time: Duration::from_millis(800),
    latency_rounds: 28,
    latency_time: Duration::from_millis(400),
    idle: 5000,
    held: 15_000,
    starts: 3,
    limit: Duration::from_secs(2400),
};

/// Descriptors for other uses than held connections.
const SPARE: u64 = 500;

pub fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("flood: {wrong}; usage: [--quick] [--only WORD]...");
            return ExitCode::from(2);
        }
    };
    if !arguments.bench {
        println!("flood: run it by `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match pin().and_then(|cpu| run(&arguments, cpu)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    quick: bool,
    only: Vec<String>,
    /// Run by `cargo bench`, not by `cargo test`.
    bench: bool,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => read.quick = true,
                "--bench" => read.bench = true,
                "--only" => read.only.push(words.next().ok_or("--only without WORD")?),
                other => return Err(format!("unknown argument \"{other}\"")),
            }
        }
        Ok(read)
    }

    fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

/// Runs this program again on the last CPU with the hard limit of descriptors. Returns the servers' CPU.
fn pin() -> io::Result<usize> {
    if let Some(cpu) = env::var(PINNED).ok().and_then(|cpu| cpu.parse().ok()) {
        return Ok(cpu);
    }
    let allowed = allowed_cpus()?;
    let (Some(first), Some(last)) = (allowed.first(), allowed.last()) else {
        return Err(io::Error::other("no CPU is allowed"));
    };
    if first == last {
        eprintln!("flood: there is one CPU, so the load disturbs the servers");
    }
    // Soft to hard.
    let error = Command::new("prlimit")
        .args([&format!("--nofile={0}:{0}", hard_limit()?), "taskset", "-c"])
        .arg(last.to_string())
        .arg(env::current_exe()?)
        .args(env::args().skip(1))
        .env(PINNED, first.to_string())
        .exec();
    Err(io::Error::other(format!(
        "prlimit and taskset of util-linux are needed: {error}"
    )))
}

fn allowed_cpus() -> io::Result<Vec<usize>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let list = text
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or("0");
    let mut all = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            all.extend(first..=last);
        }
    }
    Ok(all)
}

fn hard_limit() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(hard.and_then(|hard| hard.parse().ok()).unwrap_or(1 << 20))
}

fn run(arguments: &Arguments, cpu: usize) -> io::Result<()> {
    let mut extent = if arguments.quick { QUICK } else { FULL };
    let began = Instant::now();
    let machine = Machine::now();
    let descriptors = hard_limit()?.min(20_000);
    let room = usize::try_from(descriptors.saturating_sub(SPARE)).unwrap_or(0);
    if room < extent.held {
        eprintln!("flood: {descriptors} descriptors, so only {room} connections are held");
        extent.held = room;
        extent.idle = extent.idle.min(room);
    }

    let directory = TempDir::new()?;
    let files = directory.path().to_owned();
    thread::spawn(move || {
        thread::sleep(extent.limit);
        eprintln!("flood: timeout after {:?}", extent.limit);
        let _ = fs::remove_dir_all(files);
        // The servers end with this process.
        std::process::exit(1);
    });
    let setup = set_up(directory.path(), cpu, descriptors)?;
    let mut versions = Vec::new();
    for kind in ServerKind::ALL {
        match kind.version() {
            Some(version) => versions.push((kind, version)),
            None => eprintln!(
                "flood: MISSING: {}, for {} is not installed",
                kind.name(),
                kind.program()
            ),
        }
    }
    let kinds: Vec<ServerKind> = versions.iter().map(|(kind, _)| *kind).collect();
    let rows = measure_all(arguments, &kinds, &setup, extent)?;
    println!("{}", report::table(&rows));
    let mode = if arguments.quick { "quick" } else { "full" };
    let json = report::json(&rows, &machine, &versions, mode);
    write_report(&rows, &format!("{json:#}\n"))?;
    println!("{mode}: {} s", began.elapsed().as_secs());
    Ok(())
}

/// Writes the files that the servers read. Their workers may run as another user.
fn set_up(directory: &Path, cpu: usize, descriptors: u64) -> io::Result<Setup> {
    let pages = directory.join("site");
    fs::create_dir(&pages)?;
    fs::create_dir(directory.join("temp"))?;
    fs::write(pages.join("maintenance.html"), answer::page())?;
    fs::write(directory.join("answer"), answer::of_the_bare_limit())?;
    for path in [directory, &pages] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    servers::prepare(directory)?;
    let own: Vec<String> = allowed_cpus()?.iter().map(usize::to_string).collect();
    Ok(Setup {
        directory: directory.to_owned(),
        all_cpus: format!("{cpu},{}", own.join(",")),
        cpus: cpu.to_string(),
        workers: 1,
        descriptors,
        request_length: answer::KEEP.len(),
    })
}

fn measure_all(
    arguments: &Arguments,
    kinds: &[ServerKind],
    setup: &Setup,
    extent: Extent,
) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        eprintln!("flood: measured: {}", row.title);
        rows.push(row);
    };
    let servers: Vec<Server> = kinds
        .iter()
        .map(|kind| Server::start(*kind, setup))
        .collect::<io::Result<_>>()?;
    for workload in WORKLOADS
        .iter()
        .filter(|workload| arguments.includes(workload.name))
    {
        add(measure::cpu(workload, &servers, extent)?);
    }
    let new = &WORKLOADS[0];
    if arguments.includes("held") {
        add(measure::crowded(new, &servers, extent)?);
    }
    if arguments.includes("calls") {
        // A machine may forbid these; the other measurements continue.
        let counted = [
            measure::calls(new, &servers, setup),
            measure::calls_by_perf(new, &servers, AT_ONCE),
            measure::calls_by_perf(new, &servers, 1),
        ];
        for row in counted {
            match row {
                Ok(row) => add(row),
                Err(error) => eprintln!("flood: MISSING: system calls: {error}"),
            }
        }
    }
    for workload in PACED
        .iter()
        .filter(|workload| arguments.includes(workload.name))
    {
        pace::latency(workload, &servers, extent)?
            .into_iter()
            .for_each(&mut add);
    }
    drop(servers);
    let alone: Vec<ServerKind> = kinds
        .iter()
        .copied()
        .filter(|kind| !matches!(kind, ServerKind::BareClose | ServerKind::BareKeep))
        .collect();
    for held in IDLE_LOADS
        .iter()
        .filter(|held| arguments.includes(held.name))
    {
        add(measure::memory(held, &alone, setup, extent)?);
    }
    if arguments.includes("workers") {
        workers::shared(new, &alone, setup, extent)?
            .into_iter()
            .for_each(&mut add);
    }
    if arguments.includes("start") || arguments.includes("resident") {
        measure::starts(&alone, setup, extent)?
            .into_iter()
            .for_each(&mut add);
    }
    Ok(rows)
}

/// Whether a row belongs to a chart.
type RowFilter = fn(&Row) -> bool;

fn write_report(rows: &[Row], json: &str) -> io::Result<()> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let directory = target.join("flood");
    fs::create_dir_all(&directory)?;
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).map(|()| println!("wrote {}", path.display()))
    };
    write("report.json", json)?;
    let charts: [(&str, &str, RowFilter); 5] = [
        (
            "clear.svg",
            "CPU time of an answer, clear, in microseconds",
            |row| row.unit == "us of CPU" && !row.name.starts_with("tls"),
        ),
        (
            "tls.svg",
            "CPU time of an answer, TLS, in microseconds",
            |row| row.unit == "us of CPU" && row.name.starts_with("tls"),
        ),
        ("memory.svg", "Memory of a connection, in bytes", |row| {
            row.unit == "B"
        }),
        (
            "latency.svg",
            "Time to a complete answer at half load, in microseconds",
            |row| row.unit == "us",
        ),
        ("calls.svg", "System calls of a connection", |row| {
            row.unit == "calls"
        }),
    ];
    for (name, title, filter) in charts {
        let rows: Vec<&Row> = rows.iter().filter(|row| filter(row)).collect();
        if !rows.is_empty() {
            write(name, &chart::bars(title, &rows))?;
        }
    }
    Ok(())
}
