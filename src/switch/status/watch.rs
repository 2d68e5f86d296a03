//! `maintd status --watch`: queries the daemon each second, and draws a screen on a terminal or prints a row elsewhere.

use std::io::{self, ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::clock;
use crate::config::Config;
use crate::control::ControlError;
use crate::error::{Error, reason};
use crate::switch::status::daemon::DaemonStatus;
use crate::switch::status::screen;
use crate::switch::system::hold_signals;
use crate::switch::tools::Tools;
use crate::sys;
use crate::sys::{SingleKeys, Source};

/// The time between two queries.
const INTERVAL: Duration = Duration::from_secs(1);
/// For a terminal without a known size.
const DEFAULT_SIZE: (usize, usize) = (80, 24);
/// The rows of the table after which the column names are repeated.
const ROWS_PER_HEAD: usize = 20;

/// Switch to the alternate screen and hide the cursor, and back (xterm control sequences).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Shows the status of the configuration's daemon until a signal or `q`.
///
/// # Errors
/// stdout cannot be written.
pub fn watch(config: &Config, tools: &Tools) -> Result<(), Error> {
    let socket = tools.control_socket(config);
    hold_signals()?;
    let result = if io::stdout().is_terminal() {
        draw(&socket)
    } else {
        list(&socket)
    };
    match result {
        // The reader of the pipe has ended.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Failed(format!(
            "cannot write to stdout: {}",
            reason(&error)
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Draws a screen each second.
fn draw(socket: &Path) -> io::Result<()> {
    let keys = SingleKeys::begin()?;
    let mut pause = Pause {
        reads_keys: keys.is_some(),
    };
    io::stdout().write_all(ENTER.as_bytes())?;
    let drawn = loop {
        let began = Instant::now();
        let size = sys::terminal_size().unwrap_or(DEFAULT_SIZE);
        let status = DaemonStatus::query(socket).map_err(|failure| describe(socket, failure));
        let lines = screen::render(&status, size, clock::seconds(), screen::is_utf8());
        let bytes = drawn_over(&lines);
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(bytes.as_bytes())
            .and_then(|()| stdout.flush());
        drop(stdout);
        if written.is_err() || pause.is_ended(began + INTERVAL)? {
            break written;
        }
    };
    let left = io::stdout().write_all(LEAVE.as_bytes());
    let left = left.and_then(|()| io::stdout().flush());
    drop(keys);
    drawn.and(left)
}

/// The bytes that draw these lines over the previous ones. One write without clearing the screen avoids flicker.
fn drawn_over(lines: &[String]) -> String {
    let mut bytes = String::from("\x1b[H");
    for (number, line) in (1..).zip(lines) {
        // Clears before the line, not after it: after a line as wide as the screen the cursor is on its last character. The
        // last line clears all lines below, too.
        bytes.push_str(if number < lines.len() {
            "\x1b[K"
        } else {
            "\x1b[J"
        });
        bytes.push_str(line);
        bytes.push_str(if number < lines.len() { "\r\n" } else { "" });
    }
    bytes
}

/// Prints a row of a table each second.
fn list(socket: &Path) -> io::Result<()> {
    let mut pause = Pause { reads_keys: false };
    let mut stdout = io::stdout();
    for row in 0.. {
        let began = Instant::now();
        let text = match DaemonStatus::query(socket) {
            Ok(daemon) => screen::row(&daemon, clock::seconds(), row % ROWS_PER_HEAD == 0),
            Err(failure) => format!(
                "{}  {}\n",
                screen::clock(clock::seconds()),
                describe(socket, failure)
            ),
        };
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        if pause.is_ended(began + INTERVAL)? {
            break;
        }
    }
    Ok(())
}

fn describe(socket: &Path, failure: ControlError) -> String {
    let socket = socket.display();
    match failure {
        ControlError::NoDaemon(cause) => {
            format!("no daemon at \"{socket}\": {cause}; waiting for one")
        }
        ControlError::Failed(cause) => format!("cannot query the daemon at \"{socket}\": {cause}"),
    }
}

/// The wait between two queries.
struct Pause {
    /// Keys are read from stdin.
    reads_keys: bool,
}

impl Pause {
    /// Waits until a time. True if a signal or `q` arrived.
    fn is_ended(&mut self, until: Instant) -> io::Result<bool> {
        loop {
            if sys::take_held_signal().is_some() {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let stdin = io::stdin();
            let keys = self.reads_keys.then(|| Source::Input(stdin.as_fd()));
            let sources: Vec<Source<'_>> = keys.into_iter().collect();
            let ready = sys::wait_for(&sources, Some(left))?;
            if ready.first() == Some(&true) {
                let mut key = [0];
                match stdin.lock().read(&mut key) {
                    Ok(1) if matches!(key[0], b'q' | b'Q') => return Ok(true),
                    Ok(1) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => self.reads_keys = false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a line as wide as the screen the cursor is on its last character, which `EL` would clear.
    #[test]
    fn lines_are_cleared_before_they_are_written() {
        let lines = ["one", "two", "three"].map(str::to_owned);
        let bytes = drawn_over(&lines);
        assert_eq!(bytes, "\x1b[H\x1b[Kone\r\n\x1b[Ktwo\r\n\x1b[Jthree");
    }
}
