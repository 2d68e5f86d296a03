//! The protocol of the log pipe: lines whose first byte is their type.
//!
//! The supervisor validates every line: a worker reads from the network, and may be compromised.

use log::Level;

/// The limit of a frame's length. A longer line is discarded.
pub(crate) const MAX_FRAME: usize = 64 * 1024;

/// A line of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// The worker accepts connections.
    Ready,
    /// A line of the access log.
    Access(&'a [u8]),
    /// A message.
    Message(Level, &'a [u8]),
}

impl<'a> Frame<'a> {
    fn type_byte(&self) -> u8 {
        match self {
            Self::Ready => b'+',
            Self::Access(_) => b'a',
            Self::Message(Level::Error, _) => b'e',
            Self::Message(Level::Warn, _) => b'w',
            Self::Message(Level::Info, _) => b'i',
            Self::Message(Level::Debug | Level::Trace, _) => b'd',
        }
    }

    fn text(&self) -> &'a [u8] {
        match self {
            Self::Ready => &[],
            Self::Access(text) | Self::Message(_, text) => text,
        }
    }

    /// The length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.text().len() + 2
    }

    /// Appends the frame. Its text must have no line feed.
    pub(crate) fn append_to(&self, buffer: &mut Vec<u8>) {
        buffer.push(self.type_byte());
        buffer.extend_from_slice(self.text());
        buffer.push(b'\n');
    }

    /// Parses a line. `None` if it is not a frame.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (type_byte, text) = line.split_first()?;
        Some(match type_byte {
            b'+' if text.is_empty() => Self::Ready,
            b'a' => Self::Access(text),
            b'e' => Self::Message(Level::Error, text),
            b'w' => Self::Message(Level::Warn, text),
            b'i' => Self::Message(Level::Info, text),
            b'd' => Self::Message(Level::Debug, text),
            _ => return None,
        })
    }
}

/// Splits the bytes of a pipe into frames, with memory for one partial frame.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// The input is the rest of a line that is too long.
    skipping: bool,
}

impl Frames {
    /// Takes bytes of the pipe, and calls `each` for every complete frame.
    pub(crate) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.partial.is_empty() && !self.skipping {
                if line.len() < MAX_FRAME {
                    Frame::parse(line).into_iter().for_each(&mut each);
                }
                continue;
            }
            self.keep(line);
            if !std::mem::take(&mut self.skipping) {
                Frame::parse(&self.partial).into_iter().for_each(&mut each);
            }
            self.partial.clear();
        }
        self.keep(rest);
    }

    /// Keeps a part of a frame unless the frame is too long.
    fn keep(&mut self, part: &[u8]) {
        if self.skipping || self.partial.len() + part.len() >= MAX_FRAME {
            self.partial = Vec::new();
            self.skipping = true;
        } else {
            self.partial.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads pieces and returns the frames, encoded again.
    fn read<'a>(frames: &mut Frames, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in pieces {
            frames.take(piece, |frame| frame.append_to(&mut all));
            assert!(frames.partial.len() < MAX_FRAME);
        }
        all
    }

    #[test]
    fn frames_are_read_from_pieces_of_any_size() {
        let mut bytes = Vec::new();
        for frame in [
            Frame::Ready,
            Frame::Access(b"GET"),
            Frame::Access(b""),
            Frame::Message(Level::Error, b"bad"),
            Frame::Message(Level::Debug, b"+"),
        ] {
            let before = bytes.len();
            frame.append_to(&mut bytes);
            assert_eq!(bytes.len() - before, frame.length());
        }
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            assert_eq!(read(&mut frames, bytes.chunks(size)), bytes, "{size}");
            assert!(frames.partial.is_empty());
        }
    }

    #[test]
    fn a_line_that_is_not_a_frame_is_skipped() {
        let mut frames = Frames::default();
        let read = read(&mut frames, [&b"\n\nxyz\n+1\n\0\nagood\n"[..]]);
        assert_eq!(read, b"agood\n");
    }

    #[test]
    fn a_line_without_an_end_uses_no_more_memory_than_a_frame() {
        for (length, expected) in [
            (MAX_FRAME - 1, true),
            (MAX_FRAME, false),
            (3 * MAX_FRAME, false),
        ] {
            let line = vec![b'a'; length];
            for size in [1000, 2 * MAX_FRAME] {
                let mut frames = Frames::default();
                let first = read(&mut frames, line.chunks(size));
                assert!(first.is_empty());
                let rest = read(&mut frames, [&b"\n"[..]]);
                assert_eq!(!rest.is_empty(), expected, "{length} {size}");
                assert_eq!(read(&mut frames, [&b"anext\n"[..]]), b"anext\n");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_the_same(bytes: Vec<u8>, size in 1_usize..20) {
            let bytes: Vec<u8> = bytes.iter().map(|byte| if byte % 5 == 0 { b'\n' } else { *byte }).collect();
            let whole = read(&mut Frames::default(), [bytes.as_slice()]);
            prop_assert_eq!(read(&mut Frames::default(), bytes.chunks(size)), whole);
        }
    }
}
