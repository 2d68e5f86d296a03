//! `maintd status --watch`: what the running daemon does, second by second.

mod screen;

use std::io::{self, ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::clock;
use crate::config::Config;
use crate::control::ControlError;
use crate::error::{Error, reason};
use crate::switch::Switch;
use crate::switch::filter::means::Tools;
use crate::switch::status::daemon;
use crate::switch::status::daemon::Daemon;
use crate::sys;
use crate::sys::{SingleKeys, Source};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Where a terminal does not tell its size.
const USUAL_SIZE: (usize, usize) = (80, 24);
/// The rows of the table after which its head comes again.
const ROWS_A_HEAD: usize = 20;

/// The other screen of the terminal, without a cursor (xterm's control sequences).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Shows what the daemon of a configuration does, until it is told to end.
///
/// # Errors
/// What the terminal says against it.
pub fn watch(config: &Config, tools: &Tools) -> Result<(), Error> {
    let socket = daemon::socket(config, tools);
    Switch::hold_signals()?;
    let shown = if io::stdout().is_terminal() {
        draw(&socket)
    } else {
        list(&socket)
    };
    match shown {
        // Whoever closes the pipe has seen enough.
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
        takes_keys: keys.is_some(),
    };
    io::stdout().write_all(ENTER.as_bytes())?;
    let drawn = loop {
        let began = Instant::now();
        let size = sys::terminal_size().unwrap_or(USUAL_SIZE);
        let seen = Daemon::ask(socket).map_err(|failure| told(socket, failure));
        let lines = screen::render(&seen, size, clock::seconds(), screen::is_utf8());
        let bytes = drawn_over(&lines);
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(bytes.as_bytes())
            .and_then(|()| stdout.flush());
        drop(stdout);
        if written.is_err() || pause.is_end(began + EVERY)? {
            break written;
        }
    };
    let left = io::stdout().write_all(LEAVE.as_bytes());
    let left = left.and_then(|()| io::stdout().flush());
    drop(keys);
    drawn.and(left)
}

/// What draws these lines over what is there: one write, from the top, so that nothing flickers.
fn drawn_over(lines: &[String]) -> String {
    let mut bytes = String::from("\x1b[H");
    for (number, line) in (1..).zip(lines) {
        // What is left of another size is cleared before the line, and with the last one all that is below: behind a line as
        // wide as the screen the cursor stands on its last letter.
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
    let mut pause = Pause { takes_keys: false };
    let mut stdout = io::stdout();
    for row in 0.. {
        let began = Instant::now();
        let text = match Daemon::ask(socket) {
            Ok(daemon) => screen::row(&daemon, clock::seconds(), row % ROWS_A_HEAD == 0),
            Err(failure) => format!(
                "{}  {}\n",
                screen::clock(clock::seconds()),
                told(socket, failure)
            ),
        };
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        if pause.is_end(began + EVERY)? {
            break;
        }
    }
    Ok(())
}

fn told(socket: &Path, failure: ControlError) -> String {
    let socket = socket.display();
    match failure {
        ControlError::NoDaemon(cause) => {
            format!("no daemon at \"{socket}\": {cause}; waiting for one")
        }
        ControlError::Failed(cause) => format!("the daemon at \"{socket}\" does not tell: {cause}"),
    }
}

/// The time between two looks.
struct Pause {
    /// Keys are looked at.
    takes_keys: bool,
}

impl Pause {
    /// Waits until then; returns whether it is to end.
    fn is_end(&mut self, until: Instant) -> io::Result<bool> {
        loop {
            if sys::take_held_signal().is_some() {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let stdin = io::stdin();
            let keys = self.takes_keys.then(|| Source::Input(stdin.as_fd()));
            let sources: Vec<Source<'_>> = keys.into_iter().collect();
            let told = sys::wait_for(&sources, Some(left))?;
            if told.first() == Some(&true) {
                let mut key = [0];
                match stdin.lock().read(&mut key) {
                    Ok(1) if matches!(key[0], b'q' | b'Q') => return Ok(true),
                    Ok(1) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => self.takes_keys = false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as wide as the screen leaves the cursor on its last letter, which would be cleared with what is behind it.
    #[test]
    fn nothing_is_cleared_behind_a_line() {
        let lines = ["one", "two", "three"].map(str::to_owned);
        let bytes = drawn_over(&lines);
        assert_eq!(bytes, "\x1b[H\x1b[Kone\r\n\x1b[Ktwo\r\n\x1b[Jthree");
    }
}
