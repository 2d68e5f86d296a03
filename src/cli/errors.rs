//! One-line messages for command-line errors.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The error of clap as one line.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
pub(crate) fn message(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" ")),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let suggestion = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(context)
        .map_or_else(
            || "see \"maintd --help\"".to_owned(),
            |other| format!("did you mean \"{other}\"?"),
        );
    match error.kind() {
        ErrorKind::UnknownArgument => format!("unknown argument \"{argument}\"; {suggestion}"),
        ErrorKind::InvalidSubcommand => {
            let command = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("unknown command \"{command}\"; {suggestion}")
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "no command; see \"maintd --help\"".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            format!("{argument} is missing; see \"maintd --help\"")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let flag = argument.split(' ').next().unwrap_or_default();
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let choices =
                context(ContextKind::ValidValue).map(|choices| format!("give one of {choices}"));
            match cause.or(choices) {
                _ if value.is_empty() => format!("{flag} without a value; give {argument}"),
                Some(advice) => format!("wrong value \"{value}\" for {flag}: {advice}"),
                None => format!("wrong value \"{value}\" for {flag}; see \"maintd --help\""),
            }
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!(
                "{}; see \"maintd --help\"",
                line.trim_start_matches("error: ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn an_error_is_one_line() {
        for (arguments, expected) in [
            (
                &["run"][..],
                "<COMMAND>... is missing; see \"maintd --help\"",
            ),
            (
                &["on", "--for", "1h", "--until", "21:00"],
                "the argument '--for <TIME>' cannot be used with '--until <WHEN>'; see \"maintd --help\"",
            ),
            (
                &["serve", "--pag", "x"][..],
                "unknown argument \"--pag\"; did you mean \"--page\"?",
            ),
            (
                &["serve", "-x"],
                "unknown argument \"-x\"; see \"maintd --help\"",
            ),
            (
                &["sevre"],
                "unknown command \"sevre\"; did you mean \"serve\"?",
            ),
            (&[], "no command; see \"maintd --help\""),
            (
                &["serve", "--listen", "x"],
                "wrong value \"x\" for --listen: not a listen address; write PORT for all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH",
            ),
            (
                &["serve", "--listen"],
                "--listen without a value; give --listen <WHERE>",
            ),
            (
                &["serve", "--color", "red"],
                "wrong value \"red\" for --color: give one of auto always never",
            ),
        ] {
            let error = Cli::try_parse_from(["maintd"].iter().chain(arguments)).unwrap_err();
            assert_eq!(message(&error), expected);
        }
    }
}
