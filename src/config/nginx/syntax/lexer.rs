//! From characters to words, semicolons and braces (`ngx_conf_read_token`).

use crate::config::nginx::syntax::{ConfigError, Position, Word};

/// What the text is made of.
pub(crate) enum Token {
    Word(Word),
    Semicolon(Position),
    Open(Position),
    Close(Position),
    End,
}

/// Takes a text apart.
pub(crate) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    place: Position,
    /// A closing brace that was taken and is to come again.
    closing: Option<Position>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, file: usize) -> Self {
        // An editor's mark at the front is no word.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars().peekable(),
            place: Position {
                file,
                line: 1,
                column: 1,
            },
            closing: None,
        }
    }

    /// Has the brace that was just taken come again.
    pub(crate) fn put_back_close(&mut self, place: Position) {
        self.closing = Some(place);
    }

    /// The next character, which stays.
    pub(crate) fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    /// The end is not reached.
    pub(crate) fn has_more(&mut self) -> bool {
        self.peek().is_some()
    }

    /// The next character.
    pub(crate) fn take(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        if letter == '\n' {
            self.place.line += 1;
            self.place.column = 1;
        } else {
            self.place.column += 1;
        }
        Some(letter)
    }

    /// The next token, or what is wrong with it.
    pub(crate) fn token(&mut self) -> Result<Token, ConfigError> {
        if let Some(place) = self.closing.take() {
            return Ok(Token::Close(place));
        }
        loop {
            let place = self.place;
            let Some(letter) = self.peek() else {
                return Ok(Token::End);
            };
            match letter {
                ' ' | '\t' | '\r' | '\n' => {
                    self.take();
                }
                '#' => while self.take().is_some_and(|letter| letter != '\n') {},
                ';' | '{' | '}' => {
                    self.take();
                    return Ok(match letter {
                        ';' => Token::Semicolon(place),
                        '{' => Token::Open(place),
                        _ => Token::Close(place),
                    });
                }
                '"' | '\'' => return self.quoted(letter).map(Token::Word),
                _ => return Ok(Token::Word(self.bare())),
            }
        }
    }

    /// A word that ends at a blank, a semicolon or a brace; but `${` begins a variable.
    fn bare(&mut self) -> Word {
        let place = self.place;
        let mut text = String::new();
        let mut variable = false;
        while let Some(letter) = self.peek() {
            match letter {
                ' ' | '\t' | '\r' | '\n' | ';' => break,
                '{' if !variable => break,
                '\\' => self.escape(&mut text),
                _ => {
                    text.push(letter);
                    self.take();
                }
            }
            variable = letter == '$';
        }
        Word { text, place }
    }

    /// A word between quotes, behind which another must not follow at once.
    fn quoted(&mut self, quote: char) -> Result<Word, ConfigError> {
        let place = self.place;
        let mut text = String::new();
        self.take();
        loop {
            match self.peek() {
                None => {
                    let what = format!("quote without its end; add {quote}");
                    return Err(ConfigError { place, what });
                }
                Some('\\') => self.escape(&mut text),
                Some(letter) => {
                    self.take();
                    if letter == quote {
                        break;
                    }
                    text.push(letter);
                }
            }
        }
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(Word { text, place }),
            Some(letter) => {
                let what = format!(
                    "\"{}\" right behind a quote; put a blank between",
                    letter.escape_debug()
                );
                Err(ConfigError {
                    place: self.place,
                    what,
                })
            }
        }
    }

    /// A backslash and what it stands before: a few letters mean something else, and any other keeps its backslash.
    fn escape(&mut self, text: &mut String) {
        self.take();
        match self.take() {
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(letter @ ('"' | '\'' | '\\')) => text.push(letter),
            Some(letter) => text.extend(['\\', letter]),
            None => text.push('\\'),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::nginx::syntax::parse;

    fn words(text: &str) -> Vec<String> {
        let (directives, faults) = parse(text, 0);
        assert_eq!(faults, [], "{text:?}");
        let directive = &directives[0];
        std::iter::once(&directive.name)
            .chain(&directive.arguments)
            .map(|word| word.text.clone())
            .collect()
    }

    #[test]
    fn words_are_split_as_nginx_splits_them() {
        assert_eq!(words("a b\tc\r\nd;"), ["a", "b", "c", "d"]);
        assert_eq!(
            words("a \"b c\" 'd \"e\"' \"\";"),
            ["a", "b c", "d \"e\"", ""]
        );
        assert_eq!(words("a # no\n b#c;"), ["a", "b#c"]);
        assert_eq!(
            words("a b\\ c \\; \\\" \"\\\"\\'\\\\\\n\\d\";"),
            ["a", "b\\ c", "\\;", "\"", "\"'\\\n\\d"]
        );
        assert_eq!(words("a ${b}c;"), ["a", "${b}c"]);
        assert_eq!(words("a $d{e;}"), ["a", "$d"]);
        assert_eq!(words("a b}c;"), ["a", "b}c"]);
        assert_eq!(words("a b\"c d\";"), ["a", "b\"c", "d\""]);
        assert_eq!(words("\u{feff}a;"), ["a"]);
    }
}
