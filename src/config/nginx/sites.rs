//! Combines `server` blocks into sites, and into the endpoints that they share.

use std::path::Path;

use crate::config::listen::{BindAddr, Endpoint, EndpointSource};
use crate::config::nginx::block::Server;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::header::{AnswerFields, set_headers};
use crate::config::nginx::listen::Listen;
use crate::config::nginx::page::find_page;
use crate::config::nginx::syntax::Position;
use crate::config::nginx::tls::pair_certificates;
use crate::config::server_name::{ServerName, SiteNumber, VirtualHosts};
use crate::config::site::{SiteConfig, TlsConfig, TlsVersions};

/// An endpoint, while the servers that share it are added.
struct SharedEndpoint {
    endpoint: Endpoint,
    /// A server has `default_server`.
    has_default: bool,
    has_backlog: bool,
}

/// The endpoints of the servers. The number of a site is the index of its server.
pub(crate) fn endpoints(servers: &[Server], diagnostics: &mut Diagnostics) -> Vec<Endpoint> {
    let mut shared: Vec<SharedEndpoint> = Vec::new();
    for (number, server) in (0..).zip(servers) {
        add_server(&mut shared, number, server, diagnostics);
    }
    let mut endpoints: Vec<_> = shared.into_iter().map(|shared| shared.endpoint).collect();
    for endpoint in &mut endpoints {
        add_names(endpoint, servers, diagnostics);
    }
    for (number, server) in (0..).zip(servers) {
        require_certificate(&endpoints, number, server, diagnostics);
    }
    endpoints
}

/// Sets the defaults of nginx for a server without names or addresses.
pub(crate) fn complete(server: &mut Server) {
    if server.names.is_empty() {
        let nameless = ServerName::Exact(String::new());
        server.names.push((nameless, server.position));
    }
    if server.listens.is_empty() {
        server.listens.push(Listen::implied(server.position));
    }
}

/// Adds a server to the endpoints of its `listen` directives.
fn add_server(
    all: &mut Vec<SharedEndpoint>,
    number: SiteNumber,
    server: &Server,
    diagnostics: &mut Diagnostics,
) {
    let mut own: Vec<&Endpoint> = Vec::new();
    for listen in &server.listens {
        for endpoint in &listen.endpoints {
            if own.iter().any(|other| is_same(other, endpoint)) {
                let address = &endpoint.address;
                let what = format!("a duplicate listen {address} in one server; delete it");
                diagnostics.error(listen.position.message(what));
            }
            own.push(endpoint);
        }
        for endpoint in listen.endpoints.iter().chain(&listen.twins) {
            let at = all
                .iter()
                .position(|other| is_same(&other.endpoint, endpoint));
            let at = at.unwrap_or_else(|| {
                all.push(SharedEndpoint {
                    endpoint: Endpoint {
                        hosts: VirtualHosts::default(),
                        source: EndpointSource::File,
                        ..endpoint.clone()
                    },
                    has_default: false,
                    has_backlog: false,
                });
                all.len() - 1
            });
            share(&mut all[at], number, listen, endpoint, diagnostics);
        }
    }
}

/// Adds a server to one endpoint.
fn share(
    shared: &mut SharedEndpoint,
    number: SiteNumber,
    listen: &Listen,
    requested: &Endpoint,
    diagnostics: &mut Diagnostics,
) {
    let endpoint = &mut shared.endpoint;
    endpoint.optional &= requested.optional;
    endpoint.hosts.add(number);
    if endpoint.secure != requested.secure {
        // As in nginx, a socket has one protocol.
        endpoint.secure = true;
        let what = "is ssl in one listen and not in another: TLS is used";
        let what = format!("{} {what}", endpoint.address);
        diagnostics.remark(listen.position.message(what));
    }
    if let Some((backlog, position)) = listen.backlog {
        if std::mem::replace(&mut shared.has_backlog, true) {
            let what = format!("a duplicate backlog for {}; delete it", endpoint.address);
            diagnostics.error(position.message(what));
        }
        endpoint.backlog = backlog;
    }
    if let Some(position) = listen.default {
        if std::mem::replace(&mut shared.has_default, true) {
            let address = &endpoint.address;
            let what = format!("a duplicate default server for {address}; delete it");
            diagnostics.error(position.message(what));
        }
        endpoint.hosts.set_default(number);
    }
}

/// Adds the names of an endpoint's sites. A name belongs to the first site that has it.
fn add_names(endpoint: &mut Endpoint, servers: &[Server], diagnostics: &mut Diagnostics) {
    for number in endpoint.hosts.sites().to_vec() {
        for (name, position) in &servers[usize::from(number)].names {
            let owner = endpoint.hosts.add_name(name, number);
            if owner.is_some_and(|owner| owner != number) {
                diagnostics.remark(position.message(format!(
                    "conflicting server name \"{name}\" on {} is ignored: another server has it",
                    endpoint.address
                )));
            }
        }
    }
}

/// Reports a server with a TLS endpoint and no certificate, at its `listen`: an error for the default server of an endpoint,
/// whose certificate other servers use.
fn require_certificate(
    all: &[Endpoint],
    number: SiteNumber,
    server: &Server,
    diagnostics: &mut Diagnostics,
) {
    // A key without a certificate is reported at the key.
    if !server.certificates.is_empty() || !server.keys.is_empty() {
        return;
    }
    let is_own = |endpoint: &&Endpoint| endpoint.secure && endpoint.hosts.sites().contains(&number);
    let mut own = all.iter().filter(is_own);
    let Some(first) = own.clone().next() else {
        return;
    };
    let default = own.find(|endpoint| endpoint.hosts.default_site() == number);
    let position = position_of_listen(server, default.unwrap_or(first));
    if default.is_some() {
        let what = "listen ... ssl without a certificate; add \"ssl_certificate FILE;\"";
        diagnostics.error(position.message(what));
    } else {
        let what = "no ssl_certificate: that of the default server is used";
        diagnostics.remark(position.message(what));
    }
}

/// The position of the `listen` directive of an endpoint.
fn position_of_listen(server: &Server, endpoint: &Endpoint) -> Position {
    let is_it = |listen: &&Listen| {
        let mut endpoints = listen.endpoints.iter().chain(&listen.twins);
        endpoints.any(|own| is_same(own, endpoint))
    };
    let listen = server.listens.iter().find(is_it);
    listen.map_or(server.position, |listen| listen.position)
}

/// Whether two endpoints share a socket. Port 0 is a different port for each protocol.
fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    let any_port =
        |bound: &BindAddr| matches!(bound, BindAddr::Tcp(address) if address.port() == 0);
    one.address == other.address && (one.secure == other.secure || !any_port(&one.address))
}

/// The site of a server.
pub(crate) fn site(
    server: &Server,
    directory: &Path,
    placeholders: bool,
    diagnostics: &mut Diagnostics,
) -> SiteConfig {
    let (page, location) = find_page(server, directory, placeholders, diagnostics);
    let mut fields =
        location.map_or_else(AnswerFields::default, |location| location.fields.clone());
    fields.inherit(&server.fields);
    let mut site = SiteConfig {
        names: server.names.iter().map(|(name, _)| name.clone()).collect(),
        page,
        default_type: fields.default_type,
        charset: fields.charset,
        certificates: pair_certificates(&server.certificates, &server.keys, diagnostics),
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
    set_headers(&mut site, &fields.headers, diagnostics);
    site
}
