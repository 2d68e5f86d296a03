//! The directives about looking at a running daemon: ours alone, nginx knows none of them.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::nginx::Reader;
use crate::config::nginx::syntax::{Directive, Position};
use crate::config::{BindAddr as At, ControlSocket, Metrics};

/// The longest path of a socket that every system takes (unix(4): `sun_path` has 104 bytes, the last one is 0).
const MAX_SOCKET: usize = 103;
/// The path of the metrics themselves.
pub(crate) const METRICS_PATH: &str = "/metrics";

/// What `metrics` and `health` say, before both have been seen.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    metrics: Option<(SocketAddr, Position)>,
    health: Option<(String, Position)>,
}

impl Reader {
    /// `control PATH;`, `metrics WHERE;` or `health /path;`.
    pub(crate) fn operation_directive(&mut self, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "control" => self.control(directive),
            "metrics" => self.metrics(directive),
            "health" => self.health(directive),
            _ => return false,
        }
        true
    }

    fn control(&mut self, directive: &Directive) {
        let Some(text) = self.argument(directive) else {
            return;
        };
        let path = self.directory.join(text);
        match socket_path(&path) {
            Ok(()) => self.config.control = ControlSocket::At(path),
            Err(expected) => self.wrong_value(directive, 0, expected),
        }
    }

    fn metrics(&mut self, directive: &Directive) {
        let Some(text) = self.argument(directive) else {
            return;
        };
        let port = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'));
        // A port alone is one of the IPv4 addresses, as it is for listen.
        let of_all_addresses = || format!("0.0.0.0:{}", port.unwrap_or(text)).parse();
        match text.parse().or_else(|_| of_all_addresses()) {
            Ok(address) => self.operation.metrics = Some((address, directive.name.place)),
            Err(_) => {
                self.wrong_value(
                    directive,
                    0,
                    "PORT, ADDR:PORT or [ADDR]:PORT, as in 127.0.0.1:9503",
                );
            }
        }
    }

    fn health(&mut self, directive: &Directive) {
        let Some(text) = self.argument(directive) else {
            return;
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if !text.starts_with('/') || !text.bytes().all(is_plain) {
            self.wrong_value(directive, 0, "a path, as in /health");
        } else if text == METRICS_PATH {
            self.wrong_value(directive, 0, "another path: the metrics are there");
        } else {
            self.operation.health = Some((text.to_owned(), directive.name.place));
        }
    }

    /// Puts together what belongs together, once all is read.
    pub(crate) fn take_operation(&mut self) {
        let Operation { metrics, health } = std::mem::take(&mut self.operation);
        let Some((address, place)) = metrics else {
            if let Some((_, place)) = health {
                self.fault(
                    place,
                    "health without metrics; add \"metrics 127.0.0.1:9503;\"",
                );
            }
            return;
        };
        let mut endpoints = self.config.endpoints.iter();
        if address.port() != 0 && endpoints.any(|one| one.place == At::Tcp(address)) {
            self.fault(
                place,
                format!("visitors get the page on {address}; give metrics a port of their own"),
            );
        }
        self.config.metrics = Some(Metrics {
            address,
            health: health.map(|(path, _)| path),
        });
    }
}

/// Whether a socket can have this path.
///
/// # Errors
/// What is expected instead.
pub(crate) fn socket_path(path: &Path) -> Result<(), &'static str> {
    if path.file_name().is_none() {
        Err("the path of a socket")
    } else if path.as_os_str().len() > MAX_SOCKET {
        Err("a path of at most 103 bytes")
    } else {
        Ok(())
    }
}
