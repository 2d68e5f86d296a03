//! Values of directives: words, numbers, times, blocks.

use std::time::Duration;

use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{Directive, Word};

/// The only argument of a directive.
pub(crate) fn argument<'a>(
    directive: &'a Directive,
    diagnostics: &mut Diagnostics,
) -> Option<&'a str> {
    word(directive, diagnostics).map(|word| word.text.as_str())
}

/// The only argument of a directive, with its position.
pub(crate) fn word<'a>(
    directive: &'a Directive,
    diagnostics: &mut Diagnostics,
) -> Option<&'a Word> {
    match directive.arguments.as_slice() {
        [one] => Some(one),
        _ => {
            let name = &directive.name.text;
            let what = format!("{name} takes one value; write {name} VALUE;");
            diagnostics.error(directive.name.position, what);
            None
        }
    }
}

/// A number from 1.
pub(crate) fn number(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<u32> {
    let text = argument(directive, diagnostics)?;
    let number = text.parse().ok().filter(|number| *number > 0);
    if number.is_none() {
        diagnostics.wrong_value(directive, 0, "a number from 1");
    }
    number
}

/// `on` or `off`.
pub(crate) fn on_or_off(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<bool> {
    match argument(directive, diagnostics)? {
        "on" => Some(true),
        "off" => Some(false),
        _ => {
            diagnostics.wrong_value(directive, 0, "on or off");
            None
        }
    }
}

/// A time. A second argument is ignored: that of `keepalive_timeout` is only sent to the client.
pub(crate) fn duration(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let Some(first) = directive.arguments.first() else {
        argument(directive, diagnostics);
        return None;
    };
    let time = time(&first.text);
    if time.is_none() {
        diagnostics.wrong_value(directive, 0, "a time such as 10s, 500ms or 1m 30s");
    }
    time
}

/// The block of a directive; an error and no directives if it has none.
pub(crate) fn block<'a>(
    directive: &'a Directive,
    diagnostics: &mut Diagnostics,
) -> &'a [Directive] {
    directive.block.as_deref().unwrap_or_else(|| {
        let name = &directive.name.text;
        let what = format!("{name} without a block; write {name} {{ ... }}");
        diagnostics.error(directive.name.position, what);
        &[]
    })
}

/// A time in nginx's units, from `ms` to `y`; a number alone is seconds.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: u32 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|letter: char| letter.is_ascii_digit() || letter == ' ');
        let end = unit.map_or(rest.len(), |length| digits + length);
        let unit = match &rest[digits..end] {
            "ms" => Duration::from_millis(1),
            "" | "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            "w" => Duration::from_hours(24 * 7),
            "M" => Duration::from_hours(24 * 30),
            "y" => Duration::from_hours(24 * 365),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = rest[end..].trim_start_matches(' ');
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_as_in_nginx() {
        for (text, seconds) in [
            ("10", 10.0),
            ("10s", 10.0),
            ("1m30s", 90.0),
            ("1m 30", 90.0),
            ("500ms", 0.5),
            ("1d", 86400.0),
        ] {
            assert_eq!(
                time(text).map(|time| time.as_secs_f64()),
                Some(seconds),
                "{text}"
            );
        }
        for text in ["", "s", "-1", "1x", "1.5s", "99999999999"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
