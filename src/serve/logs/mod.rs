//! The access log and the pipe that carries a worker's log lines to the supervisor.

pub(crate) mod access;
pub(crate) mod collector;
pub(crate) mod frames;
pub(crate) mod log_pipe;
