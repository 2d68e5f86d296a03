//! The pool of workers: which process serves in which slot, its state, and when a slot is due for a respawn.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use mio::unix::pipe;

use crate::serve::logs::collector::Logs;
use crate::serve::logs::frames::Frames;
use crate::serve::supervisor::spawn::SupervisorPipes;
use crate::serve::worker::orders::Order;
use crate::sys::Pid;

/// A worker that dies sooner than this is respawned with a back-off.
const MIN_LIFETIME: Duration = Duration::from_secs(1);
/// The first back-off. It doubles with each early death.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest back-off.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// How long a worker that has the order to quit may be stopped (SIGSTOP). A stopped worker answers nothing, and the
/// supervisor would wait for it forever.
const STOPPED_LIMIT: Duration = Duration::from_secs(5);

/// What is read from one log pipe before the next one has its turn, in bytes.
const MAX_READ: usize = 256 * 1024;

/// A worker process, and what the supervisor has recorded of it.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    pid: Pid,
    /// Its slot in its generation.
    slot: usize,
    /// Its row of counters.
    pub(crate) row: usize,
    generation: u64,
    state: WorkerState,
    /// When a signal stopped it, while it is stopped.
    stopped: Option<Instant>,
    spawned: Instant,
    /// Closed, it makes the worker exit at once.
    orders: Option<pipe::Sender>,
    /// `None` once the worker has closed its end.
    log_pipe: Option<pipe::Receiver>,
    frames: Frames,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkerState {
    /// Does not accept yet.
    New,
    /// Accepts.
    Serving,
    /// Replaced by a newer worker; exits with its last connection.
    Retired,
    /// The same, and since that time it has the order to close idle connections: the supervisor waits for it.
    Quitting(Instant),
    /// Is to exit at once, and is killed at that time.
    Terminating(Instant),
    Killed,
    /// Could not be killed.
    Unkillable,
}

impl WorkerState {
    /// Its exit is unexpected.
    const fn is_active(self) -> bool {
        match self {
            Self::New | Self::Serving => true,
            Self::Retired
            | Self::Quitting(_)
            | Self::Terminating(_)
            | Self::Killed
            | Self::Unkillable => false,
        }
    }

    /// It is to exit without an answer to open requests.
    const fn is_terminating(self) -> bool {
        match self {
            Self::New | Self::Serving | Self::Retired | Self::Quitting(_) => false,
            Self::Terminating(_) | Self::Killed | Self::Unkillable => true,
        }
    }
}

impl WorkerProcess {
    /// Reads its log pipe: writes log lines, and notes that it accepts.
    pub(crate) fn read_log_pipe(&mut self, logs: &mut Logs) {
        let mut bytes = vec![0; 64 * 1024];
        let mut taken = 0;
        while let Some(log_pipe) = &mut self.log_pipe
            && taken < MAX_READ
        {
            match log_pipe.read(&mut bytes) {
                Ok(length @ 1..) => {
                    taken += length;
                    let is_ready = logs.take(self.pid, &mut self.frames, &bytes[..length]);
                    if is_ready && self.state == WorkerState::New {
                        self.state = WorkerState::Serving;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => self.log_pipe = None,
            }
        }
    }

    /// When it is to be killed.
    fn kill_time(&self) -> Option<Instant> {
        match self.state {
            WorkerState::Terminating(limit) => Some(limit),
            WorkerState::Quitting(since) => Some(self.stopped?.max(since) + STOPPED_LIMIT),
            WorkerState::New
            | WorkerState::Serving
            | WorkerState::Retired
            | WorkerState::Killed
            | WorkerState::Unkillable => None,
        }
    }

    fn send(&mut self, order: Order, state: WorkerState) {
        if self.state.is_terminating() {
            return;
        }
        self.state = state;
        if let Some(orders) = &mut self.orders {
            // It may have exited already.
            let _ = order.send(orders);
        }
    }

    /// Makes it exit at once. A process that is stopped or stuck does not notice, so it is killed at `limit`.
    fn terminate(&mut self, limit: Instant) {
        if !self.state.is_terminating() {
            self.state = WorkerState::Terminating(limit);
            self.orders = None;
        }
    }
}

/// A slot of the newest generation.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// When it is due for a spawn, if it is free.
    due: Option<Instant>,
    /// How long it stays free after an early death.
    backoff: Duration,
}

impl Slot {
    const fn due(due: Instant) -> Self {
        Self {
            due: Some(due),
            backoff: FIRST_BACKOFF,
        }
    }
}

/// All workers, and the slots of the newest generation.
#[derive(Debug, Default)]
pub(crate) struct WorkerPool {
    workers: Vec<WorkerProcess>,
    slots: Vec<Slot>,
    generation: u64,
    /// The newest generation of which all workers have accepted at some time; 0 before there is one.
    complete: u64,
}

impl WorkerPool {
    /// Begins a new generation with free slots. The old workers stay until it is complete.
    pub(crate) fn begin_generation(&mut self, slots: usize, now: Instant) {
        self.generation += 1;
        self.slots = vec![Slot::due(now); slots];
    }

    /// A slot that is due for a spawn.
    pub(crate) fn due_slot(&self, now: Instant) -> Option<usize> {
        let is_due = |slot: &Slot| slot.due.is_some_and(|due| due <= now);
        self.slots.iter().position(is_due)
    }

    /// When the next spawn or kill is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let spawns = self.slots.iter().filter_map(|slot| slot.due);
        let kills = self.workers.iter().filter_map(WorkerProcess::kill_time);
        spawns.chain(kills).min()
    }

    /// Postpones the spawn for a slot, because the last one has failed or its worker died early.
    pub(crate) fn back_off(&mut self, slot: usize, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.due = Some(now + slot.backoff);
            slot.backoff = (2 * slot.backoff).min(MAX_BACKOFF);
        }
    }

    /// Adds a new worker of the newest generation.
    pub(crate) fn add(
        &mut self,
        pid: Pid,
        (slot, row): (usize, usize),
        pipes: SupervisorPipes,
        now: Instant,
    ) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.due = None;
        }
        self.workers.push(WorkerProcess {
            pid,
            slot,
            row,
            generation: self.generation,
            state: WorkerState::New,
            stopped: None,
            spawned: now,
            orders: Some(pipes.orders),
            log_pipe: Some(pipes.log),
            frames: Frames::default(),
        });
    }

    /// Removes a worker that has exited. Returns it, and whether it was to exit.
    pub(crate) fn remove(&mut self, pid: Pid, now: Instant) -> Option<(WorkerProcess, bool)> {
        let at = self.workers.iter().position(|worker| worker.pid == pid)?;
        let worker = self.workers.swap_remove(at);
        let expected = !worker.state.is_active();
        // Older generations are being replaced anyway.
        if !expected && worker.generation == self.generation {
            if now.saturating_duration_since(worker.spawned) < MIN_LIFETIME {
                self.back_off(worker.slot, now);
            } else if let Some(slot) = self.slots.get_mut(worker.slot) {
                *slot = Slot::due(now);
            }
        }
        Some((worker, expected))
    }

    fn get_mut(&mut self, pid: Pid) -> Option<&mut WorkerProcess> {
        self.workers.iter_mut().find(|worker| worker.pid == pid)
    }

    /// The open log pipes.
    pub(crate) fn log_pipes(&self) -> impl Iterator<Item = (Pid, BorrowedFd<'_>)> {
        self.workers.iter().filter_map(|worker| {
            let log_pipe = worker.log_pipe.as_ref()?;
            Some((worker.pid, log_pipe.as_fd()))
        })
    }

    /// Reads the log pipe of a worker.
    pub(crate) fn read_log_pipe(&mut self, pid: Pid, logs: &mut Logs) {
        if let Some(worker) = self.get_mut(pid) {
            worker.read_log_pipe(logs);
        }
    }

    /// Notes that a worker was stopped at this time, or continues.
    pub(crate) fn set_stopped(&mut self, pid: Pid, stopped: Option<Instant>) {
        if let Some(worker) = self.get_mut(pid) {
            worker.stopped = stopped;
        }
    }

    /// Notes that a worker could not be killed.
    pub(crate) fn set_unkillable(&mut self, pid: Pid) {
        if let Some(worker) = self.get_mut(pid) {
            worker.state = WorkerState::Unkillable;
        }
    }

    /// Every slot has a worker that accepts.
    pub(crate) fn is_complete(&self) -> bool {
        self.serving() == self.slots.len()
    }

    /// The number of workers of the newest generation that accept.
    pub(crate) fn serving(&self) -> usize {
        let newest = |worker: &&WorkerProcess| worker.generation == self.generation;
        let newest = self.workers.iter().filter(newest);
        newest
            .filter(|worker| worker.state == WorkerState::Serving)
            .count()
    }

    /// All workers have exited.
    pub(crate) const fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// All workers have exited, except for those that cannot be killed.
    pub(crate) fn is_drained(&self) -> bool {
        let mut workers = self.workers.iter();
        workers.all(|worker| worker.state == WorkerState::Unkillable)
    }

    /// The number of generations, the newest one included.
    pub(crate) fn generations(&self) -> usize {
        let mut all: Vec<u64> = self.workers.iter().map(|one| one.generation).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// Retires all older generations, because the newest is complete.
    pub(crate) fn retire_old(&mut self) {
        self.complete = self.generation;
        for worker in &mut self.workers {
            if worker.generation < self.generation && worker.state.is_active() {
                worker.send(Order::Retire, WorkerState::Retired);
            }
        }
    }

    /// Terminates the oldest generation that is not needed. Returns whether there is one.
    ///
    /// The last complete one is needed: while the newest is not complete, it serves.
    pub(crate) fn terminate_oldest(&mut self, limit: Instant) -> bool {
        let needed = [self.complete, self.generation];
        let oldest = self
            .workers
            .iter()
            .filter(|worker| !needed.contains(&worker.generation) && !worker.state.is_terminating())
            .map(|worker| worker.generation)
            .min();
        self.workers
            .iter_mut()
            .filter(|worker| Some(worker.generation) == oldest)
            .for_each(|worker| worker.terminate(limit));
        oldest.is_some()
    }

    /// The workers that are to be killed now. Each is returned once.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<Pid> {
        let is_overdue = |worker: &&mut WorkerProcess| {
            let kill_time = worker.kill_time();
            kill_time.is_some_and(|time| time <= now)
        };
        let overdue = self.workers.iter_mut().filter(is_overdue);
        overdue
            .map(|worker| {
                worker.state = WorkerState::Killed;
                worker.pid
            })
            .collect()
    }

    /// Drains all workers, and spawns none any more.
    pub(crate) fn quit(&mut self, now: Instant) {
        self.slots.clear();
        self.workers
            .iter_mut()
            .for_each(|worker| worker.send(Order::Quit, WorkerState::Quitting(now)));
    }

    /// Terminates all workers, and spawns none any more.
    pub(crate) fn terminate(&mut self, limit: Instant) {
        self.slots.clear();
        self.workers
            .iter_mut()
            .for_each(|worker| worker.terminate(limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a terminated worker may take.
    const LIMIT: Duration = Duration::from_secs(2);

    /// A pool of two slots. A generation with one worker is not complete.
    struct TestPool {
        pool: WorkerPool,
        start: Instant,
        /// The workers' ends of their order pipes.
        orders: Vec<(Pid, pipe::Receiver)>,
    }

    impl TestPool {
        fn new() -> Self {
            Self {
                pool: WorkerPool::default(),
                start: Instant::now(),
                orders: Vec::new(),
            }
        }

        /// Begins a generation with these workers, which accept.
        fn begin(&mut self, pids: &[Pid]) {
            self.pool.begin_generation(2, self.start);
            for (slot, pid) in pids.iter().enumerate() {
                let (orders, receiver) = pipe::new().unwrap();
                let (_, log) = pipe::new().unwrap();
                let pipes = SupervisorPipes { orders, log };
                self.pool.add(*pid, (slot, 0), pipes, self.start);
                self.orders.push((*pid, receiver));
            }
            for worker in &mut self.pool.workers {
                if pids.contains(&worker.pid) {
                    worker.state = WorkerState::Serving;
                }
            }
            if self.pool.is_complete() {
                self.pool.retire_old();
            }
        }

        /// The workers that are to exit at once.
        fn terminating(&mut self) -> Vec<Pid> {
            let is_closed = |orders: &mut pipe::Receiver| {
                loop {
                    match Order::receive(orders) {
                        Ok(Some(_)) => {}
                        Ok(None) => return true,
                        Err(_) => return false,
                    }
                }
            };
            self.orders
                .iter_mut()
                .filter_map(|(pid, orders)| is_closed(orders).then_some(*pid))
                .collect()
        }

        fn terminate_oldest(&mut self) -> bool {
            self.pool.terminate_oldest(self.start + LIMIT)
        }
    }

    #[test]
    fn the_oldest_generation_is_terminated_first() {
        let mut test = TestPool::new();
        for pids in [[1, 2], [3, 4], [5, 6]] {
            test.begin(&pids);
        }
        assert!(test.terminating().is_empty());
        assert!(test.terminate_oldest());
        assert_eq!(test.terminating(), [1, 2]);
        // Workers that do not exit must not protect the next generation.
        assert!(test.terminate_oldest());
        assert_eq!(test.terminating(), [1, 2, 3, 4]);
        assert!(!test.terminate_oldest());
        assert_eq!(test.terminating(), [1, 2, 3, 4]);
    }

    #[test]
    fn the_last_complete_generation_is_not_terminated() {
        let mut test = TestPool::new();
        test.begin(&[1, 2]);
        for pid in [3, 4, 5] {
            test.begin(&[pid]);
        }
        assert!(test.terminate_oldest());
        assert!(test.terminate_oldest());
        assert_eq!(test.terminating(), [3, 4]);
        assert!(!test.terminate_oldest());
        // Another complete generation replaces it.
        test.begin(&[6, 7]);
        assert!(test.terminate_oldest());
        assert_eq!(test.terminating(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_stopped_worker_does_not_block_a_quit_forever() {
        let mut test = TestPool::new();
        test.begin(&[1, 2]);
        let quit = test.start + Duration::from_secs(60);
        test.pool.set_stopped(1, Some(test.start));
        // Before a quit it may be stopped for any time.
        assert_eq!(test.pool.next_due(), None);
        test.pool.quit(quit);
        assert_eq!(test.pool.next_due(), Some(quit + STOPPED_LIMIT));
        // One that continues has all the time that its connections need, until it is stopped again.
        test.pool.set_stopped(1, None);
        assert_eq!(test.pool.next_due(), None);
        let again = quit + Duration::from_secs(60);
        test.pool.set_stopped(1, Some(again));
        let limit = again + STOPPED_LIMIT;
        assert_eq!(test.pool.next_due(), Some(limit));
        assert!(
            test.pool
                .take_overdue(limit - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(test.pool.take_overdue(limit), [1]);
        // If it cannot be killed, the supervisor still waits for the others.
        test.pool.set_unkillable(1);
        assert_eq!(test.pool.next_due(), None);
        assert!(!test.pool.is_drained());
        assert!(test.pool.remove(2, limit).is_some());
        assert!(test.pool.is_drained() && !test.pool.is_empty());
    }

    #[test]
    fn a_worker_that_does_not_exit_in_time_is_killed_once() {
        let mut test = TestPool::new();
        test.begin(&[1, 2]);
        test.begin(&[3, 4]);
        assert_eq!(test.pool.next_due(), None);
        test.terminate_oldest();
        let limit = test.start + LIMIT;
        assert_eq!(test.pool.next_due(), Some(limit));
        assert!(
            test.pool
                .take_overdue(limit - Duration::from_millis(1))
                .is_empty()
        );
        let (_, expected) = test.pool.remove(1, limit).unwrap();
        assert!(expected);
        // Neither a later order nor a later termination gives it more time.
        test.pool.quit(limit);
        test.pool.terminate(limit + LIMIT);
        assert_eq!(test.pool.take_overdue(limit), [2]);
        assert!(test.pool.take_overdue(limit).is_empty());
        assert_eq!(test.pool.next_due(), Some(limit + LIMIT));
        let (_, expected) = test.pool.remove(2, limit).unwrap();
        assert!(expected);
        let mut overdue = test.pool.take_overdue(limit + LIMIT);
        overdue.sort_unstable();
        assert_eq!(overdue, [3, 4]);
        assert_eq!(test.pool.next_due(), None);
    }
}
