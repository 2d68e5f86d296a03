//! What a command works with, as values that cannot be wrong: a [`Config`] that exists can be carried out, as far as that
//! can be told without touching the system.

pub mod control;
pub mod logs;
pub mod network;
pub mod nginx;
pub mod server_name;
pub mod switch;
pub mod user;

pub(crate) use crate::config::nginx::time;

pub use crate::config::logs::{LogSettings, Syslog, SyslogServer, Target};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use crate::config::control::{ControlSocket, Metrics};
pub use crate::config::user::Identity;

pub use crate::config::switch::SwitchConfig;

/// The most workers.
pub const MAX_WORKERS: usize = 256;
use crate::config::server_name::{Hosts, ServerName};

/// How many connections may wait to be accepted (listen(2)), where nothing is said.
pub const BACKLOG: i32 = 4096;

/// Where the switch keeps what it did, where nothing is said.
pub const STATE_DIR: &str = "/var/db/maintd";

/// What `maintd serve` works with.
#[derive(Debug)]
pub struct Config {
    /// Where it listens; one place at least.
    pub endpoints: Vec<Endpoint>,
    /// What is answered under which names; one site at least, and endpoints have them by their numbers.
    pub sites: Vec<SiteConfig>,
    /// How long clients are waited for.
    pub timeouts: Timeouts,
    /// The requests of one connection after which it is closed.
    pub max_requests: u32,
    /// The connections that each worker is to hold at once, without which the descriptors are the limit.
    pub max_connections: Option<u32>,
    /// The worker processes, from 1 to [`MAX_WORKERS`].
    pub workers: usize,
    /// The descriptors to be held at once, without which it is as many as the system allows.
    pub max_descriptors: Option<u32>,
    /// Who a worker is, without which it is the system's unprivileged user. Only root can become another.
    pub identity: Option<Identity>,
    /// A worker's root directory, without which it is an empty one.
    pub chroot: Option<PathBuf>,
    /// Where logs go.
    pub logs: LogSettings,
    /// The file in which the supervisor's process number stands.
    pub pid: Option<PathBuf>,
    /// How visitors are moved.
    pub switch: SwitchConfig,
    /// Where the switch keeps what it did.
    pub state_dir: PathBuf,
    /// Placeholders in pages are filled.
    pub placeholders: bool,
    /// The control socket.
    pub control: ControlSocket,
    /// Where numbers are told, and whether workers answer.
    pub metrics: Option<Metrics>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: default_endpoints(),
            sites: vec![SiteConfig::default()],
            timeouts: Timeouts::default(),
            max_requests: 1000,
            max_connections: None,
            workers: 1,
            max_descriptors: None,
            identity: None,
            chroot: None,
            logs: LogSettings::default(),
            pid: None,
            switch: SwitchConfig::default(),
            state_dir: STATE_DIR.into(),
            placeholders: true,
            control: ControlSocket::default(),
            metrics: None,
        }
    }
}

impl Config {
    /// TLS is spoken somewhere.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.secure)
    }

    /// All sites, as they stand at an endpoint that was not asked for by one of them.
    #[must_use]
    pub fn hosts(&self) -> Hosts {
        Hosts::all(self.sites.iter().map(|site| site.names.as_slice()))
    }
}

/// What is answered under some names: what a `server` block says.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// The names, without which it is the site of requests without a name.
    pub names: Vec<ServerName>,
    /// The page.
    pub page: PageSource,
    /// The page's type, where the file's ending does not tell it.
    pub default_type: Option<String>,
    /// The charset to be sent with the type, or `off` for none; without it, it is the page's own.
    pub charset: Option<String>,
    /// Field lines of the 503 beside our own.
    pub headers: Vec<(String, String)>,
    /// What Retry-After says where no window is announced.
    pub retry_after: Duration,
    /// Which origins' scripts may read the answers.
    pub cors: Cors,
    /// The certificates for its names, the preferred one first. Without one it is that of the endpoint's default site,
    /// and a throw-away one where that has none either.
    pub certificates: Vec<CertificateFiles>,
    /// How TLS is spoken where this is the default site.
    pub tls: TlsConfig,
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            page: PageSource::Embedded,
            default_type: None,
            charset: None,
            headers: Vec::new(),
            retry_after: Duration::from_secs(300),
            cors: Cors::None,
            certificates: Vec::new(),
            tls: TlsConfig::default(),
        }
    }
}

/// Which origins' scripts may read the answers (Fetch, CORS protocol).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// No other than the site's own.
    #[default]
    None,
    /// All.
    Any,
    /// These, each as a browser sends it, and no more than [`MAX_ORIGINS`].
    Origins(Vec<String>),
}

/// The most origins of a site.
pub const MAX_ORIGINS: usize = 32;

/// How TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The versions.
    pub versions: TlsVersions,
    /// How long tickets are good for, as clients are told; without it as long as their keys are.
    pub ticket_lifetime: Option<Duration>,
    /// Sessions can be resumed by tickets.
    pub tickets: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            versions: TlsVersions::Both,
            ticket_lifetime: None,
            tickets: true,
        }
    }
}

/// The versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    Both,
    /// TLS 1.2 alone.
    Only12,
    /// TLS 1.3 alone.
    Only13,
}

/// As many workers as there are processors, or as are said; nothing where that is no number of workers.
#[must_use]
pub fn workers(text: &str) -> Option<usize> {
    let number = if text == "auto" {
        std::thread::available_parallelism().map_or(1, |count| count.get().min(MAX_WORKERS))
    } else {
        text.parse().ok()?
    };
    (1..=MAX_WORKERS).contains(&number).then_some(number)
}

/// How long each kind of timeout is.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a request's head.
    pub head: Duration,
    /// Between an answer and the next request.
    pub keep_alive: Duration,
    /// Without progress of a blocked answer.
    pub write: Duration,
    /// For a request's body.
    pub body: Duration,
    /// For the next input of a client, or its close, after our close.
    pub linger: Duration,
    /// For a client's close after ours, whatever it sends.
    pub linger_in_all: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
            write: Duration::from_secs(10),
            body: Duration::from_secs(5),
            linger: Duration::from_secs(5),
            linger_in_all: Duration::from_secs(30),
        }
    }
}

/// Where the page comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// The one that maintd brings along.
    Embedded,
    /// A file.
    File(PathBuf),
    /// The configuration itself: `return 503 TEXT;`.
    Text(String),
}

/// A certificate with the chain behind it, and its key: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate first, then the chain.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where to listen, and what to speak there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address or path.
    pub place: BindAddr,
    /// TLS is spoken.
    pub secure: bool,
    /// It was not asked for by its address: a host without that family goes without it.
    pub optional: bool,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
    /// The sites that stand here.
    pub hosts: Hosts,
    /// Who wants it.
    pub asked_by: EndpointSource,
    /// What for.
    pub purpose: Purpose,
}

/// Who wants an endpoint, and so where it is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointSource {
    /// A flag; or nobody, and then it is for a flag to name another one.
    Flag,
    /// The configuration file.
    File,
}

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To show the page.
    Page,
    /// To tell numbers, and whether workers answer.
    Metrics,
}

impl Endpoint {
    /// An endpoint with the first site alone, asked for by its address.
    #[must_use]
    pub fn new(place: BindAddr, secure: bool) -> Self {
        Self {
            place,
            secure,
            optional: false,
            backlog: BACKLOG,
            hosts: Hosts::one(),
            asked_by: EndpointSource::Flag,
            purpose: Purpose::Page,
        }
    }

    /// What takes the IPv4 half of an endpoint on the IPv6 wildcard address.
    #[must_use]
    pub fn ipv4_twin(&self) -> Option<Self> {
        match &self.place {
            BindAddr::Tcp(SocketAddr::V6(address)) if address.ip().is_unspecified() => {
                let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
                Some(Self {
                    place: BindAddr::Tcp(address),
                    ..self.clone()
                })
            }
            BindAddr::Tcp(_) | BindAddr::Unix(_) => None,
        }
    }
}

/// What a listening socket is bound to.
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

/// A place as it is written: `PORT`, `:PORT`, `*:PORT`, `ADDR:PORT`, `[ADDR]:PORT`, `localhost:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenSpec {
    /// One place.
    At(BindAddr),
    /// Both loopback addresses.
    Localhost(u16),
    /// All addresses, of IPv4 and of IPv6.
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
                "not a place to listen on; write PORT for all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH"
                    .to_owned()
            })
    }
}

impl ListenSpec {
    /// The endpoints that this stands for.
    #[must_use]
    pub fn endpoints(self, secure: bool) -> Vec<Endpoint> {
        match self {
            Self::At(place) => vec![Endpoint::new(place, secure)],
            Self::Localhost(port) => localhost(port, secure).to_vec(),
            Self::Everywhere(port) => {
                let all = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
                both_families(all, port, secure).to_vec()
            }
        }
    }
}

/// A port in digits alone.
fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Both loopback addresses.
fn localhost(port: u16, secure: bool) -> [Endpoint; 2] {
    both_families((Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST), port, secure)
}

/// An address of each family; a host without IPv6 goes without the second.
fn both_families((v4, v6): (Ipv4Addr, Ipv6Addr), port: u16, secure: bool) -> [Endpoint; 2] {
    let at = |address: IpAddr| Endpoint {
        optional: address.is_ipv6(),
        ..Endpoint::new(BindAddr::Tcp(SocketAddr::new(address, port)), secure)
    };
    [at(v4.into()), at(v6.into())]
}

fn default_endpoints() -> Vec<Endpoint> {
    [localhost(8080, false), localhost(8443, true)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let place: ListenSpec = text.parse().unwrap();
        place
            .endpoints(false)
            .iter()
            .map(|endpoint| endpoint.place.to_string())
            .collect()
    }

    #[test]
    fn a_place_is_an_address_a_path_or_localhost() {
        assert_eq!(places("192.0.2.1:80"), ["192.0.2.1:80"]);
        assert_eq!(places("[2001:db8::1]:0"), ["[2001:db8::1]:0"]);
        assert_eq!(places("unix:/run/a b"), ["unix:/run/a b"]);
        assert_eq!(places("localhost:81"), ["127.0.0.1:81", "[::1]:81"]);
        for port in ["82", ":82", "*:82"] {
            assert_eq!(places(port), ["0.0.0.0:82", "[::]:82"], "{port}");
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
    fn without_a_word_it_is_loopback_clear_and_tls() {
        let config = Config::default();
        let listed: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.place.to_string(), endpoint.secure))
            .collect();
        let expected = [
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
            ("127.0.0.1:8443", true),
            ("[::1]:8443", true),
        ];
        assert_eq!(
            listed,
            expected.map(|(place, secure)| (place.to_owned(), secure))
        );
    }
}
