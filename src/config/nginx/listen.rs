//! `listen`: an address and its options.

use crate::config::listen::{Endpoint, ListenSpec};
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive, Position};
use crate::config::nginx::value::wrong_value;
use crate::quote::Quoted;

/// A `listen` directive.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) position: Position,
    /// The endpoints, without sites; several if the address is a name.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The IPv4 endpoints that `ipv6only=off` adds.
    pub(crate) twins: Vec<Endpoint>,
    /// The position of `default_server`.
    pub(crate) default: Option<Position>,
    /// The value and the position of `backlog=`.
    pub(crate) backlog: Option<(i32, Position)>,
}

impl Listen {
    /// Port 80, as nginx has it for a server without `listen`.
    pub(crate) fn implied(position: Position) -> Self {
        Self {
            position,
            endpoints: parse_address("80").map_or_else(Vec::new, |spec| spec.endpoints(false)),
            twins: Vec::new(),
            default: None,
            backlog: None,
        }
    }
}

/// Options that have no effect here.
const IGNORED: [&str; 7] = [
    "rcvbuf",
    "sndbuf",
    "setfib",
    "fastopen",
    "accept_filter",
    "so_keepalive",
    "ipv6only",
];

pub(crate) fn parse_listen(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Listen, ConfigError> {
    let Some((first, options)) = directive.arguments.split_first() else {
        let what = "listen without an address; write listen ADDR:PORT;";
        return Err(directive.name.message(what));
    };
    let (mut secure, mut twin) = (false, false);
    let (mut default, mut backlog) = (None, None);
    for option in options {
        match option.text.as_str() {
            "ssl" => secure = true,
            "ipv6only=off" => twin = true,
            "default_server" | "default" => default = Some(option.position),
            "reuseport" | "deferred" | "bind" | "ipv6only=on" => {}
            "proxy_protocol" => {
                let what = "proxy_protocol is not supported; delete it";
                diagnostics.error(option.message(what));
            }
            text @ ("http2" | "quic" | "spdy") => {
                let what = format!("{text} is ignored: maintd supports only HTTP/1.1");
                diagnostics.remark(option.message(what));
            }
            text => match text.split_once('=') {
                Some(("backlog", number)) => match number.parse().ok().filter(|it| *it > 0) {
                    Some(number) => backlog = Some((number, option.position)),
                    None => diagnostics.error(option.message(format!(
                        "wrong value {} of backlog; give a number from 1",
                        Quoted(number)
                    ))),
                },
                Some((name, _)) if IGNORED.contains(&name) => {
                    diagnostics.remark(option.message(format!("{} is ignored", Quoted(text))));
                }
                Some(_) | None => diagnostics.error(option.message(format!(
                    "unknown option {} of listen; delete it",
                    Quoted(text)
                ))),
            },
        }
    }
    let expected = "PORT, ADDR:PORT, [ADDR]:PORT or unix:PATH";
    let spec = parse_address(&first.text).ok_or_else(|| wrong_value(directive, 0, expected))?;
    let endpoints = spec.endpoints(secure);
    // Our IPv6 sockets accept IPv6 only, so the IPv4 address has a socket of its own.
    let twins = endpoints.iter().filter(|_| twin);
    Ok(Listen {
        position: directive.name.position,
        twins: twins.filter_map(Endpoint::ipv4_twin).collect(),
        endpoints,
        default,
        backlog,
    })
}

/// Parses an address as nginx does: a port alone and `*` are all addresses of IPv4.
fn parse_address(text: &str) -> Option<ListenSpec> {
    if text.starts_with("unix:") {
        return text.parse().ok();
    }
    if text.is_empty() || text.starts_with(':') {
        return None;
    }
    if text == "*" {
        return parse_address("*:80");
    }
    if text.parse::<u16>().is_ok() {
        return format!("0.0.0.0:{text}").parse().ok();
    }
    if let Some(port) = text.strip_prefix("*:") {
        return format!("0.0.0.0:{port}").parse().ok();
    }
    let with_port = if text.contains(':') && !text.ends_with(']') {
        text.to_owned()
    } else {
        format!("{text}:80")
    };
    with_port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_written_short() {
        for (text, long) in [
            ("8080", "0.0.0.0:8080"),
            ("*:81", "0.0.0.0:81"),
            ("*", "0.0.0.0:80"),
            ("192.0.2.1", "192.0.2.1:80"),
            ("[::]:82", "[::]:82"),
            ("[::1]", "[::1]:80"),
            ("192.0.2.1:83", "192.0.2.1:83"),
            ("unix:/run/x", "unix:/run/x"),
        ] {
            let endpoints = parse_address(text)
                .map(|spec| spec.endpoints(false))
                .unwrap_or_default();
            assert_eq!(
                endpoints
                    .first()
                    .map(|endpoint| endpoint.address.to_string()),
                Some(long.to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            parse_address("localhost:84").map(|spec| spec.endpoints(true).len()),
            Some(2)
        );
        for short in ["8080", "*:81", "*"] {
            let families = parse_address(short).map(|spec| spec.endpoints(false).len());
            assert_eq!(families, Some(1), "{short}");
        }
        for wrong in [
            "",
            "x",
            ":80",
            "*:",
            "**",
            "example.org:80",
            "99999",
            "[::",
            "unix:",
        ] {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
    }
}
