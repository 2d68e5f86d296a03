//! The cryptographic provider of TLS: cipher suites, ticket keys, SHA-256.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::Output;
use rustls::server::ProducesTickets;
use rustls::{CipherSuite, SupportedCipherSuite};

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as built_in;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as built_in;

/// The longest RSA key that the provider accepts.
pub(crate) const MAX_RSA_BITS: usize = if cfg!(feature = "aws-lc-rs") {
    8192
} else {
    4096
};

/// The provider's suites. Those with AES-128-GCM and SHA-256 come first: processors have instructions for both.
pub(crate) fn provider() -> CryptoProvider {
    let mut provider = built_in::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite: &SupportedCipherSuite| {
            !matches!(
                suite.suite(),
                CipherSuite::TLS13_AES_128_GCM_SHA256
                    | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                    | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            )
        });
    provider
}

/// New keys for session tickets.
///
/// # Errors
/// The random number generator fails.
pub(crate) fn new_tickets() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    built_in::Ticketer::new()
}

/// The SHA-256 of `bytes`, by the provider's implementation for TLS 1.3.
pub(crate) fn sha256(bytes: &[u8]) -> Option<Output> {
    let suite = built_in::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    Some(suite.common.hash_provider.hash(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_with_sha_256_and_aes_128_come_first() {
        let suites: Vec<_> = provider()
            .cipher_suites
            .iter()
            .map(SupportedCipherSuite::suite)
            .collect();
        assert_eq!(suites[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        let position = |suite| suites.iter().position(|other| *other == suite).unwrap();
        for better in [
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ] {
            assert!(
                position(better) < position(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
            );
        }
    }
}
