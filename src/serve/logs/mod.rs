//! Logs: the access log, and the pipe for a worker's log lines to the supervisor.

pub(crate) mod access;
pub(crate) mod collector;
pub(crate) mod frames;
pub(crate) mod log_pipe;
