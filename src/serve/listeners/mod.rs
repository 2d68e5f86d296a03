//! Listening sockets: bound or inherited by the supervisor, lent to workers.

pub(crate) mod activation;
pub mod listener;
pub(crate) mod set;
