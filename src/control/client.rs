//! The side that asks.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::control::{Reply, Request};
use crate::error::reason;

/// The longest answer that is read.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No daemon has this socket; what the system says.
    Nobody(String),
    /// There is one, or that cannot be told, and it did not go well.
    Failed(String),
}

/// Asks the daemon that has the socket at `path`, and waits for its answer no longer than `limit`.
///
/// # Errors
/// There is no daemon, or it does not answer.
pub(crate) fn ask(path: &Path, request: &Request, limit: Duration) -> Result<Reply, Failure> {
    let end = Instant::now() + limit;
    let mut stream = connect(path, limit).map_err(|error| {
        let is_nobody = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory
        );
        let why = reason(&error);
        if is_nobody {
            Failure::Nobody(why)
        } else {
            Failure::Failed(why)
        }
    })?;
    let line = exchange(&mut stream, request, end).map_err(|error| {
        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        Failure::Failed(if is_late {
            format!("it has not answered within {} s", limit.as_secs())
        } else {
            reason(&error)
        })
    })?;
    Reply::parse(&line).ok_or_else(|| {
        Failure::Failed("it closed the connection, or is another maintd than this".to_owned())
    })
}

/// A daemon that is too busy to accept is not waited for longer than that either.
fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(limit))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

fn exchange(stream: &mut UnixStream, request: &Request, end: Instant) -> io::Result<Vec<u8>> {
    stream.write_all(request.line().as_bytes())?;
    let (mut line, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while !line.ends_with(b"\n") && line.len() < MAX_ANSWER {
        let left = end.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => line.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted && !left.is_zero() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}
