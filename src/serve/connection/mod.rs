//! One connection: its state, its unused input, and the timer that runs.
//!
//! It uses no socket and no clock. Each turn it is lent a transport, a buffer and an observer, does a bounded share of work,
//! and returns what it waits for. It owns memory only while a head is partial or an answer is blocked.

pub(crate) mod close_reason;
pub(crate) mod input;
pub(crate) mod observer;
pub(crate) mod output;
pub(crate) mod timer;

use std::io::{self, ErrorKind};
use std::ops::ControlFlow::{self, Break, Continue};

use crate::serve::answer::select::Sites;
pub use crate::serve::connection::close_reason::CloseReason;
use crate::serve::connection::input::{AfterAnswer, RequestReader};
pub use crate::serve::connection::observer::Observer;
use crate::serve::connection::output::{Batch, Unsent};
pub use crate::serve::connection::timer::Timer;
use crate::serve::http1::{BodySkip, Scan};
use crate::serve::transport::{BROKEN_PROTOCOL, Transport};

/// The reads, writes and rounds of parsing of one turn, so that a busy client does not delay the others.
const STEPS_PER_TURN: usize = 16;

/// The most input that is discarded so that an answer reaches a client that only sends.
const MAX_DISCARDED: u32 = 64 << 20;

/// What a connection waits for at the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The socket to be readable.
    Read,
    /// The socket to be writable.
    Write,
    /// Its next turn: the share of this one is used up.
    Requeue,
    /// Nothing: close it.
    Close(CloseReason),
}

/// Whether a turn continues.
type Flow = ControlFlow<Next>;

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    state: ConnectionState,
    /// Unused input: a part of a head, or requests beyond the share of one turn.
    input: Vec<u8>,
    /// The requests answered with the page.
    answered: u32,
    /// The bytes of input discarded.
    discarded: u32,
    timer: Timer,
    /// The timer must be started again.
    restart: bool,
}

#[derive(Debug)]
enum ConnectionState {
    /// In the TLS handshake.
    Handshake,
    /// Waiting for a request, or for the rest of its head.
    ReadHead(Scan),
    /// An answer did not fit into the send buffer.
    WriteAnswer(Box<Blocked>),
    /// A request is answered, and its body is not complete.
    SkipBody(BodySkip),
    /// The sending half is shut down. Input is discarded until the client closes, because a reset could discard the answer
    /// (RFC 9112 9.6).
    Linger(CloseReason),
}

/// Answers that did not fit into the send buffer, and what follows them.
#[derive(Debug)]
struct Blocked {
    unsent: Unsent,
    after: AfterAnswer,
}

impl Connection {
    /// A connection that was just accepted. `secure` means that its port expects TLS.
    #[must_use]
    pub fn new(secure: bool) -> Self {
        let (state, timer) = if secure {
            (ConnectionState::Handshake, Timer::Handshake)
        } else {
            (ConnectionState::ReadHead(Scan::default()), Timer::Head)
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

    /// The requests answered with the page.
    #[must_use]
    pub const fn answered(&self) -> u32 {
        self.answered
    }

    /// An answer waits for space in the send buffer.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self.state, ConnectionState::WriteAnswer(_))
    }

    /// It has been answered, and no byte of a further request has arrived.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, ConnectionState::ReadHead(_))
            && self.timer == Timer::KeepAlive
            && self.input.is_empty()
    }

    /// Takes the timer that must be started in place of the one that runs, if any.
    pub fn take_timer(&mut self) -> Option<Timer> {
        std::mem::take(&mut self.restart).then_some(self.timer)
    }

    /// Works as long as the transport and the share of one turn allow.
    ///
    /// `buffer` is scratch memory for input, at least [`crate::serve::transport::Buffers::PLAINTEXT`] long.
    pub fn advance(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        buffer: &mut [u8],
        observer: &mut impl Observer,
    ) -> Next {
        let next = 'turn: {
            for _ in 0..STEPS_PER_TURN {
                let step = match &mut self.state {
                    ConnectionState::Handshake
                    | ConnectionState::ReadHead(_)
                    | ConnectionState::SkipBody(_) => self.read_input(io, sites, buffer, observer),
                    ConnectionState::WriteAnswer(_) => self.write_blocked(io, sites, buffer),
                    ConnectionState::Linger(reason) => {
                        let reason = *reason;
                        self.linger(io, buffer, reason)
                    }
                };
                if let Break(next) = step {
                    break 'turn next;
                }
            }
            // Bytes that TLS has staged do not outlive the turn.
            match flush(io) {
                Next::Read | Next::Write | Next::Requeue => Next::Requeue,
                broken @ Next::Close(_) => broken,
            }
        };
        observer.sent(io.take_sent());
        next
    }

    /// Ends the wait whose timer has expired.
    pub fn expire(&mut self, io: &mut impl Transport) -> Next {
        // A `close_notify` if TLS has a session. It is not waited for.
        let _ = io.finish();
        Next::Close(match &self.state {
            ConnectionState::Handshake => CloseReason::HandshakeTimeout,
            ConnectionState::ReadHead(_) if self.timer == Timer::KeepAlive => {
                CloseReason::KeepAliveTimeout
            }
            ConnectionState::ReadHead(_) => CloseReason::HeadTimeout,
            ConnectionState::WriteAnswer(_) => CloseReason::WriteTimeout,
            ConnectionState::Linger(reason) => *reason,
            ConnectionState::SkipBody(_) => {
                // The answer is sent, and the rest of the body may still arrive.
                self.begin_linger(io, CloseReason::BodyTimeout);
                return Next::Requeue;
            }
        })
    }

    /// Uses the input that is there, or reads more.
    fn read_input(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        buffer: &mut [u8],
        observer: &mut impl Observer,
    ) -> Flow {
        if self.has_unseen_input() {
            return self.answer_input(io, sites, &[], observer);
        }
        if io.is_drained() {
            return Break(flush(io));
        }
        let read = io.read(buffer);
        if matches!(self.state, ConnectionState::Handshake) && !io.is_handshaking() {
            if let Some(outcome) = io.handshake_outcome() {
                observer.handshake(outcome);
            }
            self.state = ConnectionState::ReadHead(Scan::default());
            self.start(Timer::Head);
        }
        match read {
            Ok(0) => {
                let _ = io.finish();
                Break(Next::Close(CloseReason::ClientClosed))
            }
            Ok(length) => self.answer_input(io, sites, &buffer[..length], observer),
            Err(error) => self.read_failed(io, &error),
        }
    }

    /// There is input that an earlier turn left over.
    fn has_unseen_input(&self) -> bool {
        match &self.state {
            ConnectionState::ReadHead(scan) => scan.seen() < self.input.len(),
            ConnectionState::SkipBody(_) => !self.input.is_empty(),
            ConnectionState::Handshake
            | ConnectionState::WriteAnswer(_)
            | ConnectionState::Linger(_) => false,
        }
    }

    fn read_failed(&mut self, io: &mut impl Transport, error: &io::Error) -> Flow {
        let kind = error.kind();
        if kind == ErrorKind::WouldBlock {
            Break(flush(io))
        } else if kind == ErrorKind::Interrupted {
            Break(Next::Requeue)
        } else if kind == BROKEN_PROTOCOL {
            self.begin_linger(io, CloseReason::TlsFault);
            Continue(())
        } else {
            Break(Next::Close(CloseReason::Broken))
        }
    }

    /// Answers the requests in the unused input and in `fresh`, which follows it.
    fn answer_input(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        fresh: &[u8],
        observer: &mut impl Observer,
    ) -> Flow {
        let mut batch = Batch::default();
        let (scan, body) = match &self.state {
            ConnectionState::ReadHead(scan) => (*scan, None),
            ConnectionState::SkipBody(body) => (Scan::default(), Some(*body)),
            ConnectionState::Handshake
            | ConnectionState::WriteAnswer(_)
            | ConnectionState::Linger(_) => (Scan::default(), None),
        };
        let mut requests = RequestReader {
            sites,
            observer,
            batch: &mut batch,
            answered: &mut self.answered,
            is_plaintext_on_tls: io.is_plaintext_on_tls(),
            is_input_ended: io.is_drained() && !io.expects_close_notify(),
        };
        let after = if self.input.is_empty() {
            let (used, after) = requests.read(fresh, scan, body);
            self.input = fresh[used..].to_vec();
            after
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(fresh);
            let (used, after) = requests.read(&input, scan, body);
            // A head that arrives byte by byte is not copied for each byte.
            self.input = if used == 0 {
                input
            } else {
                input[used..].to_vec()
            };
            after
        };
        self.send(io, sites, batch, after)
    }

    /// Writes answers. A usual answer fits into the send buffer.
    fn send(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        batch: Batch,
        after: AfterAnswer,
    ) -> Flow {
        if batch.is_empty() {
            return self.follow(io, after, false);
        }
        match batch.write(io, sites) {
            Ok(unsent) if unsent.is_empty() => match end_answer(io, after) {
                Ok(()) => self.follow(io, after, true),
                Err(error) if is_temporary(&error) => self.block(unsent, after),
                Err(_) => Break(Next::Close(CloseReason::Broken)),
            },
            Ok(unsent) => self.block(unsent, after),
            Err(_) => Break(Next::Close(CloseReason::Broken)),
        }
    }

    /// Keeps answers that did not fit into the send buffer.
    fn block(&mut self, unsent: Unsent, after: AfterAnswer) -> Flow {
        // More input may arrive before they are sent.
        let after = match after {
            AfterAnswer::Close(reason) => AfterAnswer::Linger(reason),
            AfterAnswer::ReadHead(_) | AfterAnswer::SkipBody(_) | AfterAnswer::Linger(_) => after,
        };
        self.state = ConnectionState::WriteAnswer(Box::new(Blocked { unsent, after }));
        self.start(Timer::Write);
        Continue(())
    }

    /// Continues answers that did not fit into the send buffer.
    fn write_blocked(&mut self, io: &mut impl Transport, sites: &Sites, buffer: &mut [u8]) -> Flow {
        let ConnectionState::WriteAnswer(blocked) = &mut self.state else {
            return Continue(());
        };
        let after = blocked.after;
        let written = if blocked.unsent.is_empty() {
            end_answer(io, after).map(|()| true)
        } else {
            blocked.unsent.write(io, sites).map(|()| false)
        };
        match written {
            Ok(true) => self.follow(io, after, true),
            Ok(false) => {
                self.start(Timer::Write);
                Continue(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => match after {
                // A client that sends its whole body before it reads would wait for us, and we for it.
                AfterAnswer::Linger(_) => self.discard_while_blocked(io, buffer),
                AfterAnswer::ReadHead(_) | AfterAnswer::SkipBody(_) | AfterAnswer::Close(_) => {
                    Break(Next::Write)
                }
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => Continue(()),
            Err(_) => Break(Next::Close(CloseReason::Broken)),
        }
    }

    /// Enters the state after the answers, or after input that had none (`answered` is false).
    fn follow(&mut self, io: &mut impl Transport, after: AfterAnswer, answered: bool) -> Flow {
        match after {
            AfterAnswer::ReadHead(scan) => {
                self.state = ConnectionState::ReadHead(scan);
                let timer = if self.answered > 0 && self.input.is_empty() {
                    Timer::KeepAlive
                } else {
                    Timer::Head
                };
                // The limit for a head is absolute: further bytes of it do not restart the timer.
                if answered || timer != self.timer {
                    self.start(timer);
                }
                Continue(())
            }
            AfterAnswer::SkipBody(body) => {
                self.state = ConnectionState::SkipBody(body);
                if answered || self.timer != Timer::Body {
                    self.start(Timer::Body);
                }
                Continue(())
            }
            AfterAnswer::Close(reason) => Break(Next::Close(reason)),
            AfterAnswer::Linger(reason) => {
                if !answered {
                    // A malformed body after its answer: only the `close_notify` is to be sent.
                    let _ = io.finish();
                }
                self.begin_linger(io, reason);
                Continue(())
            }
        }
    }

    /// Shuts down the sending half after the last byte, and waits for the client to close.
    fn begin_linger(&mut self, io: &mut impl Transport, reason: CloseReason) {
        io.shutdown();
        self.input = Vec::new();
        self.state = ConnectionState::Linger(reason);
        self.start(Timer::Linger);
    }

    /// Discards input after the shutdown until the client closes. Input restarts the timer.
    fn linger(&mut self, io: &mut impl Transport, buffer: &mut [u8], reason: CloseReason) -> Flow {
        if io.is_drained() {
            return Break(Next::Read);
        }
        match io.discard(buffer) {
            Ok(0) => Break(Next::Close(reason)),
            Ok(_) if io.is_at_end() => Break(Next::Close(reason)),
            Ok(length) => {
                self.count_discarded(length);
                if self.discarded >= MAX_DISCARDED {
                    return Break(Next::Close(reason));
                }
                self.start(Timer::Linger);
                Continue(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Break(Next::Read),
            Err(error) if error.kind() == ErrorKind::Interrupted => Continue(()),
            Err(_) => Break(Next::Close(reason)),
        }
    }

    /// Discards input while the last answer is blocked. Beyond the limit it stays in the socket, which stops the client.
    fn discard_while_blocked(&mut self, io: &mut impl Transport, buffer: &mut [u8]) -> Flow {
        if io.is_drained() || self.discarded >= MAX_DISCARDED {
            return Break(Next::Write);
        }
        match io.discard(buffer) {
            Ok(0) => Break(Next::Write),
            Ok(length) => {
                self.count_discarded(length);
                Continue(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Break(Next::Write),
            Err(error) if error.kind() == ErrorKind::Interrupted => Continue(()),
            Err(_) => Break(Next::Close(CloseReason::Broken)),
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

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Sends the bytes that TLS has staged, and the `close_notify` if the connection ends.
fn end_answer(io: &mut impl Transport, after: AfterAnswer) -> io::Result<()> {
    match after {
        AfterAnswer::ReadHead(_) | AfterAnswer::SkipBody(_) => io.flush(),
        AfterAnswer::Close(_) | AfterAnswer::Linger(_) => io.finish(),
    }
}

/// Sends the bytes that TLS has staged when there is no more input. Returns what the connection waits for.
fn flush(io: &mut impl Transport) -> Next {
    match io.flush() {
        Ok(()) => Next::Read,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Next::Write,
        Err(_) => Next::Close(CloseReason::Broken),
    }
}

#[cfg(test)]
mod tests;
