//! `control`, `metrics` and `health`: directives that only maintd has.

use std::net::SocketAddr;

use crate::config::control::{ControlSocket, METRICS_PATH, Metrics, check_socket_path};
use crate::config::listen::{BindAddr, Endpoint};
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{Directive, Position};
use crate::config::nginx::value;

pub(crate) fn parse_control(directive: &Directive, context: &mut Context) -> Option<ControlSocket> {
    let path = context.path(directive)?;
    match check_socket_path(&path) {
        Ok(()) => Some(ControlSocket::At(path)),
        Err(expected) => {
            context.diagnostics.wrong_value(directive, 0, expected);
            None
        }
    }
}

/// The `metrics` and `health` directives. They are checked together once all directives are parsed.
#[derive(Debug, Default)]
pub(crate) struct MetricsDirectives {
    metrics: Option<(SocketAddr, Position)>,
    health: Option<(String, Position)>,
}

impl MetricsDirectives {
    pub(crate) fn set_metrics(&mut self, directive: &Directive, diagnostics: &mut Diagnostics) {
        let Some(text) = value::argument(directive, diagnostics) else {
            return;
        };
        let port = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'));
        // As for listen, a port alone is all addresses of IPv4.
        let all_addresses = || format!("0.0.0.0:{}", port.unwrap_or(text)).parse();
        match text.parse().or_else(|_| all_addresses()) {
            Ok(address) => self.metrics = Some((address, directive.name.position)),
            Err(_) => diagnostics.wrong_value(
                directive,
                0,
                "PORT, ADDR:PORT or [ADDR]:PORT, as in 127.0.0.1:9503",
            ),
        }
    }

    pub(crate) fn set_health(&mut self, directive: &Directive, diagnostics: &mut Diagnostics) {
        let Some(text) = value::argument(directive, diagnostics) else {
            return;
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if !text.starts_with('/') || !text.bytes().all(is_plain) {
            diagnostics.wrong_value(directive, 0, "a path, as in /health");
        } else if text == METRICS_PATH {
            diagnostics.wrong_value(directive, 0, "another path: this is that of the metrics");
        } else {
            self.health = Some((text.to_owned(), directive.name.position));
        }
    }

    /// The listener for both. It needs an address that no page has.
    pub(crate) fn listener(
        self,
        endpoints: &[Endpoint],
        diagnostics: &mut Diagnostics,
    ) -> Option<Metrics> {
        let Some((address, position)) = self.metrics else {
            if let Some((_, position)) = self.health {
                diagnostics.error(
                    position,
                    "health without metrics; add \"metrics 127.0.0.1:9503;\"",
                );
            }
            return None;
        };
        let is_same = |endpoint: &Endpoint| endpoint.place == BindAddr::Tcp(address);
        if address.port() != 0 && endpoints.iter().any(is_same) {
            diagnostics.error(
                position,
                format!("the page is served on {address}; give metrics another port"),
            );
        }
        Some(Metrics {
            address,
            health: self.health.map(|(path, _)| path),
        })
    }
}
