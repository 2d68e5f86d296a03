//! nginx's grammar: text in, a tree of directives out, each word with its place.
//!
//! What is read is what nginx 1.22 to 1.29 read (`ngx_conf_read_token`): words between blanks, both quotes, backslashes,
//! comments, blocks. What the words mean is none of this module's business.

use std::fmt::{self, Write as _};

/// Where something stands: a line and a column of a file, both from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
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
    pub place: Place,
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
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What; and what to do.
    pub what: String,
}

/// Reads a file's text. What can be read is returned beside the faults, so that all of them can be told at once.
#[must_use]
pub fn parse(text: &str, file: usize) -> (Vec<Directive>, Vec<Fault>) {
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

/// What the text is made of.
enum Token {
    Word(Word),
    Semicolon(Place),
    Open(Place),
    Close(Place),
    End,
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    place: Place,
    /// A closing brace that was taken and is to come again.
    closing: Option<Place>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, file: usize) -> Self {
        // An editor's mark at the front is no word.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars().peekable(),
            place: Place {
                file,
                line: 1,
                column: 1,
            },
            closing: None,
        }
    }

    /// Has the brace that was just taken come again.
    fn put_back_close(&mut self, place: Place) {
        self.closing = Some(place);
    }

    fn has_more(&mut self) -> bool {
        self.rest.peek().is_some()
    }

    fn take(&mut self) -> Option<char> {
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
    fn token(&mut self) -> Result<Token, Fault> {
        if let Some(place) = self.closing.take() {
            return Ok(Token::Close(place));
        }
        loop {
            let place = self.place;
            let Some(letter) = self.rest.peek().copied() else {
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
        while let Some(letter) = self.rest.peek().copied() {
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
    fn quoted(&mut self, quote: char) -> Result<Word, Fault> {
        let place = self.place;
        let mut text = String::new();
        self.take();
        loop {
            match self.rest.peek().copied() {
                None => {
                    let what = format!("quote without its end; add {quote}");
                    return Err(Fault { place, what });
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
        match self.rest.peek().copied() {
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(Word { text, place }),
            Some(letter) => {
                let what = format!(
                    "\"{}\" right behind a quote; put a blank between",
                    letter.escape_debug()
                );
                Err(Fault {
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

struct Parser<'a> {
    lexer: Lexer<'a>,
    faults: Vec<Fault>,
}

/// The most blocks within blocks: nobody writes more, and a reader must not run out of stack.
const MAX_DEPTH: u32 = 64;

impl Parser<'_> {
    fn fault(&mut self, place: Place, what: impl Into<String>) {
        self.faults.push(Fault {
            place,
            what: what.into(),
        });
    }

    /// Reads directives up to the brace that closes their block, or to the end of the file.
    fn block(&mut self, opened: Option<(Place, u32)>) -> Vec<Directive> {
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
    fn skip_after(&mut self, fault: Fault) {
        self.faults.push(fault);
        while let Some(letter) = self.lexer.rest.peek().copied() {
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

/// Writes directives as nginx reads them again.
impl fmt::Display for Directive {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self, 0, to)
    }
}

fn print(directive: &Directive, depth: usize, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(to, "{:1$}", "", depth * 4)?;
    print_word(&directive.name.text, to)?;
    for argument in &directive.arguments {
        to.write_char(' ')?;
        print_word(&argument.text, to)?;
    }
    match &directive.block {
        None => writeln!(to, ";"),
        Some(block) => {
            writeln!(to, " {{")?;
            for directive in block {
                print(directive, depth + 1, to)?;
            }
            writeln!(to, "{:1$}}}", "", depth * 4)
        }
    }
}

/// A word in quotes where it needs them. A backslash is doubled before what it would change.
fn print_word(text: &str, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain =
        |letter: char| letter.is_alphanumeric() || "/.:*_-@=^~,+[]!$()|?%&".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return to.write_str(text);
    }
    to.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(to, "\\{letter}")?,
            _ => to.write_char(letter)?,
        }
    }
    to.write_char('"')
}

/// A user's word as messages have it: on one line, whatever is in it.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_char('"')?;
        for letter in self.0.chars() {
            match letter {
                letter if letter.is_control() => write!(to, "{}", letter.escape_default())?,
                letter => to.write_char(letter)?,
            }
        }
        to.write_char('"')
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
        let tell = |fault: &Fault| {
            format!(
                "{}:{}: {}",
                fault.place.line, fault.place.column, fault.what
            )
        };
        faults.iter().map(tell).collect()
    }

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
            Place {
                file: 3,
                line: 2,
                column: 3
            }
        );
        assert_eq!(
            directives[0].arguments[0].place,
            Place {
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

    fn any_directive() -> impl Strategy<Value = Directive> {
        let word = || {
            let text = prop_oneof!["[a-z_/.$*~]{1,8}", "[ -~\t\r\né]{0,12}", "\\PC{0,6}"];
            text.prop_map(|text| Word {
                text,
                place: Place {
                    file: 0,
                    line: 1,
                    column: 1,
                },
            })
        };
        let directive = move |block: BoxedStrategy<Option<Vec<Directive>>>| {
            (word(), prop::collection::vec(word(), 0..4), block).prop_map(
                |(name, arguments, block)| Directive {
                    name,
                    arguments,
                    block,
                },
            )
        };
        let leaf = directive(Just(None).boxed());
        leaf.prop_recursive(4, 30, 5, move |inner| {
            directive(prop::option::of(prop::collection::vec(inner, 0..5)).boxed())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_is_printed_is_read_again(directive in any_directive()) {
            let printed = directive.to_string();
            let (read, faults) = parse(&printed, 0);
            prop_assert_eq!(faults, vec![], "{}", printed);
            let again: String = read.iter().map(ToString::to_string).collect();
            prop_assert_eq!(again, printed);
            prop_assert!(read.len() == 1 && same(&read[0], &directive), "{:?}", read);
        }

        #[test]
        fn no_text_brings_it_down(text in "[a-z{};\"'\\\\ \n#$]{0,60}") {
            let _ = parse(&text, 0);
        }
    }

    /// The same words in the same blocks, wherever they stand.
    fn same(one: &Directive, other: &Directive) -> bool {
        let words = |directive: &Directive| -> Vec<String> {
            directive
                .arguments
                .iter()
                .chain([&directive.name])
                .map(|word| word.text.clone())
                .collect()
        };
        words(one) == words(other)
            && match (&one.block, &other.block) {
                (None, None) => true,
                (Some(one), Some(other)) => {
                    one.len() == other.len()
                        && one.iter().zip(other).all(|(one, other)| same(one, other))
                }
                (None, Some(_)) | (Some(_), None) => false,
            }
    }
}
