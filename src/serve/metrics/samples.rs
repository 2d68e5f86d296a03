//! Samples of the counters, one a second for a minute, from which rates are computed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::serve::metrics::counters::{Board, Figures, Series};

/// The time between samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// The number of samples that are kept, without the first.
pub(crate) const KEPT: usize = 60;

/// The samples of the last minute, the latest last.
#[derive(Debug)]
pub(crate) struct Samples {
    ring: VecDeque<(Instant, Figures)>,
    next: Instant,
}

impl Samples {
    /// Starts with a sample.
    pub(crate) fn new(board: &Board, now: Instant) -> Self {
        let mut samples = Self {
            ring: VecDeque::with_capacity(KEPT + 1),
            next: now,
        };
        samples.take(board, now);
        samples
    }

    /// The time of the next sample.
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Takes a sample if it is due.
    pub(crate) fn take(&mut self, board: &Board, now: Instant) {
        if self.next > now {
            return;
        }
        if self.ring.len() > KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back((now, board.figures()));
        // After a pause of the process, missed samples are not made up for.
        self.next = (self.next + INTERVAL).max(now + INTERVAL / 2);
    }

    /// The seconds over which rates are computed.
    pub(crate) fn span(&self) -> f64 {
        match (self.ring.front(), self.ring.back()) {
            (Some((first, _)), Some((last, _))) => last.duration_since(*first).as_secs_f64(),
            (None, _) | (_, None) => 0.0,
        }
    }

    /// The increase of a series per second, over [`Self::span`].
    #[expect(clippy::cast_precision_loss, reason = "a rate has three digits")]
    pub(crate) fn rate(&self, series: Series) -> f64 {
        let (Some((_, first)), Some((_, last))) = (self.ring.front(), self.ring.back()) else {
            return 0.0;
        };
        let span = self.span();
        let increase = last.get(series).saturating_sub(first.get(series));
        if span > 0.0 {
            (increase as f64 / span * 1000.0).round() / 1000.0
        } else {
            0.0
        }
    }

    /// The increase of a series in each second, the latest last.
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
    fn rates_are_computed_over_the_last_minute() {
        let (board, start) = (Board::new(1).unwrap(), Instant::now());
        let mut samples = Samples::new(&board, start);
        assert_eq!(samples.rate(Series::Answered), 0.0);
        for second in 1..=100 {
            let more = if second <= 70 { 10 } else { 4 };
            board.supervisor().answered().add(more);
            samples.take(&board, start + Duration::from_secs(second));
            // Not due yet.
            samples.take(&board, start + Duration::from_millis(second * 1000 + 200));
        }
        assert_eq!(samples.span(), 60.0);
        let seconds = samples.seconds(Series::Answered);
        assert_eq!(seconds, [vec![10; 30], vec![4; 30]].concat());
        assert_eq!(samples.rate(Series::Answered), 7.0);
        assert_eq!(samples.rate(Series::Accepted), 0.0);
    }
}
