//! Notifications for systemd (sd_notify(3)): ready, reloading, stopping. Without `NOTIFY_SOCKET` nothing is sent.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::reason;
use crate::sys;

/// All workers accept, or a reload has ended or failed.
pub(crate) fn ready() {
    send("READY=1");
}

/// A reload starts; [`ready`] must follow.
pub(crate) fn reloading() {
    send(&reloading_at(sys::monotonic_micros()));
}

/// The daemon shuts down.
pub(crate) fn stopping() {
    send("STOPPING=1");
}

/// The time distinguishes this reload from an earlier one.
fn reloading_at(micros: u64) -> String {
    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
}

fn send(message: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return;
    };
    // The daemon works without it.
    if let Err(error) = send_to(&socket, message) {
        log::debug!(
            "cannot notify the service manager at \"{}\": {}",
            socket.display(),
            reason(&error)
        );
    }
}

fn send_to(socket: &OsStr, message: &str) -> io::Result<()> {
    let sender = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    // A manager that does not read must not block the supervisor.
    sender.set_nonblocking(true)?;
    sender.send_to(message.as_bytes(), &address(socket)?)?;
    Ok(())
}

/// A path, or a name in Linux's abstract namespace (unix(7)), which is written with `@` and begins with NUL.
fn address(socket: &OsStr) -> io::Result<SockAddr> {
    match socket.as_bytes() {
        [b'/', ..] => SockAddr::unix(socket),
        [b'@', name @ ..] => SockAddr::unix(std::ffi::OsString::from_vec([b"\0", name].concat())),
        _ => Err(io::Error::other("neither a path nor an abstract name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_has_its_time() {
        let first = sys::monotonic_micros();
        assert!(first > 0);
        assert_eq!(reloading_at(12), "RELOADING=1\nMONOTONIC_USEC=12");
        assert!(sys::monotonic_micros() >= first);
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        let path = address(OsStr::new("/run/notify")).unwrap();
        assert_eq!(path.as_pathname(), Some("/run/notify".as_ref()));
        for wrong in ["vsock:2:1", "run/notify"] {
            assert!(address(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_begins_with_nul() {
        let name = address(OsStr::new("@maintd/notify")).unwrap();
        assert_eq!(name.as_abstract_namespace(), Some(&b"maintd/notify"[..]));
    }
}
