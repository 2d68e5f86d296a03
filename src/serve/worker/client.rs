//! A client: a connection with its socket, and what the event loop keeps of it.

use std::io;

use mio::{Interest, Registry, Token};

use crate::serve::answer::sites::Service;
use crate::serve::connection::{Connection, Next};
use crate::serve::listeners::stream::Stream;
use crate::serve::logs::access::Peer;
use crate::serve::transport::{Buffers, Plain, Tls, TlsStream};
use crate::serve::worker::recorder::Recorder;

/// Memory that connections use for the time of one turn.
pub(crate) struct Scratch {
    /// Plaintext as it is read.
    input: Box<[u8]>,
    buffers: Buffers,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            input: vec![0; Buffers::PLAINTEXT].into_boxed_slice(),
            buffers: Buffers::default(),
        }
    }
}

/// A connection with its socket.
pub(crate) struct Client {
    pub(crate) socket: Stream,
    peer: Peer,
    /// The number of the endpoint that it connected to.
    endpoint: usize,
    tls: Option<Box<Tls>>,
    pub(crate) connection: Connection,
    /// What the poll watches the socket for.
    registered: Option<Interest>,
    /// The client is known to have closed its sending half. The event comes once, perhaps while an answer is blocked, so
    /// this holds for all later turns.
    pub(crate) has_peer_closed: bool,
    pub(crate) write_progress: WriteProgress,
    /// It is queued for the next turn.
    pub(crate) is_requeued: bool,
}

/// Whether a client takes some of a blocked answer, found by comparing the unacknowledged bytes from check to check.
#[derive(Default)]
pub(crate) struct WriteProgress {
    /// The bytes that were not acknowledged at the last check.
    unacknowledged: Option<usize>,
}

impl WriteProgress {
    /// Records the bytes that are not acknowledged now. Returns whether the client has taken some since the last check.
    ///
    /// The first check after a write only records: until then the client's kernel accepts what fits into its buffers, even
    /// if the client itself never reads.
    pub(crate) fn check(&mut self, unacknowledged: usize) -> bool {
        let before = self.unacknowledged.replace(unacknowledged);
        before.is_some_and(|before| unacknowledged < before)
    }
}

impl Client {
    pub(crate) fn new(socket: Stream, peer: Peer, endpoint: usize, secure: bool) -> Self {
        Self {
            socket,
            peer,
            endpoint,
            tls: secure.then(Box::default),
            connection: Connection::new(secure),
            registered: None,
            has_peer_closed: false,
            write_progress: WriteProgress::default(),
            is_requeued: false,
        }
    }

    /// Gives the connection its turn.
    pub(crate) fn advance(
        &mut self,
        services: &[Service],
        scratch: &mut Scratch,
        recorder: &mut Recorder,
    ) -> Next {
        let Scratch { input, buffers } = scratch;
        let Service { sites, tls } = &services[self.endpoint];
        recorder.peer = self.peer;
        let (socket, closing) = (&mut self.socket, self.has_peer_closed);
        match (&mut self.tls, tls) {
            (Some(tls), Some(settings)) => {
                let mut io = TlsStream::new(socket, tls, buffers, settings, closing);
                self.connection.advance(&mut io, sites, input, recorder)
            }
            (None, _) | (_, None) => {
                let mut io = Plain::new(socket, buffers, closing);
                self.connection.advance(&mut io, sites, input, recorder)
            }
        }
    }

    /// No part of a request has arrived, and no answer waits.
    pub(crate) fn is_idle(&self) -> bool {
        let is_between_records = self.tls.as_ref().is_none_or(|tls| tls.is_between_records());
        self.connection.is_idle() && is_between_records
    }

    /// Expires the timer of the connection.
    pub(crate) fn expire(&mut self, services: &[Service], scratch: &mut Scratch) -> Next {
        let (socket, buffers) = (&mut self.socket, &mut scratch.buffers);
        match (&mut self.tls, &services[self.endpoint].tls) {
            (Some(tls), Some(settings)) => {
                let mut io = TlsStream::new(socket, tls, buffers, settings, false);
                self.connection.expire(&mut io)
            }
            (None, _) | (_, None) => {
                let mut io = Plain::new(socket, buffers, false);
                self.connection.expire(&mut io)
            }
        }
    }

    /// Registers the socket with the poll for what the connection waits for. Once registered for writing it stays so.
    ///
    /// # Errors
    /// Those of the poll.
    pub(crate) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        next: Next,
    ) -> io::Result<()> {
        let interest = match (next, self.registered) {
            (Next::Write, _) => Interest::READABLE | Interest::WRITABLE,
            (_, None) => Interest::READABLE,
            (_, Some(_)) => return Ok(()),
        };
        if self.registered == Some(interest) {
            return Ok(());
        }
        let is_registered = self.registered.is_some();
        self.socket
            .watch(registry, token, interest, is_registered)?;
        self.registered = Some(interest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Timeouts;
    use crate::serve::connection::Timer;
    use crate::serve::worker::deadlines::{Deadlines, Due};

    /// The number of seconds after a blocked write at which a client is closed that has `unacknowledged(seconds)` bytes.
    fn closed_after(unacknowledged: impl Fn(u32) -> usize) -> Option<u32> {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        let mut progress = WriteProgress::default();
        deadlines.arm(0, Timer::Write, start);
        for seconds in 0..100 {
            let now = start + Duration::from_secs(seconds.into());
            while let Some(due) = deadlines.expired(now) {
                if progress.check(unacknowledged(seconds)) {
                    deadlines.arm(0, Timer::Write, now);
                } else if due == Due::Timeout(0) {
                    return Some(seconds);
                } else {
                    deadlines.arm_progress_check(0, now);
                }
            }
        }
        None
    }

    #[test]
    fn a_client_that_never_reads_is_closed_after_one_write_timeout() {
        // Its kernel still accepts what fits into its buffers.
        let unacknowledged = |seconds| if seconds == 0 { 4_000_000 } else { 1_500_000 };
        assert_eq!(closed_after(unacknowledged), Some(10));
    }

    #[test]
    fn a_client_that_stops_reading_is_closed_one_write_timeout_later() {
        let unacknowledged = |seconds: u32| 1_500_000 - 1000 * seconds.min(25) as usize;
        assert_eq!(closed_after(unacknowledged), Some(35));
    }

    #[test]
    fn a_client_that_reads_now_and_then_is_not_closed() {
        let unacknowledged = |seconds: u32| 1_500_000 - 1000 * (seconds / 9) as usize;
        assert_eq!(closed_after(unacknowledged), None);
    }
}
