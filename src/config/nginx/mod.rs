//! The configuration file in nginx's grammar: which directives apply to a maintenance page, and what they mean.

mod block;
mod context;
mod control;
mod cors;
mod diagnostics;
mod header;
pub mod include;
mod listen;
mod location;
mod log;
mod names;
mod page;
mod process;
mod reader;
mod server;
mod sites;
mod switch;
pub mod syntax;
mod syslog;
mod tls;
mod value;

pub use crate::config::nginx::names::OWN;
pub use crate::config::nginx::reader::{ParsedConfig, read};
pub(crate) use crate::config::nginx::value::time;
