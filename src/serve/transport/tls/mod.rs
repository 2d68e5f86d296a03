//! TLS, by rustls without its buffers: records are decrypted and encrypted in buffers that all connections share, and a
//! connection owns memory beside its session only while a record is partial or a write is blocked.
//!
//! All dealings with rustls sessions are here; its settings are made in [`crate::serve::tls`].

mod session;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::server_name::SiteNumber;
use crate::serve::http1::Form;
use crate::serve::transport::tls::session::{
    Greeting, MAX_PLAINTEXT, MAX_RECORD, Session, Staged, greeting, has_whole_record,
};
use crate::serve::transport::{BROKEN_PROTOCOL, Socket, Transport, gather};

/// The most bytes taken from a socket at once.
const READ: usize = 32 * 1024;
/// The most ciphertext that a connection may keep: more than any record, and more than any client's handshake message needs
/// in the smallest records. rustls keeps the records of a message until that is whole, whatever they are padded with.
const MAX_PARTIAL: usize = READ;
/// The reads of one turn that may bring nothing but TLS's own messages.
const READS_WITHOUT_DATA: usize = 4;

/// The memory that all connections of a worker share, each for one turn.
pub struct Buffers {
    /// Ciphertext as it is read.
    incoming: Box<[u8]>,
    /// Plaintext that is gathered for one record, or one write.
    pub(crate) plain: Box<[u8]>,
    staged: Staged,
}

impl Buffers {
    /// The least length of the buffer that a connection reads into: the plaintext of one read and of a record
    /// that was partial before it always fits.
    pub const PLAINTEXT: usize = READ + MAX_RECORD;
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            incoming: vec![0; READ].into_boxed_slice(),
            plain: vec![0; MAX_PLAINTEXT].into_boxed_slice(),
            staged: Staged::default(),
        }
    }
}

/// What one connection owns of TLS.
#[derive(Default)]
pub struct Tls {
    phase: Phase,
    /// Ciphertext that is not used up: a record that is not whole, behind records that hold parts of a handshake message.
    partial: Vec<u8>,
    /// Ciphertext for which the socket had no room, and how much of it has gone since.
    unsent: Vec<u8>,
    sent: usize,
}

impl Tls {
    /// No record has begun to come.
    #[must_use]
    pub fn is_between_records(&self) -> bool {
        self.partial.is_empty()
    }
}

#[derive(Default)]
enum Phase {
    /// Less than one record has come: there is no session yet, which would take several KB.
    #[default]
    Greeting,
    /// Cleartext has come.
    Misdirected,
    /// A session; from its first record to our `close_notify`.
    Session(Box<Session>),
    /// The session is over: nothing more can be read or written.
    Over,
}

/// How a socket is written to.
type WriteOf<S> = fn(&mut S, &[u8]) -> io::Result<usize>;

/// TLS over a socket for one turn.
pub struct TlsStream<'a, S> {
    socket: &'a mut S,
    tls: &'a mut Tls,
    buffers: &'a mut Buffers,
    settings: &'a Arc<ServerConfig>,
    closing: bool,
    short_read: bool,
}

impl<'a, S: Socket> TlsStream<'a, S> {
    /// A view of `socket` and the connection's own `tls`. `closing` as for [`crate::serve::transport::Plain::new`].
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
        }
    }

    /// Takes ciphertext from the socket and puts the plaintext of its whole records into `buffer`.
    ///
    /// Returns the length of that, which may be 0, or nothing at the end of the stream.
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
                    // A record that drips in is not copied for each drop.
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
            if let Phase::Session(session) = &self.tls.phase {
                session.stage_decode_error(&mut self.buffers.staged);
                // Should it not arrive, that is the peer's loss.
                let _ = self.flush();
            }
            self.tls.phase = Phase::Over;
            self.tls.partial = Vec::new();
            return Err(BROKEN_PROTOCOL.into());
        }
        done.map(Some)
    }

    /// Puts the plaintext of the whole records at the start of `ciphertext` into `buffer`.
    ///
    /// Returns how much ciphertext was taken and how much plaintext was given.
    fn read_plaintext(
        &mut self,
        ciphertext: &mut [u8],
        buffer: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        if matches!(self.tls.phase, Phase::Greeting) {
            match greeting(ciphertext) {
                Greeting::Partial => return Ok((0, 0)),
                Greeting::Cleartext => self.tls.phase = Phase::Misdirected,
                Greeting::Record => {
                    let session = Session::new(self.settings).map_err(io::Error::other)?;
                    self.tls.phase = Phase::Session(Box::new(session));
                }
            }
        }
        match &mut self.tls.phase {
            Phase::Greeting | Phase::Over => Err(BROKEN_PROTOCOL.into()),
            Phase::Misdirected => {
                let target = buffer
                    .get_mut(..ciphertext.len())
                    .ok_or(ErrorKind::OutOfMemory)?;
                target.copy_from_slice(ciphertext);
                Ok((ciphertext.len(), ciphertext.len()))
            }
            Phase::Session(session) if has_whole_record(ciphertext) => {
                let was_handshaking = session.is_handshaking();
                let read = session.decrypt(ciphertext, buffer, &mut self.buffers.staged);
                if was_handshaking && let Some(agreed) = session.agreed() {
                    self.socket.note_session(agreed);
                }
                read.map_err(|fault| {
                    // The alert goes on its way; should it not arrive, that is the peer's loss.
                    let _ = self.flush();
                    self.tls.phase = Phase::Over;
                    io::Error::new(BROKEN_PROTOCOL, fault)
                })
            }
            Phase::Session(_) => Ok((0, 0)),
        }
    }

    /// The peer has sent its `close_notify`: nothing more is to be read.
    fn has_peer_closed(&self) -> bool {
        matches!(&self.tls.phase, Phase::Session(session) if session.has_peer_closed())
    }

    /// Ciphertext of a turn before waits for room.
    const fn has_unsent(&self) -> bool {
        !self.tls.unsent.is_empty()
    }

    /// Writes what is left from turns before.
    fn write_unsent(&mut self, write: WriteOf<S>) -> io::Result<()> {
        while self.tls.sent < self.tls.unsent.len() {
            match write(self.socket, &self.tls.unsent[self.tls.sent..])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                length => self.tls.sent += length,
            }
        }
        self.tls.unsent = Vec::new();
        self.tls.sent = 0;
        Ok(())
    }

    /// Sends what is staged; what the socket has no room for becomes the connection's own.
    fn send(&mut self, write: WriteOf<S>) -> io::Result<()> {
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
        self.tls
            .unsent
            .extend_from_slice(&self.buffers.staged.filled()[start..]);
        self.buffers.staged.clear();
        sent
    }

    /// Encrypts one record of what `slices` begin with into the staged bytes, and returns how much that was.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Phase::Session(session) = &mut self.tls.phase else {
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
                // What is staged goes along with the answer.
                return read.map(Option::unwrap_or_default);
            }
            let flushed = self.flush();
            if read?.is_none() {
                return Ok(0);
            }
            match flushed {
                // No event would tell of the input that is there.
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

    /// Takes at most one record; [`Self::flush`] or a later write sends it.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if matches!(self.tls.phase, Phase::Misdirected) {
            return self.socket.write_vectored(slices);
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
            Phase::Greeting => true,
            Phase::Session(session) => session.is_handshaking(),
            Phase::Misdirected | Phase::Over => false,
        }
    }

    fn is_misdirected(&self) -> bool {
        matches!(self.tls.phase, Phase::Misdirected)
    }

    /// RFC 8446 6.1: a client answers a `close_notify`, and many do so before they have read what came before it.
    fn expects_farewell(&self) -> bool {
        matches!(&self.tls.phase, Phase::Session(session) if !session.has_peer_closed())
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Phase::Session(session) = &mut self.tls.phase {
            session.close(&mut self.tls.partial, &mut self.buffers.staged);
            self.tls.phase = Phase::Over;
        }
        self.send(S::write_last)
    }

    fn note_answer(&mut self, site: SiteNumber, form: Form) {
        self.socket.note_answer(site, form);
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
