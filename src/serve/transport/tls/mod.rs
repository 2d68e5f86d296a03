//! TLS by rustls' unbuffered API: records are decrypted and encrypted in buffers that all connections share. Besides its
//! session a connection owns memory only while a record is partial or a write is blocked.
//!
//! Only this module and [`crate::serve::tls`], which builds the settings, use rustls.

pub(crate) mod session;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;

use crate::serve::transport::buffers::{Buffers, READ, gather};
use crate::serve::transport::tls::session::{
    FirstBytes, MAX_PLAINTEXT, Session, classify_first_bytes, has_whole_record,
};
use crate::serve::transport::traits::{BROKEN_PROTOCOL, HandshakeOutcome, Socket, Transport};

/// The most ciphertext that a connection may keep: more than any record, and more than any client's handshake message needs
/// in the smallest records. rustls requires the records of a message until it is complete, their padding included.
const MAX_PARTIAL: usize = READ;
/// The reads of one turn that may yield only messages of TLS itself.
const READS_WITHOUT_DATA: usize = 4;

/// The TLS state that one connection owns.
#[derive(Default)]
pub struct Tls {
    phase: TlsPhase,
    /// Unused ciphertext: a partial record, after records that hold parts of a handshake message.
    partial: Vec<u8>,
    /// Ciphertext that did not fit into the send buffer.
    unsent: Vec<u8>,
    /// The bytes of `unsent` that are written.
    written: usize,
}

impl Tls {
    /// No part of a record has arrived.
    #[must_use]
    pub fn is_between_records(&self) -> bool {
        self.partial.is_empty()
    }
}

#[derive(Default)]
enum TlsPhase {
    /// Less than one record has arrived. A session, which takes several KB, is not made yet.
    #[default]
    FirstRecord,
    /// The client sent plaintext.
    Plaintext,
    /// From the first record to our `close_notify`.
    Session(Box<Session>),
    /// The session has ended: nothing more can be read or written.
    Closed,
}

/// [`Write::write`] or [`Socket::write_last`].
type WriteFn<S> = fn(&mut S, &[u8]) -> io::Result<usize>;

/// TLS over a socket for one turn.
pub struct TlsStream<'a, S> {
    socket: &'a mut S,
    tls: &'a mut Tls,
    buffers: &'a mut Buffers,
    settings: &'a Arc<ServerConfig>,
    closing: bool,
    short_read: bool,
    handshake: Option<HandshakeOutcome>,
    /// The bytes written and not yet taken by [`Transport::take_sent`].
    sent: usize,
}

impl<'a, S: Socket> TlsStream<'a, S> {
    /// A view of `socket` and `tls`. `closing` as in [`crate::serve::transport::plain::Plain::new`].
    pub fn new(
        socket: &'a mut S,
        tls: &'a mut Tls,
        buffers: &'a mut Buffers,
        settings: &'a Arc<ServerConfig>,
        closing: bool,
    ) -> Self {
        buffers.staged.clear();
        Self {
            socket,
            tls,
            buffers,
            settings,
            closing,
            short_read: false,
            handshake: None,
            sent: 0,
        }
    }

    /// Reads ciphertext from the socket and decrypts its whole records into `buffer`.
    ///
    /// Returns the length of the plaintext, which may be 0, or `None` at the end of the stream.
    fn read_records(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = self.socket.read(&mut self.buffers.incoming)?;
        self.short_read = read < self.buffers.incoming.len();
        if read == 0 {
            return Ok(None);
        }
        let mut incoming = std::mem::take(&mut self.buffers.incoming);
        let done = if self.tls.partial.is_empty() {
            self.read_plaintext(&mut incoming[..read], buffer)
                .map(|(taken, length)| {
                    self.tls.partial = incoming[taken..read].to_vec();
                    length
                })
        } else {
            let mut joined = std::mem::take(&mut self.tls.partial);
            joined.extend_from_slice(&incoming[..read]);
            self.read_plaintext(&mut joined, buffer)
                .map(|(taken, length)| {
                    // A record that arrives byte by byte is not copied for each byte.
                    self.tls.partial = if taken == 0 {
                        joined
                    } else {
                        joined[taken..].to_vec()
                    };
                    length
                })
        };
        self.buffers.incoming = incoming;
        if self.tls.partial.len() > MAX_PARTIAL {
            if let TlsPhase::Session(session) = &self.tls.phase {
                session.stage_decode_error(&mut self.buffers.staged);
                // The alert need not arrive.
                let _ = self.flush();
            }
            self.tls.phase = TlsPhase::Closed;
            self.tls.partial = Vec::new();
            return Err(BROKEN_PROTOCOL.into());
        }
        done.map(Some)
    }

    /// Decrypts the whole records at the start of `ciphertext` into `buffer`.
    ///
    /// Returns the bytes of ciphertext used and the length of the plaintext.
    fn read_plaintext(
        &mut self,
        ciphertext: &mut [u8],
        buffer: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        if matches!(self.tls.phase, TlsPhase::FirstRecord) {
            match classify_first_bytes(ciphertext) {
                FirstBytes::Partial => return Ok((0, 0)),
                FirstBytes::Plaintext => self.tls.phase = TlsPhase::Plaintext,
                FirstBytes::TlsRecord => {
                    let session = Session::new(self.settings).map_err(io::Error::other)?;
                    self.tls.phase = TlsPhase::Session(Box::new(session));
                }
            }
        }
        match &mut self.tls.phase {
            TlsPhase::FirstRecord | TlsPhase::Closed => Err(BROKEN_PROTOCOL.into()),
            TlsPhase::Plaintext => {
                let target = buffer
                    .get_mut(..ciphertext.len())
                    .ok_or(ErrorKind::OutOfMemory)?;
                target.copy_from_slice(ciphertext);
                Ok((ciphertext.len(), ciphertext.len()))
            }
            TlsPhase::Session(session) if has_whole_record(ciphertext) => {
                let was_handshaking = session.is_handshaking();
                let read = session.decrypt(ciphertext, buffer, &mut self.buffers.staged);
                if was_handshaking {
                    self.handshake = session.handshake_outcome();
                }
                read.map_err(|error| {
                    // The alert, which need not arrive.
                    let _ = self.flush();
                    self.tls.phase = TlsPhase::Closed;
                    io::Error::new(BROKEN_PROTOCOL, error)
                })
            }
            TlsPhase::Session(_) => Ok((0, 0)),
        }
    }

    /// The peer has sent its `close_notify`: there is no more to read.
    fn has_peer_closed(&self) -> bool {
        matches!(&self.tls.phase, TlsPhase::Session(session) if session.has_peer_closed())
    }

    /// Ciphertext of an earlier turn waits for space in the send buffer.
    const fn has_unsent(&self) -> bool {
        !self.tls.unsent.is_empty()
    }

    /// Writes the ciphertext of earlier turns.
    fn write_unsent(&mut self, write: WriteFn<S>) -> io::Result<()> {
        while self.tls.written < self.tls.unsent.len() {
            match write(self.socket, &self.tls.unsent[self.tls.written..])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                length => {
                    self.tls.written += length;
                    self.sent += length;
                }
            }
        }
        self.tls.unsent = Vec::new();
        self.tls.written = 0;
        Ok(())
    }

    /// Sends the staged bytes; the connection keeps those that do not fit into the send buffer.
    fn send(&mut self, write: WriteFn<S>) -> io::Result<()> {
        let mut start = 0;
        let sent = self.write_unsent(write).and_then(|()| {
            let staged = self.buffers.staged.filled();
            while start < staged.len() {
                match write(self.socket, &staged[start..])? {
                    0 => return Err(ErrorKind::WriteZero.into()),
                    length => start += length,
                }
            }
            Ok(())
        });
        self.sent += start;
        self.tls
            .unsent
            .extend_from_slice(&self.buffers.staged.filled()[start..]);
        self.buffers.staged.clear();
        sent
    }

    /// Encrypts the beginning of `slices` as one record, stages it, and returns the length of the plaintext.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let TlsPhase::Session(session) = &mut self.tls.phase else {
            return Err(BROKEN_PROTOCOL.into());
        };
        let Buffers { plain, staged, .. } = &mut *self.buffers;
        let first = slices.first().map_or(&[][..], |slice| slice);
        let plaintext = if slices.len() == 1 || first.len() >= MAX_PLAINTEXT {
            &first[..first.len().min(MAX_PLAINTEXT)]
        } else {
            let length = gather(slices, plain);
            &plain[..length]
        };
        session.encrypt(&mut self.tls.partial, plaintext, staged)?;
        Ok(plaintext.len())
    }
}

impl<S: Socket> Read for TlsStream<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..READS_WITHOUT_DATA {
            if self.has_peer_closed() {
                return Ok(0);
            }
            let read = self.read_records(buffer);
            if let Ok(Some(1..)) = read {
                // Staged bytes are sent with the answer.
                return read.map(Option::unwrap_or_default);
            }
            let flushed = self.flush();
            if read?.is_none() {
                return Ok(0);
            }
            match flushed {
                // No event comes for input that has arrived already.
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_drained() => break,
                Err(error) => return Err(error),
                Ok(()) if self.is_drained() => return Err(ErrorKind::WouldBlock.into()),
                Ok(()) => {}
            }
        }
        Err(ErrorKind::Interrupted.into())
    }
}

impl<S: Socket> Write for TlsStream<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Accepts at most one record; [`Self::flush`] or a later write sends it.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if matches!(self.tls.phase, TlsPhase::Plaintext) {
            let written = self.socket.write_vectored(slices)?;
            self.sent += written;
            return Ok(written);
        }
        if self.has_unsent() || self.buffers.staged.filled().len() >= MAX_PLAINTEXT {
            self.flush()?;
        }
        self.encrypt(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send(S::write)
    }
}

impl<S: Socket> Transport for TlsStream<'_, S> {
    fn is_drained(&self) -> bool {
        self.short_read && !self.closing && !self.has_peer_closed()
    }

    fn is_at_end(&self) -> bool {
        self.short_read && self.closing
    }

    fn is_handshaking(&self) -> bool {
        match &self.tls.phase {
            TlsPhase::FirstRecord => true,
            TlsPhase::Session(session) => session.is_handshaking(),
            TlsPhase::Plaintext | TlsPhase::Closed => false,
        }
    }

    fn handshake_outcome(&self) -> Option<HandshakeOutcome> {
        self.handshake
    }

    fn is_plaintext_on_tls(&self) -> bool {
        matches!(self.tls.phase, TlsPhase::Plaintext)
    }

    /// RFC 8446 6.1: a client answers a `close_notify`, and many do so before they have read the bytes before it.
    fn expects_close_notify(&self) -> bool {
        matches!(&self.tls.phase, TlsPhase::Session(session) if !session.has_peer_closed())
    }

    fn finish(&mut self) -> io::Result<()> {
        if let TlsPhase::Session(session) = &mut self.tls.phase {
            session.close(&mut self.tls.partial, &mut self.buffers.staged);
            self.tls.phase = TlsPhase::Closed;
        }
        self.send(S::write_last)
    }

    fn take_sent(&mut self) -> usize {
        std::mem::take(&mut self.sent)
    }

    fn shutdown(&mut self) {
        self.socket.shutdown();
    }

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(buffer)?;
        self.short_read = length < buffer.len();
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
