//! From input to answers: parses requests, selects their answers, and decides what follows them.

use std::time::SystemTime;

use crate::serve::answer;
use crate::serve::answer::select::Sites;
use crate::serve::answer::{Persistence, Ready};
use crate::serve::connection::close_reason::CloseReason;
use crate::serve::connection::observer::Observer;
use crate::serve::connection::output::Batch;
use crate::serve::http1;
use crate::serve::http1::{
    Body, BodySkip, MAX_BODY, Parsed, Refusal, Request, Scan, Skipped, Version,
};

/// What follows the answers of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AfterAnswer {
    ReadHead(Scan),
    SkipBody(BodySkip),
    /// Close at once: no input is unread that would cause a reset.
    Close(CloseReason),
    /// Shut down the write side, then discard input until the peer closes.
    Linger(CloseReason),
}

/// Parses the requests in the input of one connection, and adds their answers to a batch.
pub(crate) struct RequestReader<'a, O> {
    pub(crate) sites: &'a Sites,
    pub(crate) observer: &'a mut O,
    pub(crate) batch: &'a mut Batch,
    /// The requests of the connection that are answered with the page.
    pub(crate) answered: &'a mut u32,
    /// The input is plaintext on a TLS port.
    pub(crate) is_plaintext_on_tls: bool,
    /// No more input is expected.
    pub(crate) is_input_ended: bool,
}

impl<O: Observer> RequestReader<'_, O> {
    /// Reads requests until the input or the batch ends. `body` is the rest of the body before them.
    ///
    /// Returns how much of `input` is used up, and what follows the answers.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        mut scan: Scan,
        mut body: Option<BodySkip>,
    ) -> (usize, AfterAnswer) {
        let mut at = 0;
        loop {
            if let Some(body) = &mut body {
                match body.skip(&input[at..]) {
                    Skipped::Complete(length) => at += length,
                    Skipped::Partial => return (input.len(), AfterAnswer::SkipBody(*body)),
                    Skipped::Failed => {
                        return (input.len(), AfterAnswer::Linger(CloseReason::BodyUnread));
                    }
                }
            }
            if self.batch.is_full() {
                return (at, AfterAnswer::ReadHead(Scan::default()));
            }
            let refusal = match http1::parse(&input[at..], &mut scan) {
                Parsed::Partial => return (at, AfterAnswer::ReadHead(scan)),
                Parsed::Request(..) | Parsed::Refusal(_) if self.is_plaintext_on_tls => {
                    Refusal::PlaintextOnTls
                }
                Parsed::Request(request, length) => {
                    let head = &input[at..at + length];
                    at += length;
                    scan = Scan::default();
                    body = Some(BodySkip::new(request.body));
                    let is_last = self.is_input_ended
                        && request.body == Body::Length((input.len() - at) as u64);
                    match self.answer(request, head, is_last) {
                        None => continue,
                        Some(after @ (AfterAnswer::SkipBody(_) | AfterAnswer::ReadHead(_))) => {
                            return (at, after);
                        }
                        Some(after @ (AfterAnswer::Close(_) | AfterAnswer::Linger(_))) => {
                            return (input.len(), after);
                        }
                    }
                }
                Parsed::Refusal(refusal) => refusal,
            };
            let with_body = !http1::is_head(&input[at..]);
            let answer = answer::refusal(refusal, with_body, SystemTime::now());
            self.observer.refused(&input[at..], &answer);
            self.batch.end_with(answer);
            return (input.len(), AfterAnswer::Linger(CloseReason::Refused));
        }
    }

    /// Adds the answer to a request. Returns what follows it if no further request is read before the answer is sent.
    fn answer(&mut self, request: Request, head: &[u8], is_last: bool) -> Option<AfterAnswer> {
        let sites = self.sites;
        let ready = sites.ready(&request, head);
        let after = self.after(request, is_last, ready);
        let ready = Ready {
            persistence: persistence(request, after.is_some()),
            ..ready
        };
        if request.preferences.is_preflight
            && let Some(answer) = preflight(request, sites, ready, head)
        {
            self.observer.preflight(head, &answer);
            self.batch.end_with(answer);
            return after.or(Some(AfterAnswer::SkipBody(BodySkip::new(request.body))));
        }
        self.observer.answered(head, ready, sites);
        self.batch.push(ready);
        after
    }

    /// What follows the answer to a request, if that is the end of the connection.
    ///
    /// `is_last` means that the request, body included, ends the input. Then the socket can be closed at once if the answer
    /// arrives without waiting for an acknowledgement: later input would be answered by a reset, which discards data in flight.
    fn after(&mut self, request: Request, is_last: bool, ready: Ready) -> Option<AfterAnswer> {
        *self.answered += 1;
        let sites = self.sites;
        let long = matches!(request.body, Body::Length(length) if length > MAX_BODY);
        let is_short = || sites.answers.is_short(ready.site, ready.variant);
        if request.expects_continue || long {
            Some(AfterAnswer::Linger(CloseReason::BodyUnread))
        } else if !request.keep_alive && is_last && *self.answered == 1 && is_short() {
            Some(AfterAnswer::Close(CloseReason::Answered))
        } else if !request.keep_alive {
            Some(AfterAnswer::Linger(CloseReason::Answered))
        } else if *self.answered >= sites.max_requests {
            Some(AfterAnswer::Linger(CloseReason::RequestLimit))
        } else if sites.draining {
            Some(AfterAnswer::Linger(CloseReason::Retired))
        } else {
            None
        }
    }
}

/// What an answer states about its connection.
const fn persistence(request: Request, is_last: bool) -> Persistence {
    match (is_last, request.version) {
        (true, _) => Persistence::Close,
        (false, Version::V1_0) => Persistence::KeepAlive,
        (false, Version::V1_1) => Persistence::Implicit,
    }
}

/// The answer to a preflight, if the site has one.
#[cold]
fn preflight(request: Request, sites: &Sites, ready: Ready, head: &[u8]) -> Option<Vec<u8>> {
    let origin = request.preferences.origin.slice(head);
    let cors = sites.answers.cors(ready.site);
    answer::preflight(cors, origin, head, ready.persistence, SystemTime::now())
}
