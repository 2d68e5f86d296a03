//! Counters in memory that all processes share.

mod board;
mod series;

pub use crate::serve::connection::close_reason::CloseReason;
pub use crate::serve::metrics::counters::board::{Board, Counter, Counters, Figures};
pub use crate::serve::metrics::counters::series::{HOSTS, Method, REFUSALS, Series, TLS_VERSIONS};
