//! What the `server` blocks come to together: sites, and the endpoints where they stand.

use crate::config;
use crate::config::nginx::Reader;
use crate::config::nginx::block::{Fields, Listen, Server};
use crate::config::nginx::listen::place;
use crate::config::nginx::syntax::Position;
use crate::config::server_name::{Hosts, ServerName, SiteNumber};
use crate::config::{
    CertificateFiles, Endpoint, EndpointSource, SiteConfig, TlsConfig, TlsVersions,
};

/// An endpoint in the making.
struct Shared {
    endpoint: Endpoint,
    /// A server has said that it is the default.
    has_default: bool,
    has_backlog: bool,
}

impl Reader {
    /// Makes sites of the servers.
    pub(crate) fn take_servers(&mut self, http: &Server) {
        let mut servers = std::mem::take(&mut self.servers);
        if servers.is_empty() && self.is_ours_alone {
            // Only the switch and the like are set: the server is the one without a file.
            if let Some(site) = self.config.sites.first_mut() {
                site.retry_after = http.retry_after.unwrap_or(site.retry_after);
                site.cors = http.cors.clone().unwrap_or_default();
            }
            return;
        }
        if servers.is_empty() && !self.has_faults() {
            let place = Position {
                file: 0,
                line: 1,
                column: 1,
            };
            self.fault(
                place,
                "no server; write server { listen 127.0.0.1:8080; return 503; }",
            );
        }
        if let Some(server) = servers.get(usize::from(SiteNumber::MAX)) {
            self.fault(server.place, "more servers than 65535; delete some");
            servers.truncate(usize::from(SiteNumber::MAX));
        }
        self.take_access_log(&servers, http);
        let mut shared: Vec<Shared> = Vec::new();
        for (number, server) in (0..).zip(&mut servers) {
            server.inherit(http);
            complete(server);
            self.stand(&mut shared, number, server);
        }
        for shared in &mut shared {
            self.name_sites(&mut shared.endpoint, &servers);
        }
        for (number, server) in (0..).zip(&servers) {
            self.ask_for_certificate(&shared, number, server);
        }
        if !shared.is_empty() {
            self.config.endpoints = shared.into_iter().map(|shared| shared.endpoint).collect();
            self.config.sites = servers.iter().map(|server| self.site(server)).collect();
        }
    }

    /// Puts a server on the endpoints where it listens.
    fn stand(&mut self, all: &mut Vec<Shared>, number: SiteNumber, server: &Server) {
        let mut own: Vec<&Endpoint> = Vec::new();
        for listen in &server.listens {
            for endpoint in &listen.endpoints {
                if own.iter().any(|other| is_same(other, endpoint)) {
                    self.fault(
                        listen.place,
                        format!(
                            "a duplicate listen {} in one server; delete it",
                            endpoint.place
                        ),
                    );
                }
                own.push(endpoint);
            }
            for endpoint in listen.endpoints.iter().chain(&listen.twins) {
                let at = all
                    .iter()
                    .position(|other| is_same(&other.endpoint, endpoint));
                let at = at.unwrap_or_else(|| {
                    all.push(Shared {
                        endpoint: Endpoint {
                            hosts: Hosts::default(),
                            asked_by: EndpointSource::File,
                            ..endpoint.clone()
                        },
                        has_default: false,
                        has_backlog: false,
                    });
                    all.len() - 1
                });
                self.stand_at(&mut all[at], number, listen, endpoint);
            }
        }
    }

    /// Puts a server on one endpoint.
    fn stand_at(
        &mut self,
        shared: &mut Shared,
        number: SiteNumber,
        listen: &Listen,
        asked: &Endpoint,
    ) {
        let endpoint = &mut shared.endpoint;
        endpoint.optional &= asked.optional;
        endpoint.hosts.add(number);
        if endpoint.secure != asked.secure {
            // As in nginx: one socket cannot speak both.
            endpoint.secure = true;
            self.remark(
                listen.place,
                format!(
                    "{} is ssl in one listen and not in another: TLS is spoken there",
                    endpoint.place
                ),
            );
        }
        if let Some((backlog, place)) = listen.backlog {
            if std::mem::replace(&mut shared.has_backlog, true) {
                self.fault(
                    place,
                    format!("a duplicate backlog for {}; delete it", endpoint.place),
                );
            }
            endpoint.backlog = backlog;
        }
        if let Some(place) = listen.default {
            if std::mem::replace(&mut shared.has_default, true) {
                self.fault(
                    place,
                    format!(
                        "a duplicate default server for {}; delete it",
                        endpoint.place
                    ),
                );
            }
            endpoint.hosts.set_default(number);
        }
    }

    /// Gives the sites of an endpoint their names; the first has a name where two claim it.
    fn name_sites(&mut self, endpoint: &mut Endpoint, servers: &[Server]) {
        for number in endpoint.hosts.sites().to_vec() {
            for (name, place) in &servers[usize::from(number)].names {
                let owner = endpoint.hosts.add_name(name, number);
                if owner.is_some_and(|owner| owner != number) {
                    self.remark(
                        *place,
                        format!(
                            "conflicting server name \"{name}\" on {} is ignored: another server has it",
                            endpoint.place
                        ),
                    );
                }
            }
        }
    }

    /// The default server of an endpoint that speaks TLS must have a certificate; others may use that one. What is missing is
    /// reported at the `listen`.
    fn ask_for_certificate(&mut self, all: &[Shared], number: SiteNumber, server: &Server) {
        // A key without a certificate is reported at the key.
        if !server.certificates.is_empty() || !server.keys.is_empty() {
            return;
        }
        let stands =
            |endpoint: &&Endpoint| endpoint.secure && endpoint.hosts.sites().contains(&number);
        let mut own = all.iter().map(|shared| &shared.endpoint).filter(stands);
        let Some(first) = own.clone().next() else {
            return;
        };
        let default = own.find(|endpoint| endpoint.hosts.default_site() == number);
        let place = place_of(server, default.unwrap_or(first));
        if default.is_some() {
            self.fault(
                place,
                "listen ... ssl without a certificate; add \"ssl_certificate FILE;\"",
            );
        } else {
            self.remark(
                place,
                "no ssl_certificate: that of the default server is shown",
            );
        }
    }

    fn site(&mut self, server: &Server) -> SiteConfig {
        let (page, location) = self.page(server);
        let mut fields = location.map_or_else(Fields::default, |location| location.fields.clone());
        fields.inherit(&server.fields);
        let mut site = SiteConfig {
            names: server.names.iter().map(|(name, _)| name.clone()).collect(),
            page,
            default_type: fields.default_type,
            charset: fields.charset,
            certificates: self.certificates(server),
            tls: TlsConfig {
                versions: server.versions.unwrap_or(TlsVersions::Both),
                ticket_lifetime: server.session_timeout,
                tickets: server.session_tickets.unwrap_or(true),
            },
            cors: server.cors.clone().unwrap_or_default(),
            ..SiteConfig::default()
        };
        if let Some(retry_after) = server.retry_after {
            site.retry_after = retry_after;
        }
        self.headers(&mut site, &fields.headers);
        site
    }

    /// Certificates and keys in pairs. What has no partner is reported at its own line, once for all servers that inherit it.
    fn certificates(&mut self, server: &Server) -> Vec<CertificateFiles> {
        let (certificates, keys) = (&server.certificates, &server.keys);
        for (own, partners, what) in [
            (
                certificates,
                keys,
                "ssl_certificate without ssl_certificate_key; add \"ssl_certificate_key FILE;\"",
            ),
            (
                keys,
                certificates,
                "ssl_certificate_key without ssl_certificate; add \"ssl_certificate FILE;\"",
            ),
        ] {
            for (_, place) in own.iter().skip(partners.len()) {
                self.fault(*place, what);
            }
        }
        let pairs = certificates.iter().zip(keys);
        pairs
            .map(|((chain, _), (key, _))| CertificateFiles {
                chain: chain.clone(),
                key: key.clone(),
            })
            .collect()
    }
}

/// Puts in what nginx takes for said where nothing is.
fn complete(server: &mut Server) {
    if server.names.is_empty() {
        let nameless = ServerName::Exact(String::new());
        server.names.push((nameless, server.place));
    }
    if server.listens.is_empty() {
        server.listens.push(Listen {
            place: server.place,
            endpoints: place("80").map_or_else(Vec::new, |place| place.endpoints(false)),
            twins: Vec::new(),
            default: None,
            backlog: None,
        });
    }
}

/// Where a server says that it stands at an endpoint.
fn place_of(server: &Server, endpoint: &Endpoint) -> Position {
    let names = |listen: &&Listen| {
        let mut endpoints = listen.endpoints.iter().chain(&listen.twins);
        endpoints.any(|own| is_same(own, endpoint))
    };
    let listen = server.listens.iter().find(names);
    listen.map_or(server.place, |listen| listen.place)
}

/// Whether two endpoints share a socket. Any free port is one of its own for each kind of socket.
fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    let any_port = |place: &config::BindAddr| matches!(place, config::BindAddr::Tcp(address) if address.port() == 0);
    one.place == other.place && (one.secure == other.secure || !any_port(&one.place))
}
