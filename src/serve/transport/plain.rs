//! Cleartext: the socket itself.

use std::io::{self, IoSlice, Read, Write};

use crate::config::server_name::SiteNumber;
use crate::serve::http1::Form;
use crate::serve::transport::{Buffers, Socket, Transport, gather};

/// The most bytes that are copied together for one send(2), which costs less than writev(2): the system looks at one piece
/// where it had to fetch a list of them. Beyond that the copy costs more.
const GATHERED: usize = 8 * 1024;

/// A socket for one turn.
pub struct Plain<'a, S> {
    socket: &'a mut S,
    buffers: &'a mut Buffers,
    /// The peer has closed, as the poll has told: reading must go on to the end, since no event will tell again.
    closing: bool,
    short_read: bool,
}

impl<'a, S: Socket> Plain<'a, S> {
    /// A view of `socket`. `closing` says that the peer is known to have closed its sending half.
    pub fn new(socket: &'a mut S, buffers: &'a mut Buffers, closing: bool) -> Self {
        Self {
            socket,
            buffers,
            closing,
            short_read: false,
        }
    }
}

impl<S: Socket> Read for Plain<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(buffer)?;
        self.short_read = length < buffer.len();
        Ok(length)
    }
}

impl<S: Socket> Write for Plain<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length > GATHERED {
            return self.socket.write_vectored(slices);
        }
        let gathered = &mut self.buffers.plain[..length];
        gather(slices, gathered);
        self.socket.write(gathered)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Socket> Transport for Plain<'_, S> {
    fn is_drained(&self) -> bool {
        self.short_read && !self.closing
    }

    fn is_at_end(&self) -> bool {
        self.short_read && self.closing
    }

    fn note_answer(&mut self, site: SiteNumber, form: Form) {
        self.socket.note_answer(site, form);
    }

    fn shutdown(&mut self) {
        self.socket.shutdown();
    }

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}
