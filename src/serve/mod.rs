//! `maintd serve`: a supervisor that reads, binds and checks everything, and the workers that it forks to answer requests.

pub mod answer;
pub mod connection;
pub mod http1;
pub mod listeners;
pub(crate) mod logs;
pub mod metrics;
mod supervisor;
pub mod tls;
pub mod transport;
pub mod worker;

pub use crate::serve::supervisor::run;
