//! `ssl_*`: certificates and protocol versions.

use std::path::PathBuf;

use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive, Position};
use crate::config::site::{CertificateFiles, TlsVersions};
use crate::quote::Quoted;

/// The versions of `ssl_protocols`.
pub(crate) fn parse_protocols(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Option<TlsVersions>, ConfigError> {
    let (mut tls12, mut tls13, mut unknown) = (false, false, false);
    for protocol in &directive.arguments {
        match protocol.text.as_str() {
            "TLSv1.2" => tls12 = true,
            "TLSv1.3" => tls13 = true,
            text @ ("SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1") => {
                let what = format!("{text} is not offered: it is not safe");
                diagnostics.remark(protocol.message(what));
            }
            text => {
                unknown = true;
                let what = format!("unknown protocol {}; give TLSv1.2 TLSv1.3", Quoted(text));
                diagnostics.error(protocol.message(what));
            }
        }
    }
    match (tls12, tls13) {
        (true, true) => Ok(Some(TlsVersions::Both)),
        (true, false) => Ok(Some(TlsVersions::Only12)),
        (false, true) => Ok(Some(TlsVersions::Only13)),
        (false, false) if unknown => Ok(None),
        (false, false) => Err(directive
            .name
            .message("ssl_protocols has no supported protocol; add TLSv1.2 TLSv1.3")),
    }
}

/// Pairs certificates with keys. A certificate without a key, or the reverse, is reported at its directive.
pub(crate) fn pair_certificates(
    certificates: &[(PathBuf, Position)],
    keys: &[(PathBuf, Position)],
    diagnostics: &mut Diagnostics,
) -> Vec<CertificateFiles> {
    for (own, partners, what) in [
        (
            certificates,
            keys,
            "ssl_certificate without ssl_certificate_key; add \"ssl_certificate_key FILE;\"",
        ),
        (
            keys,
            certificates,
            "ssl_certificate_key without ssl_certificate; add \"ssl_certificate FILE;\"",
        ),
    ] {
        for (_, position) in own.iter().skip(partners.len()) {
            diagnostics.error(position.message(what));
        }
    }
    let pairs = certificates.iter().zip(keys);
    pairs
        .map(|((chain, _), (key, _))| CertificateFiles {
            chain: chain.clone(),
            key: key.clone(),
        })
        .collect()
}
