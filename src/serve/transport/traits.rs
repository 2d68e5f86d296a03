//! What a connection requires of its transport, and a transport of its socket.

use std::io::{self, Read, Write};

/// The kind of error that a transport returns when the peer broke its protocol. The alert is written by then; the caller
/// only closes.
pub const BROKEN_PROTOCOL: io::ErrorKind = io::ErrorKind::InvalidData;

/// The byte stream of a connection.
///
/// Polling is edge-triggered: an event follows only after `WouldBlock` or after a short read or write. Code that stops
/// earlier must requeue itself. [`Self::is_drained`] reports the short read. `Interrupted` means that there is more work,
/// which can wait for the next turn.
pub trait Transport: Read + Write {
    /// The last read took all input, and the peer is not known to have closed: another read would block.
    fn is_drained(&self) -> bool;

    /// The TLS handshake is not complete.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// The outcome of a TLS handshake that was completed in this turn.
    fn handshake_outcome(&self) -> Option<HandshakeOutcome> {
        None
    }

    /// The peer sent plaintext on a TLS port. It is read and written as plaintext.
    fn is_plaintext_on_tls(&self) -> bool {
        false
    }

    /// The peer answers our last byte with a `close_notify`, to which a closed socket would reply with a reset.
    fn expects_close_notify(&self) -> bool {
        false
    }

    /// Ends the output: sends all staged bytes, and the `close_notify` of TLS.
    ///
    /// # Errors
    /// `WouldBlock`, and then it must be called again.
    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// Takes the number of bytes written to the socket since the last call.
    fn take_sent(&mut self) -> usize;

    /// Closes the sending half of the socket. Errors are ignored: the connection ends anyway.
    fn shutdown(&mut self);

    /// The peer is known to have closed, and the last read took the last of its bytes.
    fn is_at_end(&self) -> bool {
        false
    }

    /// Reads and discards; returns 0 at the end.
    ///
    /// # Errors
    /// Those of a read.
    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// The outcome of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeOutcome {
    /// TLS 1.3; otherwise 1.2.
    pub is_1_3: bool,
    /// An earlier session was resumed.
    pub is_resumed: bool,
}

/// A socket: a stream whose sending half can be closed.
pub trait Socket: Read + Write {
    /// Writes the last bytes before [`Self::shutdown`] or a close. The system may hold them back until then, so that they
    /// share a segment with the FIN.
    ///
    /// # Errors
    /// Those of a write.
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    /// Closes the sending half (shutdown(2)). It fails only if the peer has closed the connection.
    fn shutdown(&mut self);
}
