//! A log file, device or FIFO, and the non-blocking write of whole lines.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys;

/// The time between attempts to open a log.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A file, a device or a FIFO.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    /// Nothing for a FIFO without a reader.
    file: Option<File>,
    /// The largest write, in bytes: a FIFO takes so many at once or none.
    piece: usize,
    /// The output ends in the middle of a line.
    ends_mid_line: bool,
    /// The last attempt to open it.
    tried: Instant,
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut new = Self {
            path: path.to_owned(),
            file: None,
            piece: usize::MAX,
            ends_mid_line: false,
            tried: Instant::now(),
        };
        new.open_now()?;
        Ok(new)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the path. A FIFO without a reader stays closed, which is no error.
    fn open_now(&mut self) -> io::Result<()> {
        self.tried = Instant::now();
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o644);
        // Do not wait for the reader of a FIFO, and do not make a terminal the controlling one.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        match options.open(&self.path) {
            Ok(file) => {
                let is_file = file.metadata()?.file_type().is_file();
                self.piece = if is_file { usize::MAX } else { sys::PIPE_BUF };
                self.file = Some(file);
                self.ends_mid_line = false;
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_fifo(&self.path) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write(&mut self, lines: &[u8]) -> (u64, Option<io::Error>) {
        if self.file.is_none() && self.tried.elapsed() >= RETRY_DELAY {
            // The write below fails too, and reports that.
            let _ = self.open_now();
        }
        let Some(file) = &self.file else {
            return (count(lines), Some(ErrorKind::WouldBlock.into()));
        };
        let done = write_pieces(lines, self.piece, &mut self.ends_mid_line, |bytes| {
            (&mut &*file).write(bytes)
        });
        if let (_, Some(error)) = &done
            && error.kind() == ErrorKind::BrokenPipe
        {
            self.file = None;
        }
        done
    }
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.file_type().is_fifo())
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Writes lines in pieces of whole lines, each at most `most` bytes long or one line. Returns the number of lost lines and
/// the error.
///
/// `ends_mid_line`: the output ends in the middle of a line, before and after the call.
pub(crate) fn write_pieces(
    lines: &[u8],
    most: usize,
    ends_mid_line: &mut bool,
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> (u64, Option<io::Error>) {
    let mut rest = lines;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(piece_length(rest, most));
        let mut left = piece;
        let done = loop {
            let bytes = if *ends_mid_line { b"\n" } else { left };
            match write(bytes) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(_) if std::mem::take(ends_mid_line) => {}
                Ok(length) if length == left.len() => break Ok(()),
                Ok(length) => left = &left[length..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = done {
            let written = piece.len() - left.len();
            *ends_mid_line |= written > 0 && piece[written - 1] != b'\n';
            return (count(left) + count(behind), Some(error));
        }
        rest = behind;
    }
    (0, None)
}

/// The length of the whole lines that fit into `most` bytes, at least of one.
fn piece_length(lines: &[u8], most: usize) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    if lines.len() <= most {
        return lines.len();
    }
    let last = lines[..most].iter().rposition(is_end);
    let end = last.or_else(|| lines.iter().position(is_end));
    end.map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to an output that takes so many bytes at each call.
    fn written(
        lines: &str,
        most: usize,
        ends_mid_line: bool,
        room: &[usize],
    ) -> (String, u64, bool) {
        let (mut output, mut ends_mid_line, mut room) = (Vec::new(), ends_mid_line, room.iter());
        let (lost, _) = write_pieces(lines.as_bytes(), most, &mut ends_mid_line, |bytes| {
            let room = room.next().copied().unwrap_or(0).min(bytes.len());
            output.extend_from_slice(&bytes[..room]);
            if room == 0 {
                Err(ErrorKind::StorageFull.into())
            } else {
                Ok(room)
            }
        });
        (String::from_utf8(output).unwrap(), lost, ends_mid_line)
    }

    #[test]
    fn lines_are_written_or_counted() {
        let all = "one\ntwo\nthree\n";
        for (room, output, lost, ends_mid_line) in [
            (&[100][..], all, 0, false),
            (&[5, 9], all, 0, false),
            (&[4], "one\n", 2, false),
            (&[6], "one\ntw", 2, true),
            (&[], "", 3, false),
        ] {
            let expected = (output.to_owned(), lost, ends_mid_line);
            assert_eq!(written(all, usize::MAX, false, room), expected, "{room:?}");
        }
    }

    #[test]
    fn a_partial_line_is_ended_before_the_next() {
        let output = written("one\n", usize::MAX, true, &[100, 100]);
        assert_eq!(output, ("\none\n".to_owned(), 0, false));
        let output = written("one\n", usize::MAX, true, &[]);
        assert_eq!(output, (String::new(), 1, true));
    }

    #[test]
    fn a_pipe_gets_pieces_that_it_takes_at_once() {
        for (lines, most, length) in [
            ("one\ntwo\n", 8, 8),
            ("one\ntwo\n", 7, 4),
            ("one\ntwo\n", 4, 4),
            ("one\ntwo\n", 2, 4),
            ("one", 2, 3),
        ] {
            assert_eq!(piece_length(lines.as_bytes(), most), length, "{lines:?}");
        }
    }

    #[test]
    fn a_fifo_is_written_when_it_has_a_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let mut fifo = LogFile::open(&path).unwrap();
        assert_eq!(fifo.write(b"one\ntwo\n").0, 2);
        let mut options = OpenOptions::new();
        let mut reader = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        fifo.tried = Instant::now().checked_sub(RETRY_DELAY).unwrap();
        assert_eq!(fifo.write(b"three\n").0, 0);
        let mut bytes = [0; 16];
        let length = io::Read::read(&mut reader, &mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"three\n");
        // The reader stops reading: the pipe fills, and lines that do not fit are counted.
        let line = [&[b'x'; 1000][..], b"\n"].concat();
        let lost: u64 = (0..1100).map(|_| fifo.write(&line).0).sum();
        assert!(lost > 0 && lost < 1100, "{lost}");
        drop(reader);
        assert_eq!(fifo.write(b"four\n").0, 1);
        assert!(fifo.file.is_none());
    }
}
