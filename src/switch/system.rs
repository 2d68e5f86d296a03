//! The host that maintd runs on: the system's commands, files and servers.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::config::switch::Backend;
use crate::config::{BindAddr, Config};
use crate::error::{Error, reason};
use crate::switch::command::{Call, CommandOutput};
use crate::switch::error::SwitchError;
use crate::switch::host::Host;
use crate::switch::probe;
use crate::sys;

/// The status that the responder answers with (RFC 9110 15.6.4).
const UNAVAILABLE: u16 = 503;

/// Holds signals, so that none ends this process between two steps. A plan that has changed nothing yet still stops.
///
/// # Errors
/// The system cannot hold them.
pub(crate) fn hold_signals() -> Result<(), Error> {
    sys::hold_signals()
        .map_err(|error| Error::Failed(format!("cannot hold signals: {}", reason(&error))))
}

/// The real host.
#[derive(Clone, Debug)]
pub(crate) struct System {
    backend: Backend,
    /// The responder's ports that use TLS.
    tls_ports: Vec<u16>,
    /// Signals stop a plan that has changed nothing yet.
    is_interruptible: bool,
}

impl System {
    pub(crate) fn new(config: &Config) -> Self {
        let listening = config
            .endpoints
            .iter()
            .filter_map(|endpoint| match &endpoint.address {
                BindAddr::Tcp(address) => Some((address.port(), endpoint.secure)),
                BindAddr::Unix(_) => None,
            });
        let listening: Vec<(u16, bool)> = listening.collect();
        // A responder that is not in this configuration is assumed to use the protocol of the port that it replaces.
        let is_secure = |from: u16, to: u16| {
            let mut known = listening.iter().filter(|(port, _)| *port == to);
            known.next().map_or(from == 443, |(_, secure)| *secure)
        };
        let redirects = config.switch.redirects.iter();
        Self {
            backend: config.switch.backend,
            is_interruptible: true,
            tls_ports: redirects
                .filter(|redirect| is_secure(redirect.from, redirect.to))
                .map(|redirect| redirect.to)
                .collect(),
        }
    }

    /// From now on signals do not stop a plan.
    pub(crate) const fn ignore_signals(&mut self) {
        self.is_interruptible = false;
    }
}

impl Host for System {
    fn run(&mut self, call: &Call) -> Result<CommandOutput, SwitchError> {
        for line in call.to_string().lines() {
            log::debug!("{line}");
        }
        call.run()
    }

    fn read(&mut self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn check_page(&mut self, server: SocketAddr) -> Result<(), SwitchError> {
        let port = server.port();
        let secure = self.tls_ports.contains(&port);
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://{server}/");
        log::debug!("requesting the page from {url}");
        let error = match probe::status(server, secure) {
            Ok(UNAVAILABLE) => return Ok(()),
            Ok(status) => return Err(SwitchError::WrongStatus { url, status }),
            Err(error) => error,
        };
        let cause = probe::cause(&error);
        Err(if probe::is_timeout(&error) {
            SwitchError::ResponderTimeout { url, cause, port }
        } else if error.kind() == ErrorKind::ConnectionRefused
            && self.backend == Backend::Nft
            && probe::is_on_loopback(server)
        {
            SwitchError::ResponderOnLoopback { port }
        } else {
            SwitchError::NoResponder { url, cause }
        })
    }

    fn connect(&mut self, server: SocketAddr) -> Result<(), SwitchError> {
        log::debug!("connecting to the live site on {server}");
        let connected = probe::connect(server);
        connected
            .map(drop)
            .map_err(|error| SwitchError::LiveRefuses {
                server,
                cause: probe::cause(&error),
            })
    }

    fn accepting(&mut self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        for server in servers {
            log::debug!("connecting to the live site on {server}");
        }
        probe::accepting(servers)
    }

    fn is_interrupted(&mut self) -> bool {
        self.is_interruptible && sys::is_signal_held()
    }

    fn sleep(&mut self, time: Duration) {
        thread::sleep(time);
    }
}
