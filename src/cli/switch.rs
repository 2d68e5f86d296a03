//! The flags of "on", "off", "status", "run" and "rules", and the commands themselves.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use crate::check;
use crate::config::Config;
use crate::config::network::Network;
use crate::config::switch::Backend;
use crate::error::Error;
use crate::switch;
use crate::switch::{Ending, Switch, Syntax, Tools, Wish, status};

/// What all of these commands take.
#[derive(Args, Debug)]
struct Common {
    /// The configuration, in nginx's grammar; flags win over it. Without it /etc/maintd.conf, if that is there
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The packet filter, the system's own unless another is named
    #[arg(long, value_name = "NAME")]
    backend: Option<Backend>,
}

impl Common {
    fn config(self) -> Result<Config, Error> {
        let mut config = check::read_quietly(self.config)?;
        if let Some(backend) = self.backend {
            config.switch.backend = backend;
        }
        Ok(config)
    }
}

/// What "on" and "run" take.
#[derive(Args, Debug)]
struct Moving {
    #[command(flatten)]
    common: Common,

    /// Print the commands with their input, and run none
    #[arg(long)]
    dry_run: bool,

    /// Leave this address or network on the live site; may be given again
    #[arg(long, value_name = "ADDR|CIDR", value_parser = network)]
    except: Vec<Network>,

    /// Announce that it ends after this time, as in 2h, 90m or 1h30m; nothing switches by itself
    #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
    for_: Option<String>,

    /// Announce that it ends then, as in 21:00 or "2026-11-25 21:00"; nothing switches by itself
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    /// What visitors are told
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Switch on although visitors may not get the page
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct On {
    #[command(flatten)]
    moving: Moving,

    /// Switch on again what was on before a reboot, and do nothing if nothing was
    #[arg(long, conflicts_with_all = ["except", "for_", "until", "message", "only"])]
    resume: bool,

    /// Move only these; everybody without any
    #[arg(value_name = "ADDR|CIDR", value_parser = network)]
    only: Vec<Network>,
}

#[derive(Args, Debug)]
pub(crate) struct Off {
    #[command(flatten)]
    common: Common,

    /// Print the commands with their input, and run none
    #[arg(long)]
    dry_run: bool,

    /// Do not look whether the live site accepts connections
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    common: Common,

    /// Print JSON, as maintd(8) describes it
    #[arg(long)]
    json: bool,

    /// Show each second what the running daemon does, until q or Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    moving: Moving,

    /// The command, with its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Rules {
    #[command(flatten)]
    common: Common,

    /// Which pf is to read them
    #[arg(long, value_name = "NAME", default_value = "openbsd")]
    pf_syntax: Syntax,
}

fn network(text: &str) -> Result<Network, String> {
    text.parse()
}

impl Moving {
    /// The wish, with those who alone are to be moved.
    fn wish(&mut self, only: Vec<Network>) -> Wish {
        Wish {
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

impl On {
    pub(crate) fn carry_out(mut self, tools: &Tools) -> Result<u8, Error> {
        let mut wish = self.moving.wish(self.only);
        wish.resume = self.resume;
        let mut switch = Switch::new(&self.moving.common.config()?, tools)?;
        if self.moving.dry_run {
            return print(&switch.dry_on(&wish)?);
        }
        switch.on(&wish).map(|()| 0)
    }
}

impl Off {
    pub(crate) fn carry_out(self, tools: &Tools) -> Result<u8, Error> {
        let mut switch = Switch::new(&self.common.config()?, tools)?;
        if self.dry_run {
            return print(&switch.dry_off(self.force));
        }
        switch.off(self.force).map(|()| 0)
    }
}

impl Status {
    pub(crate) fn carry_out(self, tools: &Tools) -> Result<u8, Error> {
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

impl Run {
    pub(crate) fn carry_out(mut self, tools: &Tools) -> Result<u8, Error> {
        let wish = self.moving.wish(Vec::new());
        let mut switch = Switch::new(&self.moving.common.config()?, tools)?;
        if self.moving.dry_run {
            return print(&switch.dry_run(&wish, &self.command)?);
        }
        let Ending { status, fault } = switch.run(&wish, &self.command)?;
        if let Some(fault) = fault {
            log::error!("{fault}");
        }
        Ok(status)
    }
}

impl Rules {
    pub(crate) fn carry_out(self, tools: &Tools) -> Result<u8, Error> {
        let config = self.common.config()?;
        print(&switch::rules(&config.switch, self.pf_syntax, tools))
    }
}

/// Prints what a command was asked for. Whoever closes the pipe has read enough.
fn print(text: &str) -> Result<u8, Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Failed(format!(
            "cannot write to stdout: {}",
            crate::error::reason(&error)
        ))),
        Ok(()) | Err(_) => Ok(0),
    }
}
