//! Binding: TCP and Unix sockets, the file of a Unix socket, and the errors.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::config::{BindAddr, Endpoint, EndpointSource, Purpose};
use crate::error::{Error, reason};
use crate::sys;

/// The file of a Unix socket of ours. Drop removes it, unless another file has replaced it.
///
/// Drop it before its socket: then no client connects to a queue that is about to be closed, and the file system cannot have
/// given the inode number to another file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file that bind(2) has just created.
    fn of(path: &Path) -> io::Result<Self> {
        let data = path.symlink_metadata()?;
        Ok(Self {
            path: path.to_owned(),
            device: data.dev(),
            inode: data.ino(),
        })
    }

    /// Whether the file exists and is still that of this socket.
    pub(crate) fn exists(&self) -> bool {
        self.path
            .symlink_metadata()
            .is_ok_and(|data| (data.dev(), data.ino()) == (self.device, self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.exists() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

pub(crate) fn bind_tcp(address: SocketAddr, shares_port: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for old connections in TIME-WAIT.
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

pub(crate) fn listen_tcp(
    address: SocketAddr,
    shares_port: bool,
    backlog: i32,
) -> io::Result<TcpListener> {
    let socket = bind_tcp(address, shares_port)?;
    socket.listen(backlog)?;
    prepare_tcp(socket, address)
}

/// Sets the options of a listening socket, bound or inherited.
pub(crate) fn prepare_tcp(socket: socket2::Socket, address: SocketAddr) -> io::Result<TcpListener> {
    // Accepted sockets inherit it. The end of a long answer must not wait for the client's delayed ACK.
    socket.set_tcp_nodelay(true)?;
    if let Err(error) = sys::defer_accept(&socket) {
        log::debug!(
            "connections on {address} are accepted before their first bytes: {}",
            reason(&error)
        );
    }
    Ok(TcpListener::from_std(socket.into()))
}

/// Listens at `path` with these permissions. The file of a process that has ended is replaced.
pub(crate) fn bind_unix(
    path: &Path,
    backlog: i32,
    mode: u32,
) -> io::Result<(UnixListener, SocketFile)> {
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
    // Drop removes it if one of the next steps fails.
    let file = SocketFile::of(path)?;
    // No client can connect before listen(2).
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((UnixListener::from_std(socket.into()), file))
}

pub(crate) fn is_socket(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|data| data.file_type().is_socket())
}

/// Whether a socket file belongs to a process that has ended. A server with a full queue does not refuse connections.
fn is_stale(path: &Path) -> bool {
    let connect = || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    is_socket(path)
        && connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Warns if the kernel cuts the backlog of an endpoint.
pub(crate) fn warn_of_short_backlog(endpoints: &[Endpoint]) {
    let most = endpoints.iter().map(|endpoint| endpoint.backlog).max();
    if let Some((limit, name)) = sys::backlog_limit()
        && let Some(backlog) = most.and_then(|most| u32::try_from(most).ok())
        && limit < backlog
    {
        log::warn!("{name} cuts the backlog from {backlog} to {limit}; raise it to hold a flood");
    }
}

/// Whether a bind error means that the host lacks the address family.
pub(crate) fn is_missing_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
    )
}

/// The error for an endpoint that cannot be bound.
pub(crate) fn bind_error(endpoint: &Endpoint, error: &io::Error) -> Error {
    let kind = error.kind();
    let in_use = kind == io::ErrorKind::AddrInUse;
    let denied = kind == io::ErrorKind::PermissionDenied;
    let advice = match &endpoint.address {
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
    let setting = match (endpoint.source, endpoint.secure) {
        _ if endpoint.purpose == Purpose::Metrics => "\"metrics\"",
        (EndpointSource::File, _) => "\"listen\"",
        (EndpointSource::Flag, true) => "--tls-listen",
        (EndpointSource::Flag, false) => "--listen",
    };
    Error::Failed(format!(
        "cannot listen on {}: {}; {advice} {setting}",
        endpoint.address,
        reason(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_dropped_socket_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (socket, file) = bind_unix(&path, 1, 0o600).unwrap();
        assert!(file.exists());
        drop((file, socket));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_replaces_ours_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (_socket, file) = bind_unix(&path, 1, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!file.exists());
        let (_other, others) = bind_unix(&path, 1, 0o600).unwrap();
        assert!(others.exists() && !file.exists());
        drop(file);
        assert!(others.exists());
    }
}
