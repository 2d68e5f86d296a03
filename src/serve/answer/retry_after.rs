//! Retry-After while a window is announced: it counts down to the window's end, and differs from visitor to visitor, so that
//! they do not all come back at once. What it says is rendered once a second at most, and only where somebody asks.

use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// How many values there are at a time.
const RING: u8 = 16;
/// The shortest wait that is told, however near the end is, or how long ago.
const SHORTEST: u64 = 30;
/// What comes on top of the wait is a fifth of it at most, and not over this: who is told of a day is not to lose hours.
const MOST_ON_TOP: u64 = 600;
/// The longest value has so many digits: three hundred years.
const DIGITS: usize = 10;
const LONGEST: u64 = 9_999_999_999;
/// What the beginning of a problem is long: its value has blanks before it, so that all are alike.
pub(crate) const BEGINNING: usize = r#"{"retry-after":,"#.len() + DIGITS;
/// What ends a head.
const END: &str = "\r\n\r\n";
/// How long the values are good for.
const SECOND: Duration = Duration::from_secs(1);

/// The ends of heads: the value of Retry-After, and the empty line; and behind that the beginning of a problem (RFC 9457), which
/// tells the same.
#[derive(Debug)]
pub struct Countdown {
    /// The end of the window, in seconds since 1970.
    until: u64,
    tails: [Vec<u8>; RING as usize],
    /// Whose turn it is. Each worker has its own; being off by one would not matter.
    next: AtomicU8,
    rendered: Option<Instant>,
}

impl Countdown {
    /// Counts down to a time in seconds since 1970.
    #[must_use]
    pub fn new(until: u64) -> Self {
        let mut countdown = Self {
            until,
            tails: Default::default(),
            next: AtomicU8::new(0),
            rendered: None,
        };
        countdown.render(clock::seconds());
        countdown
    }

    /// Renders the values anew, if they are a second old.
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
        let wait = self.until.saturating_sub(now).max(SHORTEST);
        let on_top = (wait / 5).min(MOST_ON_TOP);
        for (number, tail) in (0..).zip(&mut self.tails) {
            // Neighbours are far from each other: 7 and 16 have no common factor.
            let step = number * 7 % u64::from(RING);
            let value = (wait + on_top * step / u64::from(RING - 1)).min(LONGEST);
            tail.clear();
            // Writing to memory does not fail.
            let _ = write!(tail, "{value}{END}{{\"retry-after\":{value:DIGITS$},");
        }
    }

    /// Takes the next number of a value.
    pub fn take(&self) -> u8 {
        let number = self.next.load(Ordering::Relaxed);
        self.next
            .store(number.wrapping_add(1) % RING, Ordering::Relaxed);
        number
    }

    /// The end of a head, with the beginning of a problem where one follows.
    #[must_use]
    pub fn tail(&self, number: u8, is_problem: bool) -> &[u8] {
        let tail = &self.tails[usize::from(number % RING)];
        if is_problem {
            tail
        } else {
            &tail[..tail.len().saturating_sub(BEGINNING)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(countdown: &Countdown) -> Vec<u64> {
        let tails =
            (0..RING).map(|number| std::str::from_utf8(countdown.tail(number, false)).unwrap());
        tails
            .map(|tail| tail.strip_suffix("\r\n\r\n").unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn it_counts_down_and_differs_by_a_fifth() {
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
    fn a_problem_tells_the_same_and_is_always_as_long() {
        for until in [0, 10_000, 1 << 40, u64::MAX] {
            let countdown = Countdown::new(until);
            for number in 0..RING {
                let head = countdown.tail(number, false);
                let all = countdown.tail(number, true);
                let beginning = all.strip_prefix(head).unwrap();
                assert_eq!(beginning.len(), BEGINNING);
                let problem = [beginning.strip_suffix(b",").unwrap(), b"}"].concat();
                let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
                let value = head.strip_suffix(END.as_bytes()).unwrap();
                assert_eq!(problem["retry-after"].to_string().as_bytes(), value);
            }
        }
    }

    #[test]
    fn every_visitor_has_the_next_one() {
        let countdown = Countdown::new(0);
        let taken: Vec<u8> = (0..=RING).map(|_| countdown.take()).collect();
        assert_eq!(taken[..3], [0, 1, 2]);
        assert_eq!(taken.last(), Some(&0));
    }

    #[test]
    fn it_is_rendered_once_a_second() {
        let mut countdown = Countdown::new(clock::seconds() + 500);
        let start = Instant::now();
        countdown.renew(start);
        countdown.tails[0] = b"old".to_vec();
        countdown.renew(start + SECOND / 2);
        assert_eq!(countdown.tail(0, true), b"old");
        countdown.renew(start + SECOND);
        assert!(values(&countdown)[0] >= 490);
    }
}
