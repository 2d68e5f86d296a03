//! Values as nginx writes them: numbers, times, sizes.

use std::time::Duration;

use crate::config::Config;
use crate::config::nginx::Reader;
use crate::config::nginx::syntax::{Directive, Quoted, Word};

impl Reader {
    /// The only argument of a directive.
    pub(crate) fn argument<'a>(&mut self, directive: &'a Directive) -> Option<&'a str> {
        self.word(directive).map(|word| word.text.as_str())
    }

    /// The same with its place.
    pub(crate) fn word<'a>(&mut self, directive: &'a Directive) -> Option<&'a Word> {
        match directive.arguments.as_slice() {
            [one] => Some(one),
            _ => {
                let name = &directive.name.text;
                self.fault(
                    directive.name.place,
                    format!("{name} takes one value; write {name} VALUE;"),
                );
                None
            }
        }
    }

    /// A number, 1 at least.
    pub(crate) fn number(&mut self, directive: &Directive) -> Option<u32> {
        let text = self.argument(directive)?;
        let number = text.parse().ok().filter(|number| *number > 0);
        if number.is_none() {
            self.wrong_value(directive, 0, "a number from 1");
        }
        number
    }

    /// Sets one of the times. nginx takes a second one after `keepalive_timeout`, which is only said to the client.
    pub(crate) fn time(
        &mut self,
        directive: &Directive,
        of: impl FnOnce(&mut Config) -> &mut Duration,
    ) {
        if let Some(time) = self.duration(directive) {
            *of(&mut self.config) = time;
        }
    }

    /// The time that a directive says first.
    pub(crate) fn duration(&mut self, directive: &Directive) -> Option<Duration> {
        let Some(first) = directive.arguments.first() else {
            self.argument(directive);
            return None;
        };
        let time = time(&first.text);
        if time.is_none() {
            self.wrong_value(directive, 0, "a time such as 10s, 500ms or 1m 30s");
        }
        time
    }

    /// Tells that an argument is none of what it should be.
    pub(crate) fn wrong_value(&mut self, directive: &Directive, number: usize, expected: &str) {
        let Some(argument) = directive.arguments.get(number) else {
            return;
        };
        let value = Quoted(&argument.text).to_string();
        self.fault(
            argument.place,
            format!(
                "wrong value {value} for {}; give {expected}",
                directive.name.text
            ),
        );
    }
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
    fn times_are_read_as_nginx_reads_them() {
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
