//! The end of a window, as it is typed and as it is told.

use std::time::Duration;

use crate::config::syntax::Quoted;
use crate::sys::{self, LocalTime};

/// The farthest end: more is a slip of the finger.
const FARTHEST: Duration = Duration::from_hours(24 * 30);
const DAY: u64 = 24 * 60 * 60;

/// The end that `--for` means: a time in nginx's units, such as 2h, 90m or 1h30m.
///
/// # Errors
/// It is none, or too far away.
pub(super) fn after(text: &str, now: u64) -> Result<u64, String> {
    let time = crate::config::time(text).filter(|time| !time.is_zero());
    let time = time.ok_or_else(|| {
        format!(
            "{} is no length of time; write one as 2h, 90m or 1h30m",
            Quoted(text)
        )
    })?;
    not_too_far(now.saturating_add(time.as_secs().max(1)), now, text)
}

/// The end that `--until` means: `21:00`, which is the next time that the clock shows so, `2026-11-25 21:00`, or with a
/// `T`, seconds, and a zone (`Z`, `+01:00`), as RFC 3339 has it. Without a zone it is local.
///
/// # Errors
/// It is none, in the past, or too far away.
pub(super) fn until(text: &str, now: u64) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{} is no time; write 21:00, \"2026-11-25 21:00\" or 2026-11-25T21:00:00+01:00",
            Quoted(text)
        )
    };
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((date, clock)) => (Some(day(date).ok_or_else(wrong)?), clock),
        None => (None, text),
    };
    let (clock, zone) = zoned(clock).ok_or_else(wrong)?;
    let (hour, minute, second) = clock_time(clock).ok_or_else(wrong)?;
    let at = |(year, month, day): (i32, usize, i32)| {
        let time = LocalTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ahead: 0,
        };
        match zone {
            None => sys::seconds_of(&time),
            Some(ahead) => utc_seconds(&time)?.checked_add_signed(-60 * ahead),
        }
    };
    let end = match date {
        Some(date) => at(date).ok_or_else(wrong)?,
        None => {
            let shift = |seconds: u64| {
                zone.map_or(sys::local_time(seconds), |ahead| {
                    sys::utc_time(seconds.saturating_add_signed(60 * ahead))
                })
            };
            let date_of = |time: LocalTime| (time.year, time.month, time.day);
            let today = at(date_of(shift(now))).ok_or_else(wrong)?;
            if today > now {
                today
            } else {
                at(date_of(shift(now + DAY))).ok_or_else(wrong)?
            }
        }
    };
    if end <= now {
        return Err(format!(
            "{} is in the past; give a time to come",
            Quoted(text)
        ));
    }
    not_too_far(end, now, text)
}

fn not_too_far(end: u64, now: u64, text: &str) -> Result<u64, String> {
    if end - now > FARTHEST.as_secs() {
        return Err(format!(
            "{} is more than 30 days ahead; give an earlier end",
            Quoted(text)
        ));
    }
    Ok(end)
}

/// A number of just so many digits.
fn digits(text: &str, count: usize) -> Option<i32> {
    let is_number = text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// `2026-11-25` as year, month from 0, day.
fn day(text: &str) -> Option<(i32, usize, i32)> {
    let mut parts = text.split('-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&day) && parts.next().is_none();
    is_day.then_some((year, usize::try_from(month - 1).ok()?, day))
}

/// `21:00` or `21:00:30`, with a part of a second that does not matter.
fn clock_time(text: &str) -> Option<(i32, i32, i32)> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = match parts.next() {
        Some(second) => digits(second.split('.').next()?, 2)?,
        None => 0,
    };
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_time.then_some((hour, minute, second))
}

/// A time and how many minutes its zone is ahead of UTC, where it tells.
fn zoned(text: &str) -> Option<(&str, Option<i64>)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, Some(0)));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, None));
    };
    let (clock, zone) = text.split_at(at);
    let (hour, minute, _) = clock_time(&zone[1..])?;
    let ahead = i64::from(hour * 60 + minute);
    Some((
        clock,
        Some(if zone.starts_with('-') { -ahead } else { ahead }),
    ))
}

/// The seconds since 1970 of a time in UTC; nothing before that, or where there is no such day.
fn utc_seconds(time: &LocalTime) -> Option<u64> {
    // Days of the civil calendar, with years that begin in March, so that a leap day is a year's last.
    let month = i64::try_from(time.month).ok()? + 1;
    let year = i64::from(time.year) - i64::from(month <= 2);
    let of_era = year.rem_euclid(400);
    let of_year =
        (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(time.day) - 1;
    let days = year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year
        - 719_468;
    let seconds = days * 86_400
        + i64::from(time.hour) * 3600
        + i64::from(time.minute) * 60
        + i64::from(time.second);
    let seconds = u64::try_from(seconds).ok()?;
    let same = sys::utc_time(seconds);
    ((same.month, same.day) == (time.month, time.day)).then_some(seconds)
}

/// A time as RFC 3339 has it, in this host's zone.
pub(super) fn rfc3339(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    let sign = if time.ahead < 0 { '-' } else { '+' };
    let (hours, minutes) = (time.ahead.abs() / 60, time.ahead.abs() % 60);
    format!(
        "{}T{}{sign}{hours:02}:{minutes:02}",
        date(&time),
        clock(&time)
    )
}

/// A time as people read it, in this host's zone.
pub(super) fn for_people(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!("{} {}", date(&time), clock(&time))
}

fn date(time: &LocalTime) -> String {
    format!("{:04}-{:02}-{:02}", time.year, time.month + 1, time.day)
}

fn clock(time: &LocalTime) -> String {
    format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    /// 2026-11-24 12:00:00 UTC.
    const NOW: u64 = 1_795_521_600;

    #[test]
    fn a_length_of_time_ends_after_it() {
        assert_eq!(after("2h", NOW), Ok(NOW + 7200));
        assert_eq!(after("1h30m", NOW), Ok(NOW + 5400));
        assert_eq!(after("90", NOW), Ok(NOW + 90));
        for (text, expected) in [
            ("", "no length of time"),
            ("0", "no length of time"),
            ("-2h", "no length of time"),
            ("soon", "no length of time"),
            ("31d", "more than 30 days"),
        ] {
            let what = after(text, NOW).unwrap_err();
            assert!(what.contains(expected), "{text}: {what}");
        }
    }

    #[test]
    fn a_time_with_a_zone_means_the_same_everywhere() {
        for (text, expected) in [
            ("2026-11-24T13:00:00Z", NOW + 3600),
            ("2026-11-24 13:00Z", NOW + 3600),
            ("2026-11-24T14:00:00.5+01:00", NOW + 3600),
            ("2026-11-24T11:30:00-02:00", NOW + 5400),
            ("12:30Z", NOW + 1800),
            // Today it is past.
            ("11:30Z", NOW + DAY - 1800),
            ("12:00Z", NOW + DAY),
            ("2026-12-01T00:00Z", NOW + 6 * DAY + DAY / 2),
        ] {
            assert_eq!(until(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_local() {
        let end = until("21:00", NOW).unwrap();
        assert!(end > NOW && end <= NOW + DAY + 3600);
        assert!(
            for_people(end).ends_with(" 21:00:00"),
            "{}",
            for_people(end)
        );
        let end = until("2026-11-26 21:00", NOW).unwrap();
        assert_eq!(for_people(end), "2026-11-26 21:00:00");
        assert_eq!(until(&rfc3339(end), NOW), Ok(end));
    }

    #[test]
    fn what_is_no_time_to_come_is_told() {
        for (text, expected) in [
            ("", "no time"),
            ("9:00", "no time"),
            ("24:00", "no time"),
            ("21:60", "no time"),
            ("21:00:00:00", "no time"),
            ("2026-13-01 00:00", "no time"),
            ("2026-02-30T00:00Z", "no time"),
            ("2026-11-25", "no time"),
            ("tomorrow", "no time"),
            ("2026-11-24T11:59:59Z", "in the past"),
            ("2020-01-01 00:00", "in the past"),
            ("2026-12-25T00:00Z", "more than 30 days"),
        ] {
            let what = until(text, NOW).unwrap_err();
            assert!(what.contains(expected), "{text}: {what}");
        }
    }
}
