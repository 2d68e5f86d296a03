//! The event loop of a worker: one poll, one thread, all connections in one slab. It accepts connections, gives each its
//! turns, and closes it.
//!
//! Polling is edge-triggered: an event reports a change once. Code that stops before `WouldBlock` must requeue itself, so a
//! listener or connection that used up its share of a turn stays in a queue for the next turn.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::config::Timeouts;
use crate::serve::answer::sites::Service;
use crate::serve::connection::{CloseReason, Next, Timer};
use crate::serve::listeners::listener::Listener;
use crate::serve::listeners::stream::Stream;
use crate::serve::logs::access::Peer;
use crate::serve::logs::log_pipe;
use crate::serve::metrics::counters::Counters;
use crate::serve::worker::admin::{AdminConnections, AdminEndpoint};
use crate::serve::worker::client::{Client, Scratch, WriteProgress};
use crate::serve::worker::deadlines::{Deadlines, Due};
use crate::serve::worker::orders::Order;
use crate::serve::worker::recorder::Recorder;

/// The events taken from the poll at once.
const EVENTS_PER_TURN: usize = 1024;
/// The connections accepted from one listener in one turn.
const ACCEPTS_PER_TURN: u32 = 32;
/// How long a listener pauses when no descriptor is free and no connection can be evicted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// The connections for which memory is reserved at the start. The kernel allocates only pages that are used, while a slab
/// that grows leaves its former memory behind.
const RESERVED: usize = 65_536;
/// How long the loop waits at most while lines do not fit into the log pipe.
const LOG_PIPE_RETRY: Duration = Duration::from_millis(50);

/// The pipe of the supervisor's orders.
const ORDERS: Token = Token(0);
/// The first listener's token; the tokens of connections follow those of the listeners.
const FIRST_LISTENER: usize = 1;

/// What a worker is started with. It opens no file, and no socket but those that it accepts.
pub struct Worker {
    /// The listening sockets.
    pub listeners: Vec<Listener>,
    /// The answers and TLS settings of each endpoint, by its number.
    pub services: Vec<Service>,
    /// The connection timeouts.
    pub timeouts: Timeouts,
    /// The connection limit, at least 1. Beyond it the idlest connection is evicted.
    pub max_connections: usize,
    /// Whether requests are logged.
    pub access_log: bool,
    /// The counters of this worker.
    pub counters: Counters,
    /// The index of each site's host among the counted hosts.
    pub host_indices: Vec<usize>,
    /// The endpoint of metrics and health, if configured.
    pub admin: Option<AdminEndpoint>,
}

impl Worker {
    /// Serves until it is ordered to end, or is retired and its last connection is closed. `ready` is called when the
    /// worker has acquired all system resources and before it reads from the network.
    ///
    /// # Errors
    /// Those of the poll, which peers cannot cause, and that of `ready`.
    pub fn run(
        self,
        mut orders: pipe::Receiver,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut event_loop = EventLoop::new(self, &mut orders)?;
        ready()?;
        event_loop.run(&mut orders)
    }
}

struct EventLoop {
    poll: Poll,
    acceptors: Vec<Acceptor>,
    /// The first connection's token.
    first_connection: usize,
    lifecycle: Lifecycle,
    connections: Slab<Client>,
    max_connections: usize,
    deadlines: Deadlines,
    /// Connections with work left from the last turn.
    requeued: Vec<usize>,
    services: Vec<Service>,
    scratch: Scratch,
    recorder: Recorder,
    admin: Option<AdminConnections>,
    /// Lines are buffered because the log pipe was full.
    has_buffered_lines: bool,
    /// The time at which this turn began.
    now: Instant,
}

/// A listener and whether there may be connections to accept.
struct Acceptor {
    listener: Listener,
    state: AcceptState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AcceptState {
    /// No connection waits: an event will come.
    Idle,
    /// Connections may wait.
    Pending,
    /// A connection waits, but no descriptor was free. Retried at that time.
    Paused(Instant),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifecycle {
    /// Connections are accepted.
    Accepting,
    /// No connection is accepted; the loop ends with the last one.
    Draining,
    /// As `Draining`, and idle connections are closed.
    Quitting,
}

impl EventLoop {
    /// A loop whose listeners and order pipe are registered with the poll.
    fn new(worker: Worker, orders: &mut pipe::Receiver) -> io::Result<Self> {
        let Worker {
            listeners,
            services,
            timeouts,
            max_connections,
            access_log,
            counters,
            host_indices,
            admin,
        } = worker;
        let poll = Poll::new()?;
        poll.registry()
            .register(orders, ORDERS, Interest::READABLE)?;
        let mut acceptors = Vec::with_capacity(listeners.len());
        for (token, mut listener) in (FIRST_LISTENER..).map(Token).zip(listeners) {
            poll.registry()
                .register(&mut listener, token, Interest::READABLE)?;
            // Connections may have arrived before the registration.
            let state = AcceptState::Pending;
            acceptors.push(Acceptor { listener, state });
        }
        Ok(Self {
            poll,
            first_connection: FIRST_LISTENER + acceptors.len(),
            acceptors,
            lifecycle: Lifecycle::Accepting,
            connections: Slab::with_capacity(max_connections.min(RESERVED)),
            max_connections,
            deadlines: Deadlines::new(timeouts).with_capacity(max_connections.min(RESERVED)),
            requeued: Vec::new(),
            services,
            scratch: Scratch::default(),
            recorder: Recorder::new(counters, host_indices, access_log),
            admin: admin.map(AdminConnections::new),
            has_buffered_lines: false,
            now: Instant::now(),
        })
    }

    fn run(&mut self, orders: &mut pipe::Receiver) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while self.lifecycle == Lifecycle::Accepting || !self.connections.is_empty() {
            match self.poll.poll(&mut events, self.poll_timeout()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.now = Instant::now();
            self.update_countdowns();
            let requeued = std::mem::take(&mut self.requeued);
            // Orders come first, so that the answers of this turn carry `Connection: close`.
            let is_ordered = events.iter().any(|event| event.token() == ORDERS);
            if is_ordered && !self.execute_orders(orders) {
                return Ok(());
            }
            for event in events.iter().filter(|event| event.token() != ORDERS) {
                self.dispatch(event);
            }
            for index in requeued {
                if let Some(client) = self.connections.get_mut(index)
                    && std::mem::take(&mut client.is_requeued)
                {
                    self.advance(index);
                }
            }
            self.expire();
            if let Some(admin) = &mut self.admin {
                admin.expire(self.now);
            }
            for number in 0..self.acceptors.len() {
                self.accept(number);
            }
            self.flush_log();
            let counts = self.deadlines.lengths();
            self.recorder.counters.set_open(counts);
        }
        Ok(())
    }

    /// How long the poll may wait: not at all with work left, otherwise until the next deadline.
    fn poll_timeout(&self) -> Option<Duration> {
        let mut next = self.deadlines.next();
        let mut limit = |time: Instant| next = Some(next.map_or(time, |next| next.min(time)));
        if let Some(deadline) = self
            .admin
            .as_ref()
            .and_then(AdminConnections::next_deadline)
        {
            limit(deadline);
        }
        if self.has_buffered_lines {
            limit(self.now + LOG_PIPE_RETRY);
        }
        for acceptor in &self.acceptors {
            match acceptor.state {
                AcceptState::Idle => {}
                AcceptState::Pending => return Some(Duration::ZERO),
                AcceptState::Paused(until) => limit(until),
            }
        }
        if !self.requeued.is_empty() {
            return Some(Duration::ZERO);
        }
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Renders the Retry-After values again if the second has changed. Nothing is sent between turns, so time alone need not
    /// wake the loop.
    fn update_countdowns(&mut self) {
        for service in &mut self.services {
            if let Some(countdown) = &mut service.sites.countdown {
                countdown.renew(self.now);
            }
        }
    }

    /// Executes the orders in the pipe. Returns false if the worker must end now.
    fn execute_orders(&mut self, orders: &mut pipe::Receiver) -> bool {
        loop {
            match Order::receive(orders) {
                Ok(Some(Order::Retire)) => self.retire(Lifecycle::Draining),
                Ok(Some(Order::Quit)) => {
                    self.retire(Lifecycle::Quitting);
                    let all: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
                    // A request that has just arrived is answered.
                    all.into_iter().for_each(|index| self.advance(index));
                }
                Ok(None) => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Passes an event to its listener or connection.
    fn dispatch(&mut self, event: &Event) {
        let token = event.token();
        if let Some(acceptor) = self.acceptors.get_mut(token.0 - FIRST_LISTENER) {
            acceptor.state = AcceptState::Pending;
            return;
        }
        if let Some(number) = AdminConnections::number(token) {
            if let Some(admin) = &mut self.admin {
                admin.advance(number);
            }
            return;
        }
        // Events of listeners that were closed in this turn still arrive.
        let Some(index) = token.0.checked_sub(self.first_connection) else {
            return;
        };
        // So do those of connections.
        if let Some(client) = self.connections.get_mut(index) {
            client.has_peer_closed |= event.is_read_closed() || event.is_error();
            self.advance(index);
        }
    }

    /// Accepts a listener's share of connections.
    fn accept(&mut self, number: usize) {
        let state = &mut self.acceptors[number].state;
        match *state {
            AcceptState::Idle => return,
            AcceptState::Paused(until) if until > self.now => return,
            AcceptState::Pending | AcceptState::Paused(_) => *state = AcceptState::Pending,
        }
        let (mut failures, mut evicted) = (0, false);
        for _ in 0..ACCEPTS_PER_TURN {
            let Acceptor { listener, state } = &mut self.acceptors[number];
            match listener.accept(self.recorder.log.is_some()) {
                Ok((socket, peer)) => {
                    evicted = false;
                    let endpoint = listener.endpoint_of(&socket);
                    match &mut self.admin {
                        Some(admin) if admin.endpoint() == endpoint => {
                            admin.accept(socket, self.poll.registry(), self.now);
                        }
                        Some(_) | None => self.admit(socket, peer, endpoint),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *state = AcceptState::Idle;
                    return;
                }
                // An eviction frees a descriptor for the next try. If that does not help, the listener pauses: further
                // evictions would close every connection.
                Err(error) if is_exhausted(&error) => {
                    let own_limit = error.raw_os_error() == Some(libc::EMFILE);
                    if evicted || !own_limit || !self.evict() {
                        return self.pause(number);
                    }
                    evicted = true;
                }
                // The client closed while it was in the backlog: accept(2) returns the error of the connection.
                Err(_) => failures += 1,
            }
        }
        // An error that repeats is one of the listener, which must not spin.
        if failures == ACCEPTS_PER_TURN {
            self.pause(number);
        }
    }

    /// Stops accepting from a listener for [`ACCEPT_PAUSE`].
    fn pause(&mut self, number: usize) {
        self.recorder.counters.exhausted().add(1);
        self.acceptors[number].state = AcceptState::Paused(self.now + ACCEPT_PAUSE);
    }

    /// Gives a new connection its first turn. If that turn answers a request that has arrived already, and closes the connection,
    /// the connection is not registered with the poll.
    fn admit(&mut self, socket: Stream, peer: Peer, endpoint: usize) {
        self.recorder.counters.accepted().add(1);
        let secure = self.services[endpoint].tls.is_some();
        let mut client = Client::new(socket, peer, endpoint, secure);
        let next = client.advance(&self.services, &mut self.scratch, &mut self.recorder);
        if let Next::Close(reason) = next {
            return self.close(client, reason);
        }
        if self.connections.len() >= self.max_connections {
            self.evict();
        }
        let index = self.connections.insert(client);
        self.settle(index, next);
    }

    /// Closes the connection that has been idle longest. Returns whether there was one.
    fn evict(&mut self) -> bool {
        let Some(index) = self.deadlines.idlest(self.now) else {
            return false;
        };
        self.remove(index, CloseReason::Evicted);
        true
    }

    /// Gives a connection its turn.
    fn advance(&mut self, index: usize) {
        let Some(client) = self.connections.get_mut(index) else {
            return;
        };
        let next = client.advance(&self.services, &mut self.scratch, &mut self.recorder);
        self.settle(index, next);
        if self.lifecycle == Lifecycle::Quitting {
            self.close_idle(index);
        }
    }

    /// Applies the result of a turn: closes the connection, or registers it with the poll, starts its timer and requeues it.
    fn settle(&mut self, index: usize, next: Next) {
        let Some(client) = self.connections.get_mut(index) else {
            return;
        };
        if let Next::Close(reason) = next {
            return self.remove(index, reason);
        }
        let token = Token(self.first_connection + index);
        if client.register(self.poll.registry(), token, next).is_err() {
            return self.remove(index, CloseReason::Broken);
        }
        if let Some(timer) = client.connection.take_timer() {
            if timer == Timer::Write {
                client.write_progress = WriteProgress::default();
            }
            self.deadlines.arm(index, timer, self.now);
        }
        if next == Next::Requeue && !client.is_requeued {
            client.is_requeued = true;
            self.requeued.push(index);
        }
    }

    /// Expires the timers that are due.
    fn expire(&mut self) {
        while let Some(due) = self.deadlines.expired(self.now) {
            let (Due::Timeout(index) | Due::ProgressCheck(index)) = due;
            let Some(client) = self.connections.get_mut(index) else {
                continue;
            };
            // A slow client makes progress long before the socket is writable, which requires much free buffer space.
            if client.connection.is_blocked()
                && client.write_progress.check(client.socket.unacknowledged())
            {
                self.deadlines.arm(index, Timer::Write, self.now);
                continue;
            }
            match due {
                Due::ProgressCheck(_) => self.deadlines.arm_progress_check(index, self.now),
                Due::Timeout(_) => {
                    let next = client.expire(&self.services, &mut self.scratch);
                    self.settle(index, next);
                }
            }
        }
    }

    /// Closes a connection if it is idle.
    fn close_idle(&mut self, index: usize) {
        if let Some(client) = self.connections.get_mut(index)
            && client.is_idle()
        {
            // Sends the `close_notify`. An idle connection always ends.
            let _ = client.expire(&self.services, &mut self.scratch);
            self.remove(index, CloseReason::Retired);
        }
    }

    /// Takes a connection out of the slab and closes it.
    fn remove(&mut self, index: usize, reason: CloseReason) {
        self.deadlines.disarm(index);
        let client = self.connections.remove(index);
        self.close(client, reason);
    }

    /// Closes a connection: every accepted one ends here. Dropping the socket closes it, and deregisters it from the poll.
    fn close(&self, client: Client, reason: CloseReason) {
        self.recorder.closed(reason);
        drop(client);
    }

    /// Stops accepting, after the connections in the backlog: if no other worker has the socket, closing it would reset
    /// them.
    fn retire(&mut self, lifecycle: Lifecycle) {
        self.lifecycle = lifecycle;
        for service in &mut self.services {
            service.sites.draining = true;
        }
        let is_quitting = lifecycle == Lifecycle::Quitting;
        if is_quitting && let Some(admin) = &mut self.admin {
            admin.drain();
        }
        for number in 0..self.acceptors.len() {
            self.acceptors[number].state = AcceptState::Pending;
            let backlog = self.acceptors[number].listener.backlog.unsigned_abs();
            for _ in 0..backlog.div_ceil(ACCEPTS_PER_TURN) {
                if self.acceptors[number].state != AcceptState::Pending {
                    break;
                }
                self.accept(number);
            }
        }
        let admin_endpoint = self.admin.as_ref().map(AdminConnections::endpoint);
        let stays = |acceptor: &Acceptor| {
            is_quitting && admin_endpoint.is_some_and(|endpoint| acceptor.listener.is_for(endpoint))
        };
        // Until the last connection is closed, the health path reports that the worker is draining.
        let (staying, leaving): (Vec<Acceptor>, Vec<Acceptor>) =
            std::mem::take(&mut self.acceptors)
                .into_iter()
                .partition(stays);
        self.acceptors = staying;
        for (token, acceptor) in (FIRST_LISTENER..).map(Token).zip(&mut self.acceptors) {
            acceptor.state = AcceptState::Pending;
            let registry = self.poll.registry();
            // If that fails, the health path is not answered any more.
            let _ = registry.reregister(&mut acceptor.listener, token, Interest::READABLE);
        }
        for mut acceptor in leaving {
            // Other processes have the socket too, so closing it does not deregister it from the poll.
            let _ = self.poll.registry().deregister(&mut acceptor.listener);
        }
    }

    /// Writes the log lines of this turn.
    fn flush_log(&mut self) {
        if let Some(log) = &mut self.recorder.log {
            log.begin_turn();
            let outcome = log_pipe::flush();
            self.recorder.counters.lost().add(outcome.lost);
            self.has_buffered_lines = !outcome.is_done;
        }
    }
}

/// Whether accept(2) failed for lack of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
