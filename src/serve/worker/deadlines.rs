//! Connection timeouts: one queue for each kind.
//!
//! The length of a kind is constant, so each queue is in the order of its deadlines by itself: arming appends, expiry
//! looks at the front, and every step is O(1). The queues are linked through a table that is indexed as the
//! connections are, so arming allocates nothing.
//!
//! A connection has one timer at a time. Two of the timers have a second limit of another length, which has a queue of its
//! own in a second table: lingering in all, and the checks whether a client takes a blocked answer.

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
    /// The client's close, from ours or from the last of its bytes after that; with a limit in all.
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

/// The order in which connections are closed in a full house: idle ones lose nothing; lingering ones have their answer and
/// may have read it; then half a head before half a handshake. Answers that are still being written go last.
const EVICTION: [Timer; Timer::COUNT] = [
    Timer::KeepAlive,
    Timer::Linger,
    Timer::Head,
    Timer::Handshake,
    Timer::Body,
    Timer::Write,
];

/// How long a connection may wait before it is given up for one that has just come.
const GRACE: Duration = Duration::from_secs(1);

/// The checks for progress within one write timeout: a client that stops taking its answer is closed late by one interval
/// at most.
const PROGRESS_CHECKS: u32 = 10;

/// The limits that run beside a timer.
#[derive(Clone, Copy)]
enum Second {
    /// Beside [`Timer::Linger`], from the first time that it is armed: input does not prolong it.
    LingerInAll,
    /// Beside [`Timer::Write`]: when to check for progress.
    Progress,
}

impl Second {
    const COUNT: usize = 2;
}

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its timer has run out, and is not armed any more.
    Timeout(usize),
    /// Its answer is blocked, and it is time to check whether the client has taken some of it. The timer still runs; the
    /// next check is armed with [`Deadlines::arm_progress_check`].
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

/// Queues of which a connection is in one at most.
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

    /// Appends a connection to a queue, and takes it out of the one that it was in.
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

    /// The connection that has been longest in a queue, and since when.
    fn first(&self, number: usize) -> Option<(usize, Instant)> {
        let first = self.queues[number].first;
        (first != NONE).then(|| (first as usize, self.links[first as usize].armed))
    }

    /// Takes one connection out of its queue whose deadline has passed. Returns it and the queue.
    fn expired(&mut self, now: Instant) -> Option<(usize, usize)> {
        let late = (0..COUNT).find_map(|number| {
            let (connection, armed) = self.first(number)?;
            (armed + self.queues[number].limit <= now).then_some((connection, number))
        })?;
        self.disarm(late.0);
        Some(late)
    }

    /// When the next deadline passes.
    fn next(&self) -> Option<Instant> {
        let dues = (0..COUNT).filter_map(|number| {
            let (_, armed) = self.first(number)?;
            Some(armed + self.queues[number].limit)
        });
        dues.min()
    }
}

/// The deadlines of all connections, by their index.
pub struct Deadlines {
    timers: Queues<{ Timer::COUNT }>,
    seconds: Queues<{ Second::COUNT }>,
}

impl Deadlines {
    /// No deadline yet.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self {
            timers: Queues::new(Timer::ALL.map(|timer| timer.of(&timeouts))),
            seconds: Queues::new([timeouts.linger_total, timeouts.write / PROGRESS_CHECKS]),
        }
    }

    /// Reserves room for so many connections.
    #[must_use]
    pub fn with_room(mut self, connections: usize) -> Self {
        self.timers.links.reserve_exact(connections);
        self
    }

    /// How many connections wait for what.
    #[must_use]
    pub fn lengths(&self) -> [u32; Timer::COUNT] {
        self.timers.queues.map(|queue| queue.length)
    }

    /// Starts `timer` for a connection, in place of what was armed for it before. Lingering that goes on keeps its limit in
    /// all.
    ///
    /// `now` must not run backwards from call to call.
    pub fn arm(&mut self, connection: usize, timer: Timer, now: Instant) {
        let before = self.timers.queue_of(connection);
        let goes_on = before == Some(timer.index());
        match timer {
            Timer::Linger if goes_on => {}
            Timer::Linger => self
                .seconds
                .arm(connection, Second::LingerInAll as usize, now),
            Timer::Write => self.arm_progress_check(connection, now),
            Timer::Handshake | Timer::Head | Timer::KeepAlive | Timer::Body => {
                self.seconds.disarm(connection);
            }
        }
        self.timers.arm(connection, timer.index(), now);
    }

    /// Starts the time to the next check for progress of a connection whose answer is blocked.
    pub fn arm_progress_check(&mut self, connection: usize, now: Instant) {
        self.seconds.arm(connection, Second::Progress as usize, now);
    }

    /// Forgets what was armed for a connection.
    pub fn disarm(&mut self, connection: usize) {
        self.timers.disarm(connection);
        self.seconds.disarm(connection);
    }

    /// Takes one deadline that has passed.
    pub fn expired(&mut self, now: Instant) -> Option<Due> {
        if let Some((connection, _)) = self.timers.expired(now) {
            self.seconds.disarm(connection);
            return Some(Due::Timeout(connection));
        }
        let (connection, number) = self.seconds.expired(now)?;
        if number == Second::LingerInAll as usize {
            self.timers.disarm(connection);
            Some(Due::Timeout(connection))
        } else {
            Some(Due::ProgressCheck(connection))
        }
    }

    /// When the next deadline passes.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let all = [self.timers.next(), self.seconds.next()];
        all.into_iter().flatten().min()
    }

    /// The connection to close in a full house: the one that has waited longest of the least deserving kind, but none that
    /// has waited for less than a second while another has: a flood of half handshakes must not cost those their
    /// place who have just finished one.
    ///
    /// A lingering connection waits from its first moment: the bytes that it still sends do not keep its place.
    #[must_use]
    pub fn idlest(&self, now: Instant) -> Option<usize> {
        let firsts = || {
            EVICTION.iter().filter_map(|timer| match timer {
                Timer::Linger => self.seconds.first(Second::LingerInAll as usize),
                Timer::Handshake | Timer::Head | Timer::KeepAlive | Timer::Write | Timer::Body => {
                    self.timers.first(timer.index())
                }
            })
        };
        let patient = firsts().find(|(_, armed)| *armed + GRACE <= now);
        patient
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
    fn arming_again_starts_anew_at_the_back() {
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
    fn a_full_house_gives_up_the_idle_before_the_slow() {
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

    #[test]
    fn input_restarts_the_silence_of_a_lingering_connection_but_not_its_time_in_all() {
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
        // The next connection of that number has all of its time.
        deadlines.arm(0, Timer::Head, start + 30 * SECOND);
        deadlines.arm(0, Timer::Linger, start + 31 * SECOND);
        deadlines.arm(0, Timer::Linger, start + 32 * SECOND);
        assert_eq!(deadlines.next(), Some(start + 37 * SECOND));
    }

    #[test]
    fn a_lingering_connection_does_not_keep_its_place_by_sending() {
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

        /// Against a plain list: nothing is lost, nothing expires early, twice or out of order.
        #[test]
        fn agrees_with_a_plain_list(
            steps in prop::collection::vec((0_usize..20, prop::option::of(any_timer()), 0_u32..3), 0..200)
        ) {
            let start = Instant::now();
            let timeouts = Timeouts::default();
            let mut deadlines = Deadlines::new(timeouts);
            // By the connection: its timer, its deadline, and the limit or check beside it.
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
                        model.insert(connection, (timer, now + timer.of(&timeouts), second));
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
