//! The loop of one worker: one poll, one thread, every connection in one slab.
//!
//! Polling is edge-triggered: an event tells that something has changed, once. So whoever stops before the system has
//! said `WouldBlock` must come back without being told: a listener that has had its share of accepts, and a connection
//! has had its share of work, stand on the ready list for the next turn.

mod doors;

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::serve::answer::sites::Service;
use crate::serve::connection::Want;
use crate::serve::listeners::listener::Listener;
use crate::serve::logs::access::AccessLog;
use crate::serve::logs::log_pipe;
use crate::serve::metrics::counters::{CloseReason, Counters};
use crate::serve::transport::Buffers;
pub(crate) use crate::serve::worker::admin::Inspection;
use crate::serve::worker::admin::{Inspectors, Turn};
use crate::serve::worker::client::{Client, Desk, Progress};
use crate::serve::worker::deadlines::{Deadlines, Due, Timeouts, Timer};
use crate::serve::worker::event_loop::doors::{Door, DoorState};
use crate::serve::worker::orders::Order;

/// The events taken from the poll at once.
const EVENTS_A_TURN: usize = 1024;
/// The connections for which room is reserved at the start. The system gives memory only for what is used of it; what grows
/// instead leaves all its smaller selves behind.
const RESERVED: usize = 65_536;
/// How long lines wait for a pipe that had no room for them, if nothing else happens.
const PIPE_PATIENCE: Duration = Duration::from_millis(50);

/// The pipe through which the supervisor gives its orders.
const ORDERS: Token = Token(0);
/// The first listener's token; the connections' follow the listeners'.
const FIRST_LISTENER: usize = 1;

/// The loop, from the first connection to the last.
pub(crate) struct EventLoop {
    poll: Poll,
    listeners: Vec<Door>,
    /// The first connection's token, which is not any listener's.
    first_connection: usize,
    stage: Stage,
    connections: Slab<Client>,
    max_connections: usize,
    deadlines: Deadlines,
    /// Connections with work left from the last turn.
    ready: Vec<usize>,
    desk: Desk,
    counters: Counters,
    /// Those who ask for metrics and health, where that is listened for.
    inspectors: Option<Inspectors>,
    /// Lines of the log have not found room in the pipe.
    lines_wait: bool,
    /// The time at which this turn began.
    now: Instant,
}

/// How far a worker is from its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It accepts.
    Serving,
    /// It accepts no more, and ends with its last connection.
    Retired,
    /// The same, and who is not waiting for an answer is closed.
    Quitting,
}

impl EventLoop {
    /// A loop with its listeners registered, and watching for `orders`.
    pub(crate) fn new(
        listeners: Vec<Listener>,
        orders: &mut pipe::Receiver,
        services: Vec<Service>,
        timeouts: Timeouts,
        max_connections: usize,
        counters: Counters,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(orders, ORDERS, Interest::READABLE)?;
        let mut doors = Vec::with_capacity(listeners.len());
        for (token, mut listener) in (FIRST_LISTENER..).map(Token).zip(listeners) {
            poll.registry()
                .register(&mut listener, token, Interest::READABLE)?;
            // Connections may have come before we watched.
            doors.push(Door {
                listener,
                state: DoorState::Crowded,
            });
        }
        let input = vec![0; Buffers::PLAINTEXT].into_boxed_slice();
        Ok(Self {
            poll,
            first_connection: FIRST_LISTENER + doors.len(),
            listeners: doors,
            stage: Stage::Serving,
            connections: Slab::with_capacity(max_connections.min(RESERVED)),
            max_connections,
            deadlines: Deadlines::new(timeouts).with_room(max_connections.min(RESERVED)),
            ready: Vec::new(),
            desk: Desk {
                services,
                counters,
                host_places: Vec::new(),
                log: None,
                input,
                buffers: Buffers::default(),
            },
            counters,
            inspectors: None,
            lines_wait: false,
            now: Instant::now(),
        })
    }

    /// Has every request noted in a log.
    pub(crate) fn keep_log(&mut self) {
        self.desk.log = Some(AccessLog::default());
    }

    /// Answers those who ask for metrics and health.
    pub(crate) fn inspect(&mut self, inspection: Inspection) {
        self.inspectors = Some(Inspectors::new(inspection));
    }

    /// Counts requests by their sites' hosts, which have these places.
    pub(crate) fn count_hosts(&mut self, places: Vec<usize>) {
        self.desk.host_places = places;
    }

    const fn turn(&self) -> Turn {
        Turn {
            now: self.now,
            is_quitting: matches!(self.stage, Stage::Quitting),
        }
    }

    /// Serves until it is told to end, or has retired and has no connection left.
    pub(crate) fn run(&mut self, orders: &mut pipe::Receiver) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_A_TURN);
        while self.stage == Stage::Serving || !self.connections.is_empty() {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.now = Instant::now();
            self.desk.renew(self.now);
            let waiting = std::mem::take(&mut self.ready);
            // First, so that who asks in this very turn is told of the end with the answer.
            let is_ordered = events.iter().any(|event| event.token() == ORDERS);
            if is_ordered && !self.obey(orders) {
                return Ok(());
            }
            for event in events.iter().filter(|event| event.token() != ORDERS) {
                self.notice(event);
            }
            for index in waiting {
                if let Some(visitor) = self.connections.get_mut(index)
                    && std::mem::take(&mut visitor.ready)
                {
                    self.attend(index);
                }
            }
            self.expire_late();
            if let Some(inspectors) = &mut self.inspectors {
                inspectors.expire(self.now);
            }
            for door in 0..self.listeners.len() {
                self.accept(door);
            }
            self.send_lines();
            self.counters.set_open(self.deadlines.lengths());
        }
        Ok(())
    }

    /// Takes the orders that have come. Returns whether it goes on.
    fn obey(&mut self, orders: &mut pipe::Receiver) -> bool {
        loop {
            match Order::receive(orders) {
                Ok(Some(Order::Retire)) => self.retire(Stage::Retired),
                Ok(Some(Order::Quit)) => {
                    self.retire(Stage::Quitting);
                    let all: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
                    // A request that has just come is one to wait for.
                    all.into_iter().for_each(|index| self.attend(index));
                }
                Ok(None) => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Closes a connection that waits for no answer.
    fn dismiss_idle(&mut self, index: usize) {
        if let Some(visitor) = self.connections.get_mut(index)
            && visitor.is_idle()
        {
            // Only politeness: what comes of it is a close.
            let _ = visitor.expire(&mut self.desk);
            self.close(index, CloseReason::Retired);
        }
    }

    /// Sends the lines of this turn on their way.
    fn send_lines(&mut self) {
        if let Some(log) = &mut self.desk.log {
            log.begin_turn();
            let progress = log_pipe::flush();
            self.counters.lost().add(progress.lost);
            self.lines_wait = !progress.is_done;
        }
    }

    /// How long the poll may wait: not at all with work left, else to the next deadline.
    fn patience(&self) -> Option<Duration> {
        let mut next = self.deadlines.next();
        if let Some(limit) = self.inspectors.as_ref().and_then(Inspectors::next) {
            next = Some(next.map_or(limit, |next| next.min(limit)));
        }
        if self.lines_wait {
            let again = self.now + PIPE_PATIENCE;
            next = Some(next.map_or(again, |next| next.min(again)));
        }
        for door in &self.listeners {
            match door.state {
                DoorState::Quiet => {}
                DoorState::Crowded => return Some(Duration::ZERO),
                DoorState::Resting(until) => {
                    next = Some(next.map_or(until, |next| next.min(until)))
                }
            }
        }
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Turns an event over to the listener or connection that it is about.
    fn notice(&mut self, event: &Event) {
        let number = event.token().0 - FIRST_LISTENER;
        if let Some(door) = self.listeners.get_mut(number) {
            door.state = DoorState::Crowded;
            return;
        }
        let turn = self.turn();
        if let Some(at) = Inspectors::number(event.token()) {
            if let Some(inspectors) = &mut self.inspectors {
                inspectors.attend(at, turn);
            }
            return;
        }
        // Who has just retired has the events of its listeners still.
        let Some(index) = event.token().0.checked_sub(self.first_connection) else {
            return;
        };
        // The event of a connection that was closed in this very turn is about nobody.
        if let Some(visitor) = self.connections.get_mut(index) {
            visitor.closing |= event.is_read_closed() || event.is_error();
            self.attend(index);
        }
    }

    /// Gives a connection its turn.
    fn attend(&mut self, index: usize) {
        let Some(visitor) = self.connections.get_mut(index) else {
            return;
        };
        let before = visitor.connection.answered();
        let want = visitor.advance(&mut self.desk);
        self.counters
            .answered()
            .add(u64::from(visitor.connection.answered() - before));
        self.satisfy(index, want);
        if self.stage == Stage::Quitting {
            self.dismiss_idle(index);
        }
    }

    /// Sees to it that a connection gets what it wants.
    fn satisfy(&mut self, index: usize, want: Want) {
        let Some(visitor) = self.connections.get_mut(index) else {
            return;
        };
        if let Want::Close(reason) = want {
            return self.close(index, reason);
        }
        let token = Token(self.first_connection + index);
        if visitor.watch(self.poll.registry(), token, want).is_err() {
            return self.close(index, CloseReason::Broken);
        }
        if let Some(timer) = visitor.connection.take_timer() {
            if timer == Timer::Write {
                visitor.progress = Progress::default();
            }
            self.deadlines.arm(index, timer, self.now);
        }
        if want == Want::Turn && !visitor.ready {
            visitor.ready = true;
            self.ready.push(index);
        }
    }

    /// Closes a connection: the only way out of the slab.
    fn close(&mut self, index: usize, reason: CloseReason) {
        self.deadlines.disarm(index);
        self.counters.closed(reason).add(1);
        // Dropping the socket closes it, and with that the poll forgets it.
        drop(self.connections.remove(index));
    }

    /// Ends what has timed out.
    fn expire_late(&mut self) {
        while let Some(due) = self.deadlines.expired(self.now) {
            let (Due::Timeout(index) | Due::ProgressCheck(index)) = due;
            let Some(visitor) = self.connections.get_mut(index) else {
                continue;
            };
            // The system has room again only when much of it is free: a slow client makes progress long before.
            if visitor.connection.is_blocked()
                && visitor.progress.check(visitor.socket.unacknowledged())
            {
                self.deadlines.arm(index, Timer::Write, self.now);
                continue;
            }
            match due {
                Due::ProgressCheck(_) => self.deadlines.arm_progress_check(index, self.now),
                Due::Timeout(_) => {
                    let want = visitor.expire(&mut self.desk);
                    self.satisfy(index, want);
                }
            }
        }
    }
}
