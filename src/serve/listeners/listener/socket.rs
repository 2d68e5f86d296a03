//! Sockets, bound and made ready to listen; and the files of those in the file system.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::error::reason;
use crate::sys;

/// The file of a Unix socket of ours, which is removed when this is dropped, unless another one has taken its place.
///
/// It is to be dropped before its socket, so that nobody finds the way into a queue that is no more; and as long as a socket
/// is open the system gives its file's number to no other file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file that bind(2) has just made.
    fn made(path: &Path) -> io::Result<Self> {
        let data = path.symlink_metadata()?;
        Ok(Self {
            path: path.to_owned(),
            device: data.dev(),
            inode: data.ino(),
        })
    }

    /// Whether it is there still: somebody may have removed it, or put another one in its place.
    pub(crate) fn is_there(&self) -> bool {
        self.path
            .symlink_metadata()
            .is_ok_and(|data| (data.dev(), data.ino()) == (self.device, self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
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
    // A restart must not wait for the connections of before to time out.
    socket.set_reuse_address(true)?;
    if shares_port {
        sys::share_port(&socket, true)?;
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

/// Sets what a listening socket has to have, whoever opened it.
pub(crate) fn prepare_tcp(socket: socket2::Socket, address: SocketAddr) -> io::Result<TcpListener> {
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

/// A socket at `path` with these permissions. One that was left behind by a process that is gone makes room.
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
    // Removed again where one of the next steps fails.
    let file = SocketFile::made(path)?;
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((UnixListener::from_std(socket.into()), file))
}

pub(crate) fn is_socket(path: &Path) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_socket_that_comes_to_nothing_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (socket, file) = bind_unix(&path, 1, 0o600).unwrap();
        assert!(file.is_there());
        drop((file, socket));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_place_of_ours_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (_socket, file) = bind_unix(&path, 1, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!file.is_there());
        let (_other, others) = bind_unix(&path, 1, 0o600).unwrap();
        assert!(others.is_there() && !file.is_there());
        drop(file);
        assert!(others.is_there());
    }
}
