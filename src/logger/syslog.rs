//! The syslog protocol (RFC 3164) over datagrams, which never block.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Instant;

use log::Level;

use crate::clock;
use crate::config::{Syslog, SyslogServer};
use crate::logger::file::RETRY_DELAY;
use crate::sys;

/// The longest datagram, to which a line is cut: a UDP receiver would drop a longer one.
const MAX_DATAGRAM: usize = 8 * 1024;
/// The length that every syslogd accepts (RFC 3164 4.1).
const SAFE_DATAGRAM: usize = 1024;

/// The syslog severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The one that the configuration sets for the log.
    Configured,
    /// The one for a message of this level.
    Of(Level),
}

/// A connection to a syslogd.
#[derive(Debug)]
pub(crate) struct Syslogd {
    address: Address,
    settings: Syslog,
    /// This host's name with a blank, if lines contain it.
    host: String,
    socket: Option<SyslogSocket>,
    /// The last attempt to connect.
    tried: Option<Instant>,
    datagram: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Address {
    Unix(PathBuf),
    Udp(SocketAddr),
}

#[derive(Debug)]
enum SyslogSocket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// A syslogd in messages.
pub(crate) fn describe(settings: &Syslog) -> String {
    match &settings.server {
        SyslogServer::Local => "syslog".to_owned(),
        SyslogServer::Unix(path) => format!("syslog at unix:{}", path.display()),
        SyslogServer::Udp(address) => format!("syslog at {address}"),
    }
}

impl SyslogSocket {
    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket))
            }
            Address::Udp(address) => {
                let any = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.send(datagram),
            Self::Udp(socket) => socket.send(datagram),
        }
    }
}

impl Syslogd {
    /// Resolves the address. The first line connects: the syslogd may start after this process.
    pub(crate) fn open(settings: &Syslog) -> io::Result<Self> {
        let address = match &settings.server {
            SyslogServer::Local => Address::Unix(sys::SYSLOG_SOCKET.into()),
            SyslogServer::Unix(path) => Address::Unix(path.clone()),
            SyslogServer::Udp(address) => {
                let found = address.to_socket_addrs()?.next();
                Address::Udp(found.ok_or_else(|| io::Error::other("unknown host"))?)
            }
        };
        let host = sys::host_name().filter(|_| settings.with_host);
        let host = host.map_or_else(String::new, |name| format!("{name} "));
        Ok(Self {
            address,
            settings: settings.clone(),
            host,
            socket: None,
            tried: None,
            datagram: Vec::new(),
        })
    }

    /// Closes the connection; the next line connects again.
    pub(crate) fn disconnect(&mut self) {
        self.socket = None;
        self.tried = None;
    }

    /// Sends lines. Returns the number of lost lines and the error.
    pub(crate) fn write(&mut self, lines: &[u8], severity: Severity) -> (u64, Option<io::Error>) {
        let head = self.head(severity);
        let (mut lost, mut last_error) = (0, None);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.datagram.clear();
            self.datagram.extend_from_slice(head.as_bytes());
            self.datagram.extend_from_slice(line);
            self.datagram.truncate(MAX_DATAGRAM);
            match self.send() {
                Ok(()) => last_error = None,
                Err(error) => {
                    lost += 1;
                    last_error = Some(error);
                }
            }
        }
        (lost, last_error)
    }

    /// The head of a line: `<PRIORITY>TIME HOST TAG: `.
    fn head(&self, severity: Severity) -> String {
        let severity = match severity {
            Severity::Configured => self.settings.severity,
            Severity::Of(Level::Error) => 3,
            Severity::Of(Level::Warn) => 4,
            Severity::Of(Level::Info) => 6,
            Severity::Of(Level::Debug | Level::Trace) => 7,
        };
        format!(
            "<{}>{} {}{}: ",
            u16::from(self.settings.facility) * 8 + u16::from(severity),
            clock::syslog(clock::seconds()),
            self.host,
            self.settings.tag
        )
    }

    /// Sends the datagram, through a new socket if necessary: a restarted syslogd has another one.
    fn send(&mut self) -> io::Result<()> {
        match self.send_once(self.datagram.len()) {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                self.send_once(self.datagram.len().min(SAFE_DATAGRAM))
            }
            // A UDP socket reports here that an earlier datagram was refused.
            Err(error) if is_disconnected(&error) && self.socket.is_some() => {
                if matches!(self.address, Address::Unix(_)) {
                    self.disconnect();
                }
                let again = self.send_once(self.datagram.len());
                if again.as_ref().is_err_and(is_disconnected) {
                    self.socket = None;
                }
                again
            }
            done => done,
        }
    }

    fn send_once(&mut self, length: usize) -> io::Result<()> {
        if self.socket.is_none() {
            let is_early = |tried: Instant| tried.elapsed() < RETRY_DELAY;
            if self.tried.is_some_and(is_early) {
                return Err(ErrorKind::NotConnected.into());
            }
            self.tried = Some(Instant::now());
            self.socket = Some(SyslogSocket::connect(&self.address)?);
        }
        match &self.socket {
            Some(socket) => socket.send(&self.datagram[..length]).map(drop),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// Whether the error means that no syslogd receives.
fn is_disconnected(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::ENOTCONN
                | libc::EDESTADDRREQ
                | libc::ENOENT
                | libc::EPIPE
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(server: SyslogServer, with_host: bool) -> Syslog {
        Syslog {
            server,
            facility: 3,
            severity: 5,
            tag: "web".to_owned(),
            with_host,
        }
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 2 * MAX_DATAGRAM];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_line_is_a_datagram_with_its_priority() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut syslogd =
            Syslogd::open(&settings(SyslogServer::Unix(path.clone()), false)).unwrap();
        assert_eq!(syslogd.write(b"one\ntwo\n", Severity::Configured).0, 0);
        // Daemon is 3, notice 5.
        let line = received(&server);
        assert!(line.starts_with("<29>"), "{line}");
        assert!(line.ends_with(" web: one"), "{line}");
        assert!(received(&server).ends_with(" web: two"));
        syslogd.write(b"three\n", Severity::Of(Level::Error));
        assert!(received(&server).starts_with("<27>"));
        // A restarted syslogd is another socket at the same path.
        drop(server);
        assert_eq!(syslogd.write(b"lost\n", Severity::Configured).0, 1);
        std::fs::remove_file(&path).unwrap();
        let server = UnixDatagram::bind(&path).unwrap();
        syslogd.tried = None;
        assert_eq!(syslogd.write(b"four\n", Severity::Configured).0, 0);
        assert!(received(&server).ends_with(" web: four"));
        let long = [vec![b'x'; 2 * MAX_DATAGRAM], b"\n".to_vec()].concat();
        assert_eq!(syslogd.write(&long, Severity::Configured).0, 0);
        assert_eq!(received(&server).len(), MAX_DATAGRAM);
    }

    #[test]
    fn a_syslogd_that_does_not_read_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let _server = UnixDatagram::bind(&path).unwrap();
        let mut syslogd = Syslogd::open(&settings(SyslogServer::Unix(path), true)).unwrap();
        let lost: u64 = (0..10_000)
            .map(|_| syslogd.write(b"line\n", Severity::Configured).0)
            .sum();
        assert!(lost > 0 && lost < 10_000, "{lost}");
    }

    #[test]
    fn a_line_over_udp_contains_the_host_name() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let mut syslogd = Syslogd::open(&settings(SyslogServer::Udp(address), true)).unwrap();
        assert_eq!(syslogd.write(b"one\n", Severity::Configured).0, 0);
        let mut bytes = [0; 1024];
        let length = server.recv(&mut bytes).unwrap();
        let line = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let end = format!(" {} web: one", sys::host_name().unwrap());
        assert!(line.ends_with(&end), "{line}");
    }
}
