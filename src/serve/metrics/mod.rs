//! Metrics: counters in shared memory, and the forms in which they are reported.

pub mod counters;
pub(crate) mod hosts;
pub(crate) mod prometheus;
pub(crate) mod report;
pub(crate) mod samples;
