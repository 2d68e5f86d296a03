//! The addresses to listen on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::server_name::VirtualHosts;

/// The default backlog of connections that are not accepted yet (listen(2)).
pub const BACKLOG: i32 = 4096;

/// A socket to listen on, with its protocol and sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address or path.
    pub address: BindAddr,
    /// The protocol is TLS.
    pub secure: bool,
    /// The endpoint was derived from a name or wildcard: a host without its address family starts without it.
    pub optional: bool,
    /// The backlog of connections that are not accepted yet.
    pub backlog: i32,
    /// The sites.
    pub hosts: VirtualHosts,
    /// The setting that requests the endpoint.
    pub source: EndpointSource,
    /// The answers of the endpoint.
    pub purpose: Purpose,
}

/// The setting that requests an endpoint; errors refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointSource {
    /// A flag, or the default, which a flag can change.
    Flag,
    /// The configuration file.
    File,
}

/// The answers of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The maintenance page.
    Page,
    /// Metrics and health checks.
    Metrics,
}

impl Endpoint {
    /// An endpoint with the first site alone.
    #[must_use]
    pub fn new(address: BindAddr, secure: bool) -> Self {
        Self {
            address,
            secure,
            optional: false,
            backlog: BACKLOG,
            hosts: VirtualHosts::one(),
            source: EndpointSource::Flag,
            purpose: Purpose::Page,
        }
    }

    /// The endpoint on the IPv4 wildcard address that belongs to one on the IPv6 wildcard address.
    #[must_use]
    pub fn ipv4_twin(&self) -> Option<Self> {
        match &self.address {
            BindAddr::Tcp(SocketAddr::V6(address)) if address.ip().is_unspecified() => {
                let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
                Some(Self {
                    address: BindAddr::Tcp(address),
                    ..self.clone()
                })
            }
            BindAddr::Tcp(_) | BindAddr::Unix(_) => None,
        }
    }
}

/// The address of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddr {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

impl fmt::Display for BindAddr {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(to),
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
        }
    }
}

/// A parsed listen address: `PORT`, `:PORT`, `*:PORT`, `ADDR:PORT`, `[ADDR]:PORT`, `localhost:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenSpec {
    /// One address.
    At(BindAddr),
    /// Both loopback addresses.
    Localhost(u16),
    /// All addresses of IPv4 and IPv6.
    Everywhere(u16),
}

impl FromStr for ListenSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("the path is missing; write unix:PATH".to_owned())
            } else {
                Ok(Self::At(BindAddr::Unix(path.into())))
            };
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(port) {
            return Ok(Self::Localhost(port));
        }
        let all = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'));
        if let Some(port) = port(all.unwrap_or(text)) {
            return Ok(Self::Everywhere(port));
        }
        text.parse()
            .map(|address| Self::At(BindAddr::Tcp(address)))
            .map_err(|_| {
                "not a listen address; write PORT for all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH"
                    .to_owned()
            })
    }
}

impl ListenSpec {
    /// The endpoints on these addresses.
    #[must_use]
    pub fn endpoints(self, secure: bool) -> Vec<Endpoint> {
        match self {
            Self::At(address) => vec![Endpoint::new(address, secure)],
            Self::Localhost(port) => localhost(port, secure).to_vec(),
            Self::Everywhere(port) => {
                let all = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
                both_families(all, port, secure).to_vec()
            }
        }
    }
}

/// Parses a port: digits without a sign.
fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Both loopback addresses.
fn localhost(port: u16, secure: bool) -> [Endpoint; 2] {
    both_families((Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST), port, secure)
}

/// An endpoint of each family. That of IPv6 is optional.
fn both_families((v4, v6): (Ipv4Addr, Ipv6Addr), port: u16, secure: bool) -> [Endpoint; 2] {
    let at = |address: IpAddr| Endpoint {
        optional: address.is_ipv6(),
        ..Endpoint::new(BindAddr::Tcp(SocketAddr::new(address, port)), secure)
    };
    [at(v4.into()), at(v6.into())]
}

/// The endpoints of a daemon without configuration.
pub(crate) fn default_endpoints() -> Vec<Endpoint> {
    [localhost(8080, false), localhost(8443, true)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        let spec: ListenSpec = text.parse().unwrap();
        spec.endpoints(false)
            .iter()
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    }

    #[test]
    fn a_listen_address_is_a_port_an_address_a_path_or_localhost() {
        assert_eq!(addresses("192.0.2.1:80"), ["192.0.2.1:80"]);
        assert_eq!(addresses("[2001:db8::1]:0"), ["[2001:db8::1]:0"]);
        assert_eq!(addresses("unix:/run/a b"), ["unix:/run/a b"]);
        assert_eq!(addresses("localhost:81"), ["127.0.0.1:81", "[::1]:81"]);
        for port in ["82", ":82", "*:82"] {
            assert_eq!(addresses(port), ["0.0.0.0:82", "[::]:82"], "{port}");
        }
        for wrong in [
            "",
            ":",
            "*",
            "*:",
            "65536",
            ":65536",
            "+80",
            ":+80",
            "-1",
            "80:80",
            "[*]:80",
            "192.0.2.1",
            "192.0.2.1:65536",
            "::1:80",
            "example.org:80",
            "unix:",
            "localhost:x",
        ] {
            assert!(wrong.parse::<ListenSpec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_is_loopback_with_http_and_tls() {
        let endpoints = default_endpoints();
        let listed: Vec<_> = endpoints
            .iter()
            .map(|endpoint| (endpoint.address.to_string(), endpoint.secure))
            .collect();
        let expected = [
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
            ("127.0.0.1:8443", true),
            ("[::1]:8443", true),
        ];
        assert_eq!(
            listed,
            expected.map(|(address, secure)| (address.to_owned(), secure))
        );
    }
}
