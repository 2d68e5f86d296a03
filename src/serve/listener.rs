//! Listening sockets: bound before anything else is begun, and accepted from without waiting.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::access::Peer;
use super::transport;
use crate::config::{Endpoint, Place};
use crate::fault::{Fault, reason};
use crate::sys;

/// A socket that listens for one address.
#[derive(Debug)]
pub struct Listener {
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

/// An endpoint without a socket of its own: a single address, of which a socket on the wildcard address takes care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// Its address.
    pub address: SocketAddr,
    /// TLS is spoken there.
    pub secure: bool,
    /// Its number.
    pub endpoint: usize,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(pub(super) PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds to an endpoint and listens. `with_siblings` makes [`Self::sibling`] possible, where the system knows such things.
    ///
    /// # Errors
    /// What the system says against it.
    pub fn bind(endpoint: &Endpoint, with_siblings: bool) -> io::Result<Self> {
        let shares_port = with_siblings && sys::SPREADS_CONNECTIONS;
        let socket = match &endpoint.place {
            Place::Tcp(address) => {
                if shares_port && address.port() != 0 {
                    // Whoever is ready to share a port does not notice that another server has it.
                    bind_tcp(*address, false)?;
                }
                Bound::Tcp(listen_tcp(*address, shares_port, endpoint.backlog)?)
            }
            Place::Unix(path) => Bound::Unix(bind_unix(path, endpoint.backlog)?),
        };
        Ok(Self {
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
    pub(super) fn adopt(socket: &socket2::Socket, endpoint: &Endpoint) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        Ok(Self {
            socket: match &endpoint.place {
                Place::Tcp(address) => Bound::Tcp(prepare_tcp(socket, *address)?),
                Place::Unix(_) => Bound::Unix(UnixListener::from_std(socket.into())),
            },
            secure: endpoint.secure,
            backlog: endpoint.backlog,
            shares_port: false,
            endpoint: 0,
            within: Vec::new(),
        })
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

    /// The URLs at which it answers.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        let url = |within: &Within| format!("{}{}", scheme(within.secure), within.address);
        std::iter::once(self.to_string()).chain(self.within.iter().map(url))
    }

    /// Lets nobody else into the queue, and those who are on their way into it come through.
    ///
    /// # Errors
    /// `Unsupported` where the system knows no such thing; what it says against it else.
    pub(super) fn turn_newcomers_away(&self) -> io::Result<()> {
        match &self.socket {
            Bound::Tcp(listener) => sys::turn_newcomers_away(&SockRef::from(listener)),
            Bound::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Takes the next connection, and tells whose it is.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; what accept(2) says else.
    pub fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
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
pub(super) fn warn_of_short_backlog(endpoints: &[Endpoint]) {
    let most = endpoints.iter().map(|endpoint| endpoint.backlog).max();
    if let Some((limit, name)) = sys::backlog_limit()
        && let Some(backlog) = most.and_then(|most| u32::try_from(most).ok())
        && limit < backlog
    {
        log::warn!("{name} cuts the backlog from {backlog} to {limit}; raise it to hold a flood");
    }
}

/// The endpoints that get a socket, by their numbers, each with those that it takes in. As in nginx, an address whose port
/// is also listened on at the wildcard address needs none, and on Linux it could not be had.
#[must_use]
pub fn plan(endpoints: &[Endpoint]) -> Vec<(usize, Vec<Within>)> {
    let takes_in = |wide: &Endpoint, narrow: &Endpoint| match (&wide.place, &narrow.place) {
        (Place::Tcp(wide), Place::Tcp(narrow)) => {
            wide.ip().is_unspecified()
                && !narrow.ip().is_unspecified()
                && wide.is_ipv4() == narrow.is_ipv4()
                && wide.port() == narrow.port()
                && wide.port() != 0
        }
        (Place::Tcp(_) | Place::Unix(_), _) => false,
    };
    let mut plan = Vec::with_capacity(endpoints.len());
    for (number, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().any(|wide| takes_in(wide, endpoint)) {
            continue;
        }
        let narrow = endpoints.iter().enumerate();
        let narrow = narrow.filter(|(_, narrow)| takes_in(endpoint, narrow));
        let within = narrow.filter_map(|(number, narrow)| match narrow.place {
            Place::Tcp(address) => Some(Within {
                address,
                secure: narrow.secure,
                endpoint: number,
            }),
            Place::Unix(_) => None,
        });
        plan.push((number, within.collect()));
    }
    plan
}

/// Whether an address cannot be had for want of its family.
pub(super) fn is_missing_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
    )
}

/// What is told where an endpoint cannot be had.
pub(super) fn bind_fault(endpoint: &Endpoint, error: &io::Error) -> Fault {
    let kind = error.kind();
    let in_use = kind == io::ErrorKind::AddrInUse;
    let denied = kind == io::ErrorKind::PermissionDenied;
    let advice = match &endpoint.place {
        Place::Unix(path) if in_use && !is_socket(path) => "remove the file in its place or change",
        Place::Unix(_) | Place::Tcp(_) if in_use => "stop the other server or change",
        Place::Unix(_) if denied => "give a directory that may be written to with",
        Place::Tcp(_) if denied => "start as root, take a port over 1023, or change",
        Place::Tcp(_) if kind == io::ErrorKind::AddrNotAvailable => {
            "give an address of this host with"
        }
        Place::Unix(_) | Place::Tcp(_) => "change",
    };
    let flag = if endpoint.secure {
        "--tls-listen"
    } else {
        "--listen"
    };
    Fault::Failed(format!(
        "cannot listen on {}: {}; {advice} {flag}",
        endpoint.place,
        reason(error)
    ))
}

fn bind_tcp(address: SocketAddr, shares_port: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for the connections of before to time out.
    socket.set_reuse_address(true)?;
    if shares_port {
        sys::share_port(&socket)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen_tcp(address: SocketAddr, shares_port: bool, backlog: i32) -> io::Result<TcpListener> {
    let socket = bind_tcp(address, shares_port)?;
    socket.listen(backlog)?;
    prepare_tcp(socket, address)
}

/// Sets what a listening socket has to have, whoever opened it.
fn prepare_tcp(socket: socket2::Socket, address: SocketAddr) -> io::Result<TcpListener> {
    // Accepted sockets inherit it: the end of a long answer must not wait for the client's delayed ACK.
    socket.set_tcp_nodelay(true)?;
    if let Err(error) = sys::defer_accept(&socket) {
        log::debug!(
            "connections on {address} are accepted before their first bytes: {}",
            reason(&error)
        );
    }
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_unix(path: &Path, backlog: i32) -> io::Result<UnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    // As nginx does: a proxy in front is another user, and there is nothing here to keep from anybody.
    std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
    socket.listen(backlog)?;
    Ok(UnixListener::from_std(socket.into()))
}

fn is_socket(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|data| data.file_type().is_socket())
}

/// Whether a socket's file was left behind by a process that is gone. A server that is too busy to be connected to is not.
fn is_stale(path: &Path) -> bool {
    let connect = || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    path.symlink_metadata()
        .is_ok_and(|data| data.file_type().is_socket())
        && connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// An accepted socket.
#[derive(Debug)]
pub enum Stream {
    /// Of a TCP connection.
    Tcp(TcpStream),
    /// Of a connection through the file system.
    Unix(UnixStream),
}

impl Stream {
    /// Tells `registry` what to wait for, the first time or anew.
    ///
    /// # Errors
    /// Those of the poll.
    pub fn watch(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
        anew: bool,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) if anew => registry.reregister(stream, token, interest),
            Self::Unix(stream) if anew => registry.reregister(stream, token, interest),
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// The bytes that the system has taken and the client has not: what tells a slow client from one that has gone.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        match self {
            Self::Tcp(stream) => sys::unacknowledged(stream),
            Self::Unix(stream) => sys::unacknowledged(stream),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            Self::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl transport::Socket for Stream {
    fn shutdown(&mut self) {
        // It fails only where the client has gone, and then there is nothing to close.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    /// The plan for these places, as the numbers of those with a socket and of those within each.
    fn planned(places: &[&str]) -> Vec<(usize, Vec<usize>)> {
        let endpoints: Vec<Endpoint> = places
            .iter()
            .map(|place| Endpoint::new(Place::Tcp(place.parse().unwrap()), false))
            .collect();
        plan(&endpoints)
            .into_iter()
            .map(|(number, within)| (number, within.iter().map(|one| one.endpoint).collect()))
            .collect()
    }

    #[test]
    fn a_single_address_is_within_all_addresses_of_its_port() {
        let places = [
            "127.0.0.1:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::1]:80",
            "127.0.0.1:81",
            "127.0.0.2:80",
        ];
        assert_eq!(
            planned(&places),
            [(1, vec![0, 5]), (2, vec![3]), (4, vec![])]
        );
        // A free port is another one for each.
        let any = ["127.0.0.1:0", "0.0.0.0:0"];
        assert_eq!(planned(&any), [(0, vec![]), (1, vec![])]);
    }
}
