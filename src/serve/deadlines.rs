//! When to lose patience: one queue for each kind of timeout.
//!
//! The length of a kind is constant, so each queue is in the order of its deadlines by itself: arming appends, expiry
//! looks at the front, and every step is O(1). The queues are linked through one table that is indexed as the
//! connections are, so arming allocates nothing.

use std::time::{Duration, Instant};

pub use crate::config::Timeouts;

/// The kinds of timeout, which are also what a connection can be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The TLS handshake, from accept to its end.
    Handshake,
    /// A whole head, from its first byte (the first one from accept); a byte now and then does not prolong it.
    Head,
    /// The next request, from the end of the last answer.
    KeepAlive,
    /// The client's taking some of a blocked answer.
    Write,
    /// A whole request body, from the end of the answer.
    Body,
    /// The client's close, from ours.
    Linger,
}

impl Timer {
    /// How many kinds there are.
    pub const COUNT: usize = 6;

    /// All kinds, in their order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Handshake,
        Self::Head,
        Self::KeepAlive,
        Self::Write,
        Self::Body,
        Self::Linger,
    ];

    /// What a connection waits for, in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::KeepAlive => "keep_alive",
            Self::Write => "write",
            Self::Body => "body",
            Self::Linger => "linger",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl Timer {
    const fn of(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Handshake => timeouts.handshake,
            Self::Head => timeouts.head,
            Self::KeepAlive => timeouts.keep_alive,
            Self::Write => timeouts.write,
            Self::Body => timeouts.body,
            Self::Linger => timeouts.linger,
        }
    }
}

/// The order in which connections make room in a full house: the idle lose nothing; then half a head before half a
/// handshake. Those who have been answered and are still sending would lose their answer to a reset, and those in the middle
/// of it go last; none of them stays for long anyway.
const EVICTION: [Timer; Timer::COUNT] = [
    Timer::KeepAlive,
    Timer::Head,
    Timer::Handshake,
    Timer::Linger,
    Timer::Body,
    Timer::Write,
];

/// How long a connection may wait before it is given up for one that has just come.
const GRACE: Duration = Duration::from_secs(1);

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    /// The queue that holds this entry.
    timer: Option<Timer>,
    before: u32,
    after: u32,
    armed: Instant,
}

#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
}

/// The deadlines of all connections, by their index.
pub struct Deadlines {
    timeouts: Timeouts,
    links: Vec<Link>,
    queues: [Queue; Timer::COUNT],
    lengths: [u32; Timer::COUNT],
}

impl Deadlines {
    /// No deadline yet.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            links: Vec::new(),
            queues: [Queue {
                first: NONE,
                last: NONE,
            }; Timer::COUNT],
            lengths: [0; Timer::COUNT],
        }
    }

    /// Reserves room for so many connections.
    #[must_use]
    pub fn with_room(mut self, connections: usize) -> Self {
        self.links.reserve_exact(connections);
        self
    }

    /// How many connections wait for what.
    #[must_use]
    pub const fn lengths(&self) -> [u32; Timer::COUNT] {
        self.lengths
    }

    /// Starts `timer` for a connection, in place of what was armed for it before.
    ///
    /// `now` must not run backwards from call to call.
    pub fn arm(&mut self, connection: usize, timer: Timer, now: Instant) {
        self.disarm(connection);
        if self.links.len() <= connection {
            let empty = Link {
                timer: None,
                before: NONE,
                after: NONE,
                armed: now,
            };
            self.links.resize(connection + 1, empty);
        }
        let Ok(entry) = u32::try_from(connection) else {
            return;
        };
        self.lengths[timer.index()] += 1;
        let queue = &mut self.queues[timer.index()];
        let before = std::mem::replace(&mut queue.last, entry);
        if before == NONE {
            queue.first = entry;
        } else {
            self.links[before as usize].after = entry;
        }
        self.links[connection] = Link {
            timer: Some(timer),
            before,
            after: NONE,
            armed: now,
        };
    }

    /// Forgets what was armed for a connection.
    pub fn disarm(&mut self, connection: usize) {
        let Some(link) = self.links.get_mut(connection) else {
            return;
        };
        let Some(timer) = link.timer.take() else {
            return;
        };
        let Link { before, after, .. } = *link;
        self.lengths[timer.index()] -= 1;
        let queue = &mut self.queues[timer.index()];
        if before == NONE {
            queue.first = after;
        } else {
            self.links[before as usize].after = after;
        }
        if after == NONE {
            queue.last = before;
        } else {
            self.links[after as usize].before = before;
        }
    }

    /// Takes one connection whose deadline has passed.
    pub fn expired(&mut self, now: Instant) -> Option<usize> {
        let late = self.queues.iter().find_map(|queue| {
            (queue.first != NONE && self.due(queue.first) <= now).then_some(queue.first as usize)
        })?;
        self.disarm(late);
        Some(late)
    }

    /// When the next deadline passes.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let firsts = self.queues.iter().map(|queue| queue.first);
        firsts
            .filter(|first| *first != NONE)
            .map(|first| self.due(first))
            .min()
    }

    /// The connection to close in a full house: the one that has waited longest of the least deserving kind, but none that
    /// has waited for less than a second while another has: a flood of half handshakes must not cost those their
    /// place who have just finished one.
    #[must_use]
    pub fn idlest(&self, now: Instant) -> Option<usize> {
        let firsts = || {
            EVICTION
                .iter()
                .map(|timer| self.queues[timer.index()].first)
                .filter(|first| *first != NONE)
        };
        let patient = firsts().find(|first| self.links[*first as usize].armed + GRACE <= now);
        patient
            .or_else(|| firsts().next())
            .map(|first| first as usize)
    }

    fn due(&self, entry: u32) -> Instant {
        let link = &self.links[entry as usize];
        link.armed
            + link
                .timer
                .map_or(Duration::ZERO, |timer| timer.of(&self.timeouts))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn expires_in_the_order_of_the_deadlines() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(3, Timer::Head, start);
        deadlines.arm(1, Timer::Linger, start + SECOND);
        deadlines.arm(2, Timer::Head, start + SECOND);
        assert_eq!(deadlines.next(), Some(start + 6 * SECOND));
        assert_eq!(deadlines.expired(start + 5 * SECOND), None);
        assert_eq!(deadlines.expired(start + 10 * SECOND), Some(3));
        assert_eq!(deadlines.expired(start + 10 * SECOND), Some(1));
        assert_eq!(deadlines.expired(start + 10 * SECOND), None);
        assert_eq!(deadlines.next(), Some(start + 11 * SECOND));
    }

    #[test]
    fn arming_again_starts_anew_at_the_back() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(0, Timer::KeepAlive, start);
        deadlines.arm(1, Timer::KeepAlive, start);
        deadlines.arm(0, Timer::KeepAlive, start + SECOND);
        assert_eq!(deadlines.idlest(start), Some(1));
        assert_eq!(deadlines.expired(start + 10 * SECOND), Some(1));
        assert_eq!(deadlines.expired(start + 10 * SECOND), None);
    }

    #[test]
    fn a_full_house_gives_up_the_idle_before_the_slow() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        for (connection, timer) in [
            Timer::Write,
            Timer::Handshake,
            Timer::Head,
            Timer::KeepAlive,
        ]
        .into_iter()
        .enumerate()
        {
            deadlines.arm(connection, timer, start);
        }
        for expected in [3, 2, 1, 0] {
            assert_eq!(deadlines.idlest(start), Some(expected));
            deadlines.disarm(expected);
        }
        assert_eq!(deadlines.idlest(start), None);
    }

    #[test]
    fn a_full_house_spares_those_who_have_just_begun() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(0, Timer::Handshake, start);
        deadlines.arm(1, Timer::Head, start + SECOND);
        deadlines.arm(2, Timer::KeepAlive, start + SECOND);
        assert_eq!(deadlines.idlest(start + SECOND), Some(0));
        assert_eq!(deadlines.idlest(start + 2 * SECOND), Some(2));
        deadlines.disarm(0);
        assert_eq!(deadlines.idlest(start + SECOND), Some(2));
    }

    fn any_timer() -> impl Strategy<Value = Timer> {
        prop::sample::select(EVICTION.as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Against a plain list: nothing is lost, nothing expires early, twice or out of order.
        #[test]
        fn agrees_with_a_plain_list(
            steps in prop::collection::vec((0_usize..20, prop::option::of(any_timer()), 0_u32..3), 0..200)
        ) {
            let start = Instant::now();
            let timeouts = Timeouts::default();
            let mut deadlines = Deadlines::new(timeouts);
            let mut model: Vec<(usize, Instant)> = Vec::new();
            let mut now = start;
            for (connection, timer, wait) in steps {
                now += SECOND * wait;
                model.retain(|(other, _)| *other != connection);
                match timer {
                    Some(timer) => {
                        deadlines.arm(connection, timer, now);
                        model.push((connection, now + timer.of(&timeouts)));
                    }
                    None => deadlines.disarm(connection),
                }
                prop_assert_eq!(deadlines.next(), model.iter().map(|(_, due)| *due).min());
                let mut late = Vec::new();
                while let Some(connection) = deadlines.expired(now) {
                    late.push(connection);
                }
                late.sort_unstable();
                let mut expected: Vec<usize> =
                    model.iter().filter(|(_, due)| *due <= now).map(|(other, _)| *other).collect();
                expected.sort_unstable();
                prop_assert_eq!(late, expected);
                model.retain(|(_, due)| *due > now);
            }
        }
    }
}
