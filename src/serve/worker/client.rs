//! What the loop keeps of one connection, and what it lends it for a turn.

use std::io::{self, IoSlice, Read, Write};
use std::time::Instant;

use mio::{Interest, Registry, Token};

use crate::config::server_name::SiteNumber;
use crate::serve::answer::sites::Service;
use crate::serve::connection::{Connection, Want};
use crate::serve::http1::Form;
use crate::serve::listeners::stream::Stream;
use crate::serve::logs::access::{AccessLog, Journal, Peer};
use crate::serve::metrics::counters::{Counters, Series};
use crate::serve::transport::{Agreed, Buffers, Plain, Socket, Tls, TlsStream};

/// What all connections use in turn.
pub(crate) struct Desk {
    /// By the endpoints' numbers.
    pub(crate) services: Vec<Service>,
    pub(crate) counters: Counters,
    /// The places of the sites' hosts among those that are counted.
    pub(crate) host_places: Vec<usize>,
    pub(crate) log: Option<AccessLog>,
    pub(crate) input: Box<[u8]>,
    pub(crate) buffers: Buffers,
}

impl Desk {
    /// Renders anew what a second has made wrong. Between turns nobody waits for it, so time alone need not wake the loop.
    pub(crate) fn renew(&mut self, now: Instant) {
        for service in &mut self.services {
            if let Some(countdown) = &mut service.sites.countdown {
                countdown.renew(now);
            }
        }
    }
}

/// A connection with its socket.
pub(crate) struct Client {
    pub(crate) socket: Stream,
    peer: Peer,
    /// The endpoint that it came to, by its number.
    endpoint: usize,
    tls: Option<Box<Tls>>,
    pub(crate) connection: Connection,
    watched: Watched,
    /// The client is known to have closed its sending half. It is told once, perhaps while an answer is blocked, and
    /// holds for every later turn: no event comes for the end that is still to be read.
    pub(crate) closing: bool,
    /// Whether the client takes its blocked answer.
    pub(crate) progress: Progress,
    /// It stands on the ready list.
    pub(crate) ready: bool,
}

/// Whether a client takes some of a blocked answer, by what the system still has of it from check to check.
#[derive(Default)]
pub(crate) struct Progress {
    /// The bytes that were not acknowledged at the last check.
    unacknowledged: Option<usize>,
}

impl Progress {
    /// Takes note of what is not acknowledged now; returns whether the client has taken some since the last check.
    ///
    /// The first check after a write only takes note: until then the client's system takes what its buffers hold, even
    /// where the client itself never reads.
    pub(crate) fn check(&mut self, unacknowledged: usize) -> bool {
        let before = self.unacknowledged.replace(unacknowledged);
        before.is_some_and(|before| unacknowledged < before)
    }
}

/// What the poll watches a socket for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Nothing,
    Input,
    Both,
}

impl Client {
    pub(crate) fn new(socket: Stream, peer: Peer, endpoint: usize, secure: bool) -> Self {
        Self {
            socket,
            peer,
            endpoint,
            tls: secure.then(Box::default),
            connection: Connection::new(secure),
            watched: Watched::Nothing,
            closing: false,
            progress: Progress::default(),
            ready: false,
        }
    }

    /// Goes on with the connection.
    pub(crate) fn advance(&mut self, desk: &mut Desk) -> Want {
        let Desk {
            services,
            counters,
            host_places,
            log,
            input,
            buffers,
        } = desk;
        let mut journal = Journal::counting(log.as_mut(), self.peer, *counters);
        let journal = Some(&mut journal);
        let mut socket = Metered {
            socket: &mut self.socket,
            counters: *counters,
            host_places,
        };
        let Service {
            sites,
            tls: settings,
        } = &services[self.endpoint];
        match (&mut self.tls, settings) {
            (Some(tls), Some(settings)) => {
                let mut io = TlsStream::new(&mut socket, tls, buffers, settings, self.closing);
                self.connection.advance(&mut io, sites, input, journal)
            }
            (None, _) | (_, None) => {
                let mut io = Plain::new(&mut socket, buffers, self.closing);
                self.connection.advance(&mut io, sites, input, journal)
            }
        }
    }

    /// No request has begun to come, and none waits for its answer.
    pub(crate) fn is_idle(&self) -> bool {
        let is_between_records = self.tls.as_ref().is_none_or(|tls| tls.is_between_records());
        self.connection.is_idle() && is_between_records
    }

    /// Tells the connection that its timer has run out.
    pub(crate) fn expire(&mut self, desk: &mut Desk) -> Want {
        match (&mut self.tls, &desk.services[self.endpoint].tls) {
            (Some(tls), Some(settings)) => {
                let buffers = &mut desk.buffers;
                let mut io = TlsStream::new(&mut self.socket, tls, buffers, settings, false);
                self.connection.expire(&mut io)
            }
            (None, _) | (_, None) => {
                self.connection
                    .expire(&mut Plain::new(&mut self.socket, &mut desk.buffers, false))
            }
        }
    }

    /// Has the poll watch for what the connection wants, unless it does so already.
    ///
    /// # Errors
    /// Those of the poll.
    pub(crate) fn watch(
        &mut self,
        registry: &Registry,
        token: Token,
        want: Want,
    ) -> io::Result<()> {
        let watch = match (want, self.watched) {
            (Want::Room, Watched::Nothing | Watched::Input) => Watched::Both,
            (_, Watched::Nothing) => Watched::Input,
            (_, watched) => watched,
        };
        if watch == self.watched {
            return Ok(());
        }
        let interest = match watch {
            Watched::Both => Interest::READABLE | Interest::WRITABLE,
            Watched::Input | Watched::Nothing => Interest::READABLE,
        };
        let anew = self.watched != Watched::Nothing;
        self.socket.watch(registry, token, interest, anew)?;
        self.watched = watch;
        Ok(())
    }
}

/// A socket whose bytes are counted, and what they are.
struct Metered<'a> {
    socket: &'a mut Stream,
    counters: Counters,
    host_places: &'a [usize],
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Metered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.write(bytes)?;
        self.counters.of(Series::Sent).add(written as u64);
        Ok(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.write_vectored(slices)?;
        self.counters.of(Series::Sent).add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Socket for Metered<'_> {
    fn note_answer(&mut self, site: SiteNumber, form: Form) {
        let place = self.host_places.get(usize::from(site));
        let place = place.copied().unwrap_or(0);
        self.counters.of(Series::Host(place)).add(1);
        self.counters.of(Series::Form(form)).add(1);
    }

    fn note_session(&mut self, Agreed { is_1_3, is_resumed }: Agreed) {
        let version = Series::Handshake(usize::from(is_1_3));
        self.counters.of(version).add(1);
        self.counters.of(Series::Resumed).add(is_resumed.into());
    }

    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.write_last(bytes)?;
        self.counters.of(Series::Sent).add(written as u64);
        Ok(written)
    }

    fn shutdown(&mut self) {
        self.socket.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serve::worker::deadlines::{Deadlines, Due, Timeouts, Timer};

    /// The seconds after a write that blocks at which a client is closed that leaves `unacknowledged(seconds)` bytes.
    fn closed_after(unacknowledged: impl Fn(u32) -> usize) -> Option<u32> {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        let mut progress = Progress::default();
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
        // Its system takes what its buffers hold all the same.
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
