//! Listening sockets: bound before anything else is begun, and accepted from without waiting.

mod beside;
mod plan;
mod socket;
mod stream;

use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::config::{BindAddr, Endpoint, EndpointSource, Purpose};
use crate::error::{Error, reason};
pub(crate) use crate::serve::listeners::listener::beside::Beside;
pub(crate) use crate::serve::listeners::listener::plan::takes_in;
pub use crate::serve::listeners::listener::plan::{Within, plan};
pub(crate) use crate::serve::listeners::listener::socket::{SocketFile, bind_unix, is_socket};
use crate::serve::listeners::listener::socket::{bind_tcp, listen_tcp, prepare_tcp};
pub use crate::serve::listeners::listener::stream::Stream;
use crate::serve::logs::access::Peer;
use crate::sys;

/// A socket that listens for one address.
#[derive(Debug)]
pub struct Listener {
    /// Of a Unix socket, until somebody else takes care of it.
    file: Option<SocketFile>,
    socket: Bound,
    /// TLS is spoken here.
    pub secure: bool,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
    shares_port: bool,
    /// The endpoint that it stands for, by its number.
    endpoint: usize,
    /// Those that it stands for beside it.
    within: Vec<Within>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds to an endpoint and listens. `with_siblings` makes [`Self::sibling`] possible, where the system knows such things.
    ///
    /// # Errors
    /// What the system says against it.
    pub fn bind(endpoint: &Endpoint, with_siblings: bool) -> io::Result<Self> {
        Self::bind_beside(endpoint, with_siblings, &Beside::default())
    }

    /// As [`Self::bind`], beside sockets of ours that have made room.
    ///
    /// # Errors
    /// What the system says against it.
    pub(crate) fn bind_beside(
        endpoint: &Endpoint,
        with_siblings: bool,
        beside: &Beside<'_>,
    ) -> io::Result<Self> {
        let shares_port = with_siblings && sys::SPREADS_CONNECTIONS || !beside.is_empty();
        let (socket, file) = match &endpoint.place {
            BindAddr::Tcp(address) => {
                if shares_port && beside.is_empty() && address.port() != 0 {
                    // Whoever is ready to share a port does not notice that another server has it. Beside ours it is not to
                    // be noticed, but for a server that does not share its own.
                    bind_tcp(*address, false)?;
                }
                let socket = listen_tcp(*address, shares_port, endpoint.backlog)?;
                (Bound::Tcp(socket), None)
            }
            BindAddr::Unix(path) => {
                // As nginx does: a proxy in front is another user, and there is nothing here to keep from anybody.
                let (socket, file) = bind_unix(path, endpoint.backlog, 0o666)?;
                (Bound::Unix(socket), Some(file))
            }
        };
        Ok(Self {
            file,
            socket,
            secure: endpoint.secure,
            backlog: endpoint.backlog,
            shares_port,
            endpoint: 0,
            within: Vec::new(),
        })
    }

    /// Listens on a socket that the service manager has opened for an endpoint, and keeps.
    ///
    /// # Errors
    /// What the system says against it.
    pub(crate) fn adopt(socket: &socket2::Socket, endpoint: &Endpoint) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        Ok(Self {
            file: None,
            socket: match &endpoint.place {
                BindAddr::Tcp(address) => Bound::Tcp(prepare_tcp(socket, *address)?),
                BindAddr::Unix(_) => Bound::Unix(UnixListener::from_std(socket.into())),
            },
            secure: endpoint.secure,
            backlog: endpoint.backlog,
            shares_port: false,
            endpoint: 0,
            within: Vec::new(),
        })
    }

    /// The file of a Unix socket that this has made: it is the caller's to remove from now on.
    pub(crate) const fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }

    /// Stands for an endpoint, which has this number, and for those within it.
    pub fn stand_for(&mut self, number: usize, endpoint: &Endpoint, within: &[Within]) {
        self.secure = endpoint.secure;
        self.endpoint = number;
        self.within = within.to_vec();
        if endpoint.backlog != self.backlog {
            let set = match &self.socket {
                Bound::Tcp(listener) => SockRef::from(listener).listen(endpoint.backlog),
                Bound::Unix(listener) => SockRef::from(listener).listen(endpoint.backlog),
            };
            match set {
                Ok(()) => self.backlog = endpoint.backlog,
                Err(error) => log::warn!(
                    "the backlog of {} stays {}: {}",
                    endpoint.place,
                    self.backlog,
                    reason(&error)
                ),
            }
        }
    }

    /// Another socket with the same address, over which the system spreads the connections as well.
    ///
    /// # Errors
    /// What the system says against it; `Unsupported` where it knows no such thing, or this one was not bound for it.
    pub fn sibling(&self) -> io::Result<Self> {
        match &self.socket {
            Bound::Tcp(listener) if self.shares_port => Ok(Self {
                file: None,
                socket: Bound::Tcp(listen_tcp(listener.local_addr()?, true, self.backlog)?),
                within: self.within.clone(),
                ..*self
            }),
            Bound::Tcp(_) | Bound::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The number of the endpoint to which a connection has come.
    #[must_use]
    pub fn endpoint_of(&self, stream: &Stream) -> usize {
        if self.within.is_empty() {
            return self.endpoint;
        }
        let address = match stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        };
        let ip = address.map(|address| address.ip());
        let mut within = self.within.iter();
        within
            .find(|within| Some(within.address.ip()) == ip)
            .map_or(self.endpoint, |within| within.endpoint)
    }

    /// It stands for this endpoint and for no other.
    #[must_use]
    pub(crate) const fn is_for(&self, endpoint: usize) -> bool {
        self.endpoint == endpoint && self.within.is_empty()
    }

    /// The URLs at which it answers.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        let url = |within: &Within| format!("{}{}", scheme(within.secure), within.address);
        std::iter::once(self.to_string()).chain(self.within.iter().map(url))
    }

    /// Lets nobody else into the queue, and those who are on their way into it come through.
    ///
    /// # Errors
    /// `Unsupported` where the system knows no such thing; what it says against it else.
    pub(crate) fn turn_newcomers_away(&self) -> io::Result<()> {
        match &self.socket {
            Bound::Tcp(listener) => sys::turn_newcomers_away(&SockRef::from(listener)),
            Bound::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Takes back [`Self::turn_newcomers_away`].
    pub(crate) fn let_newcomers_in(&self, place: &BindAddr) {
        if let Bound::Tcp(listener) = &self.socket
            && let Err(error) = sys::let_newcomers_in(&SockRef::from(listener))
        {
            log::error!(
                "newcomers to {place} are turned away: {}; restart maintd",
                reason(&error)
            );
        }
    }

    /// Takes the next connection, and tells whose it is, where that is `wanted`.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; what accept(2) says else.
    pub fn accept(&self, wanted: bool) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Bound::Tcp(listener) if !wanted => {
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

/// The URL at which a listener answers.
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

/// Warns where the system holds fewer connections back than we ask for.
pub(crate) fn warn_of_short_backlog(endpoints: &[Endpoint]) {
    let most = endpoints.iter().map(|endpoint| endpoint.backlog).max();
    if let Some((limit, name)) = sys::backlog_limit()
        && let Some(backlog) = most.and_then(|most| u32::try_from(most).ok())
        && limit < backlog
    {
        log::warn!("{name} cuts the backlog from {backlog} to {limit}; raise it to hold a flood");
    }
}

/// Whether an address cannot be had for want of its family.
pub(crate) fn is_missing_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
    )
}

/// What is told where an endpoint cannot be had.
pub(crate) fn bind_fault(endpoint: &Endpoint, error: &io::Error) -> Error {
    let kind = error.kind();
    let in_use = kind == io::ErrorKind::AddrInUse;
    let denied = kind == io::ErrorKind::PermissionDenied;
    let advice = match &endpoint.place {
        BindAddr::Unix(path) if in_use && !is_socket(path) => {
            "remove the file in its place or change"
        }
        BindAddr::Unix(_) | BindAddr::Tcp(_) if in_use => "stop the other server or change",
        BindAddr::Unix(_) if denied => "give a directory that may be written to with",
        BindAddr::Tcp(_) if denied => "start as root, take a port over 1023, or change",
        BindAddr::Tcp(_) if kind == io::ErrorKind::AddrNotAvailable => {
            "give an address of this host with"
        }
        BindAddr::Unix(_) | BindAddr::Tcp(_) => "change",
    };
    let setting = match (endpoint.asked_by, endpoint.secure) {
        _ if endpoint.purpose == Purpose::Metrics => "\"metrics\"",
        (EndpointSource::File, _) => "\"listen\"",
        (EndpointSource::Flag, true) => "--tls-listen",
        (EndpointSource::Flag, false) => "--listen",
    };
    Error::Failed(format!(
        "cannot listen on {}: {}; {advice} {setting}",
        endpoint.place,
        reason(error)
    ))
}
