//! What is answered and how TLS is spoken at each endpoint: the sites of a configuration, loaded.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use super::answer::{self, Answers, Content};
use super::http1::Part;
use super::tls::{self, Lasting};
use super::{page, system};
use crate::config::names::{Hosts, SiteNumber};
use crate::config::{Config, PageSource, SiteConfig};
use crate::fault::Fault;

/// What a connection is answered with, and how often: the sites of its endpoint.
#[derive(Debug)]
pub struct Sites {
    /// The ready answers of all sites.
    pub answers: Arc<Answers>,
    /// Which of them are meant here.
    pub hosts: Hosts,
    /// The requests of one connection after which it is closed.
    pub max_requests: u32,
    /// The worker is to end: the next request of each connection is its last.
    pub draining: bool,
}

impl Sites {
    /// One site, whatever its name.
    #[must_use]
    pub fn one(answers: Answers, max_requests: u32) -> Self {
        Self {
            answers: Arc::new(answers),
            hosts: Hosts::one(),
            max_requests,
            draining: false,
        }
    }

    /// The site that answers to the host in a request; where there is but one, the host is not even looked at.
    #[must_use]
    pub fn choose(&self, input: &[u8], host: Part) -> SiteNumber {
        let default = self.hosts.default_site();
        if self.hosts.is_one() {
            return default;
        }
        self.hosts.find(host.of(input)).unwrap_or(default)
    }
}

/// What a worker does at one endpoint.
#[derive(Debug)]
pub struct Service {
    /// What it answers.
    pub sites: Sites,
    /// How it speaks TLS, where it does.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Loads all that a configuration names: a service for each of its endpoints, in their order.
///
/// # Errors
/// The first file that cannot be used.
pub fn load(config: &Config, lasting: &Lasting) -> Result<Vec<Service>, Fault> {
    let answers = Arc::new(answers(config)?);
    let settings = tls::settings(config, lasting)?;
    let services = config.endpoints.iter().zip(settings);
    Ok(services
        .map(|(endpoint, tls)| Service {
            sites: Sites {
                answers: Arc::clone(&answers),
                hosts: endpoint.hosts.clone(),
                max_requests: config.max_requests,
                draining: false,
            },
            tls,
        })
        .collect())
}

/// Reads the pages and renders the answers of all sites.
///
/// # Errors
/// A page cannot be read, or there is no memory for it.
pub fn answers(config: &Config) -> Result<Answers, Fault> {
    let mut read: Vec<(&Path, Vec<u8>)> = Vec::new();
    for path in page_files(config) {
        read.push((path, page::read(path)?));
    }
    let contents: Vec<_> = config
        .sites
        .iter()
        .map(|site| content(site, &read))
        .collect();
    Answers::of_sites(&contents).map_err(|error| system("keep the page in memory", &error))
}

/// The files of the pages, each once.
pub(crate) fn page_files(config: &Config) -> Vec<&Path> {
    let mut paths: Vec<&Path> = Vec::new();
    for site in &config.sites {
        match &site.page {
            PageSource::File(path) if !paths.contains(&path.as_path()) => paths.push(path),
            PageSource::File(_) | PageSource::Embedded | PageSource::Text(_) => {}
        }
    }
    paths
}

/// What a site answers, its page among those that were read.
fn content<'a>(site: &'a SiteConfig, read: &'a [(&Path, Vec<u8>)]) -> Content<'a> {
    let or_default = |other: &'static str| site.default_type.as_deref().unwrap_or(other);
    let (page, media_type) = match &site.page {
        PageSource::Embedded => (page::EMBEDDED, "text/html"),
        PageSource::File(path) => {
            let found = read.iter().find(|(other, _)| other == path);
            (
                found.map_or(&[][..], |(_, page)| page),
                answer::media_type(path).unwrap_or(or_default("text/html")),
            )
        }
        PageSource::Text(text) => (text.as_bytes(), or_default("text/plain")),
    };
    let charset = site.charset.as_deref().filter(|charset| *charset != "off");
    Content {
        page,
        content_type: answer::content_type(media_type, charset.unwrap_or("utf-8")),
        retry_after: site.retry_after,
        fields: &site.headers,
    }
}
