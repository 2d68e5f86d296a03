//! Timeouts of a connection, and the number of workers.

use std::thread;
use std::time::Duration;

/// The most workers.
pub const MAX_WORKERS: usize = 256;

/// The timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a request head.
    pub head: Duration,
    /// Between an answer and the next request.
    pub keep_alive: Duration,
    /// For progress of a blocked answer.
    pub write: Duration,
    /// For a request body.
    pub body: Duration,
    /// After the shutdown of the sending half, for the next input of the client, or its close.
    pub linger: Duration,
    /// After the shutdown of the sending half, for the client's close, whatever it sends.
    pub linger_total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
            write: Duration::from_secs(10),
            body: Duration::from_secs(5),
            linger: Duration::from_secs(5),
            linger_total: Duration::from_secs(30),
        }
    }
}

/// Parses a number of workers: `auto` is one for each processor.
#[must_use]
pub fn workers(text: &str) -> Option<usize> {
    let number = if text == "auto" {
        thread::available_parallelism().map_or(1, |count| count.get().min(MAX_WORKERS))
    } else {
        text.parse().ok()?
    };
    (1..=MAX_WORKERS).contains(&number).then_some(number)
}
