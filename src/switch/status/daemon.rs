//! The running daemon's status, queried over its control socket.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::announcement::Announcement;
use crate::clock;
use crate::control::{ControlError, ControlRequest, Reply, ask};
use crate::switch::status::format;
use crate::switch::text;

const TIMEOUT: Duration = Duration::from_secs(2);

/// The close reasons that count as rejected, with their names for people.
const REJECTED_CLOSES: [(&str, &str); 7] = [
    ("tls_fault", "TLS errors"),
    ("handshake_timeout", "handshake timeouts"),
    ("head_timeout", "head timeouts"),
    ("body_timeout", "body timeouts"),
    ("write_timeout", "write timeouts"),
    ("evicted", "evicted"),
    ("broken", "socket errors"),
];

/// The daemon's reply. Members that a daemon of another version does not have are 0 or empty.
#[derive(Clone, Debug)]
pub(crate) struct DaemonStatus(Value);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct DaemonCounter {
    pub(super) name: String,
    /// Per second, over the last minute.
    pub(super) rate: f64,
    pub(super) total: u64,
}

impl DaemonStatus {
    /// # Errors
    /// There is no daemon, or its reply is an error.
    pub(super) fn query(socket: &Path) -> Result<Self, ControlError> {
        match ask(socket, ControlRequest::Status, TIMEOUT)? {
            Reply::Done(value) => Ok(Self(value)),
            Reply::Error(what) => Err(ControlError::Failed(what)),
        }
    }

    #[cfg(test)]
    pub(super) const fn test(value: Value) -> Self {
        Self(value)
    }

    /// The reply, with its end time as a string.
    pub(super) fn json(&self) -> Value {
        let mut value = self.0.clone();
        let until = value["announced"]["until"].as_u64();
        value["announced"]["until"] = json!(until.map(clock::rfc3339));
        value
    }

    /// The announcement that the daemon reports.
    pub(super) fn announcement(&self) -> Option<Announcement> {
        self.0.get("announced").and_then(Announcement::of)
    }

    pub(super) fn count(&self, path: &[&str]) -> u64 {
        self.at(path).as_u64().unwrap_or(0)
    }

    fn rate(&self, path: &[&str]) -> f64 {
        self.at(path).as_f64().unwrap_or(0.0)
    }

    fn at(&self, path: &[&str]) -> &Value {
        path.iter().fold(&self.0, |value, name| &value[*name])
    }

    /// Its version, process, workers and uptime.
    pub(super) fn title(&self) -> String {
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

    /// The announced end and message, as lines.
    pub(super) fn announced(&self, now: u64) -> Vec<String> {
        let end = self.at(&["announced", "until"]).as_u64();
        let end = end.map(|end| format!("announced {}", format::until(end, now)));
        let message = self.at(&["announced", "message"]).as_str();
        let message = message.map(|message| format!("message: {}", text::on_one_line(message)));
        let lines: Vec<String> = end.into_iter().chain(message).collect();
        if lines.is_empty() {
            vec!["nothing announced".to_owned()]
        } else {
            lines
        }
    }

    /// A counter without labels.
    pub(super) fn counter(&self, name: &str) -> DaemonCounter {
        self.named(name.to_owned(), &[name])
    }

    fn named(&self, name: String, path: &[&str]) -> DaemonCounter {
        let of = |kind: &'static str| [&[kind], path].concat();
        DaemonCounter {
            name,
            rate: self.rate(&of("rates")),
            total: self.count(&of("totals")),
        }
    }

    /// The counts of the last seconds, the latest last.
    pub(super) fn seconds(&self, name: &str) -> Vec<u64> {
        let seconds = self.at(&["seconds", name]).as_array();
        let seconds = seconds.map(|seconds| seconds.iter().map(|one| one.as_u64().unwrap_or(0)));
        seconds.map(Iterator::collect).unwrap_or_default()
    }

    /// The open connections by state.
    pub(super) fn open(&self) -> Vec<(String, u64)> {
        let states = ["handshake", "head", "keep_alive", "write", "body", "linger"];
        states
            .map(|state| (state.replace('_', "-"), self.count(&["open", state])))
            .to_vec()
    }

    /// Refused requests and closes that count as rejected, by reason, in descending order.
    pub(super) fn rejected(&self) -> Vec<DaemonCounter> {
        let refusals = self.names("refusals").into_iter();
        let refusals =
            refusals.map(|status| self.named(format!("refused: {status}"), &["refusals", &status]));
        let closes = REJECTED_CLOSES
            .iter()
            .map(|(reason, name)| self.named((*name).to_owned(), &["closes", reason]));
        sorted(refusals.chain(closes).collect())
    }

    /// The requested hosts, in descending order.
    pub(super) fn hosts(&self) -> Vec<DaemonCounter> {
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
}

/// The counters that are not 0, in descending order.
fn sorted(mut counters: Vec<DaemonCounter>) -> Vec<DaemonCounter> {
    counters.retain(|counter| counter.total > 0);
    counters.sort_by(|one, other| {
        let by_rate = other.rate.total_cmp(&one.rate);
        by_rate.then_with(|| other.total.cmp(&one.total))
    });
    counters
}
