//! What has happened so far, in numbers that any process may read while the loop counts.

mod board;

use crate::serve::http1::Form;
pub use crate::serve::metrics::counters::board::{Board, Counter, Counters, Figures};
use crate::serve::worker::deadlines::Timer;

/// Why a connection ended. Its name is also its counter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client had asked for a close with its last request, and has its answer.
    Answered,
    /// The client closed first, between requests or within one.
    ClientClosed,
    /// The request was answered, and what follows it on this connection must not be (a long or faulty body, `Expect`).
    BodyUnread,
    /// The connection has had its share of requests.
    RequestLimit,
    /// The request was refused: 400, 414, 431, 501 or 505.
    Refused,
    /// The client broke the TLS protocol, or nothing was in common with it.
    TlsFault,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The head took too long.
    HeadTimeout,
    /// No further request came.
    KeepAliveTimeout,
    /// The body took too long.
    BodyTimeout,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
    /// The connection made room for another in a full house.
    Evicted,
    /// The worker is to be replaced or ended, and answered this request as its last one.
    Retired,
    /// The connection broke: reset by the client, or lost.
    Broken,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 14] = [
        Self::Answered,
        Self::ClientClosed,
        Self::BodyUnread,
        Self::RequestLimit,
        Self::Refused,
        Self::TlsFault,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::KeepAliveTimeout,
        Self::BodyTimeout,
        Self::WriteTimeout,
        Self::Evicted,
        Self::Retired,
        Self::Broken,
    ];

    /// Its name, as it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ClientClosed => "client_closed",
            Self::BodyUnread => "body_unread",
            Self::RequestLimit => "request_limit",
            Self::Refused => "refused",
            Self::TlsFault => "tls_fault",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Evicted => "evicted",
            Self::Retired => "retired",
            Self::Broken => "broken",
        }
    }
}

/// A request's method, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// Any other.
    Other,
}

impl Method {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
        Self::Other,
    ];

    /// That of a head that has been read, with the empty lines before it. Methods are case-sensitive (RFC 9110 9.1).
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let start = head.iter().position(|byte| !b"\r\n".contains(byte));
        match &head[start.unwrap_or(head.len())..] {
            [b'G', b'E', b'T', b' ', ..] => Self::Get,
            [b'H', b'E', b'A', b'D', b' ', ..] => Self::Head,
            [b'P', b'O', b'S', b'T', b' ', ..] => Self::Post,
            [b'P', b'U', b'T', b' ', ..] => Self::Put,
            [b'P', b'A', b'T', b'C', b'H', b' ', ..] => Self::Patch,
            [b'D', b'E', b'L', b'E', b'T', b'E', b' ', ..] => Self::Delete,
            [b'O', b'P', b'T', b'I', b'O', b'N', b'S', b' ', ..] => Self::Options,
            _ => Self::Other,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "other",
        }
    }
}

/// The statuses of refusals.
pub const REFUSALS: [&str; 5] = ["400", "414", "431", "501", "505"];
/// The versions of TLS.
pub const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];
/// The hosts that are told apart. The first stands for all others.
pub const HOSTS: usize = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Connections accepted.
    Accepted,
    /// Requests answered with the page, and preflights.
    Answered,
    /// Times that a listener had to rest: no descriptor was free, or accepting failed again and again.
    Exhausted,
    /// Workers that ended without having been told to.
    Died,
    /// Lines of logs that there was no room for.
    Lost,
    /// Bytes written to clients, those of TLS included.
    Sent,
    /// TLS sessions that were resumed.
    Resumed,
    /// Connections closed for a reason.
    Closed(CloseReason),
    /// The same by method.
    Method(Method),
    /// Requests refused, by the place of their status in [`REFUSALS`].
    Refused(usize),
    /// TLS handshakes, by the place of the version in [`TLS_VERSIONS`].
    Handshake(usize),
    /// Connections that wait for something now. It falls too.
    Open(Timer),
    /// Requests answered with the page, by its form.
    Form(Form),
    /// Requests answered with the page, by the place of their host.
    Host(usize),
}

const CLOSED: usize = 7;
const METHOD: usize = CLOSED + CloseReason::ALL.len();
const REFUSED: usize = METHOD + Method::ALL.len();
const HANDSHAKE: usize = REFUSED + REFUSALS.len();
const OPEN: usize = HANDSHAKE + TLS_VERSIONS.len();
const FORM: usize = OPEN + Timer::COUNT;
const HOST: usize = FORM + Form::ALL.len();
/// The numbers of one process: whole lines of the cache, so that no two processes write to one.
const WIDTH: usize = (HOST + HOSTS).next_multiple_of(8);

impl Series {
    /// Its place in a row. What is beyond its kind's last is taken for that one.
    const fn place(self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::Answered => 1,
            Self::Exhausted => 2,
            Self::Died => 3,
            Self::Lost => 4,
            Self::Sent => 5,
            Self::Resumed => 6,
            Self::Closed(reason) => CLOSED + reason as usize,
            Self::Method(method) => METHOD + method as usize,
            Self::Refused(number) => REFUSED + within(number, REFUSALS.len()),
            Self::Handshake(number) => HANDSHAKE + within(number, TLS_VERSIONS.len()),
            Self::Open(timer) => OPEN + timer as usize,
            Self::Form(form) => FORM + form as usize,
            Self::Host(number) => HOST + within(number, HOSTS),
        }
    }
}

const fn within(number: usize, count: usize) -> usize {
    if number < count { number } else { count - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_a_place_of_its_own() {
        let mut all = vec![
            Series::Accepted,
            Series::Answered,
            Series::Exhausted,
            Series::Died,
            Series::Lost,
            Series::Sent,
            Series::Resumed,
        ];
        all.extend(CloseReason::ALL.map(Series::Closed));
        all.extend(Method::ALL.map(Series::Method));
        all.extend((0..REFUSALS.len()).map(Series::Refused));
        all.extend((0..TLS_VERSIONS.len()).map(Series::Handshake));
        all.extend(Timer::ALL.map(Series::Open));
        all.extend(Form::ALL.map(Series::Form));
        all.extend((0..HOSTS).map(Series::Host));
        let places: Vec<usize> = all.iter().map(|series| series.place()).collect();
        assert_eq!(places, (0..HOST + HOSTS).collect::<Vec<_>>());
    }

    #[test]
    fn methods_are_told_apart_by_their_whole_name() {
        for (head, method) in [
            (&b"GET / HTTP/1.1\r\n"[..], Method::Get),
            (b"\r\n\nHEAD / HTTP/1.1", Method::Head),
            (b"POST * HTTP/1.0", Method::Post),
            (b"GETS / HTTP/1.1", Method::Other),
            (b"get / HTTP/1.1", Method::Other),
            (b"PROPFIND / HTTP/1.1", Method::Other),
            (b"\r\n", Method::Other),
        ] {
            assert_eq!(Method::of(head), method);
        }
        for method in Method::ALL {
            let head = format!("{} / HTTP/1.1", method.name());
            assert_eq!(Method::of(head.as_bytes()), method);
        }
    }
}
