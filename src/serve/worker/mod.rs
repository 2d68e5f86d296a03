//! A worker: handed its listeners, answers and TLS settings ready-made, it serves until it is told to end.

pub(crate) mod admin;
pub(crate) mod client;
pub mod deadlines;
pub(crate) mod event_loop;
pub mod orders;
use std::io;

use mio::unix::pipe;

use crate::serve::answer::sites::Service;
use crate::serve::listeners::listener::Listener;
use crate::serve::metrics::counters::Counters;
use crate::serve::worker::deadlines::Timeouts;
use crate::serve::worker::event_loop::{EventLoop, Inspection};

/// All that a worker needs. It touches no file and opens nothing but the connections that it accepts.
pub struct Worker {
    /// Where it accepts.
    pub listeners: Vec<Listener>,
    /// What it does at each endpoint; listeners have them by their numbers.
    pub services: Vec<Service>,
    /// How long it waits.
    pub timeouts: Timeouts,
    /// How many connections it holds at once, 1 at least; a further one takes the place of the idlest.
    pub max_connections: usize,
    /// Its requests are told to the supervisor, for the access log.
    pub access_log: bool,
    /// What it counts.
    pub counters: Counters,
    /// The places of the sites' hosts among those that are counted.
    pub host_places: Vec<usize>,
    /// What it tells those who ask for metrics and health.
    pub inspection: Option<Inspection>,
}

impl Worker {
    /// Serves until `orders` end, or have it retire and its last connection has gone. `ready` is called when all is there
    /// that it needs of the system, and no byte has come from the network yet.
    ///
    /// # Errors
    /// Those of the poll, which peers cannot bring about, and that of `ready`.
    pub fn run(
        self,
        mut orders: pipe::Receiver,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut event_loop = EventLoop::new(
            self.listeners,
            &mut orders,
            self.services,
            self.timeouts,
            self.max_connections,
            self.counters,
        )?;
        event_loop.count_hosts(self.host_places);
        if let Some(inspection) = self.inspection {
            event_loop.inspect(inspection);
        }
        if self.access_log {
            event_loop.keep_log();
        }
        ready()?;
        event_loop.run(&mut orders)
    }
}
