//! One TLS session over rustls' unbuffered API.

use std::io;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use crate::serve::transport::traits::{BROKEN_PROTOCOL, HandshakeOutcome};

/// A TLS record is a header and at most 2^14 bytes of plaintext with its expansion (RFC 8446 5.1, 5.2; RFC 5246 6.2.3).
const RECORD_HEADER: usize = 5;
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;
pub(crate) const MAX_RECORD: usize = RECORD_HEADER + MAX_PLAINTEXT + 2048;

/// Ciphertext to be written by one system call if possible: tickets, an answer and the `close_notify`.
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

    /// Appends the bytes that `encode` writes into the slice it is given. If the slice is too small, `encode` returns the
    /// length it needs, or `None` to stop.
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

/// What the first bytes of a connection are.
pub(crate) enum FirstBytes {
    Partial,
    TlsRecord,
    Plaintext,
}

/// Distinguishes a TLS record from plaintext HTTP. rustls answers a malformed record with an alert.
pub(crate) fn classify_first_bytes(input: &[u8]) -> FirstBytes {
    match input.first() {
        Some(b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n') => FirstBytes::Plaintext,
        _ if has_whole_record(input) => FirstBytes::TlsRecord,
        _ => FirstBytes::Partial,
    }
}

/// The input begins with a whole record, or with a header that no record has, which rustls must reject.
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

/// A TLS session, from its first record to our `close_notify`.
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

    /// The outcome of the handshake when it is complete.
    pub(crate) fn handshake_outcome(&self) -> Option<HandshakeOutcome> {
        let version = self.tls.protocol_version()?;
        (!self.is_handshaking()).then(|| HandshakeOutcome {
            is_1_3: version == ProtocolVersion::TLSv1_3,
            is_resumed: self.tls.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// The peer has sent its `close_notify`.
    pub(crate) const fn has_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Decrypts the whole records in `ciphertext` and stages the messages that TLS sends in return.
    ///
    /// Returns the bytes of ciphertext used and the length of the plaintext. Unused ciphertext must be passed again, before
    /// the bytes that follow it, to every later call: rustls keeps offsets into it.
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
            let mut failure = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let end = length + record.payload.len();
                        // Plaintext is shorter than its ciphertext, so it fits into `Buffers::PLAINTEXT`.
                        let Some(target) = plaintext.get_mut(length..end) else {
                            return Err(rustls::Error::General(
                                "the plaintext buffer is too small".into(),
                            ));
                        };
                        target.copy_from_slice(record.payload);
                        length = end;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, staged),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(_) => done = true,
                Err(error) => failure = Some(error),
            }
            taken += discard;
            if let Some(error) = failure {
                self.stage_alert(&mut ciphertext[taken..], staged);
                return Err(error);
            }
            if done {
                return Ok((taken, length));
            }
        }
    }

    /// Stages the alert `decode_error` for a message that is too long to be kept, as rustls does for messages beyond its
    /// own limit (RFC 8446 6.2).
    ///
    /// rustls has no call for that, so it is done only before keys are negotiated: for a ClientHello.
    pub(crate) fn stage_decode_error(&self, staged: &mut Staged) {
        /// A record with a fatal alert, `decode_error` (RFC 8446 5.1, 6).
        const DECODE_ERROR: [u8; RECORD_HEADER + 2] = [0x15, 3, 3, 0, 2, 2, 50];
        if self.tls.protocol_version().is_none() {
            staged.append(|free| {
                let free = free.get_mut(..DECODE_ERROR.len());
                free.ok_or(Some(DECODE_ERROR.len()))?
                    .copy_from_slice(&DECODE_ERROR);
                Ok(DECODE_ERROR.len())
            });
        }
    }

    /// Stages the alert of a session that failed, and in TLS 1.3 the messages before the alert.
    ///
    /// It stops as soon as they are encoded: after an error rustls panics at further input.
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

    /// Encrypts a plaintext of at most one record. `partial` is the ciphertext that [`Self::decrypt`] did not use.
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
                    staged.append(|free| match traffic.encrypt(plaintext, free) {
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
                // A key update is due.
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
            staged.append(|free| traffic.queue_close_notify(free).map_err(|_| None));
        }
    }
}

/// Stages a TLS message that is not application data.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, staged: &mut Staged) {
    staged.append(|free| match data.encode(free) {
        Ok(length) => Ok(length),
        Err(EncodeError::InsufficientSize(needed)) => Err(Some(needed.required_size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    });
}
