//! The worker's end of the pipe to its supervisor: lines gather here and go out by one write in each turn of the loop.
//!
//! The pipe is never waited for. A line for which there is no room is dropped as a whole, and counted.
#![allow(
    clippy::missing_const_for_thread_local,
    reason = "it is const, which clippy does not see on OpenBSD"
)]

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use log::Level;
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token};

use crate::logger;
use crate::serve::logs::frames::{Frame, MAX_FRAME};

/// The most bytes that wait for the pipe.
const ROOM: usize = 256 * 1024;
/// What is worth a write within a turn.
const ENOUGH: usize = 32 * 1024;
/// The shortest time between two messages about lost lines.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the last lines of a worker wait for their supervisor, which a busy system may keep from the processor for seconds.
const FAREWELL: Duration = Duration::from_secs(10);

thread_local! {
    /// A worker has one thread, and one pipe: for the lines of requests, and for messages from wherever they come.
    static COURIER: RefCell<Option<LogPipe<pipe::Sender>>> = const { RefCell::new(None) };
}

/// From now on this process tells its supervisor what it has to tell, and writes no log itself.
pub(crate) fn start(pipe: pipe::Sender) {
    COURIER.with(|courier| courier.replace(Some(LogPipe::new(pipe))));
    logger::set_relay(|level, text| {
        let text = text.as_bytes();
        let text = &text[..text.len().min(MAX_FRAME - 2)];
        with(|courier| {
            courier.tell(Frame::Message(level, text));
            courier.flush();
        });
    });
}

/// Tells that this worker accepts.
///
/// # Errors
/// The pipe has no room, which a new one has.
pub(crate) fn tell_ready() -> io::Result<()> {
    with(|courier| courier.tell(Frame::Ready));
    if flush().is_done {
        Ok(())
    } else {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// Tells of a request. The line is shorter than [`MAX_FRAME`] and has no line feed.
pub(crate) fn tell_access(line: &[u8]) {
    with(|courier| courier.tell(Frame::Access(line)));
}

/// Writes what has gathered. To be called once in each turn of the loop.
pub(crate) fn flush() -> Progress {
    with(|courier| {
        courier.is_full = false;
        courier.flush();
        Progress {
            is_done: courier.buffer.is_empty(),
            lost: std::mem::take(&mut courier.uncounted),
        }
    })
    .unwrap_or(Progress {
        is_done: true,
        lost: 0,
    })
}

/// Writes the last lines, for which the pipe is waited for a little.
pub(crate) fn finish() {
    if !flush().is_done {
        // What cannot be told any more cannot be told.
        let _ = with(LogPipe::flush_patiently);
    }
}

/// What has become of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// All of them are in the pipe.
    pub(crate) is_done: bool,
    /// How many were lost since the last time.
    pub(crate) lost: u64,
}

/// Lends the courier, where this process has one that is not lent already.
fn with<T>(use_it: impl FnOnce(&mut LogPipe<pipe::Sender>) -> T) -> Option<T> {
    COURIER.with(|courier| courier.try_borrow_mut().ok()?.as_mut().map(use_it))
}

/// Lines on their way into a pipe.
struct LogPipe<W> {
    pipe: W,
    /// Whole frames, but for the beginning of the first that is in the pipe already.
    buffer: Vec<u8>,
    /// The pipe has had no room in this turn.
    is_full: bool,
    uncounted: u64,
    untold: u64,
    told: Option<Instant>,
}

impl LogPipe<pipe::Sender> {
    /// Writes what has gathered, and waits for room.
    fn flush_patiently(&mut self) -> io::Result<()> {
        // The poll is among the few things that a worker may still do.
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
        poll.registry()
            .register(&mut self.pipe, Token(0), Interest::WRITABLE)?;
        let limit = Instant::now() + FAREWELL;
        while !self.buffer.is_empty() && Instant::now() < limit {
            let left = limit.saturating_duration_since(Instant::now());
            poll.poll(&mut events, Some(left))?;
            self.flush();
        }
        Ok(())
    }
}

impl<W: Write> LogPipe<W> {
    const fn new(pipe: W) -> Self {
        Self {
            pipe,
            buffer: Vec::new(),
            is_full: false,
            uncounted: 0,
            untold: 0,
            told: None,
        }
    }

    fn tell(&mut self, frame: Frame<'_>) {
        if self.buffer.len() >= ENOUGH && !self.is_full {
            self.flush();
        }
        if self.buffer.len() + frame.length() > ROOM {
            self.uncounted += 1;
            self.untold += 1;
        } else {
            frame.append_to(&mut self.buffer);
        }
    }

    fn flush(&mut self) {
        let mut written = 0;
        while written < self.buffer.len() {
            match self.pipe.write(&self.buffer[written..]) {
                Ok(length @ 1..) => written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    break;
                }
                // The supervisor has gone, and this worker will notice.
                Err(_) => {
                    self.buffer.clear();
                    return;
                }
            }
        }
        self.buffer.drain(..written);
        if self.buffer.is_empty() && self.untold > 0 {
            self.tell_lost();
        }
    }

    /// Has the supervisor say that lines were lost, once in a while.
    fn tell_lost(&mut self) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now >= told + SILENCE) {
            let text = format!(
                "access_log: {} lines lost: they came faster than they were written",
                std::mem::take(&mut self.untold)
            );
            self.told = Some(now);
            Frame::Message(Level::Warn, text.as_bytes()).append_to(&mut self.buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::logs::frames::Frames;

    /// A pipe with room for so many bytes.
    struct Pipe {
        room: usize,
        bytes: Vec<u8>,
        writes: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            if self.room == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let length = bytes.len().min(self.room);
            self.room -= length;
            self.bytes.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn courier(room: usize) -> LogPipe<Pipe> {
        LogPipe::new(Pipe {
            room,
            bytes: Vec::new(),
            writes: 0,
        })
    }

    #[test]
    fn lines_gather_until_the_end_of_the_turn() {
        let mut courier = courier(usize::MAX);
        for _ in 0..100 {
            courier.tell(Frame::Access(b"line"));
        }
        assert_eq!(courier.pipe.writes, 0);
        courier.flush();
        assert_eq!(courier.pipe.writes, 1);
        assert_eq!(courier.pipe.bytes, b"aline\n".repeat(100));
    }

    #[test]
    fn a_full_pipe_costs_whole_lines() {
        let mut courier = courier(1000);
        let line = [b'x'; 997];
        let told = 2 * ROOM / 1000;
        for _ in 0..told {
            courier.tell(Frame::Access(&line));
        }
        assert!(courier.uncounted > 0);
        // One that tells of the full pipe, and not one for every line.
        assert!(courier.pipe.writes < 5, "{}", courier.pipe.writes);
        courier.pipe.room = 1;
        courier.flush();
        courier.pipe.room = usize::MAX;
        courier.flush();
        courier.flush();
        let (mut lines, mut messages) = (0, Vec::new());
        Frames::default().take(&courier.pipe.bytes, |frame| match frame {
            Frame::Access(text) => {
                assert_eq!(text, line);
                lines += 1;
            }
            Frame::Message(_, text) => messages.push(String::from_utf8(text.to_vec()).unwrap()),
            Frame::Ready => assert_eq!(lines, usize::MAX, "nobody said so"),
        });
        assert_eq!(lines + usize::try_from(courier.uncounted).unwrap(), told);
        let message = format!(
            "access_log: {} lines lost: they came faster than they were written",
            courier.uncounted
        );
        assert_eq!(messages, [message]);
    }
}
