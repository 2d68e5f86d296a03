//! The loop of one worker: one poll, one thread, every connection in one slab.
//!
//! Polling is edge-triggered: an event tells that something has changed, once. So whoever stops before the system has
//! said `WouldBlock` must come back without being told: a listener that has had its share of accepts, and a connection
//! that has had its share of work, stand on the ready list for the next turn.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::access::{AccessLog, Journal, Peer};
use super::connection::{Connection, Want};
use super::counters::{CloseReason, Counters};
use super::courier;
use super::deadlines::{Deadlines, Timeouts, Timer};
use super::listener::{Listener, Stream};
use super::orders::Order;
use super::sites::Service;
use super::transport::{Buffers, Plain, Tls, TlsStream};

/// The events taken from the poll at once.
const EVENTS_A_TURN: usize = 1024;
/// The connections accepted from one listener before the others have their turn.
const ACCEPTS_A_TURN: u32 = 32;
/// How long a listener rests when no descriptor is free and no connection can make room.
const REST: Duration = Duration::from_millis(500);
/// How long lines wait for a pipe that had no room for them, if nothing else happens.
const PIPE_PATIENCE: Duration = Duration::from_millis(50);

/// The pipe through which the supervisor gives its orders.
const ORDERS: Token = Token(0);
/// The first listener's token; the connections' follow the listeners'.
const FIRST_LISTENER: usize = 1;

/// The loop, from the first connection to the last.
pub(super) struct EventLoop {
    poll: Poll,
    listeners: Vec<Door>,
    /// The first connection's token, which is not any listener's.
    first_connection: usize,
    stage: Stage,
    connections: Slab<Visitor>,
    max_connections: usize,
    deadlines: Deadlines,
    /// Connections with work left from the last turn.
    ready: Vec<usize>,
    desk: Desk,
    counters: Counters,
    /// Lines of the log have not found room in the pipe.
    lines_wait: bool,
    /// The time at which this turn began.
    now: Instant,
}

/// How far a worker is from its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It accepts.
    Serving,
    /// It accepts no more, and ends with its last connection.
    Retired,
    /// The same, and who is not waiting for an answer is closed.
    Quitting,
}

/// A listener and whether there may be connections to accept.
struct Door {
    listener: Listener,
    state: DoorState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DoorState {
    /// Nobody is there: an event will tell.
    Quiet,
    /// There may be more.
    Crowded,
    /// Somebody is there, but no descriptor was free; to be tried again at that time.
    Resting(Instant),
}

/// What all connections use in turn.
struct Desk {
    /// By the endpoints' numbers.
    services: Vec<Service>,
    log: Option<AccessLog>,
    input: Box<[u8]>,
    buffers: Buffers,
}

/// A connection with its socket.
struct Visitor {
    socket: Stream,
    peer: Peer,
    /// The endpoint that it came to, by its number.
    endpoint: usize,
    tls: Option<Box<Tls>>,
    connection: Connection,
    watched: Watched,
    /// The client is known to have closed its sending half. It is told once, perhaps while an answer is blocked, and
    /// holds for every later turn: no event comes for the end that is still to be read.
    closing: bool,
    /// What the client had not taken of its answer when the write timer was started.
    unacknowledged: usize,
    /// It stands on the ready list.
    ready: bool,
}

/// What the poll watches a socket for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Nothing,
    Input,
    Both,
}

impl Visitor {
    fn new(socket: Stream, peer: Peer, endpoint: usize, secure: bool) -> Self {
        Self {
            socket,
            peer,
            endpoint,
            tls: secure.then(Box::default),
            connection: Connection::new(secure),
            watched: Watched::Nothing,
            closing: false,
            unacknowledged: 0,
            ready: false,
        }
    }

    /// Goes on with the connection.
    fn advance(&mut self, desk: &mut Desk) -> Want {
        let Desk {
            services,
            log,
            input,
            buffers,
        } = desk;
        let mut journal = log.as_mut().map(|log| Journal::new(log, self.peer));
        let journal = journal.as_mut();
        let Service {
            sites,
            tls: settings,
        } = &services[self.endpoint];
        match (&mut self.tls, settings) {
            (Some(tls), Some(settings)) => {
                let mut io = TlsStream::new(&mut self.socket, tls, buffers, settings, self.closing);
                self.connection.advance(&mut io, sites, input, journal)
            }
            (None, _) | (_, None) => {
                let mut io = Plain::new(&mut self.socket, self.closing);
                self.connection.advance(&mut io, sites, input, journal)
            }
        }
    }

    /// No request has begun to come, and none waits for its answer.
    fn is_idle(&self) -> bool {
        let is_between_records = self.tls.as_ref().is_none_or(|tls| tls.is_between_records());
        self.connection.is_idle() && is_between_records
    }

    /// Tells the connection that its timer has run out.
    fn expire(&mut self, desk: &mut Desk) -> Want {
        match (&mut self.tls, &desk.services[self.endpoint].tls) {
            (Some(tls), Some(settings)) => {
                let buffers = &mut desk.buffers;
                let mut io = TlsStream::new(&mut self.socket, tls, buffers, settings, false);
                self.connection.expire(&mut io)
            }
            (None, _) | (_, None) => self
                .connection
                .expire(&mut Plain::new(&mut self.socket, false)),
        }
    }
}

impl EventLoop {
    /// A loop with its listeners registered, and watching for `orders`.
    pub(super) fn new(
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
            connections: Slab::new(),
            max_connections,
            deadlines: Deadlines::new(timeouts),
            ready: Vec::new(),
            desk: Desk {
                services,
                log: None,
                input,
                buffers: Buffers::default(),
            },
            counters,
            lines_wait: false,
            now: Instant::now(),
        })
    }

    /// Has every request noted in a log.
    pub(super) fn keep_log(&mut self) {
        self.desk.log = Some(AccessLog::default());
    }

    /// Serves until it is told to end, or has retired and has no connection left.
    pub(super) fn run(&mut self, orders: &mut pipe::Receiver) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_A_TURN);
        while self.stage == Stage::Serving || !self.connections.is_empty() {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.now = Instant::now();
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
            for door in 0..self.listeners.len() {
                self.accept(door);
            }
            self.send_lines();
        }
        Ok(())
    }

    /// Takes the orders that have come. Returns whether it goes on.
    fn obey(&mut self, orders: &mut pipe::Receiver) -> bool {
        loop {
            match Order::take(orders) {
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

    /// Accepts no more, but for those who stand in the queue: where no other worker has the socket, closing it would
    /// reset them.
    fn retire(&mut self, stage: Stage) {
        self.stage = stage;
        for service in &mut self.desk.services {
            service.sites.draining = true;
        }
        for door in 0..self.listeners.len() {
            self.listeners[door].state = DoorState::Crowded;
            let backlog = self.listeners[door].listener.backlog.unsigned_abs();
            for _ in 0..backlog.div_ceil(ACCEPTS_A_TURN) {
                if self.listeners[door].state != DoorState::Crowded {
                    break;
                }
                self.accept(door);
            }
        }
        for mut door in std::mem::take(&mut self.listeners) {
            // Other processes have the socket too, so the poll does not forget it when it is closed.
            let _ = self.poll.registry().deregister(&mut door.listener);
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
            let progress = courier::flush();
            self.counters.lost().add(progress.lost);
            self.lines_wait = !progress.is_done;
        }
    }

    /// How long the poll may wait: not at all with work left, else to the next deadline.
    fn patience(&self) -> Option<Duration> {
        let mut next = self.deadlines.next();
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
        let watch = match (want, visitor.watched) {
            (Want::Close(reason), _) => return self.close(index, reason),
            (Want::Room, Watched::Nothing | Watched::Input) => Watched::Both,
            (_, Watched::Nothing) => Watched::Input,
            (_, watched) => watched,
        };
        if watch != visitor.watched {
            let token = Token(self.first_connection + index);
            let interest = match watch {
                Watched::Both => Interest::READABLE | Interest::WRITABLE,
                Watched::Input | Watched::Nothing => Interest::READABLE,
            };
            let anew = visitor.watched != Watched::Nothing;
            if visitor
                .socket
                .watch(self.poll.registry(), token, interest, anew)
                .is_err()
            {
                return self.close(index, CloseReason::Broken);
            }
            visitor.watched = watch;
        }
        if let Some(timer) = visitor.connection.take_timer() {
            if timer == Timer::Write {
                visitor.unacknowledged = visitor.socket.unacknowledged();
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

    /// Loses patience with those whose time has come.
    fn expire_late(&mut self) {
        while let Some(index) = self.deadlines.expired(self.now) {
            let Some(visitor) = self.connections.get_mut(index) else {
                continue;
            };
            // The system has room again only when much of it is free: a slow client makes progress long before.
            let before = visitor.unacknowledged;
            visitor.unacknowledged = visitor.socket.unacknowledged();
            if visitor.connection.is_blocked() && visitor.unacknowledged < before {
                self.deadlines.arm(index, Timer::Write, self.now);
                continue;
            }
            let want = visitor.expire(&mut self.desk);
            self.satisfy(index, want);
        }
    }

    /// Accepts a listener's share of connections.
    fn accept(&mut self, door: usize) {
        let state = &mut self.listeners[door].state;
        match *state {
            DoorState::Quiet => return,
            DoorState::Resting(until) if until > self.now => return,
            DoorState::Crowded | DoorState::Resting(_) => *state = DoorState::Crowded,
        }
        let (mut failures, mut evicted) = (0, false);
        for _ in 0..ACCEPTS_A_TURN {
            let Door { listener, state } = &mut self.listeners[door];
            match listener.accept() {
                Ok((socket, peer)) => {
                    evicted = false;
                    let endpoint = listener.endpoint_of(&socket);
                    self.welcome(socket, peer, endpoint);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *state = DoorState::Quiet;
                    return;
                }
                // Whoever makes room frees a descriptor for the next try. Where that does not help, time must: to go on
                // would cost everyone their place.
                Err(error) if is_exhausted(&error) => {
                    let own_limit = error.raw_os_error() == Some(libc::EMFILE);
                    if evicted || !own_limit || !self.evict() {
                        return self.rest(door);
                    }
                    evicted = true;
                }
                // The client has gone while it waited (accept(2) passes on what its connection met with).
                Err(_) => failures += 1,
            }
        }
        // What goes wrong every time is the listener's own trouble, and is not to be met in a spin.
        if failures == ACCEPTS_A_TURN {
            self.rest(door);
        }
    }

    /// Leaves a listener alone for a while.
    fn rest(&mut self, door: usize) {
        self.counters.exhausted().add(1);
        self.listeners[door].state = DoorState::Resting(self.now + REST);
    }

    /// Takes in a connection: one whose request is there already is answered and gone without the poll's knowing of it.
    fn welcome(&mut self, socket: Stream, peer: Peer, endpoint: usize) {
        self.counters.accepted().add(1);
        let secure = self.desk.services[endpoint].tls.is_some();
        let mut visitor = Visitor::new(socket, peer, endpoint, secure);
        let want = visitor.advance(&mut self.desk);
        self.counters
            .answered()
            .add(u64::from(visitor.connection.answered()));
        if let Want::Close(reason) = want {
            self.counters.closed(reason).add(1);
            return;
        }
        if self.connections.len() >= self.max_connections {
            self.evict();
        }
        let index = self.connections.insert(visitor);
        self.satisfy(index, want);
    }

    /// Closes the connection that has been idle longest; returns whether there was one.
    fn evict(&mut self) -> bool {
        let Some(index) = self.deadlines.idlest(self.now) else {
            return false;
        };
        self.close(index, CloseReason::Evicted);
        true
    }
}

/// Whether accept(2) failed for want of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
