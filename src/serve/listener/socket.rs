//! Sockets, bound and made ready to listen; and the files of those in the file system.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::fault::reason;
use crate::sys;

/// The file of a Unix socket, which is removed when this is dropped.
#[derive(Debug)]
pub(in crate::serve) struct SocketFile(pub(in crate::serve) PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) fn bind_tcp(address: SocketAddr, shares_port: bool) -> io::Result<socket2::Socket> {
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

pub(super) fn listen_tcp(
    address: SocketAddr,
    shares_port: bool,
    backlog: i32,
) -> io::Result<TcpListener> {
    let socket = bind_tcp(address, shares_port)?;
    socket.listen(backlog)?;
    prepare_tcp(socket, address)
}

/// Sets what a listening socket has to have, whoever opened it.
pub(super) fn prepare_tcp(socket: socket2::Socket, address: SocketAddr) -> io::Result<TcpListener> {
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

pub(super) fn bind_unix(path: &Path, backlog: i32) -> io::Result<UnixListener> {
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

pub(super) fn is_socket(path: &Path) -> bool {
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
    is_socket(path)
        && connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
