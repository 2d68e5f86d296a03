//! A scripted transport that behaves like an edge-triggered, non-blocking socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

use crate::serve::transport::{BROKEN_PROTOCOL, Transport};

/// A change of the socket's state.
#[derive(Debug)]
pub(crate) enum Event {
    Input(String),
    /// Input and the end of the stream in one event.
    InputAndEnd(String),
    End,
    /// Room for so many more bytes.
    Room(usize),
    /// The peer breaks the protocol.
    Broken,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a socket has many independent properties"
)]
pub(crate) struct Script {
    pub(crate) script: VecDeque<Event>,
    /// Input that has arrived and is unread.
    input: Vec<u8>,
    ended: bool,
    broken: bool,
    closing: bool,
    short_read: bool,
    /// The bytes that can be written before it blocks.
    pub(crate) room: usize,
    pub(crate) output: Vec<u8>,
    /// The bytes written and not yet taken.
    sent: usize,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    /// Our sending half is closed.
    pub(crate) shut: bool,
    pub(crate) is_plaintext_on_tls: bool,
    pub(crate) handshaking: bool,
}

impl Script {
    pub(crate) fn new(script: Vec<Event>) -> Self {
        Self {
            script: script.into(),
            input: Vec::new(),
            ended: false,
            broken: false,
            closing: false,
            short_read: false,
            room: usize::MAX,
            output: Vec::new(),
            sent: 0,
            reads: 0,
            writes: 0,
            shut: false,
            is_plaintext_on_tls: false,
            handshaking: false,
        }
    }

    /// A client that sends these pieces and then waits.
    pub(crate) fn reading(pieces: &[&str]) -> Self {
        Self::new(
            pieces
                .iter()
                .map(|piece| Event::Input((*piece).to_owned()))
                .collect(),
        )
    }

    pub(crate) fn has_more(&self) -> bool {
        !self.script.is_empty()
    }

    /// Applies the next change; the turn that follows is the one that its poll event would cause.
    pub(crate) fn begin_turn(&mut self) {
        self.short_read = false;
        match self.script.pop_front() {
            Some(Event::Input(text)) => self.input.extend(text.bytes()),
            Some(Event::InputAndEnd(text)) => {
                self.input.extend(text.bytes());
                (self.ended, self.closing) = (true, true);
            }
            Some(Event::End) => (self.ended, self.closing) = (true, true),
            Some(Event::Room(room)) => self.room = self.room.saturating_add(room),
            Some(Event::Broken) => self.broken = true,
            None => {}
        }
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if std::mem::take(&mut self.broken) {
            return Err(BROKEN_PROTOCOL.into());
        }
        if self.input.is_empty() {
            return if self.ended {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let length = buffer.len().min(self.input.len());
        buffer[..length].copy_from_slice(&self.input[..length]);
        self.input.drain(..length);
        self.short_read = length < buffer.len();
        Ok(length)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.shut, "nothing is written after the close");
        self.writes += 1;
        if self.room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = self.output.len();
        for slice in slices {
            let length = slice.len().min(self.room);
            self.output.extend_from_slice(&slice[..length]);
            self.room -= length;
        }
        self.sent += self.output.len() - before;
        Ok(self.output.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Script {
    fn is_drained(&self) -> bool {
        self.short_read && !self.closing
    }

    fn is_at_end(&self) -> bool {
        self.short_read && self.closing
    }

    fn is_handshaking(&self) -> bool {
        self.handshaking
    }

    fn is_plaintext_on_tls(&self) -> bool {
        self.is_plaintext_on_tls
    }

    fn take_sent(&mut self) -> usize {
        std::mem::take(&mut self.sent)
    }

    fn shutdown(&mut self) {
        self.shut = true;
    }

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}
