//! The commands "on", "off", "status", "run" and "rules" with their flags.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::config::load::load;
use crate::config::network::Network;
use crate::config::switch::Backend;
use crate::error::Error;
use crate::switch::run::{self, Ending};
use crate::switch::{self, OnRequest, Switch, Syntax, Tools, status};

/// The flags of all these commands.
#[derive(Args, Debug)]
struct CommonFlags {
    /// Read this configuration, in nginx's grammar; flags override it [default: /etc/maintd.conf, if it exists]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The packet filter [default: that of the system]
    #[arg(long, value_name = "NAME")]
    backend: Option<Backend>,
}

impl CommonFlags {
    fn config(self) -> Result<Config, Error> {
        let mut config = load(self.config)?.into_config()?;
        if let Some(backend) = self.backend {
            config.switch.backend = backend;
        }
        Ok(config)
    }
}

/// The flags of "on" and "run".
#[derive(Args, Debug)]
struct SwitchOnFlags {
    #[command(flatten)]
    common: CommonFlags,

    /// Print the commands with their input, without running them
    #[arg(long)]
    dry_run: bool,

    /// Leave this address or network on the live site; may be repeated
    #[arg(long, value_name = "ADDR|CIDR", value_parser = network)]
    except: Vec<Network>,

    /// Announce the end after this time, as in 2h, 90m or 1h30m; maintd does not switch off by itself
    #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
    for_: Option<String>,

    /// Announce this end, as in 21:00 or "2026-11-25 21:00"; maintd does not switch off by itself
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    /// Show this message to visitors
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Switch on even if visitors may not get the page
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct OnArguments {
    #[command(flatten)]
    flags: SwitchOnFlags,

    /// Switch on again if it was on before a reboot, else do nothing
    #[arg(long, conflicts_with_all = ["except", "for_", "until", "message", "only"])]
    resume: bool,

    /// Move only visitors from these [default: all]
    #[arg(value_name = "ADDR|CIDR", value_parser = network)]
    only: Vec<Network>,
}

#[derive(Args, Debug)]
pub(crate) struct OffArguments {
    #[command(flatten)]
    common: CommonFlags,

    /// Print the commands with their input, without running them
    #[arg(long)]
    dry_run: bool,

    /// Do not check that the live site accepts connections
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    common: CommonFlags,

    /// Print JSON, described in maintd(8)
    #[arg(long)]
    json: bool,

    /// Show the running daemon's numbers, updated every second, until q or Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    flags: SwitchOnFlags,

    /// The command, with its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct RulesArguments {
    #[command(flatten)]
    common: CommonFlags,

    /// The syntax of pf
    #[arg(long, value_name = "NAME", default_value = "openbsd")]
    pf_syntax: Syntax,
}

fn network(text: &str) -> Result<Network, String> {
    text.parse()
}

impl SwitchOnFlags {
    /// The request to switch on, for these networks only.
    fn request(&mut self, only: Vec<Network>) -> OnRequest {
        OnRequest {
            only,
            except: std::mem::take(&mut self.except),
            for_: self.for_.take(),
            until: self.until.take(),
            message: self.message.take(),
            resume: false,
            force: self.force,
        }
    }
}

impl OnArguments {
    pub(crate) fn run(mut self, tools: &Tools) -> Result<u8, Error> {
        let mut request = self.flags.request(self.only);
        request.resume = self.resume;
        let mut switch = Switch::new(&self.flags.common.config()?, tools)?;
        if self.flags.dry_run {
            return print(&switch.dry_on(&request)?);
        }
        switch.on(&request).map(|()| 0)
    }
}

impl OffArguments {
    pub(crate) fn run(self, tools: &Tools) -> Result<u8, Error> {
        let mut switch = Switch::new(&self.common.config()?, tools)?;
        if self.dry_run {
            return print(&switch.dry_off(self.force));
        }
        switch.off(self.force).map(|()| 0)
    }
}

impl StatusArguments {
    pub(crate) fn run(self, tools: &Tools) -> Result<u8, Error> {
        let config = self.common.config()?;
        if self.watch {
            return status::watch(&config, tools).map(|()| 0);
        }
        let status = status::query(&mut Switch::new(&config, tools)?)?;
        print(&if self.json {
            status::to_json(&status)
        } else {
            status::to_table(&status)
        })?;
        if let Some(error) = status.error() {
            log::error!("{error}");
        }
        Ok(status.exit_status())
    }
}

impl RunArguments {
    pub(crate) fn run(mut self, tools: &Tools) -> Result<u8, Error> {
        let request = self.flags.request(Vec::new());
        let mut switch = Switch::new(&self.flags.common.config()?, tools)?;
        if self.flags.dry_run {
            return print(&run::dry_run(&switch, &request, &self.command)?);
        }
        let Ending { status, error } = run::run(&mut switch, &request, &self.command)?;
        if let Some(error) = error {
            log::error!("{error}");
        }
        Ok(status)
    }
}

impl RulesArguments {
    pub(crate) fn run(self, tools: &Tools) -> Result<u8, Error> {
        let config = self.common.config()?;
        print(&switch::rules(&config.switch, self.pf_syntax, tools))
    }
}

/// Prints the output of a command. A closed pipe is not an error: the reader has what it needs.
fn print(text: &str) -> Result<u8, Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Failed(format!(
            "cannot write to stdout: {}",
            crate::error::reason(&error)
        ))),
        Ok(()) | Err(_) => Ok(0),
    }
}
