//! What has happened so far, in numbers that any thread may read while the loop counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection ended. Its name is also its counter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client had asked for a close with its last request, and has its answer.
    Answered,
    /// The client closed first, between requests or within one.
    ClientClosed,
    /// The request was answered, and what follows it on this connection must not be (a long or faulty body, `Expect`).
    BodyUnread,
    /// The connection has had its share of requests.
    RequestLimit,
    /// The request was refused: 400, 414, 431, 501 or 505.
    Refused,
    /// The client broke the TLS protocol, or nothing was in common with it.
    TlsFault,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The head took too long.
    HeadTimeout,
    /// No further request came.
    KeepAliveTimeout,
    /// The body took too long.
    BodyTimeout,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
    /// The connection made room for another in a full house.
    Evicted,
    /// The connection broke: reset by the client, or lost.
    Broken,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 13] = [
        Self::Answered,
        Self::ClientClosed,
        Self::BodyUnread,
        Self::RequestLimit,
        Self::Refused,
        Self::TlsFault,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::KeepAliveTimeout,
        Self::BodyTimeout,
        Self::WriteTimeout,
        Self::Evicted,
        Self::Broken,
    ];
}

/// One number, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`. There is one writer, so no locked instruction is needed.
    pub fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: Counter,
    /// Requests answered with the page.
    pub answered: Counter,
    /// Times that a listener had to rest: no descriptor was free, or accepting failed again and again.
    pub exhausted: Counter,
    closed: [Counter; CloseReason::ALL.len()],
}

impl Counters {
    /// The connections closed for `reason`.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> &Counter {
        &self.closed[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            counters.closed(reason).add(count);
        }
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            assert_eq!(counters.closed(reason).get(), count, "{reason:?}");
        }
    }
}
