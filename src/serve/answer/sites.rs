//! The sites of each endpoint: their answers, and how TLS is spoken.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::Config;
use crate::config::server_name::{SiteNumber, VirtualHosts};
use crate::error::Error;
use crate::serve::answer::answers::Answers;
use crate::serve::answer::head::Persistence;
use crate::serve::answer::load;
use crate::serve::answer::retry_after::Countdown;
use crate::serve::answer::variants::Ready;
use crate::serve::http1::{Request, Span};
use crate::serve::tls;
use crate::serve::tls::SharedTls;
use crate::window::Window;

/// What the connections of one endpoint are answered with.
#[derive(Debug)]
pub struct Sites {
    /// The answers of all sites.
    pub answers: Arc<Answers>,
    /// The host names of the sites at this endpoint.
    pub hosts: VirtualHosts,
    /// The number of requests after which a connection is closed.
    pub max_requests: u32,
    /// The worker drains: the next request of each connection is its last.
    pub draining: bool,
    /// The values of Retry-After while an end is announced.
    pub countdown: Option<Countdown>,
}

impl Sites {
    /// One site, which answers to every host name.
    #[must_use]
    pub fn one(answers: Answers, max_requests: u32) -> Self {
        Self {
            answers: Arc::new(answers),
            hosts: VirtualHosts::one(),
            max_requests,
            draining: false,
            countdown: None,
        }
    }

    /// The site of the host in a request. If there is only one site, the host is not read.
    #[must_use]
    pub fn choose(&self, head: &[u8], host: Span) -> SiteNumber {
        let default = self.hosts.default_site();
        if self.hosts.is_one() {
            return default;
        }
        self.hosts.find(host.slice(head)).unwrap_or(default)
    }

    /// The answer to a request with this head.
    #[must_use]
    pub fn ready(&self, request: &Request, head: &[u8]) -> Ready {
        let site = self.choose(head, request.host);
        Ready {
            persistence: Persistence::Implicit,
            with_body: !request.is_head,
            site,
            variant: self.answers.choose(site, request.preferences, head),
            retry_after: self.countdown.as_ref().map_or(0, Countdown::take),
        }
    }

    /// The bytes of an answer: the head, the end of a head whose Retry-After counts down, and the body.
    #[must_use]
    pub fn bytes(&self, ready: Ready) -> [&[u8]; 3] {
        let [head, body] = self.answers.bytes(ready);
        let end = self.countdown.as_ref().map_or(&[][..], |countdown| {
            countdown.end_of_head(ready.retry_after)
        });
        [head, end, body]
    }

    /// The length of the body of an answer, 0 if it is not sent.
    #[must_use]
    pub fn body_length(&self, ready: Ready) -> usize {
        let [_, body] = self.answers.bytes(ready);
        body.len()
    }
}

/// What a worker serves at one endpoint.
#[derive(Debug)]
pub struct Service {
    /// The answers.
    pub sites: Sites,
    /// The TLS settings; none for plaintext.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Loads the pages, which announce `window`, and the certificates of a configuration. Returns a service for each endpoint, in
/// their order.
///
/// # Errors
/// The first file that cannot be used.
pub fn load(config: &Config, window: &Window, shared: &SharedTls) -> Result<Vec<Service>, Error> {
    let answers = Arc::new(answers(config, window)?);
    let settings = tls::settings(config, shared)?;
    let services = config.endpoints.iter().zip(settings);
    Ok(services
        .map(|(endpoint, tls)| Service {
            sites: Sites {
                answers: Arc::clone(&answers),
                hosts: endpoint.hosts.clone(),
                max_requests: config.max_requests,
                draining: false,
                countdown: window.until.map(Countdown::new),
            },
            tls,
        })
        .collect())
}

/// Reads the pages and renders the answers of all sites, which announce `window`.
///
/// # Errors
/// A page cannot be read, or memory for it cannot be mapped.
pub fn answers(config: &Config, window: &Window) -> Result<Answers, Error> {
    Answers::of_sites(&load::contents(config, window)?)
        .map_err(|error| Error::system("keep the page in memory", &error))
}
