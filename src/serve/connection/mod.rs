//! One connection: what has come, what is answered, what it waits for.
//!
//! It knows no socket and no deadline. Each turn it is lent a transport and a buffer, goes as far as it can within a
//! bounded share of work, and says what it wants next. It owns memory only while a head is partial or an answer is blocked.

pub(crate) mod input;
pub(crate) mod output;

use std::io::{self, ErrorKind};

use crate::serve::answer::sites::Sites;
use crate::serve::connection::output::{Batch, Unsent};
use crate::serve::http1::{BodySkip, Scan};
use crate::serve::logs::access::Journal;
use crate::serve::metrics::counters::CloseReason;
use crate::serve::transport::Transport;
use crate::serve::worker::deadlines::Timer;

/// The reads, writes and rounds of parsing of one turn, so that a busy client does not keep the others waiting.
const STEPS_A_TURN: usize = 16;

/// The most input that is discarded without a look at it, to get an answer through to a client that only sends.
const MAX_DISCARDED: u32 = 64 << 20;

/// What a connection wants when its turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// More input.
    Input,
    /// Room in the socket.
    Room,
    /// Another turn, for it has had its share of this one.
    Turn,
    /// To be closed at once.
    Close(CloseReason),
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    state: State,
    /// Input that is not used up: a part of a head, or requests beyond the share of one turn.
    input: Vec<u8>,
    /// Requests answered so far.
    answered: u32,
    /// The bytes of input that have been discarded.
    discarded: u32,
    /// The timer that runs.
    timer: Timer,
    /// It is to be started, in place of the one before.
    restart: bool,
}

#[derive(Debug)]
enum State {
    /// In the TLS handshake.
    Handshake,
    /// Waiting for a request, or for the rest of its head.
    ReadHead(Scan),
    /// The socket had no room for an answer.
    WriteAnswer(Box<Blocked>),
    /// A request is answered, and its body still to come.
    SkipBody(BodySkip),
    /// Our half is closed, and input is discarded until the client closes too: a reset would cost it the answer.
    Linger(CloseReason),
}

/// Answers that wait for room, and what comes after them.
#[derive(Debug)]
struct Blocked {
    unsent: Unsent,
    then: Then,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug)]
enum Then {
    ReadHead(Scan),
    SkipBody(BodySkip),
    /// Close at once: there is no input for a reset to answer.
    Close(CloseReason),
    /// Close our half, then read on.
    Linger(CloseReason),
}

/// Whether a turn goes on.
pub(crate) enum Step {
    On,
    Done(Want),
}

impl Connection {
    /// A connection that has just been accepted, on a port that speaks TLS or not.
    #[must_use]
    pub fn new(secure: bool) -> Self {
        let (state, timer) = if secure {
            (State::Handshake, Timer::Handshake)
        } else {
            (State::ReadHead(Scan::default()), Timer::Head)
        };
        Self {
            state,
            input: Vec::new(),
            answered: 0,
            discarded: 0,
            timer,
            restart: true,
        }
    }

    /// The requests answered with the page so far.
    #[must_use]
    pub const fn answered(&self) -> u32 {
        self.answered
    }

    /// An answer waits for room.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self.state, State::WriteAnswer(_))
    }

    /// It has been answered, and nothing of a further request is there.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::ReadHead(_))
            && self.timer == Timer::KeepAlive
            && self.input.is_empty()
    }

    /// Takes the timer that must be started in place of the one that runs, where there is one.
    pub fn take_timer(&mut self) -> Option<Timer> {
        std::mem::take(&mut self.restart).then_some(self.timer)
    }

    /// Goes on as far as the transport and the share of one turn allow.
    ///
    /// `buffer` is scratch memory for input, at least [`crate::serve::transport::Buffers::PLAINTEXT`] long. Requests are noted in
    /// `journal`, where there is one.
    pub fn advance(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        buffer: &mut [u8],
        mut journal: Option<&mut Journal<'_>>,
    ) -> Want {
        for _ in 0..STEPS_A_TURN {
            let step = match &mut self.state {
                State::Handshake | State::ReadHead(_) | State::SkipBody(_) => {
                    self.take_input(io, sites, buffer, journal.as_deref_mut())
                }
                State::WriteAnswer(_) => self.write_on(io, sites, buffer),
                State::Linger(reason) => {
                    let reason = *reason;
                    self.linger(io, buffer, reason)
                }
            };
            if let Step::Done(want) = step {
                return want;
            }
        }
        // What TLS has staged would not outlive the turn. Even where there is no room for it there is more to do.
        match settle(io) {
            Want::Input | Want::Room | Want::Turn => Want::Turn,
            broken @ Want::Close(_) => broken,
        }
    }

    /// The timer has run out.
    pub fn expire(&mut self, io: &mut impl Transport) -> Want {
        // Politeness, where TLS has a session; a client that does not take it is not waited for.
        let _ = io.finish();
        Want::Close(match &self.state {
            State::Handshake => CloseReason::HandshakeTimeout,
            State::ReadHead(_) if self.timer == Timer::KeepAlive => CloseReason::KeepAliveTimeout,
            State::ReadHead(_) => CloseReason::HeadTimeout,
            State::WriteAnswer(_) => CloseReason::WriteTimeout,
            State::Linger(reason) => *reason,
            State::SkipBody(_) => {
                // The answer is out, and the rest of the body may still be on its way.
                self.begin_linger(io, CloseReason::BodyTimeout);
                return Want::Turn;
            }
        })
    }

    /// Writes answers, which mostly goes through at once.
    fn send(&mut self, io: &mut impl Transport, sites: &Sites, batch: Batch, then: Then) -> Step {
        if batch.is_empty() {
            return self.follow(io, then, false);
        }
        for ready in batch.ready() {
            io.note_answer(ready.site, sites.answers.form(*ready));
        }
        match batch.write(io, sites) {
            Ok(unsent) if unsent.is_empty() => match conclude(io, then) {
                Ok(()) => self.follow(io, then, true),
                Err(error) if is_temporary(&error) => self.block(unsent, then),
                Err(_) => Step::Done(Want::Close(CloseReason::Broken)),
            },
            Ok(unsent) => self.block(unsent, then),
            Err(_) => Step::Done(Want::Close(CloseReason::Broken)),
        }
    }

    /// Keeps what there was no room for.
    fn block(&mut self, unsent: Unsent, then: Then) -> Step {
        // By the time that it is out, more input may be there.
        let then = match then {
            Then::Close(reason) => Then::Linger(reason),
            Then::ReadHead(_) | Then::SkipBody(_) | Then::Linger(_) => then,
        };
        self.state = State::WriteAnswer(Box::new(Blocked { unsent, then }));
        self.start(Timer::Write);
        Step::On
    }

    /// Goes on with answers for which there was no room.
    fn write_on(&mut self, io: &mut impl Transport, sites: &Sites, buffer: &mut [u8]) -> Step {
        let State::WriteAnswer(blocked) = &mut self.state else {
            return Step::On;
        };
        let then = blocked.then;
        let written = if blocked.unsent.is_empty() {
            conclude(io, then).map(|()| true)
        } else {
            blocked.unsent.write(io, sites).map(|()| false)
        };
        match written {
            Ok(true) => self.follow(io, then, true),
            Ok(false) => {
                self.start(Timer::Write);
                Step::On
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => match then {
                // A client that sends all of its body before it reads would wait for us, and we for it.
                Then::Linger(_) => self.discard_while_blocked(io, buffer),
                Then::ReadHead(_) | Then::SkipBody(_) | Then::Close(_) => Step::Done(Want::Room),
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::On,
            Err(_) => Step::Done(Want::Close(CloseReason::Broken)),
        }
    }

    /// Goes over to what follows the answers, or, where there was none to give, what follows the input.
    fn follow(&mut self, io: &mut impl Transport, then: Then, answered: bool) -> Step {
        match then {
            Then::ReadHead(scan) => {
                self.state = State::ReadHead(scan);
                let timer = if self.answered > 0 && self.input.is_empty() {
                    Timer::KeepAlive
                } else {
                    Timer::Head
                };
                // Absolute for a head: more of the same one starts nothing anew.
                if answered || timer != self.timer {
                    self.start(timer);
                }
                Step::On
            }
            Then::SkipBody(body) => {
                self.state = State::SkipBody(body);
                if answered || self.timer != Timer::Body {
                    self.start(Timer::Body);
                }
                Step::On
            }
            Then::Close(reason) => Step::Done(Want::Close(reason)),
            Then::Linger(reason) => {
                if !answered {
                    // A body that went wrong after its answer: only the farewell is to be sent.
                    let _ = io.finish();
                }
                self.begin_linger(io, reason)
            }
        }
    }

    /// Closes our half, whose last byte is out, and waits for the client to close its own.
    fn begin_linger(&mut self, io: &mut impl Transport, reason: CloseReason) -> Step {
        io.shutdown();
        self.input = Vec::new();
        self.state = State::Linger(reason);
        self.start(Timer::Linger);
        Step::On
    }

    /// Discards input after our close, until the client's. Input restarts the timer.
    fn linger(&mut self, io: &mut impl Transport, buffer: &mut [u8], reason: CloseReason) -> Step {
        if io.is_drained() {
            return Step::Done(Want::Input);
        }
        match io.discard(buffer) {
            Ok(0) => Step::Done(Want::Close(reason)),
            Ok(_) if io.is_at_end() => Step::Done(Want::Close(reason)),
            Ok(length) => {
                self.count_discarded(length);
                if self.discarded >= MAX_DISCARDED {
                    return Step::Done(Want::Close(reason));
                }
                self.start(Timer::Linger);
                Step::On
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Done(Want::Input),
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::On,
            Err(_) => Step::Done(Want::Close(reason)),
        }
    }

    /// Discards input while the last answer is blocked. Beyond the limit it is left in the socket, which stops the client.
    fn discard_while_blocked(&mut self, io: &mut impl Transport, buffer: &mut [u8]) -> Step {
        if io.is_drained() || self.discarded >= MAX_DISCARDED {
            return Step::Done(Want::Room);
        }
        match io.discard(buffer) {
            Ok(0) => Step::Done(Want::Room),
            Ok(length) => {
                self.count_discarded(length);
                Step::On
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Done(Want::Room),
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::On,
            Err(_) => Step::Done(Want::Close(CloseReason::Broken)),
        }
    }

    fn count_discarded(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.discarded = self.discarded.saturating_add(length);
    }

    fn start(&mut self, timer: Timer) {
        self.timer = timer;
        self.restart = true;
    }
}

/// To be tried again.
fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Sends the last of an answer: what TLS has staged, and its `close_notify` where the connection ends.
fn conclude(io: &mut impl Transport, then: Then) -> io::Result<()> {
    match then {
        Then::ReadHead(_) | Then::SkipBody(_) => io.flush(),
        Then::Close(_) | Then::Linger(_) => io.finish(),
    }
}

/// What is wanted when there is no more input: TLS may have had something to say beside answers.
fn settle(io: &mut impl Transport) -> Want {
    match io.flush() {
        Ok(()) => Want::Input,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Want::Room,
        Err(_) => Want::Close(CloseReason::Broken),
    }
}

#[cfg(test)]
mod tests;
