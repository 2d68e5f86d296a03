//! The command line: arguments as typed, then as validated, then the command.

pub(crate) mod errors;
pub(crate) mod serve;
mod switch;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use log::LevelFilter;

use crate::check;
use crate::error::Error;
use crate::logger;
use crate::logger::Color;

use crate::cli::serve::Flags;
use crate::switch::Tools;

/// The maintenance daemon: answers every HTTP and HTTPS request with a 503 page.
#[derive(Debug, Parser)]
#[command(name = "maintd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// When to colour messages
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer every request with the maintenance page
    ///
    /// Without --listen and --tls-listen it answers on 127.0.0.1 and [::1], in the clear on port 8080 and by TLS on 8443.
    /// It stays in the foreground and logs to stderr; SIGTERM ends it.
    Serve(Serve),
    /// Check the configuration, certificates and page, and tell every fault
    Check(Flags),
    /// Move visitors to the page
    ///
    /// Everything that is needed is looked at first. Then new visitors get the page, and the connections of those who were
    /// on the live site end, so that they come again.
    On(switch::On),
    /// Move visitors back to the live site
    Off(switch::Off),
    /// Tell whether visitors are moved: exit status 0 on, 3 off, 4 partly, 1 unknown
    Status(switch::Status),
    /// Switch on, run a command, and switch off however it ends
    ///
    /// The exit status is the command's own; 127 if it is not found, 126 if it cannot be run, 128 and the number of the
    /// signal that ended it, and 1 if it succeeded and switching off did not.
    Run(switch::Run),
    /// Print the packet filter's rules that the switch needs
    Rules(switch::Rules),
}

#[derive(Args, Debug)]
struct Serve {
    /// Only check the configuration, as "maintd check" does
    #[arg(short = 't')]
    test: bool,

    #[command(flatten)]
    flags: Flags,
}

/// The command line's own definition, of which the completions are made and against which the manual is held.
#[doc(hidden)]
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the arguments of this process ask for.
#[must_use]
pub fn main() -> ExitCode {
    main_with(&Tools::of_the_system())
}

/// The same with other commands in the place of the system's, for tests.
#[doc(hidden)]
#[must_use]
pub fn main_with(tools: &Tools) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => Some(LevelFilter::Error),
        (false, 0) => None,
        (false, _) => Some(LevelFilter::Debug),
    };
    logger::start(level, cli.color);
    match cli.command.carry_out(tools) {
        Ok(status) => ExitCode::from(status),
        Err(fault) => {
            log::error!("{fault}");
            ExitCode::from(fault.status())
        }
    }
}

impl Command {
    /// Does what it says, and returns the exit status.
    fn carry_out(self, tools: &Tools) -> Result<u8, Error> {
        match self {
            Self::Serve(Serve { test: false, flags }) => {
                let reread = flags.clone();
                let config = flags.config()?;
                crate::serve::run(config, move || reread.clone().config()).map(|()| 0)
            }
            Self::Serve(Serve { test: true, flags }) | Self::Check(flags) => {
                check::run(&flags.config()?).map(|()| 0)
            }
            Self::On(on) => on.carry_out(tools),
            Self::Off(off) => off.carry_out(tools),
            Self::Status(status) => status.carry_out(tools),
            Self::Run(run) => run.carry_out(tools),
            Self::Rules(rules) => rules.carry_out(tools),
        }
    }
}

/// Shows help where that was asked for; else says in one line what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // A closed stdout is the reader's choice.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    logger::start(Some(LevelFilter::Error), Color::Auto);
    let fault = Error::Usage(crate::cli::errors::fault(error));
    log::error!("{fault}");
    ExitCode::from(fault.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
