//! Certificates and keys: PEM files, chains, and the temporary self-signed certificate.

pub mod chain;
pub(crate) mod files;
pub mod pem;
pub(crate) mod temporary;
