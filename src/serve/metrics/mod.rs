//! Metrics: counters in shared memory, and their output as Prometheus text and as JSON.

pub mod counters;
pub(crate) mod hosts;
pub(crate) mod prometheus;
pub(crate) mod report;
pub(crate) mod samples;
