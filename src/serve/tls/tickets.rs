//! Session tickets: made by keys that all workers have in common, the later ones too.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::ProducesTickets;

use crate::error::Error;
use crate::tls_provider;

/// The most bytes of a session in a ticket, with much to spare: secrets, and a name of 255 bytes at most.
const MAX_SESSION: usize = 1024;
/// The longest lifetime that a client may be told (RFC 8446 4.6.1).
const MAX_LIFETIME: u32 = 7 * 24 * 60 * 60;

/// The keys of session tickets. A process makes them once, before it forks, and keeps them for its life: then tickets
/// resume sessions with whatever worker, and with the settings of a later configuration.
///
/// rustls makes new keys every six hours, each worker its own; what they do not know costs a full handshake and no more.
#[derive(Clone, Debug)]
pub(crate) struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// New keys.
    ///
    /// # Errors
    /// No randomness to be had.
    pub(crate) fn new() -> Result<Self, Error> {
        let broken = |cause: &str| Error::Failed(format!("cannot make ticket keys: {cause}"));
        let keys = tls_provider::new_tickets().map_err(|error| broken(&error.to_string()))?;
        // rustls takes no ticket that is longer than the longest that this very copy of the keys has made, and a worker
        // that was just forked has made none.
        keys.encrypt(&[0; MAX_SESSION])
            .ok_or_else(|| broken("encryption failed"))?;
        Ok(Self(keys))
    }

    /// Makes tickets that clients are told to keep for a time; without one, for as long as the keys are.
    pub(crate) fn for_lifetime(&self, lifetime: Option<Duration>) -> Arc<dyn ProducesTickets> {
        let seconds = |lifetime: Duration| u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let lifetime = lifetime.map_or(self.0.lifetime(), seconds);
        Arc::new(Ticketer {
            keys: Arc::clone(&self.0),
            lifetime: lifetime.min(MAX_LIFETIME),
        })
    }
}

/// The common keys with a lifetime of one's own.
#[derive(Debug)]
struct Ticketer {
    keys: Arc<dyn ProducesTickets>,
    lifetime: u32,
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.keys.decrypt(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_told_as_it_is_given_up_to_a_week() {
        let tickets = Tickets::new().unwrap();
        for (given, told) in [
            (None, 12 * 60 * 60),
            (Some(Duration::from_mins(5)), 300),
            (Some(Duration::from_hours(24 * 365)), MAX_LIFETIME),
        ] {
            assert_eq!(tickets.for_lifetime(given).lifetime(), told);
        }
    }
}
