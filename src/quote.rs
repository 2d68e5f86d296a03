//! User-supplied text in messages: on one line, without control characters.

use std::fmt::{self, Display, Write};

/// Text with its control characters escaped, so that it cannot end a line or control a terminal.
#[derive(Clone, Copy)]
pub(crate) struct Escaped<T>(pub(crate) T);

/// [`Escaped`] text in double quotes.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Escaper<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for letter in text.chars() {
                    if letter.is_control() {
                        write!(self.0, "{}", letter.escape_default())?;
                    } else {
                        self.0.write_char(letter)?;
                    }
                }
                Ok(())
            }
        }
        write!(Escaper(to), "{}", self.0)
    }
}

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "\"{}\"", Escaped(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            Escaped("a\nb\x1b[31m\u{7f}\u{85}\u{e9}").to_string(),
            "a\\nb\\u{1b}[31m\\u{7f}\\u{85}\u{e9}"
        );
        assert_eq!(Quoted("a\tb").to_string(), "\"a\\tb\"");
    }
}
