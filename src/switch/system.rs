//! The world outside as it is: the system's commands, its files, its servers.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::config::switch::Backend;
use crate::config::{BindAddr, Config};
use crate::error::reason;
use crate::switch::command::{Call, Output};
use crate::switch::execute::{NoPage, World};
use crate::switch::probe;
use crate::sys;

/// The status that the responder answers with (RFC 9110 15.6.4).
const UNAVAILABLE: u16 = 503;

/// The system that this runs on.
#[derive(Clone, Debug)]
pub(crate) struct System {
    backend: Backend,
    /// The responder's ports on which TLS is spoken.
    secure: Vec<u16>,
    /// Signals stop what has changed nothing yet.
    heeds_signals: bool,
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
        // A responder that this configuration does not know speaks what visitors speak.
        let is_secure = |from: u16, to: u16| {
            let mut known = listening.iter().filter(|(port, _)| *port == to);
            known.next().map_or(from == 443, |(_, secure)| *secure)
        };
        let redirects = config.switch.redirects.iter();
        Self {
            backend: config.switch.backend,
            heeds_signals: true,
            secure: redirects
                .filter(|redirect| is_secure(redirect.from, redirect.to))
                .map(|redirect| redirect.to)
                .collect(),
        }
    }
}

impl System {
    pub(crate) const fn heed_signals(&mut self, heed: bool) {
        self.heeds_signals = heed;
    }
}

impl World for System {
    fn run(&mut self, call: &Call) -> Result<Output, String> {
        for line in call.to_string().lines() {
            log::debug!("{line}");
        }
        call.run()
    }

    fn read(&mut self, path: &Path) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| reason(&error))
    }

    fn ask_for_page(&mut self, server: SocketAddr) -> Result<(), NoPage> {
        let port = server.port();
        let secure = self.secure.contains(&port);
        let scheme = if secure { "https" } else { "http" };
        log::debug!("asking {scheme}://{server}/ for the page");
        let (what, is_timeout) = match probe::status(server, secure) {
            Ok(UNAVAILABLE) => return Ok(()),
            Ok(status) => (
                format!(
                    "what answers on {scheme}://{server}/ says {status} and not 503, so visitors would not see the page; stop it, and start \"maintd serve\""
                ),
                false,
            ),
            Err(error) if probe::is_timeout(&error) => (
                format!(
                    "nobody answers on {scheme}://{server}/: {}; check that no firewall drops packets to port {port} over the loopback interface, and that \"maintd serve\" runs",
                    probe::why(&error)
                ),
                true,
            ),
            Err(error)
                if error.kind() == ErrorKind::ConnectionRefused
                    && self.backend == Backend::Nft
                    && probe::is_on_loopback(server) =>
            {
                (
                    format!(
                        "the responder listens on loopback alone, where nft cannot send visitors; have \"maintd serve\" listen on 0.0.0.0:{port} and [::]:{port}"
                    ),
                    false,
                )
            }
            Err(error) => (
                format!(
                    "nobody answers on {scheme}://{server}/: {}; start \"maintd serve\" there",
                    probe::why(&error)
                ),
                false,
            ),
        };
        Err(NoPage { what, is_timeout })
    }

    fn connect(&mut self, server: SocketAddr) -> Result<(), String> {
        log::debug!("connecting to the live site on {server}");
        probe::connect(server).map(drop).map_err(|error| {
            format!(
                "nobody accepts connections on {server}: {}",
                probe::why(&error)
            )
        })
    }

    fn accepting(&mut self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        for server in servers {
            log::debug!("connecting to the live site on {server}");
        }
        probe::accepting(servers)
    }

    fn is_interrupted(&mut self) -> bool {
        self.heeds_signals && sys::is_signal_held()
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }
}
