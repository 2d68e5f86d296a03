//! The end of a window, as it is typed and as it is told.

use std::time::Duration;

use crate::quote::Quoted;
use crate::sys;
use crate::sys::LocalTime;

/// The farthest end: more is a slip of the finger.
const FARTHEST: Duration = Duration::from_hours(24 * 30);
const DAY: u64 = 24 * 60 * 60;

/// The end that `--for` means: a time in nginx's units, such as 2h, 90m or 1h30m.
///
/// # Errors
/// It is none, or too far away.
pub(crate) fn after(text: &str, now: u64) -> Result<u64, String> {
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
pub(crate) fn until(text: &str, now: u64) -> Result<u64, String> {
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
            utc_offset: 0,
        };
        match zone {
            None => sys::seconds_of(&time).filter(|seconds| {
                // Where the clock is put forward it leaves times out, for which that has others.
                let shown = sys::local_time(*seconds);
                (shown.hour, shown.minute) == (hour, minute)
            }),
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
            next(shift, now, at).ok_or_else(wrong)?
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

/// The next time after `now` that `at` has for a day, of today and some that follow: one day may leave it out. Days are
/// counted from noon to noon, since not all of them have 24 hours.
fn next(
    shift: impl Fn(u64) -> LocalTime,
    now: u64,
    at: impl Fn((i32, usize, i32)) -> Option<u64>,
) -> Option<u64> {
    let today = shift(now);
    let since_noon = i64::from((today.hour - 12) * 3600 + today.minute * 60 + today.second);
    let noon = now.checked_add_signed(-since_noon)?;
    (0..3).find_map(|days| {
        let day = shift(noon + days * DAY);
        at((day.year, day.month, day.day)).filter(|time| *time > now)
    })
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::clock::{rfc3339, terminal};

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
        assert!(terminal(end).ends_with(" 21:00:00"), "{}", terminal(end));
        let end = until("2026-11-26 21:00", NOW).unwrap();
        assert_eq!(terminal(end), "2026-11-26 21:00:00");
        assert_eq!(until(&rfc3339(end), NOW), Ok(end));
    }

    /// Runs the test of that name in a process of its own, whose zone is Berlin's; returns whether this is that one.
    fn is_in_berlin(test: &str) -> bool {
        const ZONE: &str = "Europe/Berlin";
        if std::env::var_os("TZ").is_some_and(|zone| zone == ZONE) {
            return true;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("switch::window_end::tests::{test}")])
            .env("TZ", ZONE)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("1 passed"), "{told}");
        false
    }

    /// A time in UTC, however far it is.
    fn utc(text: &str) -> u64 {
        let (date, clock) = text.split_once('T').unwrap();
        let (year, month, day) = day(date).unwrap();
        let (hour, minute, second) = clock_time(clock).unwrap();
        utc_seconds(&LocalTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            utc_offset: 0,
        })
        .unwrap()
    }

    #[test]
    fn a_time_of_tomorrow_is_that_of_the_next_day_however_long_this_one_is() {
        if !is_in_berlin("a_time_of_tomorrow_is_that_of_the_next_day_however_long_this_one_is") {
            return;
        }
        for (now, text, expected) in [
            // The day of 25 hours: a day after 00:30 of it is 23:30 of it.
            ("2026-10-24T22:30", "00:15", "2026-10-25T23:15"),
            // The one of 23 hours: a day after 23:30 of the one before is 00:30 two days on.
            ("2026-03-28T22:30", "21:00", "2026-03-29T19:00"),
            ("2026-11-24T12:00", "12:00", "2026-11-25T11:00"),
            ("2026-12-31T12:00", "12:00", "2027-01-01T11:00"),
        ] {
            assert_eq!(until(text, utc(now)), Ok(utc(expected)), "{now} {text}");
        }
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_is_none() {
        if !is_in_berlin("a_time_that_the_clock_leaves_out_is_none") {
            return;
        }
        // At 2:00 it becomes 3:00.
        let now = utc("2026-03-28T23:30");
        for text in ["2026-03-29 02:30", "2026-03-29 02:00"] {
            let what = until(text, now).unwrap_err();
            assert!(what.contains("no time"), "{text}: {what}");
        }
        // The next time that it shows that is a day later.
        assert_eq!(until("02:30", now), Ok(utc("2026-03-30T00:30")));
        assert_eq!(
            until("02:30", utc("2026-03-28T02:00")),
            Ok(utc("2026-03-30T00:30"))
        );
        assert_eq!(until("03:00", now), Ok(utc("2026-03-29T01:00")));
        assert_eq!(until("01:59", now), Ok(utc("2026-03-29T00:59")));
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
