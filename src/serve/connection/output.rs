//! The answers of one batch, and their bytes that did not fit into the send buffer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use crate::serve::answer::select::Sites;
use crate::serve::answer::{Persistence, Ready};
use crate::serve::transport::Transport;

/// The answers in one batch.
const MAX_ANSWERS: usize = 16;
/// A head, its end if Retry-After counts down, and a body.
const SLICES: usize = 3;
/// The slices of each answer, and one for an answer made for its request.
const MAX_SLICES: usize = SLICES * MAX_ANSWERS + 1;
/// The writes of one batch; a TLS record each.
const MAX_WRITES: usize = 4;

/// The answers to a batch of requests.
#[derive(Debug)]
pub(crate) struct Batch {
    ready: [Ready; MAX_ANSWERS],
    length: usize,
    /// The last answer if it was made for its request: a refusal, or the answer to a preflight.
    own: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        let nothing = Ready {
            persistence: Persistence::Close,
            with_body: false,
            site: 0,
            variant: 0,
            retry_after: 0,
        };
        Self {
            ready: [nothing; MAX_ANSWERS],
            length: 0,
            own: Vec::new(),
        }
    }
}

impl Batch {
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0 && self.own.is_empty()
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.length == MAX_ANSWERS
    }

    /// Adds an answer. The batch must not be full.
    pub(crate) fn push(&mut self, ready: Ready) {
        self.ready[self.length] = ready;
        self.length += 1;
    }

    /// Ends the batch with an answer made for its request.
    pub(crate) fn end_with(&mut self, own: Vec<u8>) {
        self.own = own;
    }

    /// Writes all answers, and returns the bytes that did not fit into the send buffer.
    ///
    /// # Errors
    /// Those of the transport, except `WouldBlock`.
    pub(crate) fn write(self, io: &mut impl Transport, sites: &Sites) -> io::Result<Unsent> {
        if self.length <= 1 {
            self.write_slices::<{ SLICES + 1 }>(io, sites)
        } else {
            self.write_slices::<MAX_SLICES>(io, sites)
        }
    }

    /// Writes with an array of `COUNT` slices.
    fn write_slices<const COUNT: usize>(
        self,
        io: &mut impl Transport,
        sites: &Sites,
    ) -> io::Result<Unsent> {
        let mut slices = [IoSlice::new(&[]); COUNT];
        let ready = &self.ready[..self.length];
        for (three, ready) in slices.chunks_exact_mut(SLICES).zip(ready) {
            three.copy_from_slice(&sites.bytes(*ready).map(IoSlice::new));
        }
        slices[SLICES * self.length] = IoSlice::new(&self.own);
        let mut left = &mut slices[..=SLICES * self.length];
        let mut sent = 0;
        for _ in 0..MAX_WRITES {
            IoSlice::advance_slices(&mut left, 0);
            if left.is_empty() {
                return Ok(Unsent::default());
            }
            match io.write_vectored(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => {
                    IoSlice::advance_slices(&mut left, length);
                    sent += length;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Unsent::after(sent, ready, self.own, sites))
    }
}

/// The bytes of answers that did not fit into the send buffer.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    pieces: VecDeque<Piece>,
    /// The bytes of the first piece that are written.
    sent: usize,
}

#[derive(Debug)]
enum Piece {
    /// A copy, because heads may be rendered again between turns.
    Own(Vec<u8>),
    /// The body of a ready answer, which never changes.
    Body(Ready),
}

impl Piece {
    fn bytes<'a>(&'a self, sites: &'a Sites) -> &'a [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Body(ready) => sites.answers.bytes(*ready)[1],
        }
    }
}

impl Unsent {
    /// All answers of a batch except the first `sent` bytes.
    fn after(sent: usize, ready: &[Ready], own: Vec<u8>, sites: &Sites) -> Self {
        let mut unsent = Self::default();
        let mut end = 0;
        for ready in ready {
            let [head, tail, body] = sites.bytes(*ready);
            end += head.len() + tail.len();
            if end > sent {
                unsent.pieces.push_back(Piece::Own([head, tail].concat()));
            }
            end += body.len();
            if end > sent && !body.is_empty() {
                unsent.pieces.push_back(Piece::Body(*ready));
            }
        }
        end += own.len();
        if end > sent && !own.is_empty() {
            unsent.pieces.push_back(Piece::Own(own));
        }
        let kept: usize = unsent
            .pieces
            .iter()
            .map(|piece| piece.bytes(sites).len())
            .sum();
        unsent.sent = sent - (end - kept);
        unsent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes once.
    ///
    /// # Errors
    /// Those of the transport, `WouldBlock` included.
    pub(crate) fn write(&mut self, io: &mut impl Transport, sites: &Sites) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = self.pieces.len().min(MAX_SLICES);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece.bytes(sites));
        }
        let mut left = &mut slices[..count];
        IoSlice::advance_slices(&mut left, self.sent);
        let written = io.write_vectored(left)?;
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.sent += written;
        while let Some(piece) = self.pieces.front()
            && self.sent >= piece.bytes(sites).len()
        {
            self.sent -= piece.bytes(sites).len();
            self.pieces.pop_front();
        }
        Ok(())
    }
}
