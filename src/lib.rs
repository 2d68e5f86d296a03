//! maintd, the maintenance daemon: answers every HTTP and HTTPS request with a preloaded 503 page.
//!
//! The binary only calls [`cli`]. An arrow means "uses"; there is no circle:
//!
//! ```text
//! main -> cli -> check  -> serve
//!             -> serve: supervisor -> worker -> event_loop -> connection -> { transport (plain | tls), http1, answer }
//!             -> switch: plan, execute -> filter -> { pf, nft }
//!
//! used by several: config, template, html, logger, clock, error, tls_provider, http_field, named_enum, quote, spelling
//! serve and switch share control (the protocol of the control socket) and announcement (its end and message)
//! sys: the only module with unsafe code, and the only one with code for a single system
//! ```

pub mod announcement;
mod check;
pub mod cli;
pub(crate) mod clock;
pub mod config;
mod control;
pub mod error;
mod html;
mod http_field;
mod logger;
mod named_enum;
mod quote;
pub mod serve;
mod spelling;
pub mod switch;
mod sys;
pub(crate) mod template;
pub(crate) mod tls_provider;
