//! The member `daemon` of "maintd status --json", which maintd(8) describes.

use serde_json::{Map, Value, json};

use crate::announcement::Announcement;
use crate::serve::connection::timer::Timer;
use crate::serve::http1::Form;
use crate::serve::metrics::counters::{
    CloseReason, Figures, Method, REFUSALS, Series, TLS_VERSIONS,
};
use crate::serve::metrics::hosts::Hosts;
use crate::serve::metrics::samples::Samples;

/// The values of the report.
pub(crate) struct DaemonReport<'a> {
    pub(crate) figures: Figures,
    pub(crate) samples: &'a Samples,
    pub(crate) hosts: &'a Hosts,
    pub(crate) announcement: &'a Announcement,
    pub(crate) workers: usize,
    /// In seconds.
    pub(crate) uptime: u64,
}

impl DaemonReport<'_> {
    pub(crate) fn json(&self) -> Value {
        let open = Timer::ALL.map(|timer| (timer.name(), Series::Open(timer)));
        json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": self.uptime,
            "workers": self.workers,
            "announced": self.announcement.json(),
            "open": object(open, &self.total()),
            "span": self.samples.span().round(),
            "totals": self.numbers(&self.total()),
            "rates": self.numbers(&|series| json!(self.samples.rate(series))),
            "seconds": {
                "requests": self.samples.seconds(Series::Answered),
                "connections": self.samples.seconds(Series::Accepted),
            },
        })
    }

    fn total(&self) -> impl Fn(Series) -> Value {
        |series| json!(self.figures.get(series))
    }

    /// All series, as totals or as rates.
    fn numbers(&self, value: &impl Fn(Series) -> Value) -> Value {
        let closes = CloseReason::ALL.map(|reason| (reason.name(), Series::Closed(reason)));
        let methods = Method::ALL.map(|method| (method.name(), Series::Method(method)));
        let forms = Form::ALL.map(|form| (form.name(), Series::Form(form)));
        let hosts = self.hosts.iter();
        let hosts = hosts.map(|(index, name)| (name, Series::Host(index)));
        let refusals = (0..).zip(REFUSALS);
        let refusals = refusals.map(|(number, status)| (status, Series::Refused(number)));
        let versions = (0..).zip(TLS_VERSIONS);
        let versions = versions.map(|(number, name)| (name, Series::Handshake(number)));
        json!({
            "connections": value(Series::Accepted),
            "requests": value(Series::Answered),
            "methods": object(methods, value),
            "forms": object(forms, value),
            "hosts": object(hosts, value),
            "refusals": object(refusals, value),
            "closes": object(closes, value),
            "evictions": value(Series::Closed(CloseReason::Evicted)),
            "handshakes": object(versions, value),
            "resumptions": value(Series::Resumed),
            "sent_bytes": value(Series::Sent),
            "lost_lines": value(Series::Lost),
            "pauses": value(Series::Exhausted),
            "died": value(Series::Died),
        })
    }
}

fn object<'a>(
    series: impl IntoIterator<Item = (&'a str, Series)>,
    value: &impl Fn(Series) -> Value,
) -> Value {
    let members = series.into_iter();
    let members = members.map(|(name, series)| (name.to_owned(), value(series)));
    Value::Object(members.collect::<Map<_, _>>())
}
