//! maintd, the maintenance daemon: answers every HTTP and HTTPS request with a preloaded 503 page.
//!
//! The binary is a thin shell over this library. An arrow means "may use"; nothing points back:
//!
//! ```text
//! main -> cli -> serve: supervisor -> worker -> event_loop -> connection -> { transport (plain | tls), http1, answer }
//!                config               listener, deadlines, counters        answer -> page
//!                switch: plan -> { pf, nft } -> command     control: the socket's messages, used by supervisor and switch
//!                sys: the only unsafe code and the only code for a single system
//! ```

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
pub mod window;
