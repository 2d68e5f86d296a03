//! The counters of all processes, in shared memory that each process may read.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::serve::connection::close_reason::CloseReason;
use crate::serve::connection::timer::Timer;
use crate::serve::metrics::counters::series::{FORM, OPEN, REFUSALS, Series, WIDTH};
use crate::sys;

/// One counter, written by one process.
#[derive(Clone, Copy, Debug)]
pub struct Counter(&'static AtomicU64);

impl Counter {
    /// Adds `more`. There is one writer, so no locked instruction is needed.
    pub fn add(self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Sets the value of a gauge.
    pub fn set(self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one process.
#[derive(Clone, Copy, Debug)]
pub struct Counters(&'static [AtomicU64]);

impl Counters {
    /// Counters in the memory of this process alone.
    #[must_use]
    pub fn private() -> Self {
        Self(Vec::leak(
            std::iter::repeat_with(AtomicU64::default)
                .take(WIDTH)
                .collect(),
        ))
    }

    /// The counter of a series.
    #[must_use]
    pub fn of(self, series: Series) -> Counter {
        Counter(&self.0[series.index()])
    }

    /// Connections accepted.
    #[must_use]
    pub fn accepted(self) -> Counter {
        self.of(Series::Accepted)
    }

    /// Requests answered with the page, and preflights.
    #[must_use]
    pub fn answered(self) -> Counter {
        self.of(Series::Answered)
    }

    /// Pauses of a listener.
    #[must_use]
    pub fn exhausted(self) -> Counter {
        self.of(Series::Exhausted)
    }

    /// Workers that ended without an order.
    #[must_use]
    pub fn died(self) -> Counter {
        self.of(Series::Died)
    }

    /// Log lines that could not be written.
    #[must_use]
    pub fn lost(self) -> Counter {
        self.of(Series::Lost)
    }

    /// The connections closed for `reason`.
    #[must_use]
    pub fn closed(self, reason: CloseReason) -> Counter {
        self.of(Series::Closed(reason))
    }

    /// Counts a request that is refused with this status. Other statuses are not counted.
    pub fn refuse(self, status: &[u8]) {
        let number = REFUSALS.iter().position(|known| known.as_bytes() == status);
        if let Some(number) = number {
            self.of(Series::Refused(number)).add(1);
        }
    }

    /// Sets the number of open connections for each timer.
    pub fn set_open(self, counts: [u32; Timer::COUNT]) {
        for (timer, count) in Timer::ALL.into_iter().zip(counts) {
            self.of(Series::Open(timer)).set(count.into());
        }
    }
}

/// A snapshot of all counters, summed over the processes.
#[derive(Clone, Debug)]
pub struct Figures(Vec<u64>);

impl Figures {
    /// The value of a series.
    #[must_use]
    pub fn get(&self, series: Series) -> u64 {
        self.0[series.index()]
    }
}

/// The counters of all processes: one row for the supervisor, which also holds the sums of all workers that have ended, and
/// one for each worker.
#[derive(Clone, Debug)]
pub struct Board {
    numbers: &'static [AtomicU64],
    /// The unused rows; the last one is taken next.
    free: Vec<usize>,
}

/// The row of the supervisor.
const SUPERVISOR: usize = 0;
/// A cache line before the rows: how often a row was moved into another, times two, and the last row that was ever used.
const HEADER: usize = 8;
const MOVES: usize = 0;
const LAST_ROW: usize = 1;
/// How often a reader retries while a row is being moved. A move is short, and a reader must not hang.
const TRIES: usize = 1000;

impl Board {
    /// Counters for the supervisor and this many workers at once, old generations included.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new(workers: usize) -> io::Result<Self> {
        Ok(Self {
            numbers: sys::shared_counters(HEADER + (1 + workers) * WIDTH)?,
            free: (1..=workers).rev().collect(),
        })
    }

    /// The counters of the supervisor and of all workers that have ended.
    #[must_use]
    pub fn supervisor(&self) -> Counters {
        self.row(SUPERVISOR)
    }

    /// The counters of a worker.
    #[must_use]
    pub fn row(&self, row: usize) -> Counters {
        let start = HEADER + row * WIDTH;
        Counters(&self.numbers[start..start + WIDTH])
    }

    /// Takes a row for a new worker, if one is left.
    pub fn take(&mut self) -> Option<usize> {
        let row = self.free.pop()?;
        self.numbers[LAST_ROW].fetch_max(row as u64, Ordering::Release);
        Some(row)
    }

    /// Moves the counters of a worker that has ended to the supervisor's row.
    pub fn give_back(&mut self, row: usize) {
        let (sums, ended) = (self.supervisor(), self.row(row));
        self.numbers[MOVES].fetch_add(1, Ordering::AcqRel);
        for (index, counter) in ended.0.iter().enumerate() {
            // The connections of a worker are closed with it.
            if !(OPEN..FORM).contains(&index) {
                Counter(&sums.0[index]).add(counter.load(Ordering::Relaxed));
            }
            counter.store(0, Ordering::Relaxed);
        }
        self.numbers[MOVES].fetch_add(1, Ordering::Release);
        self.free.push(row);
    }

    /// The sums over all processes. A row that is moved meanwhile is counted exactly once.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures(vec![0; WIDTH]);
        for _ in 0..TRIES {
            let before = self.numbers[MOVES].load(Ordering::Acquire);
            let last = self.numbers[LAST_ROW].load(Ordering::Acquire);
            figures.0.fill(0);
            // Rows that were never used are not read: that would make the kernel allocate their pages.
            for row in 0..=usize::try_from(last).unwrap_or(0) {
                for (sum, number) in figures.0.iter_mut().zip(self.row(row).0) {
                    *sum = sum.wrapping_add(number.load(Ordering::Relaxed));
                }
            }
            fence(Ordering::Acquire);
            let after = self.numbers[MOVES].load(Ordering::Relaxed);
            if before == after && before.is_multiple_of(2) {
                break;
            }
            std::hint::spin_loop();
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
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
    fn counters_outlive_their_worker() {
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

    #[test]
    fn sums_are_over_all_processes_and_only_open_connections_end_with_a_worker() {
        let mut board = Board::new(3).unwrap();
        let rows = [board.take().unwrap(), board.take().unwrap()];
        for row in rows {
            board.row(row).answered().add(2);
            board.row(row).set_open([1; Timer::COUNT]);
        }
        let open = Series::Open(Timer::Head);
        let sums = board.figures();
        assert_eq!((sums.get(Series::Answered), sums.get(open)), (4, 2));
        board.give_back(rows[0]);
        let sums = board.figures();
        assert_eq!((sums.get(Series::Answered), sums.get(open)), (4, 1));
    }

    #[test]
    fn only_open_connections_are_dropped_with_a_worker() {
        let mut board = Board::new(1).unwrap();
        let row = board.take().unwrap();
        for number in board.row(row).0 {
            number.store(1, Ordering::Relaxed);
        }
        board.give_back(row);
        let left = board.figures().0;
        let dropped: Vec<usize> = (0..WIDTH).filter(|index| left[*index] == 0).collect();
        let open = Timer::ALL.map(|timer| Series::Open(timer).index());
        assert_eq!(dropped, open);
    }

    #[test]
    fn a_status_that_is_not_a_refusal_is_not_counted() {
        let counters = Counters::private();
        counters.refuse(b"204");
        counters.refuse(b"414");
        let refused = |number| counters.of(Series::Refused(number)).get();
        assert_eq!([0, 1, 2, 3, 4].map(refused), [0, 1, 0, 0, 0]);
    }
}
