//! Counts and logs what connections report.

use crate::serve::answer::Ready;
use crate::serve::answer::select::Sites;
use crate::serve::connection::{CloseReason, Observer};
use crate::serve::logs::access;
use crate::serve::logs::access::{AccessLog, Peer};
use crate::serve::metrics::counters::{Counters, Method, Series};
use crate::serve::transport::HandshakeOutcome;

/// The counters of a worker and its access log.
#[derive(Debug)]
pub struct Recorder {
    pub(crate) counters: Counters,
    /// The index among the counted hosts, by site number.
    hosts: Vec<usize>,
    pub(crate) log: Option<AccessLog>,
    /// The client whose connection has its turn.
    pub(crate) peer: Peer,
}

impl Recorder {
    /// A recorder with or without an access log. `hosts` has the index of each site's host among the counted ones.
    #[must_use]
    pub fn new(counters: Counters, hosts: Vec<usize>, has_log: bool) -> Self {
        Self {
            counters,
            hosts,
            log: has_log.then(AccessLog::default),
            peer: Peer::Unknown,
        }
    }

    /// A connection is closed.
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.counters.closed(reason).add(1);
    }

    fn count_request(&self, head: &[u8]) {
        self.counters.answered().add(1);
        self.counters.of(Series::Method(Method::of(head))).add(1);
    }
}

impl Observer for Recorder {
    fn handshake(&mut self, outcome: HandshakeOutcome) {
        let HandshakeOutcome { is_1_3, is_resumed } = outcome;
        let version = Series::Handshake(usize::from(is_1_3));
        self.counters.of(version).add(1);
        self.counters.of(Series::Resumed).add(is_resumed.into());
    }

    fn answered(&mut self, head: &[u8], ready: Ready, sites: &Sites) {
        self.count_request(head);
        let host = self.hosts.get(usize::from(ready.site)).copied();
        self.counters.of(Series::Host(host.unwrap_or(0))).add(1);
        let form = sites.answers.form(ready);
        self.counters.of(Series::Form(form)).add(1);
        if let Some(log) = &mut self.log {
            log.answered(self.peer, head, sites.body_length(ready));
        }
    }

    fn preflight(&mut self, head: &[u8], answer: &[u8]) {
        self.count_request(head);
        if let Some(log) = &mut self.log {
            log.answered_with(self.peer, head, answer);
        }
    }

    fn refused(&mut self, input: &[u8], answer: &[u8]) {
        self.counters.refuse(access::status(answer));
        if let Some(log) = &mut self.log {
            log.answered_with(self.peer, input, answer);
        }
    }

    fn sent(&mut self, bytes: usize) {
        self.counters.of(Series::Sent).add(bytes as u64);
    }
}
