//! What the running daemon tells of itself, and how people read that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock;
use crate::config::{Config, ControlSocket};
use crate::control::{Failure, Reply, Request, ask};
use crate::switch::filter::means::Tools;
use crate::switch::text;
use crate::window::Window;

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The closes by which somebody was turned away, and what they are called.
const TURNED_AWAY: [(&str, &str); 7] = [
    ("tls_fault", "TLS faults"),
    ("handshake_timeout", "slow handshakes"),
    ("head_timeout", "slow heads"),
    ("body_timeout", "slow bodies"),
    ("write_timeout", "slow readers"),
    ("evicted", "full house"),
    ("broken", "broken"),
];

/// The daemon's control socket.
pub(crate) fn socket(config: &Config, tools: &Tools) -> PathBuf {
    match &config.control {
        ControlSocket::At(path) => path.clone(),
        ControlSocket::Closed | ControlSocket::Default => tools.control.clone(),
    }
}

/// What the daemon tells, as it tells it.
#[derive(Clone, Debug)]
pub(crate) struct Daemon(Value);

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// In a second, over the last minute.
    pub(crate) rate: f64,
    pub(crate) total: u64,
}

impl Daemon {
    /// Asks it.
    ///
    /// # Errors
    /// There is none, or it does not tell.
    pub(crate) fn ask(socket: &Path) -> Result<Self, Failure> {
        match ask(socket, &Request::Status, LIMIT)? {
            Reply::Done(value) => Ok(Self(value)),
            Reply::Error(what) => Err(Failure::Failed(what)),
        }
    }

    #[cfg(test)]
    pub(crate) const fn test(value: Value) -> Self {
        Self(value)
    }

    /// As a member of the status: a time is a string there.
    pub(crate) fn json(&self) -> Value {
        let mut value = self.0.clone();
        let until = value["announced"]["until"].as_u64();
        value["announced"]["until"] = json!(until.map(clock::rfc3339));
        value
    }

    /// What it announces; nothing where a daemon of another version does not tell it.
    pub(crate) fn window(&self) -> Option<Window> {
        self.0.get("announced").and_then(Window::of)
    }

    /// A number; 0 where a daemon of another version does not tell it.
    pub(crate) fn count(&self, path: &[&str]) -> u64 {
        self.at(path).as_u64().unwrap_or(0)
    }

    fn rate(&self, path: &[&str]) -> f64 {
        self.at(path).as_f64().unwrap_or(0.0)
    }

    fn at(&self, path: &[&str]) -> &Value {
        path.iter().fold(&self.0, |value, name| &value[*name])
    }

    /// Who it is, since when, and how many answer.
    pub(crate) fn title(&self) -> String {
        let version = self.at(&["version"]).as_str().unwrap_or("?");
        let workers = match self.count(&["workers"]) {
            1 => "1 worker".to_owned(),
            workers => format!("{workers} workers"),
        };
        format!(
            "maintd {}, pid {}, {workers}, up {}",
            text::on_one_line(version),
            self.count(&["pid"]),
            text::length(self.count(&["uptime"]))
        )
    }

    /// What it announces: until when, and what it says of it.
    pub(crate) fn announced(&self, now: u64) -> Vec<String> {
        let until = self.at(&["announced", "until"]).as_u64();
        let until = until.map(|until| {
            let left = match until.checked_sub(now) {
                Some(left) if left > 0 => format!("in {}", text::length(left)),
                Some(_) | None => "that is past".to_owned(),
            };
            format!("announced until {} ({left})", clock::terminal(until))
        });
        let message = self.at(&["announced", "message"]).as_str();
        let message = message.map(|message| format!("message: {}", text::on_one_line(message)));
        let lines: Vec<String> = until.into_iter().chain(message).collect();
        if lines.is_empty() {
            vec!["nothing announced".to_owned()]
        } else {
            lines
        }
    }

    /// One series of those that stand by themselves.
    pub(crate) fn line(&self, name: &str) -> Line {
        self.named(name.to_owned(), &[name])
    }

    fn named(&self, label: String, path: &[&str]) -> Line {
        let of = |kind: &'static str| [&[kind], path].concat();
        Line {
            name: label,
            rate: self.rate(&of("rates")),
            total: self.count(&of("totals")),
        }
    }

    /// How much there was of something in each of the last seconds.
    pub(crate) fn seconds(&self, name: &str) -> Vec<u64> {
        let seconds = self.at(&["seconds", name]).as_array();
        let seconds = seconds.map(|seconds| seconds.iter().map(|one| one.as_u64().unwrap_or(0)));
        seconds.map(Iterator::collect).unwrap_or_default()
    }

    /// The connections that are open, by what they wait for.
    pub(crate) fn open(&self) -> Vec<(String, u64)> {
        let states = ["handshake", "head", "keep_alive", "write", "body", "linger"];
        states
            .map(|state| (state.replace('_', "-"), self.count(&["open", state])))
            .to_vec()
    }

    /// Who is turned away, and why: most at first.
    pub(crate) fn turned_away(&self) -> Vec<Line> {
        let refusals = self.names("refusals").into_iter();
        let refusals =
            refusals.map(|status| self.named(format!("refused: {status}"), &["refusals", &status]));
        let closes = TURNED_AWAY
            .iter()
            .map(|(reason, name)| self.named((*name).to_owned(), &["closes", reason]));
        sorted(refusals.chain(closes).collect())
    }

    /// The hosts that are asked for: most at first.
    pub(crate) fn hosts(&self) -> Vec<Line> {
        let hosts = self.names("hosts").into_iter();
        sorted(
            hosts
                .map(|host| self.named(text::on_one_line(&host), &["hosts", &host]))
                .collect(),
        )
    }

    fn names(&self, group: &str) -> Vec<String> {
        let group = self.at(&["totals", group]).as_object();
        group
            .map(|group| group.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Some rows of a table.
    pub(crate) fn rows(&self, mut row: impl FnMut(&str, &str)) {
        row("daemon", &self.title());
        let open: u64 = self.open().iter().map(|(_, count)| count).sum();
        for (name, line, more) in [
            ("requests", self.line("requests"), String::new()),
            (
                "connections",
                self.line("connections"),
                format!("; {open} open"),
            ),
        ] {
            row(
                name,
                &format!(
                    "{}/s in the last minute; {} in all{more}",
                    rate(line.rate),
                    line.total
                ),
            );
        }
        let sent = self.line("sent_bytes");
        row(
            "sent",
            &format!(
                "{}B/s in the last minute; {}B in all",
                short(sent.rate),
                short_count(sent.total)
            ),
        );
        for Line {
            name,
            rate: often,
            total,
        } in self.turned_away()
        {
            row(
                "turned away",
                &format!(
                    "{name}: {}/s in the last minute; {total} in all",
                    rate(often)
                ),
            );
        }
        let lost = self.line("lost_lines");
        if lost.total > 0 {
            row("lost", &format!("{} lines of logs", lost.total));
        }
    }
}

/// Those that there were, most at first.
fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.retain(|line| line.total > 0);
    lines.sort_by(|one, other| {
        let by_rate = other.rate.total_cmp(&one.rate);
        by_rate.then_with(|| other.total.cmp(&one.total))
    });
    lines
}

/// A rate with as many digits as mean something.
pub(crate) fn rate(rate: f64) -> String {
    if rate >= 10.0 || rate == 0.0 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1}")
    }
}

/// A number with a unit's prefix, in thousands.
pub(crate) fn short(number: f64) -> String {
    let mut number = number;
    for prefix in ["", "k", "M", "G", "T"] {
        if number < 999.5 {
            let digits = usize::from(number < 9.95 && !prefix.is_empty());
            return format!("{number:.digits$} {prefix}");
        }
        number /= 1000.0;
    }
    format!("{number:.0} P")
}

#[expect(clippy::cast_precision_loss, reason = "it is told with three digits")]
pub(crate) fn short_count(number: u64) -> String {
    short(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_mean_something() {
        for (number, expected) in [
            (0.0, "0 "),
            (999.0, "999 "),
            (999.9, "1.0 k"),
            (12_345.0, "12 k"),
            (9_960.0, "10 k"),
            (1_500_000.0, "1.5 M"),
        ] {
            assert_eq!(short(number), expected);
        }
        assert_eq!([rate(0.0), rate(0.25), rate(12.3)], ["0", "0.2", "12"]);
    }
}
