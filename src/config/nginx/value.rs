//! Values of directives: words, numbers, times, blocks.

use std::time::Duration;

use crate::config::nginx::syntax::{ConfigError, Directive, Word};
use crate::quote::Quoted;

/// An error about an argument, the first of which has the index 0.
pub(crate) fn wrong_value(directive: &Directive, index: usize, expected: &str) -> ConfigError {
    let name = &directive.name;
    let word = directive.arguments.get(index).unwrap_or(name);
    let value = Quoted(&word.text);
    word.message(format!(
        "wrong value {value} for {}; give {expected}",
        name.text
    ))
}

/// The only argument of a directive.
pub(crate) fn argument(directive: &Directive) -> Result<&str, ConfigError> {
    word(directive).map(|word| word.text.as_str())
}

/// The only argument of a directive, with its position.
pub(crate) fn word(directive: &Directive) -> Result<&Word, ConfigError> {
    match directive.arguments.as_slice() {
        [one] => Ok(one),
        _ => {
            let name = &directive.name;
            Err(name.message(format!("{0} takes one value; write {0} VALUE;", name.text)))
        }
    }
}

/// A number from 1.
pub(crate) fn number(directive: &Directive) -> Result<u32, ConfigError> {
    let number = argument(directive)?.parse().ok();
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| wrong_value(directive, 0, "a number from 1"))
}

/// `on` or `off`.
pub(crate) fn on_or_off(directive: &Directive) -> Result<bool, ConfigError> {
    match argument(directive)? {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong_value(directive, 0, "on or off")),
    }
}

/// A time. A second argument is ignored: that of `keepalive_timeout` is only sent to the client.
pub(crate) fn duration(directive: &Directive) -> Result<Duration, ConfigError> {
    let text = match directive.arguments.first() {
        Some(first) => &first.text,
        None => argument(directive)?,
    };
    time(text).ok_or_else(|| wrong_value(directive, 0, "a time such as 10s, 500ms or 1m 30s"))
}

/// The block of a directive.
pub(crate) fn block(directive: &Directive) -> Result<&[Directive], ConfigError> {
    let name = &directive.name;
    directive.block.as_deref().ok_or_else(|| {
        name.message(format!(
            "{0} without a block; write {0} {{ ... }}",
            name.text
        ))
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
