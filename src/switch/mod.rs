//! The switch: redirects a site's visitors to the page and back, by the rules of a packet filter.
//!
//! ```text
//! on_off, run, status -> execute -> plan, filter -> { pf, nft } -> host, command
//! ```
//!
//! It shares nothing with the server but the configuration, the state file and the control socket.

mod clients;
mod command;
mod dry_run;
mod end_time;
mod error;
mod execute;
mod filter;
mod host;
mod on_off;
mod plan;
mod probe;
mod reload_daemon;
pub mod run;
mod servers;
mod state;
pub mod status;
mod system;
mod text;
mod tools;

use crate::config::switch::{Backend, SwitchConfig};
use crate::switch::filter::{nft, pf};

pub use crate::switch::filter::pf::Syntax;
pub use crate::switch::on_off::{OnRequest, Switch};
pub use crate::switch::tools::{BecomeRoot, Tools};

/// The rules that the packet filter needs, for pf in `syntax`. FreeBSD's name this host's interface and addresses.
#[must_use]
pub fn rules(settings: &SwitchConfig, syntax: Syntax, tools: &Tools) -> String {
    match settings.backend {
        Backend::Pf => pf::rules(settings, syntax, tools),
        Backend::Nft => nft::rules(settings),
    }
}

/// Reads a text with every parser of the switch, for fuzzing.
#[doc(hidden)]
pub fn read_everything(text: &str) {
    pf::read_everything(text);
    nft::read_everything(text);
    state::read_everything(text);
}
