//! A worker: handed its listeners, answers and TLS settings ready-made, it serves until it is told to end.

use std::io;
use std::sync::Arc;

use mio::unix::pipe;
use rustls::ServerConfig;

use super::connection::Site;
use super::counters::Counters;
use super::deadlines::Timeouts;
use super::event_loop::EventLoop;
use super::listener::Listener;

/// All that a worker needs. It touches no file and opens nothing but the connections that it accepts.
pub struct Worker {
    /// Where it accepts.
    pub listeners: Vec<Listener>,
    /// What it answers.
    pub site: Site,
    /// How it speaks TLS; must be there where a listener is secure.
    pub tls: Option<Arc<ServerConfig>>,
    /// How long it waits.
    pub timeouts: Timeouts,
    /// How many connections it holds at once, 1 at least; a further one takes the place of the idlest.
    pub max_connections: usize,
    /// What it counts.
    pub counters: Arc<Counters>,
}

impl Worker {
    /// Serves until something comes through `orders`, be it only its end.
    ///
    /// # Errors
    /// Those of the poll, which peers cannot bring about.
    pub fn run(self, mut orders: pipe::Receiver) -> io::Result<()> {
        let mut event_loop = EventLoop::new(
            self.listeners,
            &mut orders,
            self.site,
            self.tls,
            self.timeouts,
            self.max_connections,
            self.counters,
        )?;
        event_loop.run()
    }
}
