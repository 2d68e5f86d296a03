//! Formats end times, rates and byte counts for people.

use crate::clock;
use crate::switch::text;

/// `until 2026-11-25 21:00:00 (in 2 h 5 min)`.
pub(super) fn until(end: u64, now: u64) -> String {
    let left = match end.checked_sub(now) {
        Some(left) if left > 0 => format!("in {}", text::length(left)),
        Some(_) | None => "in the past".to_owned(),
    };
    format!("until {} ({left})", clock::terminal(end))
}

/// A rate, with one decimal if it is small.
pub(super) fn rate(rate: f64) -> String {
    if rate >= 10.0 || rate == 0.0 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1}")
    }
}

/// A number with a decimal prefix of its unit, as `12 k`.
pub(super) fn prefixed(number: f64) -> String {
    let mut number = number;
    for prefix in ["", "k", "M", "G", "T"] {
        if number < 999.5 {
            let digits = usize::from(number < 9.95 && !prefix.is_empty());
            return format!("{number:.digits$} {prefix}");
        }
        number /= 1000.0;
    }
    format!("{number:.0} P")
}

#[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
pub(super) fn prefixed_count(number: u64) -> String {
    prefixed(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_or_three_digits() {
        for (number, expected) in [
            (0.0, "0 "),
            (999.0, "999 "),
            (999.9, "1.0 k"),
            (12_345.0, "12 k"),
            (9_960.0, "10 k"),
            (1_500_000.0, "1.5 M"),
        ] {
            assert_eq!(prefixed(number), expected);
        }
        assert_eq!([rate(0.0), rate(0.25), rate(12.3)], ["0", "0.2", "12"]);
    }
}
