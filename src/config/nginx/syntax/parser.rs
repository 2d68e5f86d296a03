//! The parser: from tokens to directives. It reports all errors of a text.

use crate::config::nginx::syntax::lexer::{Lexer, Token};
use crate::config::nginx::syntax::tree::{ConfigError, Directive, Position, Word};
use crate::quote::Quoted;

/// Parses the text of a file. Returns the directives that can be parsed, and all errors.
#[must_use]
pub fn parse(text: &str, file: usize) -> (Vec<Directive>, Vec<ConfigError>) {
    let mut parser = Parser {
        lexer: Lexer::new(text, file),
        errors: Vec::new(),
    };
    let mut directives = Vec::new();
    // The parser continues after an extra closing brace.
    while parser.lexer.has_more() {
        directives.extend(parser.block(None));
    }
    (directives, parser.errors)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    errors: Vec<ConfigError>,
}

/// The deepest nesting of blocks: the parser is recursive and must not exhaust the stack.
const MAX_DEPTH: u32 = 64;

impl Parser<'_> {
    fn error(&mut self, position: Position, what: impl Into<String>) {
        self.errors.push(ConfigError {
            position,
            what: what.into(),
        });
    }

    /// Parses directives up to the brace that closes their block, or to the end of the file.
    fn block(&mut self, opened: Option<(Position, u32)>) -> Vec<Directive> {
        let mut directives = Vec::new();
        loop {
            match self.lexer.token() {
                Err(error) => self.skip_after(error),
                Ok(Token::Word(name)) => {
                    let depth = opened.map_or(0, |(_, depth)| depth);
                    directives.extend(self.directive(name, depth));
                }
                Ok(Token::Semicolon(position)) => {
                    self.error(position, "unexpected \";\"; delete it")
                }
                Ok(Token::Open(position)) => {
                    self.error(
                        position,
                        "\"{\" without a name before it; add the directive's name",
                    );
                    directives.extend(self.block(Some((position, 0))));
                }
                Ok(Token::Close(position)) if opened.is_none() => {
                    self.error(position, "unexpected \"}\"; delete it");
                    return directives;
                }
                Ok(Token::Close(_)) => return directives,
                Ok(Token::End) => {
                    if let Some((position, _)) = opened {
                        self.error(position, "\"{\" without its end; add \"}\"");
                    }
                    return directives;
                }
            }
        }
    }

    /// Parses the rest of a directive after its name. A missing end is reported at the name.
    fn directive(&mut self, name: Word, depth: u32) -> Option<Directive> {
        let mut arguments: Vec<Word> = Vec::new();
        loop {
            match self.lexer.token() {
                Err(error) => {
                    self.skip_after(error);
                    return None;
                }
                Ok(Token::Word(word)) => arguments.push(word),
                Ok(Token::Semicolon(_)) => {
                    return Some(Directive {
                        name,
                        arguments,
                        block: None,
                    });
                }
                Ok(Token::Open(position)) if depth + 1 > MAX_DEPTH => {
                    self.error(position, "blocks nested too deeply; write fewer");
                    // The rest of the text belongs to the skipped blocks.
                    while self.lexer.take().is_some() {}
                    return None;
                }
                Ok(Token::Open(position)) => {
                    let block = Some(self.block(Some((position, depth + 1))));
                    return Some(Directive {
                        name,
                        arguments,
                        block,
                    });
                }
                Ok(Token::Close(position)) => {
                    let what = format!(
                        "\"}}\" in the middle of {}; add \";\" before it",
                        Quoted(&name.text)
                    );
                    self.error(position, what);
                    // The brace most likely closes the block.
                    self.lexer.put_back_close(position);
                    return Some(Directive {
                        name,
                        arguments,
                        block: None,
                    });
                }
                Ok(Token::End) => {
                    let what = format!("{} without its end; add \";\"", Quoted(&name.text));
                    self.error(name.position, what);
                    return Some(Directive {
                        name,
                        arguments,
                        block: None,
                    });
                }
            }
        }
    }

    /// Records an error of the lexer and skips the rest of its directive.
    fn skip_after(&mut self, error: ConfigError) {
        self.errors.push(error);
        while let Some(letter) = self.lexer.peek() {
            if matches!(letter, '{' | '}') {
                return;
            }
            self.lexer.take();
            if letter == ';' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        let (directives, errors) = parse(text, 0);
        assert_eq!(errors, [], "{text:?}");
        directives.iter().map(ToString::to_string).collect()
    }

    /// The errors as `line:column: what`.
    fn errors(text: &str) -> Vec<String> {
        let (_, errors) = parse(text, 0);
        let format = |error: &ConfigError| {
            format!(
                "{}:{}: {}",
                error.position.line, error.position.column, error.what
            )
        };
        errors.iter().map(format).collect()
    }

    #[test]
    fn blocks_are_nested() {
        assert_eq!(
            read("http{server{listen 80;}server{}}a;"),
            "http {\n    server {\n        listen 80;\n    }\n    server {\n    }\n}\na;\n"
        );
        assert_eq!(read("if ($a = b) { c; }"), "if ($a = b) {\n    c;\n}\n");
    }

    #[test]
    fn a_position_is_a_line_and_a_column_of_characters() {
        let (directives, _) = parse("\n  \u{e9}\u{e9} b;", 3);
        assert_eq!(
            directives[0].name.position,
            Position {
                file: 3,
                line: 2,
                column: 3
            }
        );
        assert_eq!(
            directives[0].arguments[0].position,
            Position {
                file: 3,
                line: 2,
                column: 6
            }
        );
    }

    #[test]
    fn all_errors_of_a_text_are_reported() {
        assert_eq!(errors("a b"), ["1:1: \"a\" without its end; add \";\""]);
        assert_eq!(
            errors("a {\n b;"),
            ["1:3: \"{\" without its end; add \"}\""]
        );
        assert_eq!(
            errors("a;}\nb;}"),
            [
                "1:3: unexpected \"}\"; delete it",
                "2:3: unexpected \"}\"; delete it"
            ]
        );
        assert_eq!(errors("a;;"), ["1:3: unexpected \";\"; delete it"]);
        assert_eq!(
            errors("{ a; }"),
            ["1:1: \"{\" without a name before it; add the directive's name"]
        );
        assert_eq!(errors("a 'b;"), ["1:3: quote without its end; add '"]);
        assert_eq!(
            errors("a 'b'c;\n;"),
            [
                "1:6: \"c\" directly after a quote; put a blank between",
                "2:1: unexpected \";\"; delete it"
            ]
        );
        assert_eq!(
            errors("a { b }"),
            ["1:7: \"}\" in the middle of \"b\"; add \";\" before it"]
        );
        assert_eq!(errors(&"a{".repeat(100)).len(), 65);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_text_causes_a_panic(text in "[a-z{};\"'\\\\ \n#$]{0,60}") {
            let _ = parse(&text, 0);
        }
    }
}
