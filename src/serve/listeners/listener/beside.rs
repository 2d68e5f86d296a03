//! Sockets that make room for another one: on the wildcard address beside single ones, or the other way round.

use std::io;

use crate::serve::listeners::listener::{Bound, Listener};
use crate::sys;
use socket2::SockRef;

/// Sockets of ours beside which others can be bound for as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct Beside<'a>(Vec<&'a Listener>);

impl<'a> Beside<'a> {
    /// Has sockets make room, which must be TCP's.
    ///
    /// # Errors
    /// The first one that cannot, and what the system says against it; then none does.
    pub(crate) fn new(
        listeners: impl Iterator<Item = &'a Listener>,
    ) -> Result<Self, (&'a Listener, io::Error)> {
        let mut beside = Self::default();
        for listener in listeners {
            share(listener, true).map_err(|error| (listener, error))?;
            beside.0.push(listener);
        }
        Ok(beside)
    }

    /// There is none that had to make room.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        for listener in &self.0 {
            // What worked in one direction works in the other.
            let _ = share(listener, false);
        }
    }
}

fn share(listener: &Listener, shares: bool) -> io::Result<()> {
    match &listener.socket {
        Bound::Tcp(socket) if !listener.shares_port => {
            sys::share_port(&SockRef::from(socket), shares)
        }
        Bound::Tcp(_) | Bound::Unix(_) => Ok(()),
    }
}
