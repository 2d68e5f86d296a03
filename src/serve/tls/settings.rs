//! The TLS settings of each endpoint: rustls configurations.

use std::cell::OnceCell;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ALL_VERSIONS, ServerConfig, SupportedProtocolVersion, version};

use crate::config::server_name::{SiteNumber, VirtualHosts};
use crate::config::{CertificateFiles, Config, Endpoint, TlsVersions};
use crate::error::Error;
use crate::serve::tls::certificates::files::{load, used};
use crate::serve::tls::certificates::temporary;
use crate::serve::tls::tickets::Tickets;
use crate::tls_provider::provider;

/// The TLS state that a reload keeps.
#[derive(Debug)]
pub struct SharedTls {
    tickets: Tickets,
    /// The temporary self-signed certificate, generated at its first use.
    temporary: OnceCell<Arc<CertifiedKey>>,
}

impl SharedTls {
    /// Generates the ticket keys. Must be called before the first fork, so that all workers have the same keys.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            tickets: Tickets::new()?,
            temporary: OnceCell::new(),
        })
    }
}

/// The settings of each endpoint, in the order of `endpoints`; `None` for plaintext HTTP. Endpoints with the same sites share them.
///
/// # Errors
/// A certificate or key cannot be used.
pub fn settings(
    config: &Config,
    endpoints: &[Endpoint],
    shared: &SharedTls,
) -> Result<Vec<Option<Arc<ServerConfig>>>, Error> {
    let mut builder = TlsBuilder {
        provider: Arc::new(provider()),
        config,
        shared,
        used: used(config, endpoints),
        loaded: Vec::new(),
    };
    let mut known: Vec<(&VirtualHosts, Arc<ServerConfig>)> = Vec::new();
    let mut all = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let hosts = &endpoint.hosts;
        let found = known.iter().find(|(other, _)| *other == hosts);
        all.push(match found {
            _ if !endpoint.secure => None,
            Some((_, settings)) => Some(Arc::clone(settings)),
            None => {
                let settings = builder.build(hosts)?;
                known.push((hosts, Arc::clone(&settings)));
                Some(settings)
            }
        });
    }
    Ok(all)
}

/// Builds settings. Every file is read once.
struct TlsBuilder<'a> {
    provider: Arc<CryptoProvider>,
    config: &'a Config,
    shared: &'a SharedTls,
    used: Vec<&'a CertificateFiles>,
    loaded: Vec<(&'a CertificateFiles, Arc<CertifiedKey>)>,
}

impl TlsBuilder<'_> {
    fn build(&mut self, hosts: &VirtualHosts) -> Result<Arc<ServerConfig>, Error> {
        let mut by_site = vec![Vec::new(); self.config.sites.len()];
        for site in hosts.sites().iter().map(|site| usize::from(*site)) {
            by_site[site] = self.certificates(site)?;
        }
        let default = usize::from(hosts.default_site());
        if by_site[default].is_empty() {
            by_site[default].push(self.temporary_certificate()?);
        }
        let resolver = CertificateResolver {
            hosts: hosts.clone(),
            by_site,
        };
        let failed = |error: rustls::Error| Error::Failed(format!("cannot set up TLS: {error}"));
        let tls = &self.config.sites[default].tls;
        let mut settings = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions(tls.versions))
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        // Most clients prefer SHA-384 for TLS 1.3; SHA-384 increases the CPU time of a handshake by a quarter.
        settings.ignore_client_order = true;
        settings.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // Tickets work in every worker and need no memory. One per session is enough.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        if tls.tickets {
            settings.ticketer = self.shared.tickets.for_lifetime(tls.ticket_lifetime);
            settings.send_tls13_tickets = 1;
        }
        Ok(Arc::new(settings))
    }

    /// The certificates of a site.
    fn certificates(&mut self, site: usize) -> Result<Vec<Arc<CertifiedKey>>, Error> {
        let mut certificates = Vec::new();
        for files in &self.config.sites[site].certificates {
            let known = self.loaded.iter().find(|(other, _)| *other == files);
            certificates.push(match known {
                Some((_, certificate)) => Arc::clone(certificate),
                None => {
                    let (_, certificate) = load(files, &self.used, &self.provider)?;
                    self.loaded.push((files, Arc::clone(&certificate)));
                    certificate
                }
            });
        }
        Ok(certificates)
    }

    fn temporary_certificate(&self) -> Result<Arc<CertifiedKey>, Error> {
        let cell = &self.shared.temporary;
        let certificate = match cell.get() {
            Some(certificate) => Arc::clone(certificate),
            None => temporary::generate(&self.provider)?,
        };
        Ok(Arc::clone(cell.get_or_init(|| certificate)))
    }
}

fn versions(versions: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    match versions {
        TlsVersions::Both => ALL_VERSIONS,
        TlsVersions::Only12 => ONLY_12,
        TlsVersions::Only13 => ONLY_13,
    }
}

static ONLY_12: &[&SupportedProtocolVersion] = &[&version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Selects the certificate for a handshake.
#[derive(Debug)]
struct CertificateResolver {
    hosts: VirtualHosts,
    /// The certificates of each site in order of preference, indexed by site number. The default site has at least one.
    by_site: Vec<Vec<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for CertificateResolver {
    /// The first certificate of the requested site whose signature scheme the client supports, otherwise its first. Unknown
    /// names and clients without SNI get the default site's certificate; such clients get the default site's page.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of = |site: SiteNumber| self.by_site.get(usize::from(site));
        let name = hello.server_name().filter(|_| !self.hosts.is_one());
        let own = name
            .and_then(|name| self.hosts.find(name.as_bytes()))
            .and_then(of)
            .filter(|own| !own.is_empty())
            .or_else(|| of(self.hosts.default_site()))?;
        let fits = |certified: &&Arc<CertifiedKey>| {
            certified
                .key
                .choose_scheme(hello.signature_schemes())
                .is_some()
        };
        own.iter().find(fits).or_else(|| own.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SiteConfig;

    #[test]
    fn endpoints_with_the_same_sites_share_their_settings() {
        let mut config = Config::default();
        config.sites.push(SiteConfig::default());
        let both = config.hosts();
        let plaintext = config.endpoints[0].clone();
        let one = config.endpoints[2].clone();
        let two = Endpoint {
            hosts: both,
            ..one.clone()
        };
        let endpoints = [plaintext, one.clone(), two.clone(), one, two];
        let all = settings(&config, &endpoints, &SharedTls::new().unwrap()).unwrap();
        let same = |one: usize, other: usize| {
            let [one, other] = [one, other].map(|at| all[at].as_ref().unwrap());
            Arc::ptr_eq(one, other)
        };
        assert!(all[0].is_none());
        assert!(same(1, 3) && same(2, 4) && !same(1, 2));
    }
}
