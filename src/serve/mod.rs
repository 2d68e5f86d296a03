//! `maintd serve`: a supervisor that reads the configuration, binds the listeners and forks the workers that answer requests.

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
