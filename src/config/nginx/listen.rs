//! A `listen` directive: a place and its options.

use crate::config::nginx::Reader;
use crate::config::nginx::block::{Listen, Server};
use crate::config::nginx::syntax::{Directive, Quoted};
use crate::config::{Endpoint, ListenSpec};

impl Reader {
    pub(crate) fn listen(&mut self, server: &mut Server, directive: &Directive) {
        let Some((first, options)) = directive.arguments.split_first() else {
            self.fault(
                directive.name.place,
                "listen without a place; write listen ADDR:PORT;",
            );
            return;
        };
        let (mut secure, mut twin) = (false, false);
        let (mut default, mut backlog) = (None, None);
        for option in options {
            match option.text.as_str() {
                "ssl" => secure = true,
                "ipv6only=off" => twin = true,
                "default_server" | "default" => default = Some(option.place),
                "reuseport" | "deferred" | "bind" | "ipv6only=on" => {}
                "proxy_protocol" => {
                    self.fault(option.place, "proxy_protocol is not spoken here; delete it");
                }
                "http2" | "quic" | "spdy" => {
                    self.remark(
                        option.place,
                        format!("{} is ignored: HTTP/1.1 is spoken here", option.text),
                    );
                }
                text if text.starts_with("backlog=") => {
                    let number = text.trim_start_matches("backlog=");
                    match number.parse().ok().filter(|number| *number > 0) {
                        Some(number) => backlog = Some((number, option.place)),
                        None => self.fault(
                            option.place,
                            format!(
                                "wrong value {} of backlog; give a number from 1",
                                Quoted(number)
                            ),
                        ),
                    }
                }
                text if text.split_once('=').is_some_and(|(name, _)| {
                    [
                        "rcvbuf",
                        "sndbuf",
                        "setfib",
                        "fastopen",
                        "accept_filter",
                        "so_keepalive",
                        "ipv6only",
                    ]
                    .contains(&name)
                }) =>
                {
                    self.remark(option.place, format!("{} is ignored", Quoted(text)));
                }
                text => {
                    self.fault(
                        option.place,
                        format!("unknown option {} of listen; delete it", Quoted(text)),
                    );
                }
            }
        }
        match place(&first.text) {
            Some(place) => {
                let endpoints = place.endpoints(secure);
                // Our IPv6 sockets take IPv6 alone, so the other half is a socket of its own.
                let twins = endpoints
                    .iter()
                    .filter(|_| twin)
                    .filter_map(Endpoint::ipv4_twin);
                server.listens.push(Listen {
                    place: directive.name.place,
                    twins: twins.collect(),
                    endpoints,
                    default,
                    backlog,
                });
            }
            None => self.wrong_value(directive, 0, "PORT, ADDR:PORT, [ADDR]:PORT or unix:PATH"),
        }
    }
}

/// A place as nginx writes it: also a port or an address alone, `*`, which are those of IPv4, and `localhost`.
pub(crate) fn place(text: &str) -> Option<ListenSpec> {
    if text.starts_with("unix:") {
        return text.parse().ok();
    }
    if text.is_empty() || text.starts_with(':') {
        return None;
    }
    if text == "*" {
        return place("*:80");
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
    fn a_place_may_be_written_short() {
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
            let endpoints = place(text)
                .map(|place| place.endpoints(false))
                .unwrap_or_default();
            assert_eq!(
                endpoints.first().map(|endpoint| endpoint.place.to_string()),
                Some(long.to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            place("localhost:84").map(|place| place.endpoints(true).len()),
            Some(2)
        );
        for short in ["8080", "*:81", "*"] {
            let families = place(short).map(|place| place.endpoints(false).len());
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
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
