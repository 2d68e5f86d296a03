//! The loop's listeners: who comes in, what is done where there is no room, and the last look before they are closed.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::{Interest, Token};

use crate::serve::connection::Want;
use crate::serve::listeners::listener::Listener;
use crate::serve::listeners::stream::Stream;
use crate::serve::logs::access::Peer;
use crate::serve::metrics::counters::CloseReason;
use crate::serve::worker::admin::Inspectors;
use crate::serve::worker::client::Client;
use crate::serve::worker::event_loop::{EventLoop, FIRST_LISTENER, Stage};

/// The connections accepted from one listener before the others have their turn.
const ACCEPTS_A_TURN: u32 = 32;
/// How long a listener rests when no descriptor is free and no connection can make room.
const REST: Duration = Duration::from_millis(500);

/// A listener and whether there may be connections to accept.
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) state: DoorState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoorState {
    /// Nobody is there: an event will tell.
    Quiet,
    /// There may be more.
    Crowded,
    /// Somebody is there, but no descriptor was free; to be tried again at that time.
    Resting(Instant),
}

impl EventLoop {
    /// Accepts a listener's share of connections.
    pub(crate) fn accept(&mut self, door: usize) {
        let state = &mut self.listeners[door].state;
        match *state {
            DoorState::Quiet => return,
            DoorState::Resting(until) if until > self.now => return,
            DoorState::Crowded | DoorState::Resting(_) => *state = DoorState::Crowded,
        }
        let (mut failures, mut evicted) = (0, false);
        for _ in 0..ACCEPTS_A_TURN {
            let Door { listener, state } = &mut self.listeners[door];
            match listener.accept(self.desk.log.is_some()) {
                Ok((socket, peer)) => {
                    evicted = false;
                    let endpoint = listener.endpoint_of(&socket);
                    let turn = self.turn();
                    match &mut self.inspectors {
                        Some(inspectors) if inspectors.endpoint() == endpoint => {
                            inspectors.welcome(socket, self.poll.registry(), turn);
                        }
                        Some(_) | None => self.welcome(socket, peer, endpoint),
                    }
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
        let mut visitor = Client::new(socket, peer, endpoint, secure);
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

    /// Accepts no more, but for those who stand in the queue: where no other worker has the socket, closing it would
    /// reset them.
    pub(crate) fn retire(&mut self, stage: Stage) {
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
        let doors = std::mem::take(&mut self.listeners);
        let inspected = self.inspectors.as_ref().map(Inspectors::endpoint);
        let stays = |door: &Door| {
            stage == Stage::Quitting
                && inspected.is_some_and(|endpoint| door.listener.is_for(endpoint))
        };
        // Until the last visitor has gone it is told that no more are to be sent here.
        let (staying, leaving): (Vec<Door>, Vec<Door>) = doors.into_iter().partition(stays);
        self.listeners = staying;
        for (token, door) in (FIRST_LISTENER..).map(Token).zip(&mut self.listeners) {
            door.state = DoorState::Crowded;
            let registry = self.poll.registry();
            // Where that fails nobody hears of it, as where there is no such door.
            let _ = registry.reregister(&mut door.listener, token, Interest::READABLE);
        }
        for mut door in leaving {
            // Other processes have the socket too, so the poll does not forget it when it is closed.
            let _ = self.poll.registry().deregister(&mut door.listener);
        }
    }
}

/// Whether accept(2) failed for want of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
