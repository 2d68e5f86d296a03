//! The control socket as the supervisor has it: who asks, and what is answered. No client is ever waited for: each has a short
//! time for a short line, and there are few at once.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};

use crate::config::ControlSocket;
use crate::control::{MAX_LINE, Reply, Request};
use crate::error::{Error, reason};
use crate::serve::listeners::bind::{SocketFile, bind_unix, is_socket};
use crate::sys;
use crate::sys::Source;

/// The clients at once; further ones wait to be accepted.
const MAX_CLIENTS: usize = 8;
/// How long a client may take to ask, and to take its answer.
const EXCHANGE: Duration = Duration::from_secs(2);
/// How long a client waits for new workers to serve.
const WAITING: Duration = Duration::from_secs(20);

/// The socket, and those who are connected.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    /// Removed before the socket is closed.
    file: SocketFile,
    listener: UnixListener,
    clients: Vec<ControlClient>,
    next: ClientNumber,
}

/// A client, of which there is never another with the same number.
pub(crate) type ClientNumber = u64;

#[derive(Debug)]
struct ControlClient {
    number: ClientNumber,
    stream: UnixStream,
    exchange: Exchange,
    limit: Instant,
}

/// How far a client has come.
#[derive(Debug)]
enum Exchange {
    /// This much of its line is there.
    Asking(Vec<u8>),
    /// It has asked, and there is no answer yet.
    Waiting,
    /// This is still to be sent.
    Answering(Vec<u8>),
    /// It has its answer, or has gone.
    Over,
}

impl Control {
    /// Opens the socket. Where the default one cannot be had that is told, and there is none.
    ///
    /// # Errors
    /// One that was asked for cannot be had.
    pub(crate) fn open(setting: &ControlSocket) -> Result<Option<Self>, Error> {
        let (path, is_default) = match setting {
            ControlSocket::Closed => return Ok(None),
            ControlSocket::Default => (Path::new(sys::CONTROL_SOCKET), true),
            ControlSocket::At(path) => (path.as_path(), false),
        };
        if is_default && let Some(directory) = path.parent() {
            // What stands in its way shows in the next step.
            let _ = DirBuilder::new().mode(0o755).create(directory);
        }
        let what = |error: &io::Error| {
            format!(
                "cannot open the control socket \"{}\": {}",
                path.display(),
                told(path, error)
            )
        };
        match bind_unix(path, 16, 0o600) {
            Ok((listener, file)) => Ok(Some(Self {
                path: path.to_owned(),
                file,
                listener,
                clients: Vec::new(),
                next: 0,
            })),
            Err(error) if is_default => {
                log::warn!(
                    "{}; \"maintd on\" cannot tell this daemon what it announces: give another with \"control\" or --control",
                    what(&error)
                );
                Ok(None)
            }
            Err(error) => Err(Error::Failed(format!(
                "{}; change \"control\" or --control",
                what(&error)
            ))),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether clients find it still: its file may have been removed, or replaced.
    pub(crate) fn can_be_found(&self) -> bool {
        self.file.exists()
    }

    /// Closes it in a worker, whose copy it is: the file stays.
    pub(crate) fn forget(self) {
        mem::forget(self.file);
    }

    /// What is waited for, in an order of which [`Self::take`] is told what has come.
    pub(crate) fn sources(&self) -> Vec<Source<'_>> {
        let is_open = self.clients.len() < MAX_CLIENTS;
        let listener = is_open.then(|| Source::Input(self.listener.as_fd()));
        let clients = self.clients.iter().filter_map(|client| {
            let stream = client.stream.as_fd();
            match client.exchange {
                Exchange::Asking(_) => Some(Source::Input(stream)),
                Exchange::Answering(_) => Some(Source::Output(stream)),
                Exchange::Waiting | Exchange::Over => None,
            }
        });
        listener.into_iter().chain(clients).collect()
    }

    /// When somebody has waited long enough.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.clients.iter().map(|client| client.limit).min()
    }

    /// Goes on with everybody, and returns what has been asked. Each that is returned is to be answered, or kept waiting.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(ClientNumber, Request)> {
        self.accept(now);
        let mut asked = Vec::new();
        for client in &mut self.clients {
            match client.go_on(now) {
                Some(Ok(request)) => asked.push((client.number, request)),
                Some(Err(what)) => client.answer(Reply::Error(what), now),
                None => {}
            }
        }
        self.forget_gone();
        asked
    }

    fn accept(&mut self, now: Instant) {
        while self.clients.len() < MAX_CLIENTS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // There is none, or it has gone. Where descriptors are wanting there will be some again.
                Err(_) => return,
            };
            if let Err(what) = check_peer(&stream) {
                log::warn!("a client of the control socket is sent away: {what}");
                continue;
            }
            self.clients.push(ControlClient {
                number: self.next,
                stream,
                exchange: Exchange::Asking(Vec::new()),
                limit: now + EXCHANGE,
            });
            self.next += 1;
        }
    }

    /// Answers a client.
    pub(crate) fn answer(&mut self, number: ClientNumber, reply: Reply, now: Instant) {
        let mut clients = self.clients.iter_mut();
        if let Some(client) = clients.find(|client| client.number == number) {
            client.answer(reply, now);
        }
        self.forget_gone();
    }

    /// Gives a client more time: new workers are to serve first.
    pub(crate) fn keep_waiting(&mut self, number: ClientNumber, now: Instant) {
        let mut clients = self.clients.iter_mut();
        if let Some(client) = clients.find(|client| client.number == number) {
            client.limit = now + WAITING;
        }
    }

    /// Answers all who wait.
    pub(crate) fn answer_waiting(&mut self, reply: &Reply, now: Instant) {
        for client in &mut self.clients {
            if matches!(client.exchange, Exchange::Waiting) {
                client.answer(reply.clone(), now);
            }
        }
        self.forget_gone();
    }

    fn forget_gone(&mut self) {
        self.clients
            .retain(|client| !matches!(client.exchange, Exchange::Over));
    }
}

impl ControlClient {
    /// Reads or writes what is possible now. Returns what was asked, or what is wrong with it.
    fn go_on(&mut self, now: Instant) -> Option<Result<Request, String>> {
        if self.limit <= now {
            // Who has waited for the daemon is told; who has kept it waiting is not.
            if matches!(self.exchange, Exchange::Waiting) {
                return Some(Err(
                    "the new workers do not serve yet; look at its error_log".to_owned(),
                ));
            }
            self.exchange = Exchange::Over;
        }
        match &mut self.exchange {
            Exchange::Asking(_) => self.read(),
            Exchange::Answering(_) => {
                self.write();
                None
            }
            Exchange::Waiting | Exchange::Over => None,
        }
    }

    fn read(&mut self) -> Option<Result<Request, String>> {
        let Exchange::Asking(line) = &mut self.exchange else {
            return None;
        };
        let mut buffer = [0; 4096];
        // As many as a line has at most, so that nobody writes for ever.
        for _ in 0..=MAX_LINE / buffer.len() {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.exchange = Exchange::Over;
                    return None;
                }
                Ok(length) => {
                    let end = buffer[..length].iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&buffer[..end.unwrap_or(length)]);
                    let asked = match (line.len() < MAX_LINE, end) {
                        (false, _) => Err("the line is over 64 KiB".to_owned()),
                        (true, Some(_)) => Request::parse(line),
                        (true, None) => continue,
                    };
                    self.exchange = Exchange::Waiting;
                    return Some(asked);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.exchange = Exchange::Over;
                    return None;
                }
            }
        }
        None
    }

    fn answer(&mut self, reply: Reply, now: Instant) {
        self.exchange = Exchange::Answering(reply.line().into_bytes());
        self.limit = now + EXCHANGE;
        self.write();
    }

    /// Writes as much as there is room for.
    fn write(&mut self) {
        let Exchange::Answering(left) = &mut self.exchange else {
            return;
        };
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(length @ 1..) => drop(left.drain(..length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => break,
            }
        }
        self.exchange = Exchange::Over;
    }
}

/// Root may ask, and who runs the daemon.
fn check_peer(stream: &UnixStream) -> Result<(), String> {
    let uid = sys::peer_uid(stream.as_fd()).map_err(|error| reason(&error))?;
    let (own, _) = sys::own_ids();
    if uid == 0 || uid == own {
        Ok(())
    } else {
        Err(format!("user {uid} is neither root nor the daemon's"))
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    if error.kind() != ErrorKind::AddrInUse {
        reason(error)
    } else if is_socket(path) {
        "another maintd has it".to_owned()
    } else {
        "something else is in its place".to_owned()
    }
}
