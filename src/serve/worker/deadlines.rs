//! Connection timeouts: one queue for each timer.
//!
//! The limit of a timer is constant, so each queue is sorted by deadline: arming appends, expiry takes the front, and every
//! step is O(1). The queues are linked lists in a table that is indexed like the connections, so arming does not allocate.
//!
//! A connection has one timer at a time. Two timers have a second limit, which has its own queue in a second table: the
//! total time of lingering, and the checks for progress of a blocked answer.

use std::time::{Duration, Instant};

use crate::config::Timeouts;
use crate::serve::connection::Timer;

const fn limit(timer: Timer, timeouts: &Timeouts) -> Duration {
    match timer {
        Timer::Handshake => timeouts.handshake,
        Timer::Head => timeouts.head,
        Timer::KeepAlive => timeouts.keep_alive,
        Timer::Write => timeouts.write,
        Timer::Body => timeouts.body,
        Timer::Linger => timeouts.linger,
    }
}

/// The order of eviction at the connection limit: idle connections lose nothing; lingering ones have their answer and may
/// have read it; then partial heads before partial handshakes. Answers that are being written come last.
const EVICTION: [Timer; Timer::COUNT] = [
    Timer::KeepAlive,
    Timer::Linger,
    Timer::Head,
    Timer::Handshake,
    Timer::Body,
    Timer::Write,
];

/// How long a connection waits before it may be evicted.
const GRACE: Duration = Duration::from_secs(1);

/// The checks for progress within one write timeout: a client that stops taking its answer is closed late by one interval
/// at most.
const PROGRESS_CHECKS: u32 = 10;

/// The second limits of timers.
#[derive(Clone, Copy)]
enum SecondLimit {
    /// With [`Timer::Linger`], from the first time that it is armed: input does not prolong it.
    TotalLinger,
    /// With [`Timer::Write`]: the next check for progress.
    Progress,
}

impl SecondLimit {
    const COUNT: usize = 2;
}

/// A deadline that has passed, with the index of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The timer has expired and is disarmed.
    Timeout(usize),
    /// An answer is blocked, and a check for progress is due. The timer still runs; the next check is armed with
    /// [`Deadlines::arm_progress_check`].
    ProgressCheck(usize),
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    /// The queue that holds this entry.
    queue: Option<u8>,
    before: u32,
    after: u32,
    armed: Instant,
}

#[derive(Clone, Copy)]
struct Queue {
    /// From arming to the deadline.
    limit: Duration,
    first: u32,
    last: u32,
    length: u32,
}

/// Queues, at most one of which holds a connection.
struct Queues<const COUNT: usize> {
    links: Vec<Link>,
    queues: [Queue; COUNT],
}

impl<const COUNT: usize> Queues<COUNT> {
    fn new(limits: [Duration; COUNT]) -> Self {
        Self {
            links: Vec::new(),
            queues: limits.map(|limit| Queue {
                limit,
                first: NONE,
                last: NONE,
                length: 0,
            }),
        }
    }

    /// Moves a connection to the end of a queue.
    fn arm(&mut self, connection: usize, number: usize, now: Instant) {
        self.disarm(connection);
        if self.links.len() <= connection {
            let empty = Link {
                queue: None,
                before: NONE,
                after: NONE,
                armed: now,
            };
            self.links.resize(connection + 1, empty);
        }
        let (Ok(entry), Ok(queue_number)) = (u32::try_from(connection), u8::try_from(number))
        else {
            return;
        };
        let queue = &mut self.queues[number];
        queue.length += 1;
        let before = std::mem::replace(&mut queue.last, entry);
        if before == NONE {
            queue.first = entry;
        } else {
            self.links[before as usize].after = entry;
        }
        self.links[connection] = Link {
            queue: Some(queue_number),
            before,
            after: NONE,
            armed: now,
        };
    }

    fn disarm(&mut self, connection: usize) {
        let Some(link) = self.links.get_mut(connection) else {
            return;
        };
        let Some(number) = link.queue.take() else {
            return;
        };
        let Link { before, after, .. } = *link;
        let queue = &mut self.queues[usize::from(number)];
        queue.length -= 1;
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

    /// The queue that a connection is in.
    fn queue_of(&self, connection: usize) -> Option<usize> {
        let link = self.links.get(connection)?;
        link.queue.map(usize::from)
    }

    /// The connection that has been in a queue longest, and since when.
    fn first(&self, number: usize) -> Option<(usize, Instant)> {
        let first = self.queues[number].first;
        (first != NONE).then(|| (first as usize, self.links[first as usize].armed))
    }

    /// Takes one connection whose deadline has passed out of its queue. Returns it and the queue.
    fn expired(&mut self, now: Instant) -> Option<(usize, usize)> {
        let late = (0..COUNT).find_map(|number| {
            let (connection, armed) = self.first(number)?;
            (armed + self.queues[number].limit <= now).then_some((connection, number))
        })?;
        self.disarm(late.0);
        Some(late)
    }

    /// The next deadline.
    fn next(&self) -> Option<Instant> {
        let dues = (0..COUNT).filter_map(|number| {
            let (_, armed) = self.first(number)?;
            Some(armed + self.queues[number].limit)
        });
        dues.min()
    }
}

/// The deadlines of all connections, by index.
pub struct Deadlines {
    timers: Queues<{ Timer::COUNT }>,
    second_limits: Queues<{ SecondLimit::COUNT }>,
}

impl Deadlines {
    /// No deadline yet.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self {
            timers: Queues::new(Timer::ALL.map(|timer| limit(timer, &timeouts))),
            second_limits: Queues::new([timeouts.linger_total, timeouts.write / PROGRESS_CHECKS]),
        }
    }

    /// Reserves memory for so many connections.
    #[must_use]
    pub fn with_capacity(mut self, connections: usize) -> Self {
        self.timers.links.reserve_exact(connections);
        self
    }

    /// The number of connections for each timer.
    #[must_use]
    pub fn lengths(&self) -> [u32; Timer::COUNT] {
        self.timers.queues.map(|queue| queue.length)
    }

    /// Starts `timer` for a connection in place of the one armed before. A restart of `Linger` keeps the limit of its total
    /// time.
    ///
    /// `now` must not decrease from call to call.
    pub fn arm(&mut self, connection: usize, timer: Timer, now: Instant) {
        let before = self.timers.queue_of(connection);
        let is_restart = before == Some(timer as usize);
        match timer {
            Timer::Linger if is_restart => {}
            Timer::Linger => {
                self.second_limits
                    .arm(connection, SecondLimit::TotalLinger as usize, now)
            }
            Timer::Write => self.arm_progress_check(connection, now),
            Timer::Handshake | Timer::Head | Timer::KeepAlive | Timer::Body => {
                self.second_limits.disarm(connection);
            }
        }
        self.timers.arm(connection, timer as usize, now);
    }

    /// Arms the next check for progress of a connection whose answer is blocked.
    pub fn arm_progress_check(&mut self, connection: usize, now: Instant) {
        self.second_limits
            .arm(connection, SecondLimit::Progress as usize, now);
    }

    /// Disarms the timer of a connection.
    pub fn disarm(&mut self, connection: usize) {
        self.timers.disarm(connection);
        self.second_limits.disarm(connection);
    }

    /// Takes one deadline that has passed.
    pub fn expired(&mut self, now: Instant) -> Option<Due> {
        if let Some((connection, _)) = self.timers.expired(now) {
            self.second_limits.disarm(connection);
            return Some(Due::Timeout(connection));
        }
        let (connection, number) = self.second_limits.expired(now)?;
        if number == SecondLimit::TotalLinger as usize {
            self.timers.disarm(connection);
            Some(Due::Timeout(connection))
        } else {
            Some(Due::ProgressCheck(connection))
        }
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let all = [self.timers.next(), self.second_limits.next()];
        all.into_iter().flatten().min()
    }

    /// The connection to evict: the one that has waited longest of the first timer in the eviction order. One that has
    /// waited for less than `GRACE` is evicted only if there is no other: a flood of partial handshakes must not evict
    /// connections that have just completed theirs.
    ///
    /// A lingering connection waits from its start: input does not protect it.
    #[must_use]
    pub fn idlest(&self, now: Instant) -> Option<usize> {
        let firsts = || {
            EVICTION.iter().filter_map(|timer| match timer {
                Timer::Linger => self.second_limits.first(SecondLimit::TotalLinger as usize),
                Timer::Handshake | Timer::Head | Timer::KeepAlive | Timer::Write | Timer::Body => {
                    self.timers.first(*timer as usize)
                }
            })
        };
        let beyond_grace = firsts().find(|(_, armed)| *armed + GRACE <= now);
        beyond_grace
            .or_else(|| firsts().next())
            .map(|(connection, _)| connection)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::unnecessary_wraps, reason = "as the deadlines return it")]
    const fn timeout(connection: usize) -> Option<Due> {
        Some(Due::Timeout(connection))
    }

    #[test]
    fn expires_in_the_order_of_the_deadlines() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(3, Timer::Head, start);
        deadlines.arm(1, Timer::Linger, start + SECOND);
        deadlines.arm(2, Timer::Head, start + SECOND);
        assert_eq!(deadlines.next(), Some(start + 6 * SECOND));
        assert_eq!(deadlines.expired(start + 5 * SECOND), None);
        assert_eq!(deadlines.expired(start + 10 * SECOND), timeout(3));
        assert_eq!(deadlines.expired(start + 10 * SECOND), timeout(1));
        assert_eq!(deadlines.expired(start + 10 * SECOND), None);
        assert_eq!(deadlines.next(), Some(start + 11 * SECOND));
    }

    #[test]
    fn arming_again_restarts_the_timer() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(0, Timer::KeepAlive, start);
        deadlines.arm(1, Timer::KeepAlive, start);
        deadlines.arm(0, Timer::KeepAlive, start + SECOND);
        assert_eq!(deadlines.idlest(start), Some(1));
        assert_eq!(deadlines.expired(start + 10 * SECOND), timeout(1));
        assert_eq!(deadlines.expired(start + 10 * SECOND), None);
    }

    #[test]
    fn idle_connections_are_evicted_before_slow_ones() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        for (connection, timer) in [
            Timer::Write,
            Timer::Handshake,
            Timer::Head,
            Timer::Linger,
            Timer::KeepAlive,
        ]
        .into_iter()
        .enumerate()
        {
            deadlines.arm(connection, timer, start);
        }
        for expected in [4, 3, 2, 1, 0] {
            assert_eq!(deadlines.idlest(start), Some(expected));
            deadlines.disarm(expected);
        }
        assert_eq!(deadlines.idlest(start), None);
    }

    #[test]
    fn new_connections_are_not_evicted_before_older_ones() {
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

    #[test]
    fn input_restarts_the_linger_timer_but_not_the_limit_of_its_total_time() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        // Connection 0 sends a byte every 4 s, connection 1 none.
        deadlines.arm(0, Timer::Linger, start);
        deadlines.arm(1, Timer::Linger, start);
        for seconds in [4, 8, 12, 16, 20, 24, 28] {
            let now = start + seconds * SECOND;
            let silent = (seconds == 8).then_some(Due::Timeout(1));
            assert_eq!(deadlines.expired(now), silent);
            deadlines.arm(0, Timer::Linger, now);
        }
        assert_eq!(deadlines.next(), Some(start + 30 * SECOND));
        assert_eq!(deadlines.expired(start + 29 * SECOND), None);
        assert_eq!(deadlines.expired(start + 30 * SECOND), timeout(0));
        assert_eq!(deadlines.next(), None);
        // The next connection with that index has its full time.
        deadlines.arm(0, Timer::Head, start + 30 * SECOND);
        deadlines.arm(0, Timer::Linger, start + 31 * SECOND);
        deadlines.arm(0, Timer::Linger, start + 32 * SECOND);
        assert_eq!(deadlines.next(), Some(start + 37 * SECOND));
    }

    #[test]
    fn input_does_not_protect_a_lingering_connection_from_eviction() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(0, Timer::Linger, start);
        deadlines.arm(1, Timer::Head, start);
        deadlines.arm(0, Timer::Linger, start + 2 * SECOND);
        assert_eq!(deadlines.idlest(start + 2 * SECOND), Some(0));
    }

    #[test]
    fn a_blocked_answer_is_checked_for_progress_until_its_timeout() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        deadlines.arm(0, Timer::Write, start);
        for check in 1..10 {
            let now = start + check * SECOND;
            assert_eq!(deadlines.next(), Some(now));
            assert_eq!(deadlines.expired(now), Some(Due::ProgressCheck(0)));
            assert_eq!(deadlines.expired(now), None);
            deadlines.arm_progress_check(0, now);
        }
        assert_eq!(deadlines.expired(start + 10 * SECOND), timeout(0));
        assert_eq!(deadlines.next(), None);
    }

    fn any_timer() -> impl Strategy<Value = Timer> {
        prop::sample::select(EVICTION.as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Compared with a plain list: no deadline is lost, and none expires early, twice or out of order.
        #[test]
        fn agrees_with_a_plain_list(
            steps in prop::collection::vec((0_usize..20, prop::option::of(any_timer()), 0_u32..3), 0..200)
        ) {
            let start = Instant::now();
            let timeouts = Timeouts::default();
            let mut deadlines = Deadlines::new(timeouts);
            // By connection: its timer, its deadline, and its second limit.
            let mut model: BTreeMap<usize, (Timer, Instant, Option<Instant>)> = BTreeMap::new();
            let mut now = start;
            for (connection, timer, wait) in steps {
                now += SECOND * wait;
                match timer {
                    Some(timer) => {
                        deadlines.arm(connection, timer, now);
                        let second = match (timer, model.get(&connection)) {
                            (Timer::Linger, Some((Timer::Linger, _, in_all))) => *in_all,
                            (Timer::Linger, _) => Some(now + timeouts.linger_total),
                            (Timer::Write, _) => Some(now + timeouts.write / PROGRESS_CHECKS),
                            _ => None,
                        };
                        model.insert(connection, (timer, now + limit(timer, &timeouts), second));
                    }
                    None => {
                        deadlines.disarm(connection);
                        model.remove(&connection);
                    }
                }
                let all = model.values().flat_map(|(_, due, second)| [Some(*due), *second]);
                prop_assert_eq!(deadlines.next(), all.flatten().min());
                let (mut late, mut checks) = (Vec::new(), Vec::new());
                while let Some(due) = deadlines.expired(now) {
                    match due {
                        Due::Timeout(connection) => late.push(connection),
                        Due::ProgressCheck(connection) => {
                            deadlines.arm_progress_check(connection, now);
                            checks.push(connection);
                        }
                    }
                }
                late.sort_unstable();
                checks.sort_unstable();
                let is_past = |time: Option<Instant>| time.is_some_and(|time| time <= now);
                let (mut expected, mut expected_checks) = (Vec::new(), Vec::new());
                model.retain(|connection, (timer, due, second)| {
                    if *due <= now || (*timer == Timer::Linger && is_past(*second)) {
                        expected.push(*connection);
                        return false;
                    }
                    if is_past(*second) {
                        expected_checks.push(*connection);
                        *second = Some(now + timeouts.write / PROGRESS_CHECKS);
                    }
                    true
                });
                prop_assert_eq!(late, expected);
                prop_assert_eq!(checks, expected_checks);
            }
        }
    }
}
