//! The command line: arguments as typed, then as validated, then the command.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use log::LevelFilter;

use crate::check;
use crate::config::privileges::{self, Identity};
use crate::config::{self, CertificateFiles, Config, PageSource, Where};
use crate::fault::Fault;
use crate::logger::{self, Color};
use crate::serve;
use crate::sys;

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
}

#[derive(Args, Debug)]
struct Serve {
    /// Only check the configuration, as "maintd check" does
    #[arg(short = 't')]
    test: bool,

    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Clone, Debug)]
struct Flags {
    /// The configuration, in nginx's grammar; flags win over it. Without it /etc/maintd.conf, if that is there
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Listen in the clear on ADDR:PORT, [ADDR]:PORT or unix:PATH
    #[arg(long, value_name = "WHERE")]
    listen: Vec<Where>,

    /// Listen for TLS there
    #[arg(long, value_name = "WHERE")]
    tls_listen: Vec<Where>,

    /// The certificate and its chain, in PEM; may be given again with another --key (RSA and ECDSA)
    #[arg(long, value_name = "FILE")]
    cert: Vec<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// The page
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// When clients may come again, 300 without it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    retry_after: Option<Duration>,

    /// How many processes answer, 1 without it; "auto" is one for each processor
    #[arg(long, value_name = "N", value_parser = workers, allow_negative_numbers = true)]
    workers: Option<usize>,

    /// Whom workers run as where this is started as root, by name or number; without it "www" or "nobody"
    #[arg(long, value_name = "NAME|UID:GID")]
    user: Option<String>,

    /// The workers' root directory where this is started as root; without it an empty one
    #[arg(long, value_name = "DIR")]
    chroot: Option<PathBuf>,
}

fn workers(text: &str) -> Result<usize, &'static str> {
    config::workers(text).ok_or("not a number of workers; write a number from 1 to 256, or auto")
}

/// Seconds as RFC 9110 10.2.3 has them, up to 68 years.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<i32>().map(u64::try_from) {
        Ok(Ok(seconds)) => Ok(Duration::from_secs(seconds)),
        Ok(Err(_)) | Err(_) => Err("not a number of seconds; write digits alone, as in 300"),
    }
}

/// Who is meant by --user.
fn identity(user: &str) -> Result<Option<Identity>, Fault> {
    let found = Identity::find_pair(user);
    if !sys::is_root() {
        if !found.is_ok_and(Identity::is_own) {
            log::warn!("--user is ignored: only root can become another user; start as root");
        }
        return Ok(None);
    }
    found
        .map(Some)
        .map_err(|what| Fault::Failed(format!("wrong value for --user: {what}")))
}

/// What is meant by --chroot.
fn root_directory(directory: PathBuf) -> Result<Option<PathBuf>, Fault> {
    if let Some(ignored) = privileges::ignored_chroot() {
        log::warn!("--chroot is ignored: {ignored}");
        return Ok(None);
    }
    privileges::check_chroot(&directory).map_err(Fault::Failed)?;
    Ok(Some(directory))
}

impl Flags {
    /// Puts what was typed over a configuration.
    fn over(self, mut config: Config) -> Result<Config, Fault> {
        if self.cert.len() != self.key.len() {
            return Err(Fault::Usage(
                "--cert and --key go together; give as many of one as of the other".to_owned(),
            ));
        }
        for site in &mut config.sites {
            if let Some(page) = &self.page {
                site.page = PageSource::File(page.clone());
            }
            if let Some(retry_after) = self.retry_after {
                site.retry_after = retry_after;
            }
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
        }
        if let Some(user) = self.user {
            config.identity = identity(&user)?;
        }
        if let Some(chroot) = self.chroot {
            config.chroot = root_directory(chroot)?;
        }
        let pairs = self.cert.into_iter().zip(self.key);
        let certificates: Vec<_> = pairs
            .map(|(chain, key)| CertificateFiles { chain, key })
            .collect();
        let asked = self.listen.into_iter().map(|place| (place, false));
        let asked = asked.chain(self.tls_listen.into_iter().map(|place| (place, true)));
        let asked: Vec<_> = asked
            .flat_map(|(place, secure)| place.endpoints(secure))
            .collect();
        if !asked.is_empty() {
            // Nobody has said which sites stand there, so all do.
            let hosts = config.hosts();
            config.endpoints = asked;
            for endpoint in &mut config.endpoints {
                endpoint.hosts = hosts.clone();
            }
        }
        if !certificates.is_empty() {
            if !config.speaks_tls() {
                return Err(Fault::Usage(
                    "--cert without a place to use it; add --tls-listen WHERE".to_owned(),
                ));
            }
            for site in &mut config.sites {
                site.certificates.clone_from(&certificates);
            }
        }
        Ok(config)
    }

    /// The configuration that a command works with.
    fn config(mut self) -> Result<Config, Fault> {
        let config = check::read(self.config.take())?;
        self.over(config)
    }
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
    let done = match cli.command {
        Command::Serve(Serve { test: false, flags }) => {
            let reread = flags.clone();
            flags
                .config()
                .and_then(|config| serve::run(config, move || reread.clone().config()))
        }
        Command::Serve(Serve { test: true, flags }) | Command::Check(flags) => {
            flags.config().and_then(|config| check::run(&config))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            log::error!("{fault}");
            ExitCode::from(fault.status())
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
    let fault = Fault::Usage(usage_fault(error));
    log::error!("{fault}");
    ExitCode::from(fault.status())
}

/// clap's several lines as one of ours.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an enum of others that may grow"
)]
fn usage_fault(error: &clap::Error) -> String {
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
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, Fault> {
        let cli = Cli::try_parse_from(["maintd", "serve"].iter().chain(arguments)).unwrap();
        match cli.command {
            Command::Serve(typed) => typed.flags.over(Config::default()),
            Command::Check(flags) => flags.over(Config::default()),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn places_asked_for_take_the_place_of_the_defaults() {
        let config =
            config(&["--listen", "192.0.2.1:80", "--tls-listen", "unix:/run/tls"]).unwrap();
        let listed: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.place.to_string(), endpoint.secure))
            .collect();
        assert_eq!(
            listed,
            [
                ("192.0.2.1:80".to_owned(), false),
                ("unix:/run/tls".to_owned(), true)
            ]
        );
    }

    #[test]
    fn certificates_come_with_their_keys() {
        let config = config(&["--cert", "a", "--key", "b", "--cert", "c", "--key", "d"]).unwrap();
        let files: Vec<_> = config.sites[0]
            .certificates
            .iter()
            .map(|files| (&*files.chain, &*files.key))
            .collect();
        assert_eq!(
            files,
            [("a".as_ref(), "b".as_ref()), ("c".as_ref(), "d".as_ref())]
        );
    }

    #[test]
    fn flags_that_do_not_go_together_are_wrong_usage() {
        for arguments in [
            &["--cert", "a"][..],
            &["--key", "a"],
            &["--listen", "127.0.0.1:0", "--cert", "a", "--key", "b"],
        ] {
            assert_eq!(config(arguments).unwrap_err().status(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_told_in_one_line() {
        for (arguments, expected) in [
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
                &["serve", "--listen", "80"],
                "wrong value \"80\" for --listen: not a place to listen on; write ADDR:PORT, [ADDR]:PORT or unix:PATH",
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
            assert_eq!(usage_fault(&error), expected);
        }
    }
}
