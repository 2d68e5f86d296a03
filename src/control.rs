//! The protocol of the control socket: the client sends one line of JSON and the daemon replies with one.
//!
//! The switch is the client ([`ask`]); the server is part of the supervisor.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::reason;

/// The longest request, with its line feed. The known ones are much shorter.
pub(crate) const MAX_REQUEST: usize = 1024;
/// The longest reply.
const MAX_REPLY: usize = 4 * 1024 * 1024;

/// What a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlRequest {
    /// The same as SIGHUP, but the reply comes when the new workers accept, and contains the member `announced`.
    Reload,
    /// The daemon's counters and what it announces.
    Status,
}

impl ControlRequest {
    /// The line, with its line feed.
    pub(crate) fn line(self) -> String {
        let command = match self {
            Self::Reload => "reload",
            Self::Status => "status",
        };
        format!("{}\n", json!({ "command": command }))
    }

    /// Parses a line without its line feed.
    ///
    /// # Errors
    /// What is wrong with it, as a message.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|_| "not a line of JSON; write one object".to_owned())?;
        match value.get("command").and_then(Value::as_str) {
            Some("reload") => Ok(Self::Reload),
            Some("status") => Ok(Self::Status),
            Some(_) | None => Err("unknown command; write reload or status".to_owned()),
        }
    }
}

/// What the daemon replies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// Success: an object with the members that the request asks for.
    Done(Value),
    /// Failure: the cause.
    Error(String),
}

impl Reply {
    /// The line, with its line feed.
    pub(crate) fn line(self) -> String {
        let value = match self {
            Self::Done(mut value) => {
                value["ok"] = json!(true);
                value
            }
            Self::Error(what) => json!({ "ok": false, "fault": what }),
        };
        format!("{value}\n")
    }

    /// Parses a line; `None` if it is no reply.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        let object = value.as_object_mut()?;
        match object.remove("ok")?.as_bool()? {
            true => Some(Self::Done(value)),
            false => Some(Self::Error(object.get("fault")?.as_str()?.to_owned())),
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlError {
    /// No daemon listens on this socket; the system's reason.
    NoDaemon(String),
    /// Any other failure; the cause.
    Failed(String),
}

/// Sends a request to the daemon that listens on `path`, and waits for the reply for at most `limit`.
///
/// # Errors
/// There is no daemon, or it does not reply.
pub(crate) fn ask(
    path: &Path,
    request: ControlRequest,
    limit: Duration,
) -> Result<Reply, ControlError> {
    let end = Instant::now() + limit;
    let mut stream = connect(path, limit).map_err(|error| {
        let has_no_daemon = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory
        );
        if has_no_daemon {
            ControlError::NoDaemon(reason(&error))
        } else {
            ControlError::Failed(reason(&error))
        }
    })?;
    let line = exchange(&mut stream, request, end).map_err(|error| {
        let is_timeout = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        ControlError::Failed(if is_timeout {
            format!("no reply within {} s", limit.as_secs())
        } else {
            reason(&error)
        })
    })?;
    Reply::parse(&line).ok_or_else(|| {
        ControlError::Failed("it closed the connection, or is another version of maintd".to_owned())
    })
}

/// Connects. The write timeout also limits connect(2), which blocks while the daemon's backlog is full.
fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(limit))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

fn exchange(stream: &mut UnixStream, request: ControlRequest, end: Instant) -> io::Result<Vec<u8>> {
    stream.write_all(request.line().as_bytes())?;
    let (mut line, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while !line.ends_with(b"\n") && line.len() < MAX_REPLY {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_parsed_to_the_same_request() {
        for request in [ControlRequest::Status, ControlRequest::Reload] {
            let line = request.line();
            let text = line.strip_suffix('\n').unwrap();
            assert!(!text.contains('\n') && line.len() <= MAX_REQUEST);
            assert_eq!(ControlRequest::parse(text.as_bytes()), Ok(request));
        }
    }

    #[test]
    fn an_invalid_request_is_an_error() {
        for (line, expected) in [
            ("", "not a line of JSON"),
            ("{", "not a line of JSON"),
            ("\u{7f}", "not a line of JSON"),
            ("[]", "unknown command"),
            ("{\"command\":\"off\"}", "unknown command"),
            ("{\"command\":\"announce\"}", "unknown command"),
            ("{\"command\":1}", "unknown command"),
        ] {
            let error = ControlRequest::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_reply_line_is_parsed_to_the_same_reply() {
        for reply in [
            Reply::Done(json!({})),
            Reply::Done(json!({ "pid": 1 })),
            Reply::Error("not now".to_owned()),
        ] {
            let line = reply.clone().line();
            assert_eq!(Reply::parse(line.as_bytes()), Some(reply));
        }
        assert_eq!(Reply::parse(b"{}"), None);
        assert_eq!(Reply::parse(b"{\"ok\":false}"), None);
    }
}
