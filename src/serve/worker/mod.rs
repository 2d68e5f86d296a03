//! A worker: one process with one thread that accepts connections and answers them.

pub(crate) mod admin;
pub(crate) mod client;
pub mod deadlines;
pub(crate) mod event_loop;
pub mod orders;
pub(crate) mod recorder;

pub use crate::serve::worker::event_loop::Worker;
pub use crate::serve::worker::recorder::Recorder;
