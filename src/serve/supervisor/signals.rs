//! Signals as a source of input.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::sys;

/// What a worker ignores: it is the supervisor who decides, and a terminal's Ctrl-C or rc.d's kill reaches the whole group.
pub(crate) const SUPERVISORS: [i32; 5] = [SIGHUP, SIGQUIT, SIGTERM, SIGINT, SIGUSR1];

/// What the supervisor is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// HUP: read everything anew.
    Reload,
    /// QUIT: answer what has begun, then end.
    Quit,
    /// TERM or INT: end now.
    End,
    /// USR1: open the logs anew.
    Reopen,
    /// CHLD: a worker has ended.
    Child,
}

/// The signals that have come and have not been looked at.
#[derive(Debug)]
pub(crate) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// From now on signals wait here, also those that whoever started us had blocked or, as nohup(1) does, ignored.
    ///
    /// # Errors
    /// Those of socketpair(2), sigaction(2) and sigprocmask(2).
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let [hup, quit, term, int, usr1] = SUPERVISORS;
        let all = [hup, quit, term, int, usr1, SIGCHLD];
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, all).map(Self)?;
        // Only now: one that has waited must find its handler.
        sys::unblock_signals(&all)?;
        // To a log, the limit of a file's size (setrlimit(2)) is what a full disk is: it costs lines, and not the server.
        sys::ignore_signals(&[libc::SIGXFSZ]);
        Ok(signals)
    }

    /// What can be read when a signal has come.
    pub(crate) fn source(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    /// Takes those that have come, each kind once.
    pub(crate) fn take(&mut self) -> Vec<Signal> {
        self.0
            .pending()
            .map(|signal| match signal {
                SIGHUP => Signal::Reload,
                SIGQUIT => Signal::Quit,
                SIGUSR1 => Signal::Reopen,
                SIGCHLD => Signal::Child,
                _ => Signal::End,
            })
            .collect()
    }
}
