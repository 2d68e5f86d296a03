//! The events that a connection reports: what is counted and logged of it.

use crate::serve::answer::Ready;
use crate::serve::answer::select::Sites;
use crate::serve::transport::HandshakeOutcome;

/// Receives the events of one connection for one turn. `()` ignores them.
pub trait Observer {
    /// The TLS handshake is complete.
    fn handshake(&mut self, _outcome: HandshakeOutcome) {}

    /// The request with this head is answered with the page.
    fn answered(&mut self, _head: &[u8], _ready: Ready, _sites: &Sites) {}

    /// The preflight request with this head gets this answer.
    fn preflight(&mut self, _head: &[u8], _answer: &[u8]) {}

    /// The input that begins with these bytes is refused with this answer.
    fn refused(&mut self, _input: &[u8], _answer: &[u8]) {}

    /// So many bytes were written to the socket in this turn.
    fn sent(&mut self, _bytes: usize) {}
}

impl Observer for () {}
