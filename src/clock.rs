//! The current time, and times as text.

use std::time::SystemTime;

use crate::sys;
use crate::sys::LocalTime;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The seconds since 1970 began.
pub(crate) fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |passed| passed.as_secs())
}

/// `24/Nov/2026:03:47:47 +0000`, as in nginx's access log.
pub(crate) fn access_log(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!(
        "{:02}/{}/{}:{} {}",
        time.day,
        month(&time),
        time.year,
        time_of_day(&time),
        zone(time.utc_offset, ""),
    )
}

/// `2026/11/24 03:47:47`, as in nginx's error log.
pub(crate) fn error_log(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!("{} {}", date(&time, '/'), time_of_day(&time))
}

/// `Nov 24 03:47:47`, as in RFC 3164 4.1.2.
pub(crate) fn syslog(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!("{} {:2} {}", month(&time), time.day, time_of_day(&time))
}

/// `2026-11-24T03:47:47+01:00`, as in RFC 3339 5.6.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!(
        "{}T{}{}",
        date(&time, '-'),
        time_of_day(&time),
        zone(time.utc_offset, ":")
    )
}

/// `2026-11-24 03:47 (UTC+01:00)`, for a page in any language.
pub(crate) fn page(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    let zone = match time.utc_offset {
        0 => String::new(),
        offset => zone(offset, ":"),
    };
    format!(
        "{} {:02}:{:02} (UTC{zone})",
        date(&time, '-'),
        time.hour,
        time.minute
    )
}

/// `2026-11-24 03:47:47`, for messages and tables.
pub(crate) fn terminal(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!("{} {}", date(&time, '-'), time_of_day(&time))
}

fn month(time: &LocalTime) -> &'static str {
    MONTHS.get(time.month).copied().unwrap_or("Jan")
}

fn date(time: &LocalTime, separator: char) -> String {
    format!(
        "{:04}{separator}{:02}{separator}{:02}",
        time.year,
        time.month + 1,
        time.day
    )
}

fn time_of_day(time: &LocalTime) -> String {
    format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second)
}

/// A zone by its minutes ahead of UTC.
fn zone(utc_offset: i64, separator: &str) -> String {
    let sign = if utc_offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (utc_offset.abs() / 60, utc_offset.abs() % 60);
    format!("{sign}{hours:02}{separator}{minutes:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format of a time, independent of the zone.
    fn format(text: &str) -> String {
        text.chars()
            .map(|letter| match letter {
                '0'..='9' => '0',
                'A'..='Z' | 'a'..='z' => 'a',
                '-' => '+',
                other => other,
            })
            .collect()
    }

    #[test]
    fn every_log_has_its_own_format_of_the_time() {
        let noon = 1_795_521_600;
        assert_eq!(format(&access_log(noon)), "00/aaa/0000:00:00:00 +0000");
        assert!(access_log(noon).contains("/Nov/2026:"));
        assert_eq!(format(&error_log(noon)), "0000/00/00 00:00:00");
        assert!(error_log(noon).starts_with("2026/11/2"));
        assert_eq!(format(&syslog(noon)), "aaa 00 00:00:00");
        assert_eq!(format(&rfc3339(noon)), "0000+00+00a00:00:00+00:00");
        assert_eq!(format(&terminal(noon)), "0000+00+00 00:00:00");
        assert!(page(noon).starts_with("2026-11-2") && page(noon).contains(" (UTC"));
        assert_eq!(
            (zone(60, ":"), zone(-210, "")),
            ("+01:00".to_owned(), "-0330".to_owned())
        );
        assert_eq!(&syslog(noon - 18 * 86400)[..5], "Nov  ");
    }
}
