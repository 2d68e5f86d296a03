//! What is counted: one counter for each series, and its index in the memory of a process.

use crate::named_enum::named_enum;
use crate::serve::connection::close_reason::CloseReason;
use crate::serve::connection::timer::Timer;
use crate::serve::http1::Form;

named_enum! {
    /// A request's method, of those that are counted separately.
    Method {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// OPTIONS.
        Options = "OPTIONS",
        /// Any other.
        Other = "other",
    }
}

impl Method {
    /// The method of a head, which may begin with empty lines. Methods are case-sensitive (RFC 9110 9.1).
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
}

/// The statuses of refusals.
pub const REFUSALS: [&str; 5] = ["400", "414", "431", "501", "505"];
/// The versions of TLS.
pub const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];
/// The number of host counters; index 0 counts all other hosts.
pub const HOSTS: usize = 64;

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Connections accepted.
    Accepted,
    /// Requests answered with the page, and preflights.
    Answered,
    /// Pauses of a listener: no descriptor was free, or accept(2) failed repeatedly.
    Exhausted,
    /// Workers that exited unexpectedly.
    Died,
    /// Log lines that could not be written.
    Lost,
    /// Bytes written to clients, TLS included.
    Sent,
    /// TLS sessions that were resumed.
    Resumed,
    /// Connections closed for a reason.
    Closed(CloseReason),
    /// Requests answered with the page, and preflights, by method.
    Method(Method),
    /// Requests refused, by the index of their status in [`REFUSALS`].
    Refused(usize),
    /// TLS handshakes, by the index of the version in [`TLS_VERSIONS`].
    Handshake(usize),
    /// Open connections by the timer that runs: a gauge.
    Open(Timer),
    /// Requests answered with the page, by its form.
    Form(Form),
    /// Requests answered with the page, by the index of their host.
    Host(usize),
}

const CLOSED: usize = 7;
const METHOD: usize = CLOSED + CloseReason::ALL.len();
const REFUSED: usize = METHOD + Method::ALL.len();
const HANDSHAKE: usize = REFUSED + REFUSALS.len();
pub(crate) const OPEN: usize = HANDSHAKE + TLS_VERSIONS.len();
pub(crate) const FORM: usize = OPEN + Timer::COUNT;
const HOST: usize = FORM + Form::ALL.len();
/// The counters of one process: whole cache lines, so that no two processes write to the same one.
pub(crate) const WIDTH: usize = (HOST + HOSTS).next_multiple_of(8);

impl Series {
    /// The index in a row. An index beyond the last of its series means the last.
    pub(crate) const fn index(self) -> usize {
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
            Self::Refused(number) => REFUSED + clamp(number, REFUSALS.len()),
            Self::Handshake(number) => HANDSHAKE + clamp(number, TLS_VERSIONS.len()),
            Self::Open(timer) => OPEN + timer as usize,
            Self::Form(form) => FORM + form as usize,
            Self::Host(number) => HOST + clamp(number, HOSTS),
        }
    }
}

const fn clamp(number: usize, count: usize) -> usize {
    if number < count { number } else { count - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_its_own_index() {
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
        let indexes: Vec<usize> = all.iter().map(|series| series.index()).collect();
        assert_eq!(indexes, (0..HOST + HOSTS).collect::<Vec<_>>());
    }

    #[test]
    fn methods_are_compared_by_their_whole_name() {
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
