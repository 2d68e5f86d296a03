//! The end time of a maintenance: parses `--for` and `--until`, and formats a time for people.

use crate::announcement::MAX_AHEAD;
use crate::quote::Quoted;
use crate::sys;
use crate::sys::LocalTime;

const DAY: u64 = 24 * 60 * 60;

/// Parses the value of `--for`, a duration in nginx's units such as 2h, 90m or 1h30m, to an end after `now`.
///
/// # Errors
/// It is malformed, 0 or too long.
pub(crate) fn parse_for(text: &str, now: u64) -> Result<u64, String> {
    let time = crate::config::time(text).filter(|time| !time.is_zero());
    let time = time.ok_or_else(|| {
        format!(
            "{} is not a duration; write one such as 2h, 90m or 1h30m",
            Quoted(text)
        )
    })?;
    not_too_far(now.saturating_add(time.as_secs().max(1)), now, text)
}

/// Parses the value of `--until`: `21:00`, the next time that the clock shows it; or `2026-11-25 21:00`, optionally with `T`,
/// seconds and a zone (`Z`, `+01:00`) as in RFC 3339. Without a zone it is local time.
///
/// # Errors
/// It is malformed, in the past or too far ahead.
pub(crate) fn parse_until(text: &str, now: u64) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{} is not a time; write 21:00, \"2026-11-25 21:00\" or 2026-11-25T21:00:00+01:00",
            Quoted(text)
        )
    };
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((date, clock)) => (Some(day(date).ok_or_else(wrong)?), clock),
        None => (None, text),
    };
    let (clock, zone) = split_zone(clock).ok_or_else(wrong)?;
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
                // A local time that daylight saving time skips is converted to another one.
                let local = sys::local_time(*seconds);
                (local.hour, local.minute) == (hour, minute)
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
            "{} is in the past; give a later time",
            Quoted(text)
        ));
    }
    not_too_far(end, now, text)
}

/// The first time after `now` that `at` returns for today or one of the next two days: one day may skip it. Days are counted
/// from noon to noon, since not all have 24 hours.
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
    if end - now > MAX_AHEAD.as_secs() {
        return Err(format!(
            "{} is more than {} days ahead; give an earlier end",
            Quoted(text),
            MAX_AHEAD.as_secs() / DAY
        ));
    }
    Ok(end)
}

/// Parses a number of exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i32> {
    let is_number = text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Parses `2026-11-25` to year, month from 0, and day.
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

/// Parses `21:00` or `21:00:30`; a fraction of a second is ignored.
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

/// Splits off a zone, if there is one, in minutes ahead of UTC.
fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
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

/// A UTC time as seconds since 1970. None if it is earlier, or there is no such day.
fn utc_seconds(time: &LocalTime) -> Option<u64> {
    // Days of the Gregorian calendar. Years begin in March, so that a leap day is the last day of a year.
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
mod tests {
    use super::*;
    use crate::clock;

    /// 2026-11-24 12:00:00 UTC.
    const NOW: u64 = 1_795_521_600;

    #[test]
    fn a_duration_ends_after_now() {
        assert_eq!(parse_for("2h", NOW), Ok(NOW + 7200));
        assert_eq!(parse_for("1h30m", NOW), Ok(NOW + 5400));
        assert_eq!(parse_for("90", NOW), Ok(NOW + 90));
        for (text, expected) in [
            ("", "not a duration"),
            ("0", "not a duration"),
            ("-2h", "not a duration"),
            ("soon", "not a duration"),
            ("31d", "more than 30 days"),
        ] {
            let what = parse_for(text, NOW).unwrap_err();
            assert!(what.contains(expected), "{text}: {what}");
        }
    }

    #[test]
    fn a_time_with_a_zone_is_the_same_on_all_hosts() {
        for (text, expected) in [
            ("2026-11-24T13:00:00Z", NOW + 3600),
            ("2026-11-24 13:00Z", NOW + 3600),
            ("2026-11-24T14:00:00.5+01:00", NOW + 3600),
            ("2026-11-24T11:30:00-02:00", NOW + 5400),
            ("12:30Z", NOW + 1800),
            // Today it is in the past.
            ("11:30Z", NOW + DAY - 1800),
            ("12:00Z", NOW + DAY),
            ("2026-12-01T00:00Z", NOW + 6 * DAY + DAY / 2),
        ] {
            assert_eq!(parse_until(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_local() {
        let end = parse_until("21:00", NOW).unwrap();
        assert!(end > NOW && end <= NOW + DAY + 3600);
        assert!(
            clock::terminal(end).ends_with(" 21:00:00"),
            "{}",
            clock::terminal(end)
        );
        let end = parse_until("2026-11-26 21:00", NOW).unwrap();
        assert_eq!(clock::terminal(end), "2026-11-26 21:00:00");
        assert_eq!(parse_until(&clock::rfc3339(end), NOW), Ok(end));
    }

    /// Runs the test again in a child process in the zone Europe/Berlin. True in that child.
    fn is_in_berlin(test: &str) -> bool {
        const ZONE: &str = "Europe/Berlin";
        if std::env::var_os("TZ").is_some_and(|zone| zone == ZONE) {
            return true;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("switch::end_time::tests::{test}")])
            .env("TZ", ZONE)
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{stdout}");
        assert!(stdout.contains("1 passed"), "{stdout}");
        false
    }

    /// Parses a UTC time without a limit.
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
    fn tomorrow_is_the_next_day_on_days_of_any_length() {
        if !is_in_berlin("tomorrow_is_the_next_day_on_days_of_any_length") {
            return;
        }
        for (now, text, expected) in [
            // A day of 25 hours: 24 hours after 00:30 it is 23:30 of the same day.
            ("2026-10-24T22:30", "00:15", "2026-10-25T23:15"),
            // A day of 23 hours: 24 hours after 23:30 of the day before it is 00:30 two days later.
            ("2026-03-28T22:30", "21:00", "2026-03-29T19:00"),
            ("2026-11-24T12:00", "12:00", "2026-11-25T11:00"),
            ("2026-12-31T12:00", "12:00", "2027-01-01T11:00"),
        ] {
            assert_eq!(
                parse_until(text, utc(now)),
                Ok(utc(expected)),
                "{now} {text}"
            );
        }
    }

    #[test]
    fn a_time_skipped_by_daylight_saving_time_is_an_error() {
        if !is_in_berlin("a_time_skipped_by_daylight_saving_time_is_an_error") {
            return;
        }
        // 2:00 becomes 3:00.
        let now = utc("2026-03-28T23:30");
        for text in ["2026-03-29 02:30", "2026-03-29 02:00"] {
            let what = parse_until(text, now).unwrap_err();
            assert!(what.contains("not a time"), "{text}: {what}");
        }
        // The next 02:30 is a day later.
        assert_eq!(parse_until("02:30", now), Ok(utc("2026-03-30T00:30")));
        assert_eq!(
            parse_until("02:30", utc("2026-03-28T02:00")),
            Ok(utc("2026-03-30T00:30"))
        );
        assert_eq!(parse_until("03:00", now), Ok(utc("2026-03-29T01:00")));
        assert_eq!(parse_until("01:59", now), Ok(utc("2026-03-29T00:59")));
    }

    #[test]
    fn times_that_are_malformed_past_or_too_far_ahead_are_errors() {
        for (text, expected) in [
            ("", "not a time"),
            ("9:00", "not a time"),
            ("24:00", "not a time"),
            ("21:60", "not a time"),
            ("21:00:00:00", "not a time"),
            ("2026-13-01 00:00", "not a time"),
            ("2026-02-30T00:00Z", "not a time"),
            ("2026-11-25", "not a time"),
            ("tomorrow", "not a time"),
            ("2026-11-24T11:59:59Z", "in the past"),
            ("2020-01-01 00:00", "in the past"),
            ("2026-12-25T00:00Z", "more than 30 days"),
        ] {
            let what = parse_until(text, NOW).unwrap_err();
            assert!(what.contains(expected), "{text}: {what}");
        }
    }
}
