//! `control`, `metrics` and `health`: directives that only maintd has.

use std::net::SocketAddr;

use crate::config::control::{ControlSocket, METRICS_PATH, Metrics, check_socket_path};
use crate::config::listen::{BindAddr, Endpoint};
use crate::config::nginx::context::Context;
use crate::config::nginx::syntax::{ConfigError, Directive, Position};
use crate::config::nginx::value::{argument, wrong_value};

pub(crate) fn parse_control(
    directive: &Directive,
    context: &Context,
) -> Result<ControlSocket, ConfigError> {
    let path = context.path(directive)?;
    check_socket_path(&path).map_err(|expected| wrong_value(directive, 0, expected))?;
    Ok(ControlSocket::At(path))
}

/// The `metrics` and `health` directives, each with its position.
#[derive(Debug, Default)]
pub(crate) struct MetricsDirectives {
    metrics: Option<(SocketAddr, Position)>,
    health: Option<(String, Position)>,
}

impl MetricsDirectives {
    pub(crate) fn set_metrics(&mut self, directive: &Directive) -> Result<(), ConfigError> {
        let text = argument(directive)?;
        let port = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'));
        // As for listen, a port alone is all addresses of IPv4.
        let all_addresses = || format!("0.0.0.0:{}", port.unwrap_or(text)).parse();
        let address = text.parse().or_else(|_| all_addresses());
        let expected = "PORT, ADDR:PORT or [ADDR]:PORT, as in 127.0.0.1:9503";
        let address = address.map_err(|_| wrong_value(directive, 0, expected))?;
        self.metrics = Some((address, directive.name.position));
        Ok(())
    }

    pub(crate) fn set_health(&mut self, directive: &Directive) -> Result<(), ConfigError> {
        let text = argument(directive)?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if !text.starts_with('/') || !text.bytes().all(is_plain) {
            return Err(wrong_value(directive, 0, "a path, as in /health"));
        }
        if text == METRICS_PATH {
            let expected = "another path: this one is the path of the metrics";
            return Err(wrong_value(directive, 0, expected));
        }
        self.health = Some((text.to_owned(), directive.name.position));
        Ok(())
    }

    /// The listener. Its address must not be that of a page.
    pub(crate) fn listener(self, endpoints: &[Endpoint]) -> Result<Option<Metrics>, ConfigError> {
        let Some((address, position)) = self.metrics else {
            return self.health.map_or(Ok(None), |(_, position)| {
                let what = "health without metrics; add \"metrics 127.0.0.1:9503;\"";
                Err(position.message(what))
            });
        };
        let is_same = |endpoint: &Endpoint| endpoint.address == BindAddr::Tcp(address);
        if address.port() != 0 && endpoints.iter().any(is_same) {
            let what = format!("the page is served on {address}; give metrics another port");
            return Err(position.message(what));
        }
        Ok(Some(Metrics {
            address,
            health: self.health.map(|(path, _)| path),
        }))
    }
}
