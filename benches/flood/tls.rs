//! The client side of TLS, as cheap as possible: only the kind of handshake is verified.

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

use crate::trusting::Trusting;

/// The TLS parameters of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsProfile {
    pub version: ProtocolVersion,
    /// The key exchange group. P-256 is offered too: TLS 1.2 uses that list for the certificate as well.
    pub group: NamedGroup,
    /// The only cipher suite offered; `None` for all.
    pub suite: Option<CipherSuite>,
    /// Sessions are resumed.
    pub resumed: bool,
}

impl TlsProfile {
    pub const FULL: Self = Self {
        version: ProtocolVersion::TLSv1_3,
        group: NamedGroup::X25519,
        suite: None,
        resumed: false,
    };

    /// Whether the cryptography of this build supports the group: ring has no X25519MLKEM768.
    pub fn is_supported(&self) -> bool {
        let groups = crypto::default_provider().kx_groups;
        groups.iter().any(|group| group.name() == self.group)
    }
}

/// The rustls settings for a profile.
#[derive(Clone)]
pub struct Settings {
    profile: TlsProfile,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Settings {
    pub fn new(profile: TlsProfile) -> io::Result<Self> {
        let mut provider = crypto::default_provider();
        provider
            .kx_groups
            .retain(|group| [profile.group, NamedGroup::secp256r1].contains(&group.name()));
        provider
            .kx_groups
            .sort_by_key(|group| group.name() != profile.group);
        if let Some(suite) = profile.suite {
            provider
                .cipher_suites
                .retain(|other: &SupportedCipherSuite| other.suite() == suite);
        }
        let versions = if profile.version == ProtocolVersion::TLSv1_2 {
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
        config.resumption = if profile.resumed {
            Resumption::store(Arc::new(Tickets::default()))
        } else {
            Resumption::disabled()
        };
        Ok(Self {
            profile,
            config: Arc::new(config),
            name: ServerName::try_from("localhost").map_err(io::Error::other)?,
        })
    }

    pub const fn profile(&self) -> TlsProfile {
        self.profile
    }

    pub fn session(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(io::Error::other)
    }

    /// Checks that a completed handshake is of the measured kind.
    pub fn check(&self, session: &ClientConnection) -> io::Result<()> {
        let kind = if self.profile.resumed {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        let found = session.handshake_kind();
        // A resumed session of TLS 1.2 has no key exchange.
        let group = session.negotiated_key_exchange_group();
        if found == Some(kind) && group.is_none_or(|group| group.name() == self.profile.group) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "a handshake is {found:?} with {group:?} where {kind:?} with {:?} is measured",
            self.profile.group
        )))
    }
}

/// A store for as many tickets as there are concurrent connections: that of rustls keeps eight.
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
