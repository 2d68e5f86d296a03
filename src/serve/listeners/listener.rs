//! A listening socket of a worker.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::config::{BindAddr, Endpoint};
use crate::error::reason;
use crate::serve::listeners::bind::{SocketFile, bind_tcp, bind_unix, listen_tcp, prepare_tcp};
use crate::serve::listeners::stream::Stream;
use crate::serve::logs::access::Peer;
use crate::sys;

/// A socket that listens on one address.
#[derive(Debug)]
pub struct Listener {
    /// Of a Unix socket, until [`Self::take_file`].
    file: Option<SocketFile>,
    socket: Bound,
    /// Accepted connections use TLS.
    pub secure: bool,
    /// The length of the queue of connections to be accepted.
    pub backlog: i32,
    shares_port: bool,
    /// The number of its endpoint.
    endpoint: usize,
    covered: Vec<CoveredEndpoint>,
}

/// An endpoint without a socket of its own: a single address, which the socket on the wildcard address of its port covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoveredEndpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Accepted connections use TLS.
    pub secure: bool,
    /// Its number.
    pub endpoint: usize,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds to an endpoint and listens. `with_siblings` makes [`Self::bind_again`] possible, on systems that support it.
    ///
    /// # Errors
    /// Of socket(2), bind(2) and the calls between them and listen(2).
    pub fn bind(endpoint: &Endpoint, with_siblings: bool) -> io::Result<Self> {
        let shares_port = with_siblings && sys::SPREADS_CONNECTIONS;
        let (socket, file) = match &endpoint.address {
            BindAddr::Tcp(address) => {
                if shares_port && address.port() != 0 {
                    // A socket that shares its port can be bound although another server listens there.
                    bind_tcp(*address, false)?;
                }
                let socket = listen_tcp(*address, shares_port, endpoint.backlog)?;
                (Bound::Tcp(socket), None)
            }
            BindAddr::Unix(path) => {
                // As in nginx: the proxy in front runs as another user, and every client may have the page.
                let (socket, file) = bind_unix(path, endpoint.backlog, 0o666)?;
                (Bound::Unix(socket), Some(file))
            }
        };
        Ok(Self::new(socket, file, endpoint, shares_port))
    }

    /// Listens on a copy of a socket that the service manager has opened.
    ///
    /// # Errors
    /// Of dup(2) or setsockopt(2).
    pub(crate) fn from_inherited(
        socket: &socket2::Socket,
        endpoint: &Endpoint,
    ) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        let socket = match &endpoint.address {
            BindAddr::Tcp(address) => Bound::Tcp(prepare_tcp(socket, *address)?),
            BindAddr::Unix(_) => Bound::Unix(UnixListener::from_std(socket.into())),
        };
        Ok(Self::new(socket, None, endpoint, false))
    }

    const fn new(
        socket: Bound,
        file: Option<SocketFile>,
        endpoint: &Endpoint,
        shares_port: bool,
    ) -> Self {
        Self {
            file,
            socket,
            secure: endpoint.secure,
            backlog: endpoint.backlog,
            shares_port,
            endpoint: 0,
            covered: Vec::new(),
        }
    }

    /// The file of a Unix socket that this has created. The caller removes it from now on.
    pub(crate) const fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }

    /// Assigns it to an endpoint, by its number, and to those that it covers.
    pub fn assign(&mut self, number: usize, endpoint: &Endpoint, covered: &[CoveredEndpoint]) {
        self.secure = endpoint.secure;
        self.endpoint = number;
        self.covered = covered.to_vec();
        if endpoint.backlog != self.backlog {
            let set = match &self.socket {
                Bound::Tcp(listener) => SockRef::from(listener).listen(endpoint.backlog),
                Bound::Unix(listener) => SockRef::from(listener).listen(endpoint.backlog),
            };
            match set {
                Ok(()) => self.backlog = endpoint.backlog,
                Err(error) => log::warn!(
                    "the backlog of {} stays {}: {}",
                    endpoint.address,
                    self.backlog,
                    reason(&error)
                ),
            }
        }
    }

    /// Another socket on the same address, with a share of its connections.
    ///
    /// # Errors
    /// `Unsupported` by the system, or because this one was not bound for it; else those of [`Self::bind`].
    pub fn bind_again(&self) -> io::Result<Self> {
        match &self.socket {
            Bound::Tcp(listener) if self.shares_port => Ok(Self {
                file: None,
                socket: Bound::Tcp(listen_tcp(listener.local_addr()?, true, self.backlog)?),
                covered: self.covered.clone(),
                ..*self
            }),
            Bound::Tcp(_) | Bound::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The number of the endpoint of an accepted connection: of the single address that the client has connected to, if this
    /// socket covers it.
    #[must_use]
    pub fn endpoint_of(&self, stream: &Stream) -> usize {
        if self.covered.is_empty() {
            return self.endpoint;
        }
        let address = match stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        };
        let ip = address.map(|address| address.ip());
        let mut covered = self.covered.iter();
        covered
            .find(|covered| Some(covered.address.ip()) == ip)
            .map_or(self.endpoint, |covered| covered.endpoint)
    }

    /// Whether all its connections belong to this endpoint.
    #[must_use]
    pub(crate) const fn is_for(&self, endpoint: usize) -> bool {
        self.endpoint == endpoint && self.covered.is_empty()
    }

    /// The URLs of its endpoints.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        let url =
            |covered: &CoveredEndpoint| format!("{}{}", scheme(covered.secure), covered.address);
        std::iter::once(self.to_string()).chain(self.covered.iter().map(url))
    }

    /// Stops new handshakes; those that have begun are completed and queued.
    ///
    /// # Errors
    /// `Unsupported` by the system; else those of setsockopt(2).
    pub(crate) fn block_new_connections(&self) -> io::Result<()> {
        match &self.socket {
            Bound::Tcp(listener) => sys::block_new_connections(&SockRef::from(listener)),
            Bound::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reverts [`Self::block_new_connections`].
    pub(crate) fn unblock_new_connections(&self, address: &BindAddr) {
        if let Bound::Tcp(listener) = &self.socket
            && let Err(error) = sys::unblock_new_connections(&SockRef::from(listener))
        {
            log::error!(
                "new connections to {address} are blocked: {}; restart maintd",
                reason(&error)
            );
        }
    }

    /// Accepts the next connection, and fetches the peer's address only `with_peer`.
    ///
    /// # Errors
    /// `WouldBlock` without a connection; else those of accept(2).
    pub fn accept(&self, with_peer: bool) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Bound::Tcp(listener) if !with_peer => {
                let accepted = sys::accept(listener.as_fd())?;
                let stream = TcpStream::from_std(accepted.into());
                Ok((Stream::Tcp(stream), Peer::Unknown))
            }
            Bound::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                Ok((Stream::Tcp(stream), Peer::Ip(address.ip())))
            }
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

const fn scheme(secure: bool) -> &'static str {
    if secure { "https://" } else { "http://" }
}

/// The URL of its endpoint.
impl fmt::Display for Listener {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(scheme(self.secure))?;
        match &self.socket {
            Bound::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(to),
                Err(_) => to.write_str("?"),
            },
            Bound::Unix(listener) => match listener.local_addr() {
                Ok(address) => {
                    let path = address.as_pathname().unwrap_or(Path::new("?"));
                    write!(to, "unix:{}", path.display())
                }
                Err(_) => to.write_str("?"),
            },
        }
    }
}

impl Source for Listener {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(listener) => listener.register(registry, token, interests),
            Bound::Unix(listener) => listener.register(registry, token, interests),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(listener) => listener.reregister(registry, token, interests),
            Bound::Unix(listener) => listener.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(listener) => listener.deregister(registry),
            Bound::Unix(listener) => listener.deregister(registry),
        }
    }
}
