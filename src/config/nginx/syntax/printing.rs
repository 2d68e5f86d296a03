//! Prints directives.

use std::fmt::{self, Write as _};

use crate::config::nginx::syntax::tree::Directive;

/// Prints a directive so that it parses to the same words.
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

/// Prints a word, in quotes if it needs them.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::nginx::syntax::parser::parse;
    use crate::config::nginx::syntax::tree::{Position, Word};

    fn any_directive() -> impl Strategy<Value = Directive> {
        let word = || {
            let text = prop_oneof!["[a-z_/.$*~]{1,8}", "[ -~\t\r\né]{0,12}", "\\PC{0,6}"];
            text.prop_map(|text| Word {
                text,
                position: Position::START,
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
        fn a_printed_directive_parses_to_the_same(directive in any_directive()) {
            let printed = directive.to_string();
            let (read, errors) = parse(&printed, 0);
            prop_assert_eq!(errors, vec![], "{}", printed);
            let again: String = read.iter().map(ToString::to_string).collect();
            prop_assert_eq!(again, printed);
            prop_assert!(read.len() == 1 && same(&read[0], &directive), "{:?}", read);
        }
    }

    /// Compares words and blocks, not positions.
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
