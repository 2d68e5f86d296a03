//! From input to answers: what is read, the requests that it holds, and what follows each of them.

use std::io::{self, ErrorKind};
use std::time::SystemTime;

use crate::serve::answer;
use crate::serve::answer::sites::Sites;
use crate::serve::answer::{Persistence, Ready};
use crate::serve::connection::output::Batch;
use crate::serve::connection::{Connection, State, Step, Then, Want, settle};
use crate::serve::http1;
use crate::serve::http1::{
    Body, BodySkip, MAX_BODY, Parsed, Refusal, Request, Scan, Skipped, Version,
};
use crate::serve::logs::access::Journal;
use crate::serve::metrics::counters::CloseReason;
use crate::serve::transport::{BROKEN_PROTOCOL, Transport};
use crate::serve::worker::deadlines::Timer;

impl Connection {
    /// Works on the input that is there, or reads more.
    pub(crate) fn take_input(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        buffer: &mut [u8],
        journal: Option<&mut Journal<'_>>,
    ) -> Step {
        if self.has_unseen_input() {
            return self.consume(io, sites, &[], journal);
        }
        if io.is_drained() {
            return Step::Done(settle(io));
        }
        let read = io.read(buffer);
        if matches!(self.state, State::Handshake) && !io.is_handshaking() {
            self.state = State::ReadHead(Scan::default());
            self.start(Timer::Head);
        }
        match read {
            Ok(0) => {
                let _ = io.finish();
                Step::Done(Want::Close(CloseReason::ClientClosed))
            }
            Ok(length) => self.consume(io, sites, &buffer[..length], journal),
            Err(error) => self.read_failed(io, &error),
        }
    }

    /// There is input that has waited for this turn.
    fn has_unseen_input(&self) -> bool {
        match &self.state {
            State::ReadHead(scan) => scan.seen() < self.input.len(),
            State::SkipBody(_) => !self.input.is_empty(),
            State::Handshake | State::WriteAnswer(_) | State::Linger(_) => false,
        }
    }

    fn read_failed(&mut self, io: &mut impl Transport, error: &io::Error) -> Step {
        let kind = error.kind();
        if kind == ErrorKind::WouldBlock {
            Step::Done(settle(io))
        } else if kind == ErrorKind::Interrupted {
            Step::Done(Want::Turn)
        } else if kind == BROKEN_PROTOCOL {
            self.begin_linger(io, CloseReason::TlsFault)
        } else {
            Step::Done(Want::Close(CloseReason::Broken))
        }
    }

    /// Answers what can be answered of the input that is there and of `fresh`, which comes after it.
    fn consume(
        &mut self,
        io: &mut impl Transport,
        sites: &Sites,
        fresh: &[u8],
        journal: Option<&mut Journal<'_>>,
    ) -> Step {
        let mut batch = Batch::default();
        let misdirected = io.is_misdirected();
        let all = io.is_drained() && !io.expects_farewell();
        let then = if self.input.is_empty() {
            let (used, then) =
                self.read_requests(fresh, misdirected, all, sites, &mut batch, journal);
            self.input = fresh[used..].to_vec();
            then
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(fresh);
            let (used, then) =
                self.read_requests(&input, misdirected, all, sites, &mut batch, journal);
            // A head that drips in is not copied for each drop.
            self.input = if used == 0 {
                input
            } else {
                input[used..].to_vec()
            };
            then
        };
        self.send(io, sites, batch, then)
    }

    /// Reads requests one after the other and puts their answers into `batch`.
    ///
    /// Returns how much of `input` is used up, and what follows the answers. `all` says that no more input is to be expected.
    fn read_requests(
        &mut self,
        input: &[u8],
        misdirected: bool,
        all: bool,
        sites: &Sites,
        batch: &mut Batch,
        mut journal: Option<&mut Journal<'_>>,
    ) -> (usize, Then) {
        let mut at = 0;
        let (mut scan, mut body) = match &self.state {
            State::ReadHead(scan) => (*scan, None),
            State::SkipBody(body) => (Scan::default(), Some(*body)),
            State::Handshake | State::WriteAnswer(_) | State::Linger(_) => (Scan::default(), None),
        };
        loop {
            if let Some(body) = &mut body {
                match body.skip(&input[at..]) {
                    Skipped::Complete(length) => at += length,
                    Skipped::Partial => return (input.len(), Then::SkipBody(*body)),
                    Skipped::Failed => {
                        return (input.len(), Then::Linger(CloseReason::BodyUnread));
                    }
                }
            }
            if batch.is_full() {
                return (at, Then::ReadHead(Scan::default()));
            }
            let refusal = match http1::parse(&input[at..], &mut scan) {
                Parsed::Partial => return (at, Then::ReadHead(scan)),
                Parsed::Request(..) | Parsed::Refusal(_) if misdirected => Refusal::PlaintextOnTls,
                Parsed::Request(request, length) => {
                    let head = &input[at..at + length];
                    at += length;
                    scan = Scan::default();
                    body = Some(BodySkip::new(request.body));
                    let all = all && request.body == Body::Length((input.len() - at) as u64);
                    let journal = journal.as_deref_mut();
                    match self.answer(request, head, all, sites, batch, journal) {
                        None => continue,
                        Some(then @ (Then::SkipBody(_) | Then::ReadHead(_))) => return (at, then),
                        Some(then @ (Then::Close(_) | Then::Linger(_))) => {
                            return (input.len(), then);
                        }
                    }
                }
                Parsed::Refusal(refusal) => refusal,
            };
            let with_body = !http1::is_head(&input[at..]);
            let answer = answer::refusal(refusal, with_body, SystemTime::now());
            if let Some(journal) = &mut journal {
                journal.note_refusal(&input[at..], &answer);
            }
            batch.end_with(answer);
            return (input.len(), Then::Linger(CloseReason::Refused));
        }
    }

    /// Adds the answer to a request, and returns what follows it where no other request is read before that is sent.
    fn answer(
        &mut self,
        request: Request,
        head: &[u8],
        all: bool,
        sites: &Sites,
        batch: &mut Batch,
        journal: Option<&mut Journal<'_>>,
    ) -> Option<Then> {
        let ready = sites.ready(&request, head);
        let then = self.after(request, all, sites, ready);
        let ready = Ready {
            persistence: persistence(request, then.is_some()),
            ..ready
        };
        if request.preferences.is_preflight
            && let Some(answer) = preflight(request, sites, ready, head)
        {
            if let Some(journal) = journal {
                journal.note_preflight(head, &answer);
            }
            batch.end_with(answer);
            return then.or(Some(Then::SkipBody(BodySkip::new(request.body))));
        }
        if let Some(journal) = journal {
            journal.note_answer(head, || sites.body_length(ready));
        }
        batch.push(ready);
        then
    }

    /// What follows the answer to a request, where that is the end of the connection.
    ///
    /// `all` says that the request, body included, is all the input there is. Then the socket can be closed at once, if the
    /// answer needs no help of the client's to arrive: what it may yet send would be answered by a reset, and a reset
    /// throws away what is still under way.
    fn after(&mut self, request: Request, all: bool, sites: &Sites, ready: Ready) -> Option<Then> {
        self.answered += 1;
        let long = matches!(request.body, Body::Length(length) if length > MAX_BODY);
        let is_short = || sites.answers.is_short(ready.site, ready.variant);
        if request.expects_continue || long {
            Some(Then::Linger(CloseReason::BodyUnread))
        } else if !request.keep_alive && all && self.answered == 1 && is_short() {
            Some(Then::Close(CloseReason::Answered))
        } else if !request.keep_alive {
            Some(Then::Linger(CloseReason::Answered))
        } else if self.answered >= sites.max_requests {
            Some(Then::Linger(CloseReason::RequestLimit))
        } else if sites.draining {
            Some(Then::Linger(CloseReason::Retired))
        } else {
            None
        }
    }
}

/// What an answer says of the connection.
const fn persistence(request: Request, is_last: bool) -> Persistence {
    match (is_last, request.version) {
        (true, _) => Persistence::Close,
        (false, Version::V1_0) => Persistence::KeepAlive,
        (false, Version::V1_1) => Persistence::Implicit,
    }
}

/// The answer to a preflight, where the site has one.
#[cold]
fn preflight(request: Request, sites: &Sites, ready: Ready, head: &[u8]) -> Option<Vec<u8>> {
    let origin = request.preferences.origin.slice(head);
    let cors = sites.answers.cors(ready.site);
    answer::preflight(cors, origin, head, ready.persistence, SystemTime::now())
}
