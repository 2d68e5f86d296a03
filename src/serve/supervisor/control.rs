//! The server of the control socket. It never blocks: each client has a short time for a short line, and there are few at a time.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};

use crate::config::ControlSocket;
use crate::control::{ControlRequest, MAX_REQUEST, Reply};
use crate::error::{Error, reason};
use crate::serve::listeners::bind::{SocketFile, bind_unix, is_socket};
use crate::sys;
use crate::sys::Source;

/// The clients at a time; further ones wait in the backlog.
const MAX_CLIENTS: usize = 8;
/// How long a client may take to send its request, and to read the reply.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client waits for the end of a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// The socket and its clients.
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    /// Before the listener: its file is removed before the socket is closed.
    file: SocketFile,
    listener: UnixListener,
    clients: Vec<ControlClient>,
    next_id: ClientId,
}

/// The number of a client, which no other client gets.
pub(crate) type ClientId = u64;

#[derive(Debug)]
struct ControlClient {
    id: ClientId,
    stream: UnixStream,
    exchange: Exchange,
    deadline: Instant,
}

/// The state of a client.
#[derive(Debug)]
enum Exchange {
    /// Sends its request, of which this much has arrived.
    Request(Vec<u8>),
    /// Waits for its reply.
    Waiting,
    /// Gets its reply, of which this is left.
    Reply(Vec<u8>),
    /// Is to be removed.
    Closed,
}

impl ControlServer {
    /// Opens the socket. If it is the default one and cannot be opened, logs a warning and returns `None`.
    ///
    /// # Errors
    /// A configured socket cannot be opened.
    pub(crate) fn open(setting: &ControlSocket) -> Result<Option<Self>, Error> {
        let Some(path) = setting.path() else {
            return Ok(None);
        };
        let is_default = *setting == ControlSocket::Default;
        if is_default && let Some(directory) = path.parent() {
            // An error shows in the next step.
            let _ = DirBuilder::new().mode(0o755).create(directory);
        }
        match bind_unix(path, 16, 0o600) {
            Ok((listener, file)) => Ok(Some(Self {
                path: path.to_owned(),
                file,
                listener,
                clients: Vec::new(),
                next_id: 0,
            })),
            Err(error) => {
                let what = format!(
                    "cannot open the control socket \"{}\": {}",
                    path.display(),
                    bind_error(path, &error)
                );
                if is_default {
                    log::warn!(
                        "{what}; \"maintd on\" cannot make this daemon announce anything: give another with \"control\" or --control"
                    );
                    Ok(None)
                } else {
                    Err(Error::Failed(format!(
                        "{what}; change \"control\" or --control"
                    )))
                }
            }
        }
    }

    /// The socket is at this path, and its file still exists.
    pub(crate) fn is_at(&self, path: Option<&Path>) -> bool {
        path == Some(&self.path) && self.file.exists()
    }

    /// Closes a worker's copy of the socket, and keeps the file.
    pub(crate) fn close_copy(self) {
        mem::forget(self.file);
    }

    /// What [`Self::receive`] waits for.
    pub(crate) fn sources(&self) -> Vec<Source<'_>> {
        let is_open = self.clients.len() < MAX_CLIENTS;
        let listener = is_open.then(|| Source::Input(self.listener.as_fd()));
        let clients = self.clients.iter().filter_map(|client| {
            let stream = client.stream.as_fd();
            match client.exchange {
                Exchange::Request(_) => Some(Source::Input(stream)),
                Exchange::Reply(_) => Some(Source::Output(stream)),
                Exchange::Waiting | Exchange::Closed => None,
            }
        });
        listener.into_iter().chain(clients).collect()
    }

    /// The earliest deadline of a client.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.clients.iter().map(|client| client.deadline).min()
    }

    /// Accepts, reads and writes what is possible, and returns new requests. Each of them gets a [`Self::reply`] or a
    /// [`Self::wait_for_reload`].
    pub(crate) fn receive(&mut self, now: Instant) -> Vec<(ClientId, ControlRequest)> {
        self.accept(now);
        let mut requests = Vec::new();
        for client in &mut self.clients {
            match client.advance(now) {
                Some(Ok(request)) => requests.push((client.id, request)),
                Some(Err(what)) => client.reply(Reply::Error(what), now),
                None => {}
            }
        }
        self.remove_closed();
        requests
    }

    fn accept(&mut self, now: Instant) {
        while self.clients.len() < MAX_CLIENTS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // There is none, or it has closed. If descriptors are exhausted, the next call tries again.
                Err(_) => return,
            };
            if let Err(what) = check_peer(&stream) {
                log::warn!("refused a client of the control socket: {what}");
                continue;
            }
            self.clients.push(ControlClient {
                id: self.next_id,
                stream,
                exchange: Exchange::Request(Vec::new()),
                deadline: now + EXCHANGE_TIMEOUT,
            });
            self.next_id += 1;
        }
    }

    /// Replies to a client.
    pub(crate) fn reply(&mut self, id: ClientId, reply: Reply, now: Instant) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.reply(reply, now);
        }
        self.remove_closed();
    }

    /// Makes a client wait for the end of a reload.
    pub(crate) fn wait_for_reload(&mut self, id: ClientId, now: Instant) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.deadline = now + RELOAD_TIMEOUT;
        }
    }

    /// Replies to all clients that wait for the end of a reload.
    pub(crate) fn reply_to_waiting(&mut self, reply: &Reply, now: Instant) {
        for client in &mut self.clients {
            if matches!(client.exchange, Exchange::Waiting) {
                client.reply(reply.clone(), now);
            }
        }
        self.remove_closed();
    }

    fn remove_closed(&mut self) {
        self.clients
            .retain(|client| !matches!(client.exchange, Exchange::Closed));
    }
}

impl ControlClient {
    /// Reads or writes what is possible. Returns a whole request, or what is wrong with it.
    fn advance(&mut self, now: Instant) -> Option<Result<ControlRequest, String>> {
        let is_late = self.deadline <= now;
        match &mut self.exchange {
            // The daemon is late, so the client gets a reply.
            Exchange::Waiting if is_late => Some(Err(
                "the new workers do not serve yet; see its error_log".to_owned(),
            )),
            // The client is late.
            Exchange::Request(_) | Exchange::Reply(_) if is_late => {
                self.exchange = Exchange::Closed;
                None
            }
            Exchange::Request(_) => self.read(),
            Exchange::Reply(_) => {
                self.write();
                None
            }
            Exchange::Waiting | Exchange::Closed => None,
        }
    }

    fn read(&mut self) -> Option<Result<ControlRequest, String>> {
        let Exchange::Request(line) = &mut self.exchange else {
            return None;
        };
        let mut buffer = [0; MAX_REQUEST];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => {
                    let end = buffer[..length].iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&buffer[..end.unwrap_or(length)]);
                    let request = match (line.len() < MAX_REQUEST, end) {
                        (false, _) => Err("the line is over 1 KiB".to_owned()),
                        (true, Some(_)) => ControlRequest::parse(line),
                        (true, None) => continue,
                    };
                    self.exchange = Exchange::Waiting;
                    return Some(request);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Ok(0) | Err(_) => {
                    self.exchange = Exchange::Closed;
                    return None;
                }
            }
        }
    }

    fn reply(&mut self, reply: Reply, now: Instant) {
        self.exchange = Exchange::Reply(reply.line().into_bytes());
        self.deadline = now + EXCHANGE_TIMEOUT;
        self.write();
    }

    fn write(&mut self) {
        let Exchange::Reply(left) = &mut self.exchange else {
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
        self.exchange = Exchange::Closed;
    }
}

/// Only root and the user of the daemon may use the socket.
fn check_peer(stream: &UnixStream) -> Result<(), String> {
    let uid = sys::peer_uid(stream.as_fd()).map_err(|error| reason(&error))?;
    let (own, _) = sys::own_ids();
    if uid == 0 || uid == own {
        Ok(())
    } else {
        Err(format!("user {uid} is neither root nor the daemon's"))
    }
}

fn bind_error(path: &Path, error: &io::Error) -> String {
    if error.kind() != ErrorKind::AddrInUse {
        reason(error)
    } else if is_socket(path) {
        "another maintd has it".to_owned()
    } else {
        "the file exists and is not a socket".to_owned()
    }
}
