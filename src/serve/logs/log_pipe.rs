//! The worker's end of the log pipe to its supervisor: lines are buffered and written once in each turn of the loop.
//!
//! The worker never waits for the pipe. A line that does not fit is dropped as a whole, and counted.
#![allow(
    clippy::missing_const_for_thread_local,
    reason = "it is const, which clippy does not detect on OpenBSD"
)]

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use log::Level;
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token};

use crate::logger;
use crate::serve::logs::frames::{Frame, MAX_FRAME};

/// The most bytes buffered.
const MAX_BUFFERED: usize = 256 * 1024;
/// The buffered bytes that cause a write within a turn.
const WRITE_THRESHOLD: usize = 32 * 1024;
/// The shortest time between two messages about lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How long a worker that ends waits for its supervisor to read the last lines. A busy system may not schedule it for seconds.
const FINAL_WAIT: Duration = Duration::from_secs(10);

thread_local! {
    /// A worker has one thread, and one pipe for access lines and messages.
    static LOG_PIPE: RefCell<Option<LogPipe<pipe::Sender>>> = const { RefCell::new(None) };
}

/// From now on this process sends its log lines to the supervisor, and writes no log itself.
pub(crate) fn start(pipe: pipe::Sender) {
    LOG_PIPE.with(|log_pipe| log_pipe.replace(Some(LogPipe::new(pipe))));
    logger::set_relay(|level, text| {
        let text = text.as_bytes();
        let text = &text[..text.len().min(MAX_FRAME - 2)];
        with(|log_pipe| {
            log_pipe.send(Frame::Message(level, text));
            log_pipe.flush();
        });
    });
}

/// Reports that this worker accepts connections.
///
/// # Errors
/// `WouldBlock`, which a new pipe never returns.
pub(crate) fn send_ready() -> io::Result<()> {
    with(|log_pipe| log_pipe.send(Frame::Ready));
    if flush().is_done {
        Ok(())
    } else {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// Sends an access line. It must be shorter than [`MAX_FRAME`] and have no line feed.
pub(crate) fn send_access(line: &[u8]) {
    with(|log_pipe| log_pipe.send(Frame::Access(line)));
}

/// Writes the buffered lines. To be called once in each turn of the loop.
pub(crate) fn flush() -> FlushOutcome {
    with(|log_pipe| {
        log_pipe.is_full = false;
        log_pipe.flush();
        FlushOutcome {
            is_done: log_pipe.buffer.is_empty(),
            lost: std::mem::take(&mut log_pipe.uncounted),
        }
    })
    .unwrap_or(FlushOutcome {
        is_done: true,
        lost: 0,
    })
}

/// Writes the last lines, and waits for the pipe up to [`FINAL_WAIT`].
pub(crate) fn finish() {
    if !flush().is_done {
        // After an error the lines are lost.
        let _ = with(LogPipe::flush_blocking);
    }
}

/// The outcome of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlushOutcome {
    /// All lines are in the pipe.
    pub(crate) is_done: bool,
    /// The lines lost since the last flush.
    pub(crate) lost: u64,
}

/// Calls `action` with the log pipe, if this process has one and it is not borrowed.
fn with<T>(action: impl FnOnce(&mut LogPipe<pipe::Sender>) -> T) -> Option<T> {
    LOG_PIPE.with(|log_pipe| log_pipe.try_borrow_mut().ok()?.as_mut().map(action))
}

/// A pipe and the lines buffered for it.
struct LogPipe<W> {
    pipe: W,
    /// Whole frames, except that the beginning of the first one may be written already.
    buffer: Vec<u8>,
    /// The pipe was full in this turn.
    is_full: bool,
    /// Lost lines that are not in the counter.
    uncounted: u64,
    /// Lost lines that no message has reported.
    unreported: u64,
    last_report: Option<Instant>,
}

impl LogPipe<pipe::Sender> {
    /// Writes the buffered lines, and waits while the pipe is full.
    fn flush_blocking(&mut self) -> io::Result<()> {
        // A sandboxed worker may still use a poll.
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
        poll.registry()
            .register(&mut self.pipe, Token(0), Interest::WRITABLE)?;
        let limit = Instant::now() + FINAL_WAIT;
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
            unreported: 0,
            last_report: None,
        }
    }

    fn send(&mut self, frame: Frame<'_>) {
        if self.buffer.len() >= WRITE_THRESHOLD && !self.is_full {
            self.flush();
        }
        if self.buffer.len() + frame.length() > MAX_BUFFERED {
            self.uncounted += 1;
            self.unreported += 1;
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
                // The supervisor has ended; the end of the order pipe ends this worker too.
                Err(_) => {
                    self.buffer.clear();
                    return;
                }
            }
        }
        self.buffer.drain(..written);
        if self.buffer.is_empty() && self.unreported > 0 {
            self.report_lost();
        }
    }

    /// Sends a message about lost lines, at most once in [`REPORT_INTERVAL`].
    fn report_lost(&mut self) {
        let now = Instant::now();
        if self
            .last_report
            .is_none_or(|last| now >= last + REPORT_INTERVAL)
        {
            let text = format!(
                "access_log: {} lines lost: they came faster than they were written",
                std::mem::take(&mut self.unreported)
            );
            self.last_report = Some(now);
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

    fn log_pipe(room: usize) -> LogPipe<Pipe> {
        LogPipe::new(Pipe {
            room,
            bytes: Vec::new(),
            writes: 0,
        })
    }

    #[test]
    fn lines_are_buffered_until_the_end_of_the_turn() {
        let mut log_pipe = log_pipe(usize::MAX);
        for _ in 0..100 {
            log_pipe.send(Frame::Access(b"line"));
        }
        assert_eq!(log_pipe.pipe.writes, 0);
        log_pipe.flush();
        assert_eq!(log_pipe.pipe.writes, 1);
        assert_eq!(log_pipe.pipe.bytes, b"aline\n".repeat(100));
    }

    #[test]
    fn a_full_pipe_drops_whole_lines() {
        let mut log_pipe = log_pipe(1000);
        let line = [b'x'; 997];
        let sent = 2 * MAX_BUFFERED / 1000;
        for _ in 0..sent {
            log_pipe.send(Frame::Access(&line));
        }
        assert!(log_pipe.uncounted > 0);
        // The pipe is full after one failed write, and not tried for every line.
        assert!(log_pipe.pipe.writes < 5, "{}", log_pipe.pipe.writes);
        log_pipe.pipe.room = 1;
        log_pipe.flush();
        log_pipe.pipe.room = usize::MAX;
        log_pipe.flush();
        log_pipe.flush();
        let (mut lines, mut messages) = (0, Vec::new());
        Frames::default().take(&log_pipe.pipe.bytes, |frame| match frame {
            Frame::Access(text) => {
                assert_eq!(text, line);
                lines += 1;
            }
            Frame::Message(_, text) => messages.push(String::from_utf8(text.to_vec()).unwrap()),
            Frame::Ready => assert_eq!(lines, usize::MAX, "no worker sent it"),
        });
        assert_eq!(lines + usize::try_from(log_pipe.uncounted).unwrap(), sent);
        let message = format!(
            "access_log: {} lines lost: they came faster than they were written",
            log_pipe.uncounted
        );
        assert_eq!(messages, [message]);
    }
}
