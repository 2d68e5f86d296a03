//! Listening sockets: bound or inherited by the supervisor, accepted from by the workers.

pub(crate) mod activation;
pub(crate) mod bind;
pub mod listener;
pub(crate) mod listener_set;
pub mod stream;
