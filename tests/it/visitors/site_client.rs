//! A client of the site: one address, one URL scheme, and the outcomes of its requests.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::common::client::{Tls, parse_head};
use crate::visitors::namespaces::Namespace;

/// The limit for the connect and for each read and write: longer than TCP needs to send a lost segment again.
const IO_TIMEOUT: Duration = Duration::from_secs(9);

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The live site's answer.
    Live,
    /// The page.
    Page,
    /// The connection was reset.
    Reset,
    /// The connection was refused.
    Refused,
    /// Nothing came.
    Timeout,
    /// Anything else.
    Odd(String),
}

/// A client with one address and one way to the site.
pub(crate) struct SiteClient<'a> {
    namespace: &'a Namespace,
    /// Port 0 is any.
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// The limit for the connect and for each read and write.
    pub(crate) io_timeout: Duration,
    stream: Option<Box<dyn Stream>>,
}

trait Stream: Read + Write + Send + Sync {}
impl<T: Read + Write + Send + Sync> Stream for T {}

impl<'a> SiteClient<'a> {
    /// One from this address, to be found in this namespace; by TLS where the port is 443 or 8443.
    pub(crate) fn new(namespace: &'a Namespace, from: impl Into<IpAddr>, to: SocketAddr) -> Self {
        let secure = [443, 8443].contains(&to.port());
        Self {
            namespace,
            from: SocketAddr::new(from.into(), 0),
            to,
            tls: secure.then(|| Tls::default().config().unwrap()),
            io_timeout: IO_TIMEOUT,
            stream: None,
        }
    }

    /// A second client with the same addresses.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.namespace, self.from.ip(), self.to)
    }

    /// Sends a request on the kept connection, or on a new one that is kept.
    pub(crate) fn ask(&mut self) -> Outcome {
        self.outcome("keep-alive")
    }

    /// Sends a request with `Connection: close` on a new connection.
    pub(crate) fn ask_once(&mut self) -> Outcome {
        self.leave();
        let outcome = self.outcome("close");
        self.leave();
        outcome
    }

    /// There is a connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Closes the connection.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
    }

    fn outcome(&mut self, connection: &str) -> Outcome {
        match self.exchange(connection) {
            Ok(answer) => answer,
            Err(error) => {
                self.leave();
                #[expect(clippy::wildcard_enum_match_arm, reason = "all others are odd")]
                match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Outcome::Reset,
                    ErrorKind::ConnectionRefused => Outcome::Refused,
                    ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Timeout,
                    _ => Outcome::Odd(error.to_string()),
                }
            }
        }
    }

    fn exchange(&mut self, connection: &str) -> io::Result<Outcome> {
        if self.stream.is_none() {
            self.stream = Some(self.open()?);
        }
        let stream = self.stream.as_mut().unwrap();
        let request =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        let outcome = answer(stream)?;
        if connection == "close" {
            // The server is to be the first to close, so that this end's port is free at once.
            let end = stream.read(&mut [0])?;
            assert_eq!(end, 0, "more than the answer");
        }
        Ok(outcome)
    }

    fn open(&self) -> io::Result<Box<dyn Stream>> {
        let socket = self.namespace.inside(|| self.socket())?;
        let Some(config) = &self.tls else {
            return Ok(Box::new(socket));
        };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        Ok(Box::new(StreamOwned::new(session, socket)))
    }

    fn socket(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, None)?;
        socket.set_reuse_address(self.from.port() != 0)?;
        socket.bind(&self.from.into())?;
        socket.connect_timeout(&self.to.into(), self.io_timeout)?;
        socket.set_read_timeout(Some(self.io_timeout))?;
        socket.set_write_timeout(Some(self.io_timeout))?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }
}

/// Reads one answer.
fn answer(stream: &mut dyn Stream) -> io::Result<Outcome> {
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = parse_head(std::str::from_utf8(&read[..end + 4]).unwrap());
            let length: usize = head.header("Content-Length").unwrap().parse().unwrap();
            if read.len() >= end + 4 + length {
                let body = &read[end + 4..];
                return Ok(match head.status {
                    200 if body == b"live\n" => Outcome::Live,
                    503 if body.len() == length => Outcome::Page,
                    status => Outcome::Odd(format!("{status} {}", body.escape_ascii())),
                });
            }
        }
        match stream.read(&mut buffer)? {
            0 => {
                let what = format!("ended after {} bytes of an answer", read.len());
                return Err(io::Error::other(what));
            }
            length => read.extend_from_slice(&buffer[..length]),
        }
    }
}
