//! What a connection speaks through: a socket, or TLS over one.
//!
//! A transport is a view that is made for one turn of one connection: it borrows the socket, what the connection owns of
//! its TLS session, and buffers that all connections share.

mod plain;
mod tls;

use std::io::{self, IoSlice, Read, Write};

use crate::config::server_name::SiteNumber;
use crate::serve::http1::Form;

pub use crate::serve::transport::plain::Plain;
pub use crate::serve::transport::tls::{Buffers, Tls, TlsStream};

/// The kind of error by which a transport says that the peer broke its protocol. What had to be said to the peer has been
/// written; what is left is to close.
pub const BROKEN_PROTOCOL: io::ErrorKind = io::ErrorKind::InvalidData;

/// What a connection needs of its transport.
///
/// The law of edge-triggered polling: after `WouldBlock`, and only then or after a short read or write, an event will
/// come; whoever stops earlier must come back by itself. [`Self::is_drained`] tells about the short read.
/// `Interrupted` means that there is more to do which can wait for the next turn.
pub trait Transport: Read + Write {
    /// The last read has taken all that there was, and the peer is not known to have closed: another one would block.
    fn is_drained(&self) -> bool;

    /// No request can be read yet.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// The peer speaks cleartext where TLS is spoken, and is read and written as such.
    fn is_misdirected(&self) -> bool {
        false
    }

    /// The peer answers our last byte with one of its own, which a socket that is closed by then would reset.
    fn expects_farewell(&self) -> bool {
        false
    }

    /// An answer of this site, in this form, is about to be written: for whoever counts what goes through here.
    fn note_answer(&mut self, _site: SiteNumber, _form: Form) {}

    /// Says after the last byte that it was the last: sends all that waits, and the `close_notify` of TLS.
    ///
    /// # Errors
    /// `WouldBlock`, and then it must be called again.
    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// Closes the sending half of the socket. Errors are none: the connection is given up anyway.
    fn shutdown(&mut self);

    /// The peer is known to have closed, and the last read has taken the last of what it has sent.
    fn is_at_end(&self) -> bool {
        false
    }

    /// Reads and forgets; returns 0 at the end.
    ///
    /// # Errors
    /// Those of a read.
    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Copies what `slices` begin with into `plain`, and returns how much that is.
fn gather(slices: &[IoSlice<'_>], plain: &mut [u8]) -> usize {
    let mut length = 0;
    for slice in slices {
        let part = slice.len().min(plain.len() - length);
        plain[length..length + part].copy_from_slice(&slice[..part]);
        length += part;
    }
    length
}

/// What a TLS handshake has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// It is TLS 1.3, and else 1.2.
    pub is_1_3: bool,
    /// An earlier session is resumed.
    pub is_resumed: bool,
}

/// A socket as transports use it: a stream whose sending half can be closed.
pub trait Socket: Read + Write {
    /// As [`Transport::note_answer`].
    fn note_answer(&mut self, _site: SiteNumber, _form: Form) {}

    /// TLS has been agreed upon.
    fn note_session(&mut self, _session: Agreed) {}

    /// Writes what will be followed by [`Self::shutdown`] or a close and nothing else: it may wait for that, so that both
    /// travel in one segment.
    ///
    /// # Errors
    /// Those of a write.
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    /// Closes the sending half (shutdown(2)), which errors only where the connection has gone.
    fn shutdown(&mut self);
}
