//! Loads what is served at each endpoint: the answers of its sites and its TLS settings.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::announcement::Announcement;
use crate::config::{Config, Endpoint};
use crate::error::Error;
use crate::serve::answer::answers::Answers;
use crate::serve::answer::load;
use crate::serve::answer::retry_after::Countdown;
use crate::serve::answer::select::Sites;
use crate::serve::tls;
use crate::serve::tls::SharedTls;

/// What a worker serves at one endpoint.
#[derive(Debug)]
pub struct Service {
    /// The answers.
    pub sites: Sites,
    /// The TLS settings; none for plaintext.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Loads the pages, which show `announcement`, and the certificates of a configuration. Returns a service for each endpoint, in
/// the order of `endpoints`.
///
/// # Errors
/// The first file that cannot be used.
pub fn load(
    config: &Config,
    endpoints: &[Endpoint],
    announcement: &Announcement,
    shared: &SharedTls,
) -> Result<Vec<Service>, Error> {
    let answers = Arc::new(answers(config, announcement)?);
    let settings = tls::settings(config, endpoints, shared)?;
    let services = endpoints.iter().zip(settings);
    Ok(services
        .map(|(endpoint, tls)| Service {
            sites: Sites {
                answers: Arc::clone(&answers),
                hosts: endpoint.hosts.clone(),
                max_requests: config.max_requests,
                draining: false,
                countdown: announcement.until.map(Countdown::new),
            },
            tls,
        })
        .collect())
}

/// Reads the pages and renders the answers of all sites, which show `announcement`.
///
/// # Errors
/// A page cannot be read, or memory for it cannot be mapped.
pub fn answers(config: &Config, announcement: &Announcement) -> Result<Answers, Error> {
    Answers::of_sites(&load::contents(config, announcement)?)
        .map_err(|error| Error::system("keep the page in memory", &error))
}
