//! The Retry-After countdown: seconds until an announced end. The values differ from client to client, so that clients do not
//! all return at once. They are rendered at most once a second, and only when there are requests.

use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// The number of different values at a time.
const RING: u8 = 16;
/// The minimum in seconds, also after the announced end.
const MIN: u64 = 30;
/// The maximum in seconds.
const MAX: u64 = 9_999_999_999;
/// The maximum random addition in seconds, which otherwise is up to a fifth: a client that waits a day must not lose hours.
const MAX_ADDITION: u64 = 600;
/// The end of a head.
const END: &str = "\r\n\r\n";
/// The time for which rendered values are valid.
const SECOND: Duration = Duration::from_secs(1);

/// The ends of heads: the value of Retry-After and the empty line.
#[derive(Debug)]
pub struct Countdown {
    /// The announced end, in seconds since 1970.
    until: u64,
    ends: [Vec<u8>; RING as usize],
    /// The index of the next value. Each worker has its own, so a lost update is harmless.
    next: AtomicU8,
    rendered: Option<Instant>,
}

impl Countdown {
    /// Counts down to a time in seconds since 1970.
    #[must_use]
    pub fn new(until: u64) -> Self {
        let mut countdown = Self {
            until,
            ends: Default::default(),
            next: AtomicU8::new(0),
            rendered: None,
        };
        countdown.render(clock::seconds());
        countdown
    }

    /// Renders the values again if they are a second old.
    pub fn renew(&mut self, now: Instant) {
        if self
            .rendered
            .is_none_or(|rendered| now.saturating_duration_since(rendered) >= SECOND)
        {
            self.rendered = Some(now);
            self.render(clock::seconds());
        }
    }

    fn render(&mut self, now: u64) {
        let wait = self.until.saturating_sub(now).max(MIN);
        let addition = (wait / 5).min(MAX_ADDITION);
        for (index, end) in (0..).zip(&mut self.ends) {
            // Consecutive values are far apart: 7 and 16 are coprime.
            let step = index * 7 % u64::from(RING);
            let value = (wait + addition * step / u64::from(RING - 1)).min(MAX);
            end.clear();
            // Writing to memory does not fail.
            let _ = write!(end, "{value}{END}");
        }
    }

    /// Returns the index of the next value.
    pub fn take(&self) -> u8 {
        let index = self.next.load(Ordering::Relaxed);
        self.next
            .store(index.wrapping_add(1) % RING, Ordering::Relaxed);
        index
    }

    /// The end of a head: the value at this index, and the empty line.
    #[must_use]
    pub fn end_of_head(&self, index: u8) -> &[u8] {
        &self.ends[usize::from(index % RING)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(countdown: &Countdown) -> Vec<u64> {
        let ends =
            (0..RING).map(|index| std::str::from_utf8(countdown.end_of_head(index)).unwrap());
        ends.map(|end| end.strip_suffix("\r\n\r\n").unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn values_count_down_and_differ_by_a_fifth() {
        let mut countdown = Countdown::new(10_000);
        for (now, least, most) in [
            (9000, 1000, 1200),
            (9001, 999, 1198),
            (9990, 30, 36),
            (10_000, 30, 36),
            (20_000, 30, 36),
            (0, 10_000, 10_600),
        ] {
            countdown.render(now);
            let values = values(&countdown);
            assert_eq!(values.iter().min(), Some(&least), "{now}");
            assert_eq!(values.iter().max(), Some(&most), "{now}");
        }
        countdown.render(9000);
        let mut different = values(&countdown);
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), usize::from(RING));
    }

    #[test]
    fn each_client_gets_the_next_value() {
        let countdown = Countdown::new(0);
        let taken: Vec<u8> = (0..=RING).map(|_| countdown.take()).collect();
        assert_eq!(taken[..3], [0, 1, 2]);
        assert_eq!(taken.last(), Some(&0));
    }

    #[test]
    fn values_are_rendered_once_a_second() {
        let mut countdown = Countdown::new(clock::seconds() + 500);
        let start = Instant::now();
        countdown.renew(start);
        countdown.ends[0] = b"old".to_vec();
        countdown.renew(start + SECOND / 2);
        assert_eq!(countdown.end_of_head(0), b"old");
        countdown.renew(start + SECOND);
        assert!(values(&countdown)[0] >= 490);
    }
}
