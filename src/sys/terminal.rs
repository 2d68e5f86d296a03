//! The terminal of a command that draws on it.

use std::io::{self, IsTerminal as _};

use crate::sys::privileges::done;

/// Keys come one by one, and are not shown, for as long as this is there.
#[derive(Debug)]
pub(crate) struct SingleKeys {
    before: libc::termios,
}

impl SingleKeys {
    /// Begins with that, where stdin is a terminal (termios(4)). Ctrl-C signals as ever; Ctrl-Z does not, for it would leave
    /// the terminal as it is drawn.
    ///
    /// # Errors
    /// What tcsetattr(3) says.
    pub(crate) fn begin() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        // SAFETY: all zeroes is a valid termios.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: tcgetattr writes one termios, and `before` is one.
        done(unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) })?;
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
        // What was possible before is so again; a terminal that has gone needs nothing.
        let _ = set(&self.before);
    }
}

fn set(settings: &libc::termios) -> io::Result<()> {
    // SAFETY: tcsetattr reads one termios, and `settings` is one.
    done(unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, settings) })
}

/// The columns and lines of the terminal on stdout (ioctl(2), `TIOCGWINSZ`); nothing where it is none, or does not tell.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request writes one winsize, and `size` is one.
    done(unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) }).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}
