//! The lexer: from characters to words, semicolons and braces (`ngx_conf_read_token`).

use crate::config::nginx::syntax::tree::{ConfigError, Position, Word};

/// A token.
pub(crate) enum Token {
    Word(Word),
    Semicolon(Position),
    Open(Position),
    Close(Position),
    End,
}

/// Splits a text into tokens.
pub(crate) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    position: Position,
    /// A closing brace that was put back.
    closing: Option<Position>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, file: usize) -> Self {
        // A byte order mark is not a part of the first word.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars().peekable(),
            position: Position {
                file,
                line: 1,
                column: 1,
            },
            closing: None,
        }
    }

    /// Puts back the closing brace that was just returned.
    pub(crate) fn put_back_close(&mut self, position: Position) {
        self.closing = Some(position);
    }

    /// The next character, without consuming it.
    pub(crate) fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    /// The text has more characters.
    pub(crate) fn has_more(&mut self) -> bool {
        self.peek().is_some()
    }

    /// Consumes the next character.
    pub(crate) fn take(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        if letter == '\n' {
            self.position.line += 1;
            self.position.column = 1;
        } else {
            self.position.column += 1;
        }
        Some(letter)
    }

    /// The next token.
    pub(crate) fn token(&mut self) -> Result<Token, ConfigError> {
        if let Some(position) = self.closing.take() {
            return Ok(Token::Close(position));
        }
        loop {
            let position = self.position;
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
                        ';' => Token::Semicolon(position),
                        '{' => Token::Open(position),
                        _ => Token::Close(position),
                    });
                }
                '"' | '\'' => return self.quoted(letter).map(Token::Word),
                _ => return Ok(Token::Word(self.bare())),
            }
        }
    }

    /// A word that ends at a blank, a semicolon or an opening brace; `${` begins a variable.
    fn bare(&mut self) -> Word {
        let position = self.position;
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
        Word { text, position }
    }

    /// A word between quotes. A blank must separate it from the next word.
    fn quoted(&mut self, quote: char) -> Result<Word, ConfigError> {
        let position = self.position;
        let mut text = String::new();
        self.take();
        loop {
            match self.peek() {
                None => {
                    let what = format!("quote without its end; add {quote}");
                    return Err(ConfigError { position, what });
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
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(Word { text, position }),
            Some(letter) => {
                let what = format!(
                    "\"{}\" directly after a quote; put a blank between",
                    letter.escape_debug()
                );
                Err(ConfigError {
                    position: self.position,
                    what,
                })
            }
        }
    }

    /// An escape sequence. The backslash of an unknown one is kept.
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
    use crate::config::nginx::syntax::parser::parse;

    fn words(text: &str) -> Vec<String> {
        let (directives, errors) = parse(text, 0);
        assert_eq!(errors, [], "{text:?}");
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
