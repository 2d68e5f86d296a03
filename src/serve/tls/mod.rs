//! TLS settings: a certificate for each name, and the choices that make a handshake cheap and right.

pub mod chain;
mod files;
pub mod pem;
mod tickets;

use std::cell::OnceCell;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ALL_VERSIONS, ServerConfig, SupportedProtocolVersion, version};

use crate::config::server_name::{Hosts, SiteNumber};
use crate::config::{CertificateFiles, Config, TlsVersions};
use crate::error::Error;
use crate::serve::tls::chain::Chain;
use crate::serve::tls::files::{load, throw_away};
use crate::serve::tls::tickets::Tickets;
use crate::tls_provider::provider;

/// What outlives every configuration, so that a reload changes nothing of it.
#[derive(Debug)]
pub struct SharedTls {
    tickets: Tickets,
    /// Made when it is needed for the first time.
    throw_away: OnceCell<Arc<CertifiedKey>>,
}

impl SharedTls {
    /// New keys of tickets, to be made before the first fork.
    ///
    /// # Errors
    /// No randomness to be had.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            tickets: Tickets::new()?,
            throw_away: OnceCell::new(),
        })
    }
}

/// The settings of each endpoint, in their order; nothing for those in the clear. Endpoints with the same sites share theirs.
///
/// # Errors
/// A certificate or key that cannot be read or does not fit.
pub fn settings(
    config: &Config,
    lasting: &SharedTls,
) -> Result<Vec<Option<Arc<ServerConfig>>>, Error> {
    let mut forge = TlsBuilder {
        provider: Arc::new(provider()),
        config,
        lasting,
        used: used(config),
        loaded: Vec::new(),
    };
    let mut made: Vec<(&Hosts, Arc<ServerConfig>)> = Vec::new();
    let mut all = Vec::with_capacity(config.endpoints.len());
    for endpoint in &config.endpoints {
        let hosts = &endpoint.hosts;
        let known = made.iter().find(|(other, _)| *other == hosts);
        all.push(match known {
            _ if !endpoint.secure => None,
            Some((_, settings)) => Some(Arc::clone(settings)),
            None => {
                let settings = forge.settings(hosts)?;
                made.push((hosts, Arc::clone(&settings)));
                Some(settings)
            }
        });
    }
    Ok(all)
}

/// What is wrong with the certificates that are used somewhere: each of them by itself.
#[must_use]
pub fn faults(config: &Config) -> Vec<Error> {
    let provider = provider();
    let used = used(config);
    used.iter()
        .flat_map(|files| files::faults(files, &used, &provider))
        .collect()
}

/// The files of all certificates that are used somewhere.
fn used(config: &Config) -> Vec<&CertificateFiles> {
    let mut used: Vec<&CertificateFiles> = Vec::new();
    let secure = config.endpoints.iter().filter(|endpoint| endpoint.secure);
    for site in secure.flat_map(|endpoint| endpoint.hosts.sites()) {
        for files in &config.sites[usize::from(*site)].certificates {
            if !used.contains(&files) {
                used.push(files);
            }
        }
    }
    used
}

/// The certificates of a file; none where there is a fault in it or in its key.
#[must_use]
pub fn chain(files: &CertificateFiles) -> Option<Chain> {
    let loaded = load(files, &[], &provider());
    loaded.ok().map(|(chain, _)| chain)
}

/// Where settings are made; every file is read once.
struct TlsBuilder<'a> {
    provider: Arc<CryptoProvider>,
    config: &'a Config,
    lasting: &'a SharedTls,
    used: Vec<&'a CertificateFiles>,
    loaded: Vec<(&'a CertificateFiles, Arc<CertifiedKey>)>,
}

impl TlsBuilder<'_> {
    fn settings(&mut self, hosts: &Hosts) -> Result<Arc<ServerConfig>, Error> {
        let mut of_sites = vec![Vec::new(); self.config.sites.len()];
        for site in hosts.sites().iter().map(|site| usize::from(*site)) {
            of_sites[site] = self.certificates(site)?;
        }
        let default = usize::from(hosts.default_site());
        if of_sites[default].is_empty() {
            of_sites[default].push(self.throw_away()?);
        }
        let certificates = Certificates {
            hosts: hosts.clone(),
            of_sites,
        };
        let broken = |error: rustls::Error| Error::Failed(format!("cannot set up TLS: {error}"));
        let tls = &self.config.sites[default].tls;
        let mut settings = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions(tls.versions))
            .map_err(broken)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        // In the client's order TLS 1.3 mostly runs on SHA-384, which costs a quarter of the handshake.
        settings.ignore_client_order = true;
        settings.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // Tickets serve any worker and need no memory, and one of them is enough.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        if tls.tickets {
            settings.ticketer = self.lasting.tickets.for_lifetime(tls.ticket_lifetime);
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

    fn throw_away(&self) -> Result<Arc<CertifiedKey>, Error> {
        let kept = &self.lasting.throw_away;
        let made = match kept.get() {
            Some(made) => Arc::clone(made),
            None => throw_away(&self.provider)?,
        };
        Ok(Arc::clone(kept.get_or_init(|| made)))
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

/// The certificates of an endpoint's sites.
#[derive(Debug)]
struct Certificates {
    hosts: Hosts,
    /// By the sites' numbers, each one's preferred one first; those of the default site are there.
    of_sites: Vec<Vec<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Certificates {
    /// The first certificate of the site that is asked for whose key the client can verify; its first where there is
    /// none. Whatever name a client asks for, or none, it gets a page: by the default site's certificate.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of = |site: SiteNumber| self.of_sites.get(usize::from(site));
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
    use crate::config::{Endpoint, SiteConfig};

    #[test]
    fn endpoints_with_the_same_sites_share_their_settings() {
        let mut config = Config::default();
        config.sites.push(SiteConfig::default());
        let both = config.hosts();
        let clear = config.endpoints[0].clone();
        let one = config.endpoints[2].clone();
        let two = Endpoint {
            hosts: both,
            ..one.clone()
        };
        config.endpoints = vec![clear, one.clone(), two.clone(), one, two];
        let all = settings(&config, &SharedTls::new().unwrap()).unwrap();
        let same = |one: usize, other: usize| {
            let [one, other] = [one, other].map(|at| all[at].as_ref().unwrap());
            Arc::ptr_eq(one, other)
        };
        assert!(all[0].is_none());
        assert!(same(1, 3) && same(2, 4) && !same(1, 2));
    }
}
