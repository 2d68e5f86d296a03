//! Certificates and keys from their files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::config::CertificateFiles;
use crate::fault::{Fault, reason};

/// Reads a certificate with its chain, and its key.
pub(super) fn load(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Fault> {
    let (chain, key) = (chain(&files.chain)?, key(&files.key, provider)?);
    pair(chain, key, files)
}

/// All that is wrong with a certificate and its key.
pub(super) fn faults(files: &CertificateFiles, provider: &CryptoProvider) -> Vec<Fault> {
    let (chain, key) = (chain(&files.chain), key(&files.key, provider));
    match (chain, key) {
        (Ok(chain), Ok(key)) => pair(chain, key, files).err().into_iter().collect(),
        (chain, key) => chain.err().into_iter().chain(key.err()).collect(),
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let broken = |error| unreadable("certificate", Quoted(file), "CERTIFICATE", &error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(broken)?;
    if chain.is_empty() {
        return Err(broken(pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn key(file: &Path, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, Fault> {
    let key = PrivateKeyDer::from_pem_file(file)
        .map_err(|error| unreadable("key", Quoted(file), "PRIVATE KEY", &error))?;
    provider.key_provider.load_private_key(key).map_err(|_| {
        Fault::Failed(format!(
            "cannot use key {}: not a key of a known kind; give an RSA or ECDSA key",
            Quoted(file)
        ))
    })
}

/// Puts both together, if they belong together.
fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    files: &CertificateFiles,
) -> Result<Arc<CertifiedKey>, Fault> {
    let (chain_file, key_file) = (Quoted(&files.chain), Quoted(&files.key));
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(Fault::Failed(format!(
            "key {key_file} is not the key of certificate {chain_file}; give the two that were made together"
        ))),
        Err(_) => Err(Fault::Failed(format!(
            "cannot use certificate {chain_file}: its first certificate is faulty; put a valid one first"
        ))),
    }
}

/// A file's name as messages have it.
#[derive(Clone, Copy)]
struct Quoted<'a>(&'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "\"{}\"", self.0.display())
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an enum of others that may grow"
)]
fn unreadable(what: &str, file: Quoted<'_>, section: &str, error: &pem::Error) -> Fault {
    let cause = match error {
        pem::Error::Io(error) => format!("{}; give a readable file", reason(error)),
        _ if is_encrypted(file.0) => "it is encrypted; decrypt it with \"openssl pkey\"".to_owned(),
        pem::Error::NoItemsFound => format!("no {section} in it; give a PEM file"),
        _ => "the PEM in it is damaged; give a valid PEM file".to_owned(),
    };
    Fault::Failed(format!("cannot read {what} {file}: {cause}"))
}

fn is_encrypted(file: &Path) -> bool {
    // PKCS #8 (RFC 5958) says so in its label, the older form in a header (RFC 1421 4.6.1.1).
    std::fs::read_to_string(file).is_ok_and(|text| {
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    })
}

/// Makes a certificate for localhost that nobody trusts, and that is forgotten with the process.
pub(super) fn throw_away(provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Fault> {
    let broken = |error: &dyn fmt::Display| {
        Fault::Failed(format!("cannot make a throw-away certificate: {error}"))
    };
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| broken(&error))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|error| broken(&error))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| broken(&error))?;
    Ok(Arc::new(CertifiedKey::new(
        vec![made.cert.der().clone()],
        key,
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::crypto::provider;

    fn fault(chain: &Path, key: &Path) -> String {
        let files = CertificateFiles {
            chain: chain.into(),
            key: key.into(),
        };
        load(&files, &provider()).unwrap_err().to_string()
    }

    #[test]
    fn files_that_do_not_serve_are_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let make = || rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (one, two) = (make(), make());
        let chain = write("chain", &one.cert.pem());
        let key = write("key", &one.signing_key.serialize_pem());
        let other_key = write("other", &two.signing_key.serialize_pem());
        let empty = write("empty", "");
        let damaged = write(
            "damaged",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        );
        let faulty = write(
            "faulty",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        let odd = write(
            "odd",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        );
        let locked = write(
            "locked",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        let none = dir.path().join("none");
        for (chain, key, expected) in [
            (
                &none,
                &key,
                "cannot read certificate \"{}none\": no such file or directory; give a readable file",
            ),
            (
                &empty,
                &key,
                "cannot read certificate \"{}empty\": no CERTIFICATE in it; give a PEM file",
            ),
            (
                &damaged,
                &key,
                "cannot read certificate \"{}damaged\": the PEM in it is damaged; give a valid PEM file",
            ),
            (
                &faulty,
                &key,
                "cannot use certificate \"{}faulty\": its first certificate is faulty; put a valid one first",
            ),
            (
                &chain,
                &none,
                "cannot read key \"{}none\": no such file or directory; give a readable file",
            ),
            (
                &chain,
                &chain,
                "cannot read key \"{}chain\": no PRIVATE KEY in it; give a PEM file",
            ),
            (
                &chain,
                &odd,
                "cannot use key \"{}odd\": not a key of a known kind; give an RSA or ECDSA key",
            ),
            (
                &chain,
                &locked,
                "cannot read key \"{}locked\": it is encrypted; decrypt it with \"openssl pkey\"",
            ),
            (
                &chain,
                &other_key,
                "key \"{}other\" is not the key of certificate \"{}chain\"; give the two that were made together",
            ),
        ] {
            let expected = expected.replace("{}", &format!("{}/", dir.path().display()));
            assert_eq!(fault(chain, key), expected);
        }
        let both = faults(
            &CertificateFiles {
                chain: none,
                key: empty,
            },
            &provider(),
        );
        assert_eq!(both.len(), 2, "{both:?}");
        let right = CertificateFiles { chain, key };
        load(&right, &provider()).unwrap();
        assert!(faults(&right, &provider()).is_empty());
    }
}
