//! A connection. The first byte is the size of the pieces of input, the second one the room for each write, and bit 7 of either
//! makes the client half-close at the end.
#![no_main]

use std::io::{self, ErrorKind, Read, Write};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use maintd::serve::answer::Answers;
use maintd::serve::answer::select::Sites;
use maintd::serve::connection::{Connection, Next};
use maintd::serve::transport::{Buffers, Transport};

const PAGE: &[u8] = b"<p>HTTP/1.1 503 \r\n\r\n</p>";

static SITES: LazyLock<Sites> = LazyLock::new(|| {
    let answers = Answers::new(PAGE, "text/html", Duration::from_secs(300)).expect("memory");
    Sites::one(answers, 20)
});

/// A client's socket, edge-triggered like a real one.
struct Client<'a> {
    input: &'a [u8],
    cut: usize,
    /// The bytes of `input` that have arrived.
    arrived: usize,
    room: usize,
    room_a_turn: usize,
    ends: bool,
    short_read: bool,
    shut: bool,
    output: Vec<u8>,
}

impl Client<'_> {
    fn begin_turn(&mut self) {
        self.arrived = (self.arrived + self.cut).min(self.input.len());
        self.room = self.room_a_turn;
        self.short_read = false;
    }

    fn is_at_end(&self) -> bool {
        self.ends && self.arrived == self.input.len()
    }
}

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.arrived);
        if length == 0 {
            return if self.input.is_empty() && self.ends {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        buffer[..length].copy_from_slice(&self.input[..length]);
        self.input = &self.input[length..];
        self.arrived -= length;
        self.short_read = length < buffer.len();
        Ok(length)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.shut);
        let length = bytes.len().min(self.room);
        if length == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.output.extend_from_slice(&bytes[..length]);
        self.room -= length;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Client<'_> {
    fn is_drained(&self) -> bool {
        self.short_read && !self.is_at_end()
    }

    fn take_sent(&mut self) -> usize {
        0
    }

    fn shutdown(&mut self) {
        self.shut = true;
    }

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}

/// Runs a client to its end, and returns the number of pages it received.
fn play(input: &[u8], cut: usize, room: usize, ends: bool) -> u32 {
    let mut client = Client {
        input,
        cut,
        arrived: 0,
        room,
        room_a_turn: room,
        ends,
        short_read: false,
        shut: false,
        output: Vec::new(),
    };
    let mut connection = Connection::new(false);
    let mut buffer = vec![0; Buffers::PLAINTEXT];
    // Every turn reads or writes until no work is left.
    let mut idle = 0;
    while idle < 2 {
        let before = (client.input.len(), client.output.len());
        client.begin_turn();
        match connection.advance(&mut client, &SITES, &mut buffer, &mut ()) {
            Next::Close(_) => break,
            Next::Requeue => idle = 0,
            Next::Read | Next::Write if before == (client.input.len(), client.output.len()) => {
                idle += 1
            }
            Next::Read | Next::Write => idle = 0,
        }
    }
    assert_eq!(pages(&client.output, &connection), connection.answered());
    connection.answered()
}

/// Parses the output: complete pages, and at most one refusal at the end.
fn pages(mut output: &[u8], connection: &Connection) -> u32 {
    let mut pages = 0;
    while !output.is_empty() {
        let end = output
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a head's end")
            + 4;
        let head = std::str::from_utf8(&output[..end]).expect("text");
        if !head.starts_with("HTTP/1.1 503 ") {
            assert!(head.contains("Connection: close\r\n"));
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let body = output.len() - end;
            assert!(
                body == 0 || length == Some(&body.to_string()),
                "an answer after a refusal"
            );
            return pages;
        }
        output = &output[end..];
        // An answer to HEAD has no page.
        output = output.strip_prefix(PAGE).unwrap_or(output);
        pages += 1;
        if head.contains("Connection: close\r\n") {
            assert!(output.is_empty(), "an answer after the last");
        }
        assert!(pages <= connection.answered());
    }
    pages
}

fuzz_target!(|data: &[u8]| {
    let [cut, room, input @ ..] = data else {
        return;
    };
    let ends = (cut | room) & 0x80 != 0;
    let (cut, room) = (
        usize::from(cut & 0x7f) + 1,
        usize::from(room & 0x7f) * 4 + 1,
    );
    let in_pieces = play(input, cut, room, ends);
    let at_once = play(input, input.len().max(1), usize::MAX, ends);
    assert_eq!(
        in_pieces, at_once,
        "the number of requests depends on how the input is split"
    );
});
