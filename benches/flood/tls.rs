//! The client's side of TLS, as cheap as it can be: nothing is verified but what kind of handshake it was.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as crypto;

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion,
    SupportedCipherSuite, version,
};

use crate::failure;
use crate::trusting::Trusting;

/// What a client wants of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    pub version: ProtocolVersion,
    /// The group of its key. P-256 is offered beside it: over TLS 1.2 that is asked for the certificate too.
    pub group: NamedGroup,
    /// The only suite that it offers, where it is not all of them.
    pub suite: Option<CipherSuite>,
    /// Its sessions are resumed, and not begun anew.
    pub resumed: bool,
}

impl Wish {
    pub const FULL: Self = Self {
        version: ProtocolVersion::TLSv1_3,
        group: NamedGroup::X25519,
        suite: None,
        resumed: false,
    };

    /// Whether the library that this is built with has the group: ring has no X25519MLKEM768.
    pub fn is_known(&self) -> bool {
        let groups = crypto::default_provider().kx_groups;
        groups.iter().any(|group| group.name() == self.group)
    }
}

/// The settings of clients with one wish.
#[derive(Clone)]
pub struct Settings {
    wish: Wish,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Settings {
    pub fn new(wish: Wish) -> io::Result<Self> {
        let mut provider = crypto::default_provider();
        provider
            .kx_groups
            .retain(|group| [wish.group, NamedGroup::secp256r1].contains(&group.name()));
        provider
            .kx_groups
            .sort_by_key(|group| group.name() != wish.group);
        if let Some(suite) = wish.suite {
            provider
                .cipher_suites
                .retain(|other: &SupportedCipherSuite| other.suite() == suite);
        }
        let versions = if wish.version == ProtocolVersion::TLSv1_2 {
            &version::TLS12
        } else {
            &version::TLS13
        };
        let verifier = Trusting(
            provider
                .signature_verification_algorithms
                .supported_schemes(),
        );
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[versions])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = if wish.resumed {
            Resumption::store(Arc::new(Tickets::default()))
        } else {
            Resumption::disabled()
        };
        Ok(Self {
            wish,
            config: Arc::new(config),
            name: ServerName::try_from("localhost").map_err(io::Error::other)?,
        })
    }

    pub const fn wish(&self) -> Wish {
        self.wish
    }

    pub fn session(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(io::Error::other)
    }

    /// Whether a finished handshake was what is to be measured.
    pub fn check(&self, session: &ClientConnection) -> io::Result<()> {
        let kind = if self.wish.resumed {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        let found = session.handshake_kind();
        // A session of TLS 1.2 that is resumed has no key exchange.
        let group = session.negotiated_key_exchange_group();
        if found == Some(kind) && group.is_none_or(|group| group.name() == self.wish.group) {
            return Ok(());
        }
        Err(failure(&format!(
            "a handshake is {found:?} with {group:?} where {kind:?} with {:?} is measured",
            self.wish.group
        )))
    }
}

/// As many tickets as there are connections at once: rustls' own store keeps eight.
#[derive(Default)]
struct Tickets {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

const MAX_TICKETS: usize = 1024;

impl std::fmt::Debug for Tickets {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Tickets")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Ok(mut kept) = self.tls12.lock() {
            *kept = Some(value);
        }
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().ok()?.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        if let Ok(mut kept) = self.tls13.lock() {
            kept.truncate(MAX_TICKETS);
            kept.push_front(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().ok()?.pop_front()
    }
}
