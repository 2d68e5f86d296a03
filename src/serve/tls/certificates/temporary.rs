//! The temporary self-signed certificate for TLS without a configured certificate.

use std::fmt::Display;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::error::Error;

/// Generates a self-signed certificate for localhost. It exists as long as the process.
pub(crate) fn generate(provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let failed = |error: &dyn Display| {
        Error::Failed(format!(
            "cannot make a temporary self-signed certificate: {error}"
        ))
    };
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|error| failed(&error))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| failed(&error))?;
    let chain = vec![made.cert.der().clone()];
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
