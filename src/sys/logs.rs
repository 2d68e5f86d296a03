//! What logs need: the local time, and whether a write would wait.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// A time by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    pub(crate) year: i32,
    /// From 0.
    pub(crate) month: usize,
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
    /// How many minutes it is ahead of UTC.
    pub(crate) ahead: i64,
}

impl LocalTime {
    fn from_tm(time: &libc::tm) -> Self {
        Self {
            year: time.tm_year.saturating_add(1900),
            month: usize::try_from(time.tm_mon).unwrap_or(0),
            day: time.tm_mday,
            hour: time.tm_hour,
            minute: time.tm_min,
            second: time.tm_sec,
            #[allow(clippy::useless_conversion, reason = "not the same type everywhere")]
            ahead: i64::from(time.tm_gmtoff) / 60,
        }
    }
}

/// What the clock shows so many seconds after 1970 began (localtime_r(3)).
///
/// The first call reads the zone's file and later ones do not, so a process that can open no file may call it if its parent
/// has. Where there is no such time it is the first of January 1970.
pub(crate) fn local_time(seconds: u64) -> LocalTime {
    let seconds = libc::time_t::try_from(seconds).unwrap_or(0);
    // SAFETY: all zeroes is a valid tm, numbers and a null pointer.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    time.tm_year = 70;
    time.tm_mday = 1;
    // SAFETY: localtime_r reads one time_t and writes one tm, and these are they.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut time) };
    LocalTime::from_tm(&time)
}

/// What a clock in UTC shows so many seconds after 1970 began (gmtime_r(3)).
pub(crate) fn utc_time(seconds: u64) -> LocalTime {
    let seconds = libc::time_t::try_from(seconds).unwrap_or(0);
    // SAFETY: all zeroes is a valid tm, numbers and a null pointer.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: gmtime_r reads one time_t and writes one tm, and these are they.
    unsafe { libc::gmtime_r(&raw const seconds, &raw mut time) };
    LocalTime::from_tm(&time)
}

/// When the clock on the wall shows this, in seconds since 1970 (mktime(3)); nothing where there is no such day, or it was
/// before. A time that a clock shows twice in a night is the one that mktime chooses.
pub(crate) fn seconds_of(time: &LocalTime) -> Option<u64> {
    // SAFETY: all zeroes is a valid tm, numbers and a null pointer.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    tm.tm_year = time.year.checked_sub(1900)?;
    tm.tm_mon = libc::c_int::try_from(time.month).ok()?;
    tm.tm_mday = time.day;
    tm.tm_hour = time.hour;
    tm.tm_min = time.minute;
    tm.tm_sec = time.second;
    tm.tm_isdst = -1;
    // SAFETY: mktime reads and writes one tm, and `tm` is one.
    let seconds = unsafe { libc::mktime(&raw mut tm) };
    // It takes the 30th of February for the 2nd of March.
    let is_same = tm.tm_mday == time.day;
    u64::try_from(seconds).ok().filter(|_| is_same)
}

/// Whether a write of [`crate::sys::PIPE_BUF`] bytes at most would not wait (poll(2)).
pub(crate) fn is_writable(file: BorrowedFd<'_>) -> bool {
    let mut polled = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: poll reads and writes one pollfd, and `polled` is one.
    let ready = unsafe { libc::poll(&raw mut polled, 1, 0) };
    // What else may be told of it, a write tells too, and at once.
    ready > 0
}

/// Whether a file that could not be opened is a FIFO that nobody reads (open(2), `O_NONBLOCK`).
pub(crate) fn has_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
}
