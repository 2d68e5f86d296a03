//! Session tickets with keys that all workers share, also respawned ones.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::ProducesTickets;

use crate::error::Error;
use crate::tls_provider;

/// A generous limit of a session's size in a ticket: secrets, and a name of at most 255 bytes.
const MAX_SESSION: usize = 1024;
/// The longest ticket lifetime that may be sent (RFC 8446 4.6.1).
const MAX_LIFETIME: u32 = 7 * 24 * 60 * 60;

/// The keys of session tickets. They are generated before the first fork and kept until the process exits, so a ticket resumes
/// a session with every worker, also after a reload.
///
/// rustls rotates the keys every six hours in each worker separately. A ticket of an unknown key costs a full handshake.
#[derive(Clone, Debug)]
pub(crate) struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// Generates keys.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn new() -> Result<Self, Error> {
        let failed = |cause: &str| Error::Failed(format!("cannot make ticket keys: {cause}"));
        let keys = tls_provider::new_tickets().map_err(|error| failed(&error.to_string()))?;
        // rustls rejects tickets longer than the longest that this copy of the keys has issued. A new worker has issued none.
        keys.encrypt(&[0; MAX_SESSION])
            .ok_or_else(|| failed("encryption failed"))?;
        Ok(Self(keys))
    }

    /// A ticketer with this lifetime; `None` is the lifetime of the keys.
    pub(crate) fn for_lifetime(&self, lifetime: Option<Duration>) -> Arc<dyn ProducesTickets> {
        let seconds = |lifetime: Duration| u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let lifetime = lifetime.map_or(self.0.lifetime(), seconds);
        Arc::new(Ticketer {
            keys: Arc::clone(&self.0),
            lifetime: lifetime.min(MAX_LIFETIME),
        })
    }
}

/// The shared keys with the lifetime of one endpoint.
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
    fn the_lifetime_is_limited_to_a_week() {
        let tickets = Tickets::new().unwrap();
        for (given, expected) in [
            (None, 12 * 60 * 60),
            (Some(Duration::from_mins(5)), 300),
            (Some(Duration::from_hours(24 * 365)), MAX_LIFETIME),
        ] {
            assert_eq!(tickets.for_lifetime(given).lifetime(), expected);
        }
    }
}
