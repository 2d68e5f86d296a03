//! The numbers of the last minute, second by second: what the rates are made of.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::serve::metrics::counters::{Board, Figures, Series};

/// How often numbers are taken.
const EVERY: Duration = Duration::from_secs(1);
/// For how many seconds they are kept.
pub(crate) const KEPT: usize = 60;

/// The numbers of each of the last seconds, the latest last.
#[derive(Debug)]
pub(crate) struct Samples {
    ring: VecDeque<(Instant, Figures)>,
    next: Instant,
}

impl Samples {
    /// Begins with the numbers of now.
    pub(crate) fn new(board: &Board, now: Instant) -> Self {
        let mut samples = Self {
            ring: VecDeque::with_capacity(KEPT + 1),
            next: now,
        };
        samples.take(board, now);
        samples
    }

    /// When the next numbers are to be taken.
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Takes the numbers of now, if it is time.
    pub(crate) fn take(&mut self, board: &Board, now: Instant) {
        if self.next > now {
            return;
        }
        if self.ring.len() > KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back((now, board.figures()));
        // Who was stopped for a while does not make up for it.
        self.next = (self.next + EVERY).max(now + EVERY / 2);
    }

    /// Over how many seconds rates are told.
    pub(crate) fn span(&self) -> f64 {
        match (self.ring.front(), self.ring.back()) {
            (Some((first, _)), Some((last, _))) => last.duration_since(*first).as_secs_f64(),
            (None, _) | (_, None) => 0.0,
        }
    }

    /// How much of a series there was in a second, over that span.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is told with three digits"
    )]
    pub(crate) fn rate(&self, series: Series) -> f64 {
        let (Some((_, first)), Some((_, last))) = (self.ring.front(), self.ring.back()) else {
            return 0.0;
        };
        let span = self.span();
        let more = last.get(series).saturating_sub(first.get(series));
        if span > 0.0 {
            (more as f64 / span * 1000.0).round() / 1000.0
        } else {
            0.0
        }
    }

    /// How much of a series there was in each second, the latest last.
    pub(crate) fn seconds(&self, series: Series) -> Vec<u64> {
        let figures = self.ring.iter().map(|(_, figures)| figures.get(series));
        let later = figures.clone().skip(1);
        later
            .zip(figures)
            .map(|(later, earlier)| later.saturating_sub(earlier))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let (board, start) = (Board::new(1).unwrap(), Instant::now());
        let mut samples = Samples::new(&board, start);
        assert_eq!(samples.rate(Series::Answered), 0.0);
        for second in 1..=100 {
            let more = if second <= 70 { 10 } else { 4 };
            board.supervisor().answered().add(more);
            samples.take(&board, start + Duration::from_secs(second));
            // It is not time yet.
            samples.take(&board, start + Duration::from_millis(second * 1000 + 200));
        }
        assert_eq!(samples.span(), 60.0);
        let seconds = samples.seconds(Series::Answered);
        assert_eq!(seconds, [vec![10; 30], vec![4; 30]].concat());
        assert_eq!(samples.rate(Series::Answered), 7.0);
        assert_eq!(samples.rate(Series::Accepted), 0.0);
    }
}
