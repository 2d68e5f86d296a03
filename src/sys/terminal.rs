//! The terminal: single keys and its size.

use std::io::{self, IsTerminal as _};

use crate::sys::syscall::check;

/// While this exists, the terminal passes on each key at once and does not echo it.
#[derive(Debug)]
pub(crate) struct SingleKeys {
    before: libc::termios,
}

impl SingleKeys {
    /// Changes the terminal, if stdin is one (termios(4)). Ctrl-C still sends its signal; Ctrl-Z does not, because it would
    /// leave the screen as it is.
    ///
    /// # Errors
    /// Of tcsetattr(3).
    pub(crate) fn begin() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        // SAFETY: all zeroes is a valid termios.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: tcgetattr writes one termios, and `before` is one.
        check(unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) })?;
        let mut single = before;
        single.c_lflag &= !(libc::ICANON | libc::ECHO);
        single.c_cc[libc::VMIN] = 1;
        single.c_cc[libc::VTIME] = 0;
        // _POSIX_VDISABLE is 0 on Linux and 255 on the BSDs.
        single.c_cc[libc::VSUSP] = if cfg!(target_os = "linux") { 0 } else { 255 };
        set(&single)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for SingleKeys {
    fn drop(&mut self) {
        // It fails only where the terminal has been closed.
        let _ = set(&self.before);
    }
}

fn set(settings: &libc::termios) -> io::Result<()> {
    // SAFETY: tcsetattr reads one termios, and `settings` is one.
    check(unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, settings) })
}

/// The columns and lines of the terminal on stdout (ioctl(2), `TIOCGWINSZ`); nothing where stdout is no terminal or its size is unknown.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request writes one winsize, and `size` is one.
    check(unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) }).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}
