//! What has happened so far, in numbers that any process may read while the loop counts.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys;

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
    /// The worker is to be replaced or ended, and answered this request as its last one.
    Retired,
    /// The connection broke: reset by the client, or lost.
    Broken,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 14] = [
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
        Self::Retired,
        Self::Broken,
    ];
}

/// One number, written by one process.
#[derive(Clone, Copy, Debug)]
pub struct Counter(&'static AtomicU64);

impl Counter {
    /// Counts `more`. There is one writer, so no locked instruction is needed.
    pub fn add(self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted beside the reasons of closes, in the order of its places.
#[derive(Clone, Copy)]
enum Place {
    Accepted,
    Answered,
    Exhausted,
    Died,
    Lost,
    FirstReason,
}

/// The numbers of one process.
const WIDTH: usize = Place::FirstReason as usize + CloseReason::ALL.len();

/// The counters of one process.
#[derive(Clone, Copy, Debug)]
pub struct Counters(&'static [AtomicU64]);

impl Counters {
    /// Counters that no other process can read.
    #[must_use]
    pub fn private() -> Self {
        Self(Vec::leak(
            std::iter::repeat_with(AtomicU64::default)
                .take(WIDTH)
                .collect(),
        ))
    }

    /// Connections accepted.
    #[must_use]
    pub fn accepted(self) -> Counter {
        self.at(Place::Accepted as usize)
    }

    /// Requests answered with the page.
    #[must_use]
    pub fn answered(self) -> Counter {
        self.at(Place::Answered as usize)
    }

    /// Times that a listener had to rest: no descriptor was free, or accepting failed again and again.
    #[must_use]
    pub fn exhausted(self) -> Counter {
        self.at(Place::Exhausted as usize)
    }

    /// Workers that ended without having been told to.
    #[must_use]
    pub fn died(self) -> Counter {
        self.at(Place::Died as usize)
    }

    /// Lines of logs that there was no room for.
    #[must_use]
    pub fn lost(self) -> Counter {
        self.at(Place::Lost as usize)
    }

    /// The connections closed for `reason`.
    #[must_use]
    pub fn closed(self, reason: CloseReason) -> Counter {
        self.at(Place::FirstReason as usize + reason as usize)
    }

    fn at(self, place: usize) -> Counter {
        Counter(&self.0[place])
    }
}

/// The counters of all processes, which each of them may read: those of the supervisor, which are also those of
/// all workers that are gone, and those of each worker.
#[derive(Clone, Debug)]
pub struct Board {
    numbers: &'static [AtomicU64],
    /// The rows that are nobody's, the next to be taken last.
    free: Vec<usize>,
}

/// The row of the supervisor.
const SUPERVISOR: usize = 0;

impl Board {
    /// Counters for the supervisor and this many workers at once, old generations included.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new(workers: usize) -> io::Result<Self> {
        Ok(Self {
            numbers: sys::shared_numbers((1 + workers) * WIDTH)?,
            free: (1..=workers).rev().collect(),
        })
    }

    /// The supervisor's counters, and those of all workers that are gone.
    #[must_use]
    pub fn supervisor(&self) -> Counters {
        self.row(SUPERVISOR)
    }

    /// The counters of a worker.
    #[must_use]
    pub fn row(&self, row: usize) -> Counters {
        Counters(&self.numbers[row * WIDTH..(row + 1) * WIDTH])
    }

    /// Takes a row for a new worker; nothing where none is left.
    pub fn take(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// Takes the numbers of a worker that is gone over to the supervisor's.
    pub fn give_back(&mut self, row: usize) {
        let (past, gone) = (self.supervisor(), self.row(row));
        for place in 0..WIDTH {
            past.at(place).add(gone.at(place).get());
            gone.0[place].store(0, Ordering::Relaxed);
        }
        self.free.push(row);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let counters = Counters::private();
        for counter in [
            counters.accepted(),
            counters.answered(),
            counters.exhausted(),
            counters.died(),
            counters.lost(),
        ] {
            counter.add(100);
        }
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            counters.closed(reason).add(count);
        }
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            assert_eq!(counters.closed(reason).get(), count, "{reason:?}");
        }
        assert_eq!(counters.accepted().get(), 100);
        assert_eq!(counters.died().get(), 100);
        assert_eq!(counters.lost().get(), 100);
    }

    #[test]
    fn what_a_worker_has_counted_outlives_it() {
        let mut board = Board::new(2).unwrap();
        let first = board.take().unwrap();
        board.row(first).answered().add(3);
        let second = board.take().unwrap();
        assert_eq!(board.row(second).answered().get(), 0);
        assert_eq!(board.take(), None);
        board.give_back(first);
        assert_eq!(board.supervisor().answered().get(), 3);
        assert_eq!(board.take(), Some(first));
        assert_eq!(board.row(first).answered().get(), 0);
    }
}
