//! Answers on their way into the socket: those of one round, and what is left of them where there was no room.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use crate::serve::answer::sites::Sites;
use crate::serve::answer::{Persistence, Ready};
use crate::serve::transport::Transport;

/// The answers that go out by one write.
const MAX_ANSWERS: usize = 16;
/// A head, its end if Retry-After counts down, and a body.
const SLICES: usize = 3;
/// Those of each answer, and one that was made for a request at the end.
const MAX_SLICES: usize = SLICES * MAX_ANSWERS + 1;
/// The writes of one round; a TLS record each.
const MAX_WRITES: usize = 4;

/// The answers of one round.
#[derive(Debug)]
pub(crate) struct Batch {
    ready: [Ready; MAX_ANSWERS],
    length: usize,
    /// What was made for a request: a refusal, or the answer to a preflight.
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

    /// Adds an answer. The caller sees to it that there is room.
    pub(crate) fn push(&mut self, ready: Ready) {
        self.ready[self.length] = ready;
        self.length += 1;
    }

    /// The answers that were ready.
    pub(crate) fn ready(&self) -> &[Ready] {
        &self.ready[..self.length]
    }

    /// Ends the batch with an answer that was made for its request.
    pub(crate) fn end_with(&mut self, own: Vec<u8>) {
        self.own = own;
    }

    /// Writes all answers, and returns what there was no room for.
    ///
    /// # Errors
    /// Those of the transport, but for `WouldBlock`.
    pub(crate) fn write(self, io: &mut impl Transport, sites: &Sites) -> io::Result<Unsent> {
        if self.length <= 1 {
            self.write_slices::<{ SLICES + 1 }>(io, sites)
        } else {
            self.write_slices::<MAX_SLICES>(io, sites)
        }
    }

    /// The same with room for so many slices.
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

/// What is left of answers for which there was no room.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    pieces: VecDeque<Piece>,
    /// How much of the first piece has gone.
    sent: usize,
}

#[derive(Debug)]
enum Piece {
    /// A copy, since heads may be rendered anew between turns.
    Own(Vec<u8>),
    /// The body of a ready answer, which stays where it is.
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
    /// All answers of a batch but for the first `sent` bytes.
    fn after(sent: usize, ready: &[Ready], own: Vec<u8>, sites: &Sites) -> Self {
        let mut unsent = Self::default();
        let mut gone = 0;
        for ready in ready {
            let [head, tail, body] = sites.bytes(*ready);
            gone += head.len() + tail.len();
            if gone > sent {
                unsent.pieces.push_back(Piece::Own([head, tail].concat()));
            }
            gone += body.len();
            if gone > sent && !body.is_empty() {
                unsent.pieces.push_back(Piece::Body(*ready));
            }
        }
        gone += own.len();
        if gone > sent && !own.is_empty() {
            unsent.pieces.push_back(Piece::Own(own));
        }
        let kept: usize = unsent
            .pieces
            .iter()
            .map(|piece| piece.bytes(sites).len())
            .sum();
        unsent.sent = sent - (gone - kept);
        unsent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes once, as much as there is room for.
    ///
    /// # Errors
    /// Those of the transport, `WouldBlock` among them.
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
