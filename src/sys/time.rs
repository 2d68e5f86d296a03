//! The system's clocks: local time, UTC and monotonic time.

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    pub(crate) year: i32,
    /// From 0.
    pub(crate) month: usize,
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
    /// The minutes by which it is ahead of UTC.
    pub(crate) utc_offset: i64,
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
            utc_offset: i64::from(time.tm_gmtoff) / 60,
        }
    }
}

/// The local time so many seconds after 1970 began (localtime_r(3)); 1970-01-01 where the system has no such time.
///
/// The first call reads the zone's file and later ones do not: a worker, which can open no file, inherits it from its parent.
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

/// UTC so many seconds after 1970 began (gmtime_r(3)).
pub(crate) fn utc_time(seconds: u64) -> LocalTime {
    let seconds = libc::time_t::try_from(seconds).unwrap_or(0);
    // SAFETY: all zeroes is a valid tm, numbers and a null pointer.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: gmtime_r reads one time_t and writes one tm, and these are they.
    unsafe { libc::gmtime_r(&raw const seconds, &raw mut time) };
    LocalTime::from_tm(&time)
}

/// The seconds since 1970 of a local time (mktime(3)); nothing for a day that does not exist or is before 1970. For a time
/// that occurs twice in a night mktime chooses.
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

/// Microseconds of the monotonic clock (clock_gettime(2)); 0 on a system without one.
pub(crate) fn monotonic_micros() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime writes one timespec, and `now` is one.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) } != 0 {
        return 0;
    }
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec / 1000).unwrap_or(0)
}
