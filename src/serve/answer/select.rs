//! Selects the answer to a request: by host, form, language and coding; HEAD gets the header without the body.

use std::sync::Arc;

use crate::config::server_name::{SiteNumber, VirtualHosts};
use crate::serve::answer::answers::Answers;
use crate::serve::answer::response_head::Persistence;
use crate::serve::answer::retry_after::Countdown;
use crate::serve::answer::variants::Ready;
use crate::serve::http1::{Request, Span};

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

    /// The answer to a request with this head. The answer to HEAD is the header of the answer to GET (RFC 9110 9.3.2).
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
