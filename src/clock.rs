//! The time as logs have it.

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

fn month(time: &LocalTime) -> &'static str {
    MONTHS.get(time.month).copied().unwrap_or("Jan")
}

/// `24/Nov/2026:03:47:47 +0000`, as nginx has it in its access log.
pub(crate) fn access(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    let sign = if time.ahead < 0 { '-' } else { '+' };
    format!(
        "{:02}/{}/{}:{:02}:{:02}:{:02} {sign}{:02}{:02}",
        time.day,
        month(&time),
        time.year,
        time.hour,
        time.minute,
        time.second,
        time.ahead.abs() / 60,
        time.ahead.abs() % 60,
    )
}

/// `2026-11-24 03:47 (UTC+01:00)`, for visitors in whatever language.
pub(crate) fn told(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    let zone = match time.ahead {
        0 => String::new(),
        ahead => zone(ahead),
    };
    format!(
        "{}-{:02}-{:02} {:02}:{:02} (UTC{zone})",
        time.year,
        time.month + 1,
        time.day,
        time.hour,
        time.minute,
    )
}

/// `2026-11-24T03:47:47+01:00`, as RFC 3339 5.6 has it.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}{}",
        time.year,
        time.month + 1,
        time.day,
        time.hour,
        time.minute,
        time.second,
        zone(time.ahead),
    )
}

/// How far ahead of UTC a zone is, in minutes.
fn zone(ahead: i64) -> String {
    let sign = if ahead < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", ahead.abs() / 60, ahead.abs() % 60)
}

/// `2026/11/24 03:47:47`, as nginx has it in its error log.
pub(crate) fn error(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!(
        "{}/{:02}/{:02} {:02}:{:02}:{:02}",
        time.year,
        time.month + 1,
        time.day,
        time.hour,
        time.minute,
        time.second
    )
}

/// `Nov 24 03:47:47`, as RFC 3164 4.1.2 has it.
pub(crate) fn syslog(seconds: u64) -> String {
    let time = sys::local_time(seconds);
    format!(
        "{} {:2} {:02}:{:02}:{:02}",
        month(&time),
        time.day,
        time.hour,
        time.minute,
        time.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the zone: what a time consists of, and in which order.
    fn shape(text: &str) -> String {
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
    fn every_log_has_its_own_form_of_the_time() {
        let noon = 1_795_521_600;
        assert_eq!(shape(&access(noon)), "00/aaa/0000:00:00:00 +0000");
        assert!(access(noon).contains("/Nov/2026:"));
        assert_eq!(shape(&error(noon)), "0000/00/00 00:00:00");
        assert!(error(noon).starts_with("2026/11/2"));
        assert_eq!(shape(&syslog(noon)), "aaa 00 00:00:00");
        assert_eq!(shape(&rfc3339(noon)), "0000+00+00a00:00:00+00:00");
        assert!(told(noon).starts_with("2026-11-2") && told(noon).contains(" (UTC"));
        assert_eq!(
            (zone(60), zone(-210)),
            ("+01:00".to_owned(), "-03:30".to_owned())
        );
        assert_eq!(&syslog(noon - 18 * 86400)[..5], "Nov  ");
    }
}
