//! The results, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::servers::ServerKind;
use crate::workloads::Goal;

/// The figures of one server in a row.
#[derive(Clone, Debug)]
pub struct Figure {
    pub kind: ServerKind,
    /// One figure for each round.
    pub rounds: Vec<f64>,
    /// Answers a second, if counted.
    pub rates: Vec<f64>,
}

impl Figure {
    pub const fn new(kind: ServerKind) -> Self {
        Self {
            kind,
            rounds: Vec::new(),
            rates: Vec::new(),
        }
    }

    pub fn value(&self) -> f64 {
        median(&self.rounds)
    }
}

/// One measurement of all servers.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub title: String,
    pub unit: &'static str,
    pub figures: Vec<Figure>,
    pub goals: &'static [Goal],
    pub notes: Vec<String>,
}

/// A goal and the figure found.
struct Verdict {
    /// `of nginx`, or empty for an absolute goal.
    of: String,
    found: f64,
    at_most: f64,
}

impl Verdict {
    fn is_met(&self) -> bool {
        self.found <= self.at_most
    }
}

impl Row {
    pub fn new(name: &str, title: &str, unit: &'static str, goals: &'static [Goal]) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            unit,
            figures: Vec::new(),
            goals,
            notes: Vec::new(),
        }
    }

    pub fn figure(&self, kind: ServerKind) -> Option<&Figure> {
        self.figures
            .iter()
            .find(|figure| figure.kind == kind && !figure.rounds.is_empty())
    }

    /// The median of the ratios of each round: noise that affects a whole round cancels out.
    fn ratio(&self, other: ServerKind) -> Option<f64> {
        let (own, other) = (self.figure(ServerKind::Maintd)?, self.figure(other)?);
        let ratios: Vec<f64> = own
            .rounds
            .iter()
            .zip(&other.rounds)
            .map(|(own, other)| own / other)
            .collect();
        Some(median(&ratios))
    }

    /// The goals that can be checked. A server to compare with may be missing.
    fn verdicts(&self) -> Vec<Verdict> {
        let judged = self.goals.iter().filter_map(|goal| match *goal {
            Goal::Of(kind, at_most) => Some(Verdict {
                of: format!("of {}", kind.name()),
                found: self.ratio(kind)?,
                at_most,
            }),
            Goal::AtMost(at_most) => Some(Verdict {
                of: String::new(),
                found: self.figure(ServerKind::Maintd)?.value(),
                at_most,
            }),
        });
        judged.collect()
    }

    fn bare(&self) -> Option<&Figure> {
        self.figure(ServerKind::BareClose)
            .or_else(|| self.figure(ServerKind::BareKeep))
    }

    fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "server": figure.kind.name(),
                    "median": figure.value(),
                    "rounds": figure.rounds,
                    "answers_a_second": figure.rates,
                })
            })
            .collect();
        let verdicts: Vec<Value> = self
            .verdicts()
            .iter()
            .map(|verdict| {
                json!({
                    "against": verdict.of,
                    "found": verdict.found,
                    "at_most": verdict.at_most,
                    "met": verdict.is_met(),
                })
            })
            .collect();
        json!({
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "figures": figures,
            "targets": verdicts,
            "notes": self.notes,
        })
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// Three significant digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All rows, with their goals and whether they are met, then the notes.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.title.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>9}  {:>8}  {:>8}  {:>8}  {:>10}  {:13}  {:>6}  {:>6}\n",
        "", "unit", "maintd", "nginx", "HAProxy", "bare limit", "target", "found", "at most"
    );
    for row in rows {
        let of = |figure: Option<&Figure>| {
            figure.map_or_else(|| "-".to_owned(), |figure| number(figure.value()))
        };
        let start = format!(
            "{:width$}  {:>9}  {:>8}  {:>8}  {:>8}  {:>10}",
            row.title,
            row.unit,
            of(row.figure(ServerKind::Maintd)),
            of(row.figure(ServerKind::Nginx)),
            of(row.figure(ServerKind::Haproxy)),
            of(row.bare())
        );
        let verdicts = row.verdicts();
        if verdicts.is_empty() {
            let _ = writeln!(text, "{start}");
        }
        for (number_of, verdict) in verdicts.iter().enumerate() {
            let start = if number_of == 0 { start.as_str() } else { "" };
            let _ = writeln!(
                text,
                "{start:indent$}  {:13}  {:>6}  {:>7}  {}",
                verdict.of,
                number(verdict.found),
                number(verdict.at_most),
                if verdict.is_met() { "met" } else { "NOT MET" },
                indent = width + 53,
            );
        }
    }
    for row in rows {
        for note in &row.notes {
            let _ = writeln!(text, "\n{}: {note}", row.title);
        }
    }
    text
}

/// The machine, and its load average before the measurements.
pub struct Machine {
    kernel: String,
    processor: String,
    load: String,
}

impl Machine {
    pub fn now() -> Self {
        let line = |path: &str, begin: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let found = text.lines().find(|line| line.starts_with(begin));
            found.unwrap_or_default().to_owned()
        };
        Self {
            kernel: line("/proc/version", "Linux"),
            processor: line("/proc/cpuinfo", "model name"),
            load: line("/proc/loadavg", ""),
        }
    }
}

/// The whole report.
pub fn json(
    rows: &[Row],
    machine: &Machine,
    versions: &[(ServerKind, String)],
    mode: &str,
) -> Value {
    let servers: Vec<Value> = versions
        .iter()
        .map(|(kind, version)| json!({ "server": kind.name(), "version": version }))
        .collect();
    json!({
        "mode": mode,
        "kernel": machine.kernel,
        "processor": machine.processor,
        "load_average_before": machine.load,
        "servers": servers,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}
