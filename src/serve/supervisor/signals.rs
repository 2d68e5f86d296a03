//! The signals of the supervisor, as a descriptor that it polls.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::sys;

/// Signals that workers ignore: a terminal's Ctrl-C or rc.d's kill reaches the whole process group, and the supervisor sends
/// its workers orders.
pub(crate) const SUPERVISOR_SIGNALS: [i32; 5] = [SIGHUP, SIGQUIT, SIGTERM, SIGINT, SIGUSR1];

/// A signal to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// HUP: reload.
    Reload,
    /// QUIT: answer open requests, then exit.
    Quit,
    /// TERM or INT: exit now.
    Terminate,
    /// USR1: reopen the logs.
    ReopenLogs,
    /// CHLD: a worker has exited, was stopped or continues.
    ChildChanged,
}

/// Signals that have arrived and were not taken yet.
#[derive(Debug)]
pub(crate) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// Catches signals, also those that the parent process has blocked or, as nohup(1) does, ignored.
    ///
    /// # Errors
    /// Those of socketpair(2), sigaction(2) and sigprocmask(2).
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let [hup, quit, term, int, usr1] = SUPERVISOR_SIGNALS;
        let all = [hup, quit, term, int, usr1, SIGCHLD];
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, all).map(Self)?;
        // Now that there is a handler for those that were pending.
        sys::unblock_signals(&all)?;
        // A log at the limit of file sizes (setrlimit(2)) is like one on a full disk: lines are lost, and the server runs on.
        sys::ignore_signals(&[libc::SIGXFSZ]);
        Ok(signals)
    }

    /// Readable when a signal has arrived.
    pub(crate) fn source(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    /// Takes the signals that have arrived, each kind once.
    pub(crate) fn take(&mut self) -> Vec<Signal> {
        self.0
            .pending()
            .map(|signal| match signal {
                SIGHUP => Signal::Reload,
                SIGQUIT => Signal::Quit,
                SIGUSR1 => Signal::ReopenLogs,
                SIGCHLD => Signal::ChildChanged,
                _ => Signal::Terminate,
            })
            .collect()
    }
}
