//! What is answered and how TLS is spoken at each endpoint: the sites of a configuration, loaded.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::Config;
use crate::config::server_name::{SiteNumber, VirtualHosts};
use crate::error::Error;
use crate::serve::answer::load;
use crate::serve::answer::retry_after::{BEGINNING, Countdown};
use crate::serve::answer::{Answers, Persistence, Ready};
use crate::serve::http1::{Part, Request};
use crate::serve::system;
use crate::serve::tls;
use crate::serve::tls::SharedTls;

/// What a connection is answered with, and how often: the sites of its endpoint.
#[derive(Debug)]
pub struct Sites {
    /// The ready answers of all sites.
    pub answers: Arc<Answers>,
    /// Which of them are meant here.
    pub hosts: VirtualHosts,
    /// The requests of one connection after which it is closed.
    pub max_requests: u32,
    /// The worker is to end: the next request of each connection is its last.
    pub draining: bool,
    /// What Retry-After says while a window is announced.
    pub countdown: Option<Countdown>,
}

impl Sites {
    /// One site, whatever its name.
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

    /// The site that answers to the host in a request; where there is but one, the host is not even looked at.
    #[must_use]
    pub fn choose(&self, input: &[u8], host: Part) -> SiteNumber {
        let default = self.hosts.default_site();
        if self.hosts.is_one() {
            return default;
        }
        self.hosts.find(host.of(input)).unwrap_or(default)
    }

    /// The ready answer to a request, of which `head` is the bytes.
    #[must_use]
    pub fn ready(&self, request: &Request, head: &[u8]) -> Ready {
        let site = self.choose(head, request.host);
        Ready {
            persistence: Persistence::Stays,
            with_body: !request.head,
            site,
            variant: self.answers.choose(site, request.wants, head),
            turn: self.countdown.as_ref().map_or(0, Countdown::take),
        }
    }

    /// The bytes of an answer: its head, the end of that where Retry-After is counted down, with which a problem may begin, and
    /// its body.
    #[must_use]
    pub fn bytes(&self, ready: Ready) -> [&[u8]; 3] {
        let [head, body] = self.answers.bytes(ready);
        let tail = self.countdown.as_ref().map_or(&[][..], |countdown| {
            countdown.tail(ready.turn, self.answers.is_counted(ready))
        });
        [head, tail, body]
    }

    /// How long the body of an answer is, as it is sent.
    #[must_use]
    pub fn body_length(&self, ready: Ready) -> usize {
        let [_, body] = self.answers.bytes(ready);
        let is_counted = self.countdown.is_some() && self.answers.is_counted(ready);
        body.len() + if is_counted { BEGINNING } else { 0 }
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
pub fn load(config: &Config, lasting: &SharedTls) -> Result<Vec<Service>, Error> {
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
                countdown: config.window.until.map(Countdown::new),
            },
            tls,
        })
        .collect())
}

/// Reads the pages and renders the answers of all sites.
///
/// # Errors
/// A page cannot be read, or there is no memory for it.
pub fn answers(config: &Config) -> Result<Answers, Error> {
    Answers::of_sites(&load::contents(config)?)
        .map_err(|error| system("keep the page in memory", &error))
}
