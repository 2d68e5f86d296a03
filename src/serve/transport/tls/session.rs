//! One TLS session, and the line between it and rustls.

use std::io;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use crate::serve::transport::{Agreed, BROKEN_PROTOCOL};

/// A TLS record is a header and at most a plaintext of 2^14 bytes with its expansion (RFC 8446 5.1, 5.2; RFC 5246 6.2.3).
const RECORD_HEADER: usize = 5;
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;
pub(crate) const MAX_RECORD: usize = RECORD_HEADER + MAX_PLAINTEXT + 2048;

/// Ciphertext that is to be written, in one system call where it can be: tickets, an answer and the `close_notify`.
pub(crate) struct Staged {
    /// The first `length` are filled.
    bytes: Vec<u8>,
    length: usize,
}

impl Default for Staged {
    fn default() -> Self {
        Self {
            bytes: vec![0; 2 * MAX_RECORD],
            length: 0,
        }
    }
}

impl Staged {
    pub(crate) const fn clear(&mut self) {
        self.length = 0;
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends what `encode` writes into the room that it is given. Where that is too small it says how much it needs, or
    /// that more would be of no use.
    fn append(&mut self, mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) {
        loop {
            match encode(&mut self.bytes[self.length..]) {
                Ok(length) => break self.length += length,
                Err(Some(needed)) if self.length + needed > self.bytes.len() => {
                    self.bytes.resize(self.length + needed, 0);
                }
                Err(_) => break,
            }
        }
    }
}

/// What a connection begins with.
pub(crate) enum Greeting {
    Partial,
    Record,
    Cleartext,
}

/// Tells a TLS record from cleartext HTTP. A record that cannot be one is left to rustls, which has an alert for it.
pub(crate) fn greeting(input: &[u8]) -> Greeting {
    match input.first() {
        Some(b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n') => Greeting::Cleartext,
        _ if has_whole_record(input) => Greeting::Record,
        _ => Greeting::Partial,
    }
}

/// Whether there is work for a session: a whole record, or a header that no record has.
pub(crate) fn has_whole_record(input: &[u8]) -> bool {
    match input {
        // change_cipher_spec, alert, handshake, application_data; version 3.x
        [0x14..=0x17, 3, _, high, low, ..] => {
            let length = RECORD_HEADER + usize::from(u16::from_be_bytes([*high, *low]));
            input.len() >= length || length > MAX_RECORD
        }
        [0x14..=0x17, 3, ..] | [0x14..=0x17] | [] => false,
        _ => true,
    }
}

/// A session, from the first record to our `close_notify`.
pub(crate) struct Session {
    tls: UnbufferedServerConnection,
    /// The peer has sent its `close_notify`.
    peer_closed: bool,
}

impl Session {
    pub(crate) fn new(settings: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let tls = UnbufferedServerConnection::new(Arc::clone(settings))?;
        Ok(Self {
            tls,
            peer_closed: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// What the handshake has come to, once it is over.
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        let version = self.tls.protocol_version()?;
        (!self.is_handshaking()).then(|| Agreed {
            is_1_3: version == ProtocolVersion::TLSv1_3,
            is_resumed: self.tls.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// The peer has sent its `close_notify`.
    pub(crate) const fn has_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Decrypts the whole records in `ciphertext` and stages what must be said in return.
    ///
    /// Returns how much ciphertext was taken and how much plaintext was given. What was not taken must come again, in
    /// front of what follows it, here and in every other call: rustls remembers places in it.
    pub(crate) fn decrypt(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut [u8],
        staged: &mut Staged,
    ) -> Result<(usize, usize), rustls::Error> {
        let (mut taken, mut length) = (0, 0);
        loop {
            let UnbufferedStatus {
                mut discard, state, ..
            } = self.tls.process_tls_records(&mut ciphertext[taken..]);
            let mut done = false;
            let mut fault = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let end = length + record.payload.len();
                        // Plaintext is shorter than its ciphertext, so it fits by `Buffers::PLAINTEXT`.
                        let Some(target) = plaintext.get_mut(length..end) else {
                            return Err(rustls::Error::General("no room for plaintext".into()));
                        };
                        target.copy_from_slice(record.payload);
                        length = end;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, staged),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(_) => done = true,
                Err(error) => fault = Some(error),
            }
            taken += discard;
            if let Some(fault) = fault {
                self.stage_alert(&mut ciphertext[taken..], staged);
                return Err(fault);
            }
            if done {
                return Ok((taken, length));
            }
        }
    }

    /// Stages the alert `decode_error` about a message that is too long to be kept, as rustls has it for those that are too
    /// long for it (RFC 8446 6.2).
    ///
    /// rustls has no call for that, so it is done only before any key is agreed on: for a ClientHello.
    pub(crate) fn stage_decode_error(&self, staged: &mut Staged) {
        /// An alert of two bytes, in the version that records have: fatal, `decode_error` (RFC 8446 5.1, 6).
        const DECODE_ERROR: [u8; RECORD_HEADER + 2] = [0x15, 3, 3, 0, 2, 2, 50];
        if self.tls.protocol_version().is_none() {
            staged.append(|room| {
                let room = room.get_mut(..DECODE_ERROR.len());
                room.ok_or(Some(DECODE_ERROR.len()))?
                    .copy_from_slice(&DECODE_ERROR);
                Ok(DECODE_ERROR.len())
            });
        }
    }

    /// Stages what rustls has to say before it gives up: the alert, and in TLS 1.3 the messages that the alert comes after.
    ///
    /// It is not called once more than that: after a fault rustls panics at what follows in the input.
    fn stage_alert(&mut self, mut ciphertext: &mut [u8], staged: &mut Staged) {
        while self.tls.wants_write() {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(ciphertext);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else {
                return;
            };
            encode(data, staged);
            ciphertext = &mut ciphertext[discard..];
        }
    }

    /// Encrypts a plaintext of at most one record. `partial` is what [`Self::decrypt`] did not take.
    pub(crate) fn encrypt(
        &mut self,
        partial: &mut Vec<u8>,
        plaintext: &[u8],
        staged: &mut Staged,
    ) -> io::Result<()> {
        loop {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(partial);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let mut done = Ok(());
                    staged.append(|room| match traffic.encrypt(plaintext, room) {
                        Err(EncryptError::InsufficientSize(needed)) => {
                            Err(Some(needed.required_size))
                        }
                        Err(exhausted @ EncryptError::EncryptExhausted) => {
                            done = Err(io::Error::new(BROKEN_PROTOCOL, exhausted));
                            Err(None)
                        }
                        Ok(length) => Ok(length),
                    });
                    partial.drain(..discard);
                    return done;
                }
                // A key update that falls due.
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, staged),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return Err(BROKEN_PROTOCOL.into()),
            }
            partial.drain(..discard);
        }
    }

    /// Stages our `close_notify`. `partial` as for [`Self::encrypt`].
    pub(crate) fn close(&mut self, partial: &mut [u8], staged: &mut Staged) {
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            self.tls.process_tls_records(partial).state
        {
            staged.append(|room| traffic.queue_close_notify(room).map_err(|_| None));
        }
    }
}

/// Stages a message of TLS's own.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, staged: &mut Staged) {
    staged.append(|room| match data.encode(room) {
        Ok(length) => Ok(length),
        Err(EncodeError::InsufficientSize(needed)) => Err(Some(needed.required_size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    });
}
