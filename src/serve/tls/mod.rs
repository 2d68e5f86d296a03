//! TLS settings: certificates by server name, protocol versions, session tickets.

pub mod certificates;
mod settings;
mod tickets;

pub(crate) use crate::serve::tls::certificates::files::{chain, errors};
pub use crate::serve::tls::settings::{SharedTls, settings};
