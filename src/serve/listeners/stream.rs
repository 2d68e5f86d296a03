//! Accepted sockets: TCP or Unix.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::serve::transport;
use crate::sys;

/// An accepted socket.
#[derive(Debug)]
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Registers with `registry`, or changes a registration.
    ///
    /// # Errors
    /// Of epoll(7) or kqueue(2).
    pub fn watch(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
        is_registered: bool,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) if is_registered => registry.reregister(stream, token, interest),
            Self::Unix(stream) if is_registered => registry.reregister(stream, token, interest),
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// The bytes written that the client has not acknowledged: they distinguish a slow client from one that is gone.
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
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // No SIGPIPE after the client has closed, as with std's writes.
            Self::Tcp(stream) => SockRef::from(&*stream)
                .send_with_flags(bytes, sys::MORE_FOLLOWS | libc::MSG_NOSIGNAL),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn shutdown(&mut self) {
        // It fails only after the client has closed.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
