//! nginx's grammar: text in, a tree of directives out, each word with its place.
//!
//! What is read is what nginx 1.22 to 1.29 read (`ngx_conf_read_token`): words between blanks, both quotes, backslashes,
//! comments, blocks. What the words mean is none of this module's business.

mod lexer;
mod printing;

pub(crate) use crate::quote::Quoted;

use crate::config::nginx::syntax::lexer::{Lexer, Token};

/// Where something stands: a line and a column of a file, both from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file's number among those that were read.
    pub file: usize,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A word with its quotes and escapes resolved.
#[derive(Clone, Debug)]
pub struct Word {
    /// What it says.
    pub text: String,
    /// Where it begins.
    pub place: Position,
}

/// A name, its arguments, and a block where it has one.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The first word.
    pub name: Word,
    /// The words after it.
    pub arguments: Vec<Word>,
    /// What stands between its braces; nothing where it ends in a semicolon.
    pub block: Option<Vec<Self>>,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Position,
    /// What; and what to do.
    pub what: String,
}

/// Reads a file's text. What can be read is returned beside the faults, so that all of them can be told at once.
#[must_use]
pub fn parse(text: &str, file: usize) -> (Vec<Directive>, Vec<ConfigError>) {
    let mut parser = Parser {
        lexer: Lexer::new(text, file),
        faults: Vec::new(),
    };
    let mut directives = Vec::new();
    // A brace too many closes nothing; what follows it is read all the same.
    while parser.lexer.has_more() {
        directives.extend(parser.block(None));
    }
    (directives, parser.faults)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    faults: Vec<ConfigError>,
}

/// The most blocks within blocks: nobody writes more, and a reader must not run out of stack.
const MAX_DEPTH: u32 = 64;

impl Parser<'_> {
    fn fault(&mut self, place: Position, what: impl Into<String>) {
        self.faults.push(ConfigError {
            place,
            what: what.into(),
        });
    }

    /// Reads directives up to the brace that closes their block, or to the end of the file.
    fn block(&mut self, opened: Option<(Position, u32)>) -> Vec<Directive> {
        let mut directives = Vec::new();
        loop {
            match self.lexer.token() {
                Err(fault) => self.skip_after(fault),
                Ok(Token::Word(name)) => {
                    let depth = opened.map_or(0, |(_, depth)| depth);
                    directives.extend(self.directive(name, depth));
                }
                Ok(Token::Semicolon(place)) => self.fault(place, "unexpected \";\"; delete it"),
                Ok(Token::Open(place)) => {
                    self.fault(
                        place,
                        "\"{\" without a name before it; add the directive's name",
                    );
                    directives.extend(self.block(Some((place, 0))));
                }
                Ok(Token::Close(place)) if opened.is_none() => {
                    self.fault(place, "unexpected \"}\"; delete it");
                    return directives;
                }
                Ok(Token::Close(_)) => return directives,
                Ok(Token::End) => {
                    if let Some((place, _)) = opened {
                        self.fault(place, "\"{\" without its end; add \"}\"");
                    }
                    return directives;
                }
            }
        }
    }

    /// Reads what follows a directive's name. A line whose end is missing is told where it begins.
    fn directive(&mut self, name: Word, depth: u32) -> Option<Directive> {
        let mut arguments: Vec<Word> = Vec::new();
        loop {
            match self.lexer.token() {
                Err(fault) => {
                    self.skip_after(fault);
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
                Ok(Token::Open(place)) if depth + 1 > MAX_DEPTH => {
                    self.fault(place, "blocks nested too deeply; write fewer");
                    // Everything behind it belongs to blocks that are not read.
                    while self.lexer.take().is_some() {}
                    return None;
                }
                Ok(Token::Open(place)) => {
                    let block = Some(self.block(Some((place, depth + 1))));
                    return Some(Directive {
                        name,
                        arguments,
                        block,
                    });
                }
                Ok(Token::Close(place)) => {
                    let what = format!(
                        "\"}}\" in the middle of {}; add \";\" before it",
                        Quoted(&name.text)
                    );
                    self.fault(place, what);
                    // It is most likely meant to close the block.
                    self.lexer.put_back_close(place);
                    return Some(Directive {
                        name,
                        arguments,
                        block: None,
                    });
                }
                Ok(Token::End) => {
                    let what = format!("{} without its end; add \";\"", Quoted(&name.text));
                    self.fault(name.place, what);
                    return Some(Directive {
                        name,
                        arguments,
                        block: None,
                    });
                }
            }
        }
    }

    /// Tells a fault of the lexer and goes on behind the directive that has it.
    fn skip_after(&mut self, fault: ConfigError) {
        self.faults.push(fault);
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
        let (directives, faults) = parse(text, 0);
        assert_eq!(faults, [], "{text:?}");
        directives.iter().map(ToString::to_string).collect()
    }

    /// The faults as `line:column: what`.
    fn faults(text: &str) -> Vec<String> {
        let (_, faults) = parse(text, 0);
        let tell = |fault: &ConfigError| {
            format!(
                "{}:{}: {}",
                fault.place.line, fault.place.column, fault.what
            )
        };
        faults.iter().map(tell).collect()
    }

    #[test]
    fn blocks_stand_in_blocks() {
        assert_eq!(
            read("http{server{listen 80;}server{}}a;"),
            "http {\n    server {\n        listen 80;\n    }\n    server {\n    }\n}\na;\n"
        );
        assert_eq!(read("if ($a = b) { c; }"), "if ($a = b) {\n    c;\n}\n");
    }

    #[test]
    fn a_place_is_a_line_and_a_column_of_characters() {
        let (directives, _) = parse("\n  \u{e9}\u{e9} b;", 3);
        assert_eq!(
            directives[0].name.place,
            Position {
                file: 3,
                line: 2,
                column: 3
            }
        );
        assert_eq!(
            directives[0].arguments[0].place,
            Position {
                file: 3,
                line: 2,
                column: 6
            }
        );
    }

    #[test]
    fn all_faults_are_told_in_one_reading() {
        assert_eq!(faults("a b"), ["1:1: \"a\" without its end; add \";\""]);
        assert_eq!(
            faults("a {\n b;"),
            ["1:3: \"{\" without its end; add \"}\""]
        );
        assert_eq!(
            faults("a;}\nb;}"),
            [
                "1:3: unexpected \"}\"; delete it",
                "2:3: unexpected \"}\"; delete it"
            ]
        );
        assert_eq!(faults("a;;"), ["1:3: unexpected \";\"; delete it"]);
        assert_eq!(
            faults("{ a; }"),
            ["1:1: \"{\" without a name before it; add the directive's name"]
        );
        assert_eq!(faults("a 'b;"), ["1:3: quote without its end; add '"]);
        assert_eq!(
            faults("a 'b'c;\n;"),
            [
                "1:6: \"c\" right behind a quote; put a blank between",
                "2:1: unexpected \";\"; delete it"
            ]
        );
        assert_eq!(
            faults("a { b }"),
            ["1:7: \"}\" in the middle of \"b\"; add \";\" before it"]
        );
        assert_eq!(faults(&"a{".repeat(100)).len(), 65);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_text_brings_it_down(text in "[a-z{};\"'\\\\ \n#$]{0,60}") {
            let _ = parse(&text, 0);
        }
    }
}
