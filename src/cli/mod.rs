//! The command line: arguments as typed, then as validated, then the command.

pub(crate) mod errors;
pub(crate) mod serve;
mod switch;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use log::LevelFilter;

use crate::check;
use crate::cli::serve::Flags;
use crate::error::Error;
use crate::logger::{self, Color};
use crate::switch::Tools;

const EXAMPLES: &str = "\
Examples:
  maintd serve                         answer on 127.0.0.1:8080 and, with TLS, on 8443
  maintd on --for 2h                   move all visitors to the page
  maintd off                           move them back
  maintd run -- ./upgrade.sh           both, around a command

See maintd(8) and maintd.conf(5).";

const SERVE_EXAMPLES: &str = "\
Examples:
  maintd serve --listen 80 --page sorry.html
  maintd serve --tls-listen 443 --cert cert.pem --key key.pem
  maintd serve -c maintd.conf";

const ON_EXAMPLES: &str = "\
Examples:
  maintd on --until 21:00 --message \"We install new disks.\"
  maintd on --except 192.0.2.10        for all but this address
  maintd on 198.51.100.0/24            for this network only
  maintd on --dry-run                  print the commands only";

const OFF_EXAMPLES: &str = "\
Examples:
  maintd off
  maintd off --dry-run                 print the commands only";

const RUN_EXAMPLES: &str = "\
Examples:
  maintd run --for 10m -- ./upgrade.sh --yes
  maintd run --except 192.0.2.10 -- sh -c 'make install && service app restart'";

/// The maintenance daemon: answers every HTTP and HTTPS request with a 503 page.
#[derive(Debug, Parser)]
#[command(name = "maintd", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Log debug messages
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Colour messages
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer every request with the maintenance page
    ///
    /// Without --listen and --tls-listen it listens on 127.0.0.1 and [::1], for HTTP on port 8080 and for HTTPS on 8443.
    /// It runs in the foreground and logs to stderr; SIGTERM stops it.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Check the configuration, certificates and pages, and report all errors
    Check(Flags),
    /// Move visitors to the page
    ///
    /// All requirements are checked first. Then new connections are redirected to the page, and connections to the live site
    /// are ended, so that browsers connect again.
    #[command(after_help = ON_EXAMPLES)]
    On(switch::OnArguments),
    /// Move visitors back to the live site
    #[command(after_help = OFF_EXAMPLES)]
    Off(switch::OffArguments),
    /// Show whether the switch is on: exit status 0 on, 3 off, 4 partly, 1 unknown
    Status(switch::StatusArguments),
    /// Switch on, run a command, and switch off when it ends
    ///
    /// The exit status is that of the command; 127 if it is not found, 126 if it cannot be run, 128 plus the number of the
    /// signal that ended it, and 1 if it succeeded and switching off failed.
    #[command(after_help = RUN_EXAMPLES)]
    Run(switch::RunArguments),
    /// Print the rules of the packet filter that the switch needs
    Rules(switch::RulesArguments),
}

#[derive(Args, Debug)]
struct Serve {
    /// Only check the configuration, as "maintd check" does
    #[arg(short = 't')]
    test: bool,

    #[command(flatten)]
    flags: Flags,
}

/// The definition of the command line, for the completions and for the check of the manual.
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

/// The same with other tools than those of the system, for tests.
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
    match cli.command.run(tools) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(error.status())
        }
    }
}

impl Command {
    /// Runs the command and returns the exit status.
    fn run(self, tools: &Tools) -> Result<u8, Error> {
        match self {
            Self::Serve(Serve { test: false, flags }) => {
                let config = flags.clone().config()?;
                crate::serve::run(config, move || flags.clone().config()).map(|()| 0)
            }
            Self::Serve(Serve { test: true, flags }) | Self::Check(flags) => {
                check::run(&flags.config()?).map(|()| 0)
            }
            Self::On(on) => on.run(tools),
            Self::Off(off) => off.run(tools),
            Self::Status(status) => status.run(tools),
            Self::Run(run) => run.run(tools),
            Self::Rules(rules) => rules.run(tools),
        }
    }
}

/// Prints the requested help, or the error of the arguments in one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // stdout may be closed.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    logger::start(Some(LevelFilter::Error), Color::Auto);
    let error = Error::Usage(errors::message(error));
    log::error!("{error}");
    ExitCode::from(error.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
