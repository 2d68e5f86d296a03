//! The workers as the supervisor sees them: who serves, who has been told to leave, and which places are vacant.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use mio::unix::pipe;

use crate::serve::logs::collector::Logs;
use crate::serve::logs::frames::Frames;
use crate::serve::worker::orders::Order;
use crate::sys::Pid;

/// Who lives less long than this has died at once, and is replaced with some patience.
const INFANCY: Duration = Duration::from_secs(1);
/// How long a place stays vacant whose worker has died at once. It doubles from time to time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest that a place stays vacant.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a worker that got the order to quit may be stopped (SIGSTOP). It answers no more, and the supervisor would wait
/// for it for ever.
const STOPPED_LIMIT: Duration = Duration::from_secs(5);

/// What is read of a worker's reports before the others have their turn.
const SHARE: usize = 256 * 1024;

/// A worker.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its process.
    pub(crate) pid: Pid,
    /// Its place among those of its generation.
    pub(crate) slot: usize,
    /// Its row of counters.
    pub(crate) row: usize,
    generation: u64,
    standing: Standing,
    /// Since when a signal has stopped it, if one has.
    stopped: Option<Instant>,
    hired: Instant,
    /// Through which it is told what to do; closed, it ends at once.
    orders: Option<pipe::Sender>,
    /// Through which it tells how far it has come; gone when it has closed its end.
    reports: Option<pipe::Receiver>,
    frames: Frames,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It does not accept yet.
    New,
    /// It accepts.
    Serving,
    /// Newer workers have taken over, and it ends with its last connection.
    Retired,
    /// The same, and since that time it has the order to close idle connections: the supervisor waits for it.
    Quitting(Instant),
    /// It has been told to end at once, and is killed if it is there still at that time.
    Ending(Instant),
    /// It has been killed.
    Killed,
    /// It should have been killed, and could not be.
    LeftBehind,
}

impl Standing {
    /// It is there to stay.
    const fn is_staying(self) -> bool {
        match self {
            Self::New | Self::Serving => true,
            Self::Retired
            | Self::Quitting(_)
            | Self::Ending(_)
            | Self::Killed
            | Self::LeftBehind => false,
        }
    }

    /// It has not even time to answer what has begun.
    const fn is_ending(self) -> bool {
        match self {
            Self::New | Self::Serving | Self::Retired | Self::Quitting(_) => false,
            Self::Ending(_) | Self::Killed | Self::LeftBehind => true,
        }
    }
}

impl Member {
    /// Takes note of what it reports, and has its lines written.
    pub(crate) fn listen(&mut self, logs: &mut Logs) {
        let mut bytes = vec![0; 64 * 1024];
        let mut taken = 0;
        while let Some(reports) = &mut self.reports
            && taken < SHARE
        {
            match reports.read(&mut bytes) {
                Ok(length @ 1..) => {
                    taken += length;
                    let is_ready = logs.take(self.pid, &mut self.frames, &bytes[..length]);
                    if is_ready && self.standing == Standing::New {
                        self.standing = Standing::Serving;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => self.reports = None,
            }
        }
    }

    /// When it is to be killed.
    fn limit(&self) -> Option<Instant> {
        match self.standing {
            Standing::Ending(limit) => Some(limit),
            Standing::Quitting(since) => Some(self.stopped?.max(since) + STOPPED_LIMIT),
            Standing::New
            | Standing::Serving
            | Standing::Retired
            | Standing::Killed
            | Standing::LeftBehind => None,
        }
    }

    /// Tells it to leave. One that has gone already needs no telling.
    fn dismiss(&mut self, order: Order, standing: Standing) {
        if self.standing.is_ending() {
            return;
        }
        self.standing = standing;
        if let Some(orders) = &mut self.orders {
            let _ = order.give(orders);
        }
    }

    /// Has it end at once. A stopped or stuck process does not hear of it, so it has until `limit`.
    fn end(&mut self, limit: Instant) {
        if !self.standing.is_ending() {
            self.standing = Standing::Ending(limit);
            self.orders = None;
        }
    }
}

/// A place of the newest generation.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// When it is to be filled, if it is vacant.
    due: Option<Instant>,
    /// How long it stays vacant when its worker dies at once.
    pause: Duration,
}

/// All workers and places.
#[derive(Debug, Default)]
pub(crate) struct WorkerPool {
    members: Vec<Member>,
    places: Vec<Place>,
    generation: u64,
    /// The newest generation that has been complete; 0 before the first is.
    complete: u64,
}

impl WorkerPool {
    /// Begins a new generation, whose places are all vacant. The old ones stay until it is complete.
    pub(crate) fn begin_generation(&mut self, places: usize, now: Instant) {
        self.generation += 1;
        let vacant = Place {
            due: Some(now),
            pause: FIRST_PAUSE,
        };
        self.places = vec![vacant; places];
    }

    /// A place that is to be filled now.
    pub(crate) fn vacancy(&self, now: Instant) -> Option<usize> {
        let is_due = |place: &Place| place.due.is_some_and(|due| due <= now);
        self.places.iter().position(is_due)
    }

    /// When the next place is to be filled or the next worker killed.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let places = self.places.iter().filter_map(|place| place.due);
        let limits = self.members.iter().map(Member::limit);
        places.chain(limits.flatten()).min()
    }

    /// Leaves a place vacant for a while, for it could not be filled.
    pub(crate) fn postpone(&mut self, slot: usize, now: Instant) {
        if let Some(place) = self.places.get_mut(slot) {
            place.due = Some(now + place.pause);
            place.pause = (2 * place.pause).min(LONGEST_PAUSE);
        }
    }

    /// Takes in a new worker, with our ends of its pipes.
    pub(crate) fn add(
        &mut self,
        pid: Pid,
        (slot, row): (usize, usize),
        (orders, reports): (pipe::Sender, pipe::Receiver),
        now: Instant,
    ) {
        if let Some(place) = self.places.get_mut(slot) {
            place.due = None;
        }
        self.members.push(Member {
            pid,
            slot,
            row,
            generation: self.generation,
            standing: Standing::New,
            stopped: None,
            hired: now,
            orders: Some(orders),
            reports: Some(reports),
            frames: Frames::default(),
        });
    }

    /// Takes out a worker that has ended. Returns it, and whether it had been told to.
    pub(crate) fn remove(&mut self, pid: Pid, now: Instant) -> Option<(Member, bool)> {
        let at = self.members.iter().position(|member| member.pid == pid)?;
        let member = self.members.swap_remove(at);
        let expected = !member.standing.is_staying();
        // Those of older generations are being replaced anyway.
        if !expected && member.generation == self.generation {
            if now.saturating_duration_since(member.hired) < INFANCY {
                self.postpone(member.slot, now);
            } else if let Some(place) = self.places.get_mut(member.slot) {
                *place = Place {
                    due: Some(now),
                    pause: FIRST_PAUSE,
                };
            }
        }
        Some((member, expected))
    }

    /// The pipes on which workers report, with the workers' processes.
    pub(crate) fn reports(&self) -> impl Iterator<Item = (Pid, BorrowedFd<'_>)> {
        self.members.iter().filter_map(|member| {
            let reports = member.reports.as_ref()?;
            Some((member.pid, reports.as_fd()))
        })
    }

    /// Takes note of a worker that has been stopped at that time, or goes on.
    pub(crate) fn note_stopped(&mut self, pid: Pid, stopped: Option<Instant>) {
        if let Some(member) = self.members.iter_mut().find(|member| member.pid == pid) {
            member.stopped = stopped;
        }
    }

    /// Takes note of a worker that could not be killed.
    pub(crate) fn note_left_behind(&mut self, pid: Pid) {
        if let Some(member) = self.members.iter_mut().find(|member| member.pid == pid) {
            member.standing = Standing::LeftBehind;
        }
    }

    /// Takes note of what a worker reports.
    pub(crate) fn listen(&mut self, pid: Pid, logs: &mut Logs) {
        if let Some(member) = self.members.iter_mut().find(|member| member.pid == pid) {
            member.listen(logs);
        }
    }

    /// Every place of the newest generation has a worker that accepts.
    pub(crate) fn is_complete(&self) -> bool {
        self.serving() == self.places.len()
    }

    /// How many workers of the newest generation accept.
    pub(crate) fn serving(&self) -> usize {
        let members = self.members.iter();
        members
            .filter(|member| {
                member.generation == self.generation && member.standing == Standing::Serving
            })
            .count()
    }

    /// No worker is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// There is no worker left to wait for.
    pub(crate) fn is_over(&self) -> bool {
        let mut members = self.members.iter();
        members.all(|member| member.standing == Standing::LeftBehind)
    }

    /// How many generations there are, the newest one included.
    pub(crate) fn generations(&self) -> usize {
        let mut all: Vec<u64> = self.members.iter().map(|one| one.generation).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// Tells those of older generations to retire, for the newest is complete.
    pub(crate) fn retire_old(&mut self) {
        self.complete = self.generation;
        for member in &mut self.members {
            if member.generation < self.generation && member.standing.is_staying() {
                member.dismiss(Order::Retire, Standing::Retired);
            }
        }
    }

    /// Has the oldest generation end at once that can be spared, and returns whether there was one.
    ///
    /// The last one that was complete cannot: while the newest never gets as far, it is the one that serves.
    pub(crate) fn end_oldest(&mut self, limit: Instant) -> bool {
        let needed = [self.complete, self.generation];
        let oldest = self
            .members
            .iter()
            .filter(|member| !needed.contains(&member.generation) && !member.standing.is_ending())
            .map(|member| member.generation)
            .min();
        self.members
            .iter_mut()
            .filter(|member| Some(member.generation) == oldest)
            .for_each(|member| member.end(limit));
        oldest.is_some()
    }

    /// Takes those who have not ended within their time: they are to be killed. Each is returned once.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<Pid> {
        let is_late = |member: &&mut Member| member.limit().is_some_and(|limit| limit <= now);
        let late = self.members.iter_mut().filter(is_late);
        late.map(|member| {
            member.standing = Standing::Killed;
            member.pid
        })
        .collect()
    }

    /// Tells everyone to quit, and fills no place any more.
    pub(crate) fn quit(&mut self, now: Instant) {
        self.places.clear();
        self.members
            .iter_mut()
            .for_each(|member| member.dismiss(Order::Quit, Standing::Quitting(now)));
    }

    /// Has everyone end at once, and fills no place any more.
    pub(crate) fn end(&mut self, limit: Instant) {
        self.places.clear();
        self.members.iter_mut().for_each(|member| member.end(limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long those may take who are to end.
    const LIMIT: Duration = Duration::from_secs(2);

    /// Generations of two places each. Where only one worker of two has begun, the generation is not complete.
    struct Firm {
        staff: WorkerPool,
        start: Instant,
        /// The workers' ends of their pipes.
        orders: Vec<(Pid, pipe::Receiver)>,
    }

    impl Firm {
        fn new() -> Self {
            Self {
                staff: WorkerPool::default(),
                start: Instant::now(),
                orders: Vec::new(),
            }
        }

        /// A new generation with these workers, which all accept.
        fn begin(&mut self, pids: &[Pid]) {
            self.staff.begin_generation(2, self.start);
            for (slot, pid) in pids.iter().enumerate() {
                let (sender, orders) = pipe::new().unwrap();
                let (_, reports) = pipe::new().unwrap();
                self.staff
                    .add(*pid, (slot, 0), (sender, reports), self.start);
                self.orders.push((*pid, orders));
            }
            for member in &mut self.staff.members {
                if pids.contains(&member.pid) {
                    member.standing = Standing::Serving;
                }
            }
            if self.staff.is_complete() {
                self.staff.retire_old();
            }
        }

        /// Those who have been told to end at once.
        fn ending(&mut self) -> Vec<Pid> {
            let is_ending = |orders: &mut pipe::Receiver| {
                loop {
                    match Order::take(orders) {
                        Ok(Some(_)) => {}
                        Ok(None) => return true,
                        Err(_) => return false,
                    }
                }
            };
            self.orders
                .iter_mut()
                .filter_map(|(pid, orders)| is_ending(orders).then_some(*pid))
                .collect()
        }

        fn end_oldest(&mut self) -> bool {
            self.staff.end_oldest(self.start + LIMIT)
        }
    }

    #[test]
    fn the_oldest_generation_is_ended_first() {
        let mut firm = Firm::new();
        for pids in [[1, 2], [3, 4], [5, 6]] {
            firm.begin(&pids);
        }
        assert!(firm.ending().is_empty());
        assert!(firm.end_oldest());
        assert_eq!(firm.ending(), [1, 2]);
        // Who does not go must not save the others.
        assert!(firm.end_oldest());
        assert_eq!(firm.ending(), [1, 2, 3, 4]);
        assert!(!firm.end_oldest());
        assert_eq!(firm.ending(), [1, 2, 3, 4]);
    }

    #[test]
    fn the_last_complete_generation_is_not_ended() {
        let mut firm = Firm::new();
        firm.begin(&[1, 2]);
        for pid in [3, 4, 5] {
            firm.begin(&[pid]);
        }
        assert!(firm.end_oldest());
        assert!(firm.end_oldest());
        assert_eq!(firm.ending(), [3, 4]);
        assert!(!firm.end_oldest());
        // Another one that is complete takes its place.
        firm.begin(&[6, 7]);
        assert!(firm.end_oldest());
        assert_eq!(firm.ending(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_worker_that_is_stopped_does_not_keep_a_quit_for_ever() {
        let mut firm = Firm::new();
        firm.begin(&[1, 2]);
        let quit = firm.start + Duration::from_secs(60);
        firm.staff.note_stopped(1, Some(firm.start));
        // While it need not leave it may be stopped for as long as it takes.
        assert_eq!(firm.staff.next_due(), None);
        firm.staff.quit(quit);
        assert_eq!(firm.staff.next_due(), Some(quit + STOPPED_LIMIT));
        // One that goes on has all the time that its connections need, until it is stopped once more.
        firm.staff.note_stopped(1, None);
        assert_eq!(firm.staff.next_due(), None);
        let again = quit + Duration::from_secs(60);
        firm.staff.note_stopped(1, Some(again));
        let limit = again + STOPPED_LIMIT;
        assert_eq!(firm.staff.next_due(), Some(limit));
        assert!(
            firm.staff
                .take_late(limit - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(firm.staff.take_late(limit), [1]);
        // Where it cannot be killed, the others are waited for still.
        firm.staff.note_left_behind(1);
        assert_eq!(firm.staff.next_due(), None);
        assert!(!firm.staff.is_over());
        assert!(firm.staff.remove(2, limit).is_some());
        assert!(firm.staff.is_over() && !firm.staff.is_empty());
    }

    #[test]
    fn who_does_not_end_in_time_is_killed_once() {
        let mut firm = Firm::new();
        firm.begin(&[1, 2]);
        firm.begin(&[3, 4]);
        assert_eq!(firm.staff.next_due(), None);
        firm.end_oldest();
        let limit = firm.start + LIMIT;
        assert_eq!(firm.staff.next_due(), Some(limit));
        assert!(
            firm.staff
                .take_late(limit - Duration::from_millis(1))
                .is_empty()
        );
        let (_, expected) = firm.staff.remove(1, limit).unwrap();
        assert!(expected);
        // Neither a further order nor a further end gives it more time.
        firm.staff.quit(limit);
        firm.staff.end(limit + LIMIT);
        assert_eq!(firm.staff.take_late(limit), [2]);
        assert!(firm.staff.take_late(limit).is_empty());
        assert_eq!(firm.staff.next_due(), Some(limit + LIMIT));
        let (_, expected) = firm.staff.remove(2, limit).unwrap();
        assert!(expected);
        let mut late = firm.staff.take_late(limit + LIMIT);
        late.sort_unstable();
        assert_eq!(late, [3, 4]);
        assert_eq!(firm.staff.next_due(), None);
    }
}
