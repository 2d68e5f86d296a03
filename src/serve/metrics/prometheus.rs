//! The metrics in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use crate::serve::connection::timer::Timer;
use crate::serve::http1::Form;
use crate::serve::metrics::counters::{
    CloseReason, Figures, Method, REFUSALS, Series, TLS_VERSIONS,
};
use crate::serve::metrics::hosts::Hosts;

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text, to which families of metrics are appended.
struct Text(String);

impl Text {
    fn family(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = write!(
            self.0,
            "# HELP maintd_{name} {help}\n# TYPE maintd_{name} {kind}\n"
        );
    }

    fn one(&mut self, kind: &str, name: &str, help: &str, value: u64) {
        self.family(kind, name, help);
        let _ = writeln!(self.0, "maintd_{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.one("counter", name, help, value);
    }

    fn labelled<'a>(
        &mut self,
        (kind, name, help): (&str, &str, &str),
        label: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.family(kind, name, help);
        for (of, value) in values {
            let _ = writeln!(
                self.0,
                "maintd_{name}{{{label}=\"{}\"}} {value}",
                escaped_label(of)
            );
        }
    }
}

/// A label's value, escaped for its quotes.
fn escaped_label(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text
}

/// Renders all metrics. `started` is the start of the daemon and `until` the announced end, in seconds since 1970.
pub(crate) fn render(figures: &Figures, hosts: &Hosts, started: u64, until: Option<u64>) -> String {
    let mut text = Text(String::new());
    text.family(
        "gauge",
        "build_info",
        "The version of maintd; the value is always 1.",
    );
    let _ = writeln!(
        text.0,
        "maintd_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    text.one(
        "gauge",
        "start_time_seconds",
        "When the daemon was started, in seconds since 1970.",
        started,
    );
    text.one(
        "gauge",
        "announced_end_seconds",
        "The announced end of the maintenance, in seconds since 1970; 0 without one.",
        until.unwrap_or(0),
    );
    requests(&mut text, figures, hosts);
    text.labelled(
        ("counter", "refusals_total", "Requests refused, by status."),
        "status",
        (0..)
            .zip(REFUSALS)
            .map(|(number, status)| (status, figures.get(Series::Refused(number)))),
    );
    connections(&mut text, figures);
    text.labelled(
        (
            "counter",
            "tls_handshakes_total",
            "TLS handshakes completed, by version.",
        ),
        "version",
        (0..)
            .zip(TLS_VERSIONS)
            .map(|(number, version)| (version, figures.get(Series::Handshake(number)))),
    );
    for (series, name, help) in [
        (
            Series::Resumed,
            "tls_resumptions_total",
            "TLS handshakes that resumed an earlier session.",
        ),
        (
            Series::Sent,
            "sent_bytes_total",
            "Bytes written to clients, including TLS records.",
        ),
        (
            Series::Lost,
            "log_lines_lost_total",
            "Log lines that could not be written.",
        ),
        (
            Series::Exhausted,
            "accept_pauses_total",
            "Pauses of a listener because no descriptor was free.",
        ),
        (
            Series::Died,
            "worker_deaths_total",
            "Workers that died and were replaced.",
        ),
    ] {
        text.counter(name, help, figures.get(series));
    }
    text.0
}

fn requests(text: &mut Text, figures: &Figures, hosts: &Hosts) {
    text.labelled(
        (
            "counter",
            "requests_total",
            "Requests answered with the page, and preflights, by method.",
        ),
        "method",
        Method::ALL
            .into_iter()
            .map(|method| (method.name(), figures.get(Series::Method(method)))),
    );
    text.labelled(
        (
            "counter",
            "form_requests_total",
            "Requests answered with the page, by its form.",
        ),
        "form",
        Form::ALL
            .into_iter()
            .map(|form| (form.name(), figures.get(Series::Form(form)))),
    );
    text.labelled(
        (
            "counter",
            "host_requests_total",
            "Requests answered with the page, by the first server_name of their site.",
        ),
        "host",
        hosts
            .iter()
            .map(|(index, name)| (name, figures.get(Series::Host(index)))),
    );
}

fn connections(text: &mut Text, figures: &Figures) {
    text.counter(
        "connections_total",
        "Connections accepted.",
        figures.get(Series::Accepted),
    );
    text.labelled(
        ("counter", "closes_total", "Connections closed, by reason."),
        "reason",
        CloseReason::ALL
            .into_iter()
            .map(|reason| (reason.name(), figures.get(Series::Closed(reason)))),
    );
    text.labelled(
        (
            "gauge",
            "open_connections",
            "Connections open now, by what they wait for.",
        ),
        "state",
        Timer::ALL
            .into_iter()
            .map(|timer| (timer.name(), figures.get(Series::Open(timer)))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped() {
        assert_eq!(escaped_label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
