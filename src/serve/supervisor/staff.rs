//! The workers as the supervisor sees them: who serves, who has been told to leave, and which places are vacant.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use mio::unix::pipe;

use crate::serve::frames::Frames;
use crate::serve::logs::Logs;
use crate::serve::orders::Order;
use crate::sys::Pid;

/// Who lives less long than this has died at once, and is replaced with some patience.
const INFANCY: Duration = Duration::from_secs(1);
/// How long a place stays vacant whose worker has died at once. It doubles from time to time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest that a place stays vacant.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is read of a worker's reports before the others have their turn.
const SHARE: usize = 256 * 1024;

/// A worker.
#[derive(Debug)]
pub(super) struct Member {
    /// Its process.
    pub(super) pid: Pid,
    /// Its place among those of its generation.
    pub(super) slot: usize,
    /// Its row of counters.
    pub(super) row: usize,
    generation: u64,
    standing: Standing,
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
    /// It has been told to leave.
    Leaving,
}

impl Member {
    /// Takes note of what it reports, and has its lines written.
    pub(super) fn listen(&mut self, logs: &mut Logs) {
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

    /// Tells it to leave. One that has gone already needs no telling.
    fn dismiss(&mut self, order: Order) {
        self.standing = Standing::Leaving;
        if let Some(orders) = &mut self.orders {
            let _ = order.give(orders);
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
pub(super) struct Staff {
    members: Vec<Member>,
    places: Vec<Place>,
    generation: u64,
}

impl Staff {
    /// Begins a new generation, whose places are all vacant. The old ones stay until it is complete.
    pub(super) fn begin_generation(&mut self, places: usize, now: Instant) {
        self.generation += 1;
        let vacant = Place {
            due: Some(now),
            pause: FIRST_PAUSE,
        };
        self.places = vec![vacant; places];
    }

    /// A place that is to be filled now.
    pub(super) fn vacancy(&self, now: Instant) -> Option<usize> {
        let is_due = |place: &Place| place.due.is_some_and(|due| due <= now);
        self.places.iter().position(is_due)
    }

    /// When the next place is to be filled.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.places.iter().filter_map(|place| place.due).min()
    }

    /// Leaves a place vacant for a while, for it could not be filled.
    pub(super) fn postpone(&mut self, slot: usize, now: Instant) {
        if let Some(place) = self.places.get_mut(slot) {
            place.due = Some(now + place.pause);
            place.pause = (2 * place.pause).min(LONGEST_PAUSE);
        }
    }

    /// Takes in a new worker, with our ends of its pipes.
    pub(super) fn add(
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
            hired: now,
            orders: Some(orders),
            reports: Some(reports),
            frames: Frames::default(),
        });
    }

    /// Takes out a worker that has ended. Returns it, and whether it had been told to.
    pub(super) fn remove(&mut self, pid: Pid, now: Instant) -> Option<(Member, bool)> {
        let at = self.members.iter().position(|member| member.pid == pid)?;
        let member = self.members.swap_remove(at);
        let expected = member.standing == Standing::Leaving;
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
    pub(super) fn reports(&self) -> impl Iterator<Item = (Pid, BorrowedFd<'_>)> {
        self.members.iter().filter_map(|member| {
            let reports = member.reports.as_ref()?;
            Some((member.pid, reports.as_fd()))
        })
    }

    /// Takes note of what a worker reports.
    pub(super) fn listen(&mut self, pid: Pid, logs: &mut Logs) {
        if let Some(member) = self.members.iter_mut().find(|member| member.pid == pid) {
            member.listen(logs);
        }
    }

    /// Takes note of what all workers report.
    pub(super) fn listen_to_all(&mut self, logs: &mut Logs) {
        for member in &mut self.members {
            member.listen(logs);
        }
    }

    /// Every place of the newest generation has a worker that accepts.
    pub(super) fn is_complete(&self) -> bool {
        let serving = self.members.iter().filter(|member| {
            member.generation == self.generation && member.standing == Standing::Serving
        });
        serving.count() == self.places.len()
    }

    /// No worker is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many generations there are, the newest one included.
    pub(super) fn generations(&self) -> usize {
        let mut all: Vec<u64> = self.members.iter().map(|one| one.generation).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// Tells those of older generations to retire.
    pub(super) fn retire_old(&mut self) {
        for member in &mut self.members {
            if member.generation < self.generation && member.standing != Standing::Leaving {
                member.dismiss(Order::Retire);
            }
        }
    }

    /// Has the oldest generation end at once.
    pub(super) fn end_oldest(&mut self) {
        let oldest = self.members.iter().map(|member| member.generation).min();
        let oldest = self
            .members
            .iter_mut()
            .filter(|member| Some(member.generation) == oldest);
        oldest.for_each(end);
    }

    /// Tells everyone to quit, and fills no place any more.
    pub(super) fn quit(&mut self) {
        self.places.clear();
        self.members
            .iter_mut()
            .for_each(|member| member.dismiss(Order::Quit));
    }

    /// Has everyone end at once, and fills no place any more.
    pub(super) fn end(&mut self) {
        self.places.clear();
        self.members.iter_mut().for_each(end);
    }

    /// The processes that are left.
    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.members.iter().map(|member| member.pid)
    }
}

/// Has a worker end at once.
fn end(member: &mut Member) {
    member.standing = Standing::Leaving;
    member.orders = None;
}
