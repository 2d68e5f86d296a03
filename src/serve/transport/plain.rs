//! Plaintext: the socket itself.

use std::io::{self, IoSlice, Read, Write};

use crate::serve::transport::buffers::{Buffers, gather};
use crate::serve::transport::traits::{Socket, Transport};

/// The most bytes that are copied together for one send(2), which costs less than writev(2): the kernel need not fetch a
/// list of slices. Beyond that the copy costs more.
const GATHERED: usize = 8 * 1024;

/// A plaintext socket for one turn.
pub struct Plain<'a, S> {
    socket: &'a mut S,
    buffers: &'a mut Buffers,
    /// The peer has closed, as the poll reported: input must be read to its end, because no further event comes.
    closing: bool,
    short_read: bool,
    /// The bytes written and not yet taken by [`Transport::take_sent`].
    sent: usize,
}

impl<'a, S: Socket> Plain<'a, S> {
    /// A view of `socket`. `closing` means that the peer is known to have closed its sending half.
    pub fn new(socket: &'a mut S, buffers: &'a mut Buffers, closing: bool) -> Self {
        Self {
            socket,
            buffers,
            closing,
            short_read: false,
            sent: 0,
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
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = if length > GATHERED {
            self.socket.write_vectored(slices)?
        } else {
            let gathered = &mut self.buffers.plain[..length];
            gather(slices, gathered);
            self.socket.write(gathered)?
        };
        self.sent += written;
        Ok(written)
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

    fn take_sent(&mut self) -> usize {
        std::mem::take(&mut self.sent)
    }

    fn shutdown(&mut self) {
        self.socket.shutdown();
    }

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}
