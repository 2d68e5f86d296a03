//! Reads certificates and keys from their files.

use std::iter;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_cert::der::asn1::{AnyRef, UintRef};
use x509_cert::der::{Decode as _, SliceReader, Tag, Tagged as _};

use crate::config::{CertificateFiles, Config, Endpoint};
use crate::error::{Error, reason};
use crate::quote::Quoted;
use crate::serve::tls::certificates::chain::{Chain, ParsedCertificate};
use crate::serve::tls::certificates::pem::{self, Block};
use crate::tls_provider::{MAX_RSA_BITS, provider};

/// Reads a certificate with its chain, and its key. `all` are the files of all certificates: a key may belong to another one.
pub(crate) fn load(
    files: &CertificateFiles,
    all: &[&CertificateFiles],
    provider: &CryptoProvider,
) -> Result<(Chain, Arc<CertifiedKey>), Error> {
    let (chain, key) = (read_chain(&files.chain)?, read_key(&files.key, provider)?);
    let certified = pair(&chain, key, files, all)?;
    Ok((chain, certified))
}

/// The files of all certificates of TLS endpoints.
pub(crate) fn used<'a>(config: &'a Config, endpoints: &[Endpoint]) -> Vec<&'a CertificateFiles> {
    let mut used: Vec<&CertificateFiles> = Vec::new();
    let secure = endpoints.iter().filter(|endpoint| endpoint.secure);
    for site in secure.flat_map(|endpoint| endpoint.hosts.sites()) {
        for files in &config.sites[usize::from(*site)].certificates {
            if !used.contains(&files) {
                used.push(files);
            }
        }
    }
    used
}

/// The chain of a certificate; `None` if it or its key has errors.
pub(crate) fn chain(files: &CertificateFiles) -> Option<Chain> {
    let loaded = load(files, &[], &provider());
    loaded.ok().map(|(chain, _)| chain)
}

/// The errors of all certificates of TLS endpoints.
pub(crate) fn errors(config: &Config) -> Vec<Error> {
    let provider = provider();
    let used = used(config, &config.endpoints);
    used.iter()
        .flat_map(|files| errors_of(files, &used, &provider))
        .collect()
}

/// All errors of a certificate and its key.
fn errors_of(
    files: &CertificateFiles,
    all: &[&CertificateFiles],
    provider: &CryptoProvider,
) -> Vec<Error> {
    let (chain, key) = (read_chain(&files.chain), read_key(&files.key, provider));
    match (chain, key) {
        (Ok(chain), Ok(key)) => {
            let pair = pair(&chain, key, files, all);
            pair.err().into_iter().collect()
        }
        (chain, key) => chain.err().into_iter().chain(key.err()).collect(),
    }
}

/// Reads the certificates of a file.
fn read_chain(file: &Path) -> Result<Chain, Error> {
    let blocks = blocks(file, PemContent::Certificate)?;
    let is_certificate = |block: &&Block| CERTIFICATE_LABELS.contains(&block.label.as_str());
    let mut certificates = Vec::new();
    for block in blocks.iter().filter(is_certificate) {
        let der = CertificateDer::from_pem_slice(block.labelled("CERTIFICATE").as_bytes());
        let certificate = der
            .ok()
            .and_then(|der| ParsedCertificate::new(block.line, &der).ok())
            .ok_or_else(|| {
                let what = "not a certificate, or a damaged one; copy it again";
                at(file, block.line, what)
            })?;
        certificates.push(certificate);
    }
    Chain::new(certificates).ok_or_else(|| lacks(file, PemContent::Certificate, &blocks))
}

/// The labels that openssl reads: that of RFC 7468, that of older versions, and that of `openssl x509 -trustout`.
const CERTIFICATE_LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

fn read_key(file: &Path, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, Error> {
    let blocks = blocks(file, PemContent::Key)?;
    let block = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .ok_or_else(|| lacks(file, PemContent::Key, &blocks))?;
    // PKCS #8 (RFC 5958) has it in the label, the older format in a header field.
    if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
        let cause = "it is encrypted; decrypt it with \"openssl pkey -in FILE -out FILE.pem\"";
        return Err(unreadable(file, PemContent::Key, cause));
    }
    let unusable = |cause: String| {
        let file = Quoted(file.display());
        Error::Failed(format!("cannot use key {file}: {cause}"))
    };
    let key = PrivateKeyDer::from_pem_slice(block.labelled(&block.label).as_bytes());
    let unknown = || {
        format!(
            "not a key that TLS can use; make an ECDSA key on P-256, or an RSA key of 2048 to {MAX_RSA_BITS} bits"
        )
    };
    let key = key.map_err(|_| unusable(unknown()))?;
    let bits = bits_of_rsa(&key);
    provider.key_provider.load_private_key(key).map_err(|_| {
        unusable(match bits {
            Some(bits @ ..2048) => format!(
                "RSA key of {bits} bits is too small; make one of 2048 bits, and a certificate for it"
            ),
            Some(bits) if bits > MAX_RSA_BITS => format!(
                "RSA key of {bits} bits is too large; make one of 2048 to {MAX_RSA_BITS} bits, and a certificate for it"
            ),
            Some(_) | None => unknown(),
        })
    })
}

/// The length of the modulus, if it is an RSA key.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
fn bits_of_rsa(key: &PrivateKeyDer<'_>) -> Option<usize> {
    let pkcs1 = match key {
        PrivateKeyDer::Pkcs1(key) => key.secret_pkcs1_der(),
        // RFC 5958 2: version, algorithm, and the key as an octet string.
        PrivateKeyDer::Pkcs8(key) => element(key.secret_pkcs8_der(), 2)?.value(),
        _ => return None,
    };
    // RFC 8017 A.1.2: version, modulus.
    let modulus: UintRef<'_> = element(pkcs1, 1)?.decode_as().ok()?;
    let bytes = modulus.as_bytes();
    let unused = bytes.first().map_or(0, |byte| byte.leading_zeros());
    (bytes.len() * 8).checked_sub(usize::try_from(unused).ok()?)
}

/// Combines a chain and the key of its first certificate.
fn pair(
    chain: &Chain,
    key: Arc<dyn SigningKey>,
    files: &CertificateFiles,
    all: &[&CertificateFiles],
) -> Result<Arc<CertifiedKey>, Error> {
    let Some(public_key) = key.public_key() else {
        return Ok(Arc::new(CertifiedKey::new(chain.sent(), key)));
    };
    let (chain_file, key_file) = (Quoted(files.chain.display()), Quoted(files.key.display()));
    Err(Error::Failed(match chain.find(&public_key) {
        Some((0, _)) => return Ok(Arc::new(CertifiedKey::new(chain.sent(), key))),
        Some((position, certificate)) => format!(
            "key {key_file} belongs to certificate {} of {chain_file} (\"{}\", line {}), not to the first; move that one to the top",
            position + 1,
            certificate.subject(),
            certificate.line
        ),
        None => {
            let has_key = |other: &&&CertificateFiles| {
                let chain = read_chain(&other.chain);
                chain.is_ok_and(|chain| matches!(chain.find(&public_key), Some((0, _))))
            };
            match all.iter().find(has_key) {
                Some(other) => format!(
                    "key {key_file} belongs to certificate {}, not to {chain_file}; give each certificate its own key",
                    Quoted(other.chain.display())
                ),
                None => format!(
                    "key {key_file} is not the key of certificate {chain_file} (\"{}\"); give the key of this certificate",
                    chain.leaf().subject()
                ),
            }
        }
    }))
}

/// The required content of a PEM file.
#[derive(Clone, Copy)]
enum PemContent {
    Certificate,
    Key,
}

impl PemContent {
    const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::Key => "PRIVATE KEY",
        }
    }
}

/// The blocks of a PEM file.
fn blocks(file: &Path, content: PemContent) -> Result<Vec<Block>, Error> {
    let bytes = std::fs::read(file).map_err(|error| {
        unreadable(
            file,
            content,
            &format!("{}; give a readable file", reason(&error)),
        )
    })?;
    if let Some(command) = command_for_der(&bytes, content) {
        let cause = format!("it is not PEM; convert it with \"{command}\"");
        return Err(unreadable(file, content, &cause));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let cause = "it is UTF-16; convert it with \"iconv -f UTF-16 -t UTF-8 FILE > FILE.pem\"";
        return Err(unreadable(file, content, cause));
    }
    pem::blocks(&bytes).map_err(|error| at(file, error.line, &error.what))
}

/// The openssl command that converts a binary file to PEM, if one is known.
fn command_for_der(bytes: &[u8], content: PemContent) -> Option<&'static str> {
    let first = element(bytes, 0)?;
    let first = (first.tag(), first.value());
    match content {
        PemContent::Certificate => match first {
            (Tag::Sequence, _) => Some("openssl x509 -inform DER -in FILE -out FILE.pem"),
            // PKCS #7 (RFC 5652 3)
            (Tag::ObjectIdentifier, _) => {
                Some("openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem")
            }
            // The version of PKCS #12 (RFC 7292 4)
            (Tag::Integer, [3]) => Some("openssl pkcs12 -in FILE -nokeys -out FILE.pem"),
            _ => None,
        },
        PemContent::Key => match first {
            (Tag::Integer, [3]) => Some("openssl pkcs12 -in FILE -nocerts -nodes -out FILE.pem"),
            // The versions of keys (RFC 5958 2, RFC 8017 A.1.2, RFC 5915 3)
            (Tag::Integer, [0 | 1]) => Some("openssl pkey -inform DER -in FILE -out FILE.pem"),
            _ => None,
        },
    }
}

/// An element of a sequence.
fn element(sequence: &[u8], position: usize) -> Option<AnyRef<'_>> {
    let sequence = AnyRef::from_der(sequence).ok()?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let mut elements = iter::from_fn(|| AnyRef::decode(&mut reader).ok());
    elements
        .nth(position)
        .filter(|_| sequence.tag() == Tag::Sequence)
}

/// The error for a PEM file without the required content.
fn lacks(file: &Path, content: PemContent, blocks: &[Block]) -> Error {
    let label = content.label();
    let cause = match (content, blocks.first().map(|block| block.label.as_str())) {
        (PemContent::Certificate, Some(found @ ("PKCS7" | "CMS"))) => format!(
            "no {label} in it but {found}; convert it with \"openssl pkcs7 -print_certs -in FILE -out FILE.pem\""
        ),
        (_, Some(found)) => format!("no {label} in it but {found}; give another file"),
        (_, None) => format!("no {label} in it; give a PEM file"),
    };
    unreadable(file, content, &cause)
}

fn unreadable(file: &Path, content: PemContent, cause: &str) -> Error {
    let (what, file) = (content.name(), Quoted(file.display()));
    Error::Failed(format!("cannot read {what} {file}: {cause}"))
}

/// An error in a line of a file.
fn at(file: &Path, line: usize, what: &str) -> Error {
    Error::Failed(format!("{}:{line}: {what}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(chain: &Path, key: &Path) -> String {
        let files = CertificateFiles {
            chain: chain.into(),
            key: key.into(),
        };
        load(&files, &[], &provider()).unwrap_err().to_string()
    }

    #[test]
    fn unusable_files_are_errors_with_advice() {
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
        let invalid = write(
            "invalid",
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
                "{}damaged:2: \"!\" is not base64; copy the CERTIFICATE of line 1 again",
            ),
            (
                &invalid,
                &key,
                "{}invalid:1: not a certificate, or a damaged one; copy it again",
            ),
            (
                &chain,
                &none,
                "cannot read key \"{}none\": no such file or directory; give a readable file",
            ),
            (
                &chain,
                &chain,
                "cannot read key \"{}chain\": no PRIVATE KEY in it but CERTIFICATE; give another file",
            ),
            (
                &chain,
                &odd,
                &format!(
                    "cannot use key \"{{}}odd\": not a key that TLS can use; make an ECDSA key on P-256, or an RSA key of 2048 to {MAX_RSA_BITS} bits"
                ),
            ),
            (
                &chain,
                &locked,
                "cannot read key \"{}locked\": it is encrypted; decrypt it with \"openssl pkey -in FILE -out FILE.pem\"",
            ),
            (
                &chain,
                &other_key,
                "key \"{}other\" is not the key of certificate \"{}chain\" (\"CN=rcgen self signed cert\"); give the key of this certificate",
            ),
        ] {
            let expected = expected.replace("{}", &format!("{}/", dir.path().display()));
            assert_eq!(error(chain, key), expected);
        }
        let both = errors_of(
            &CertificateFiles {
                chain: none,
                key: empty,
            },
            &[],
            &provider(),
        );
        assert_eq!(both.len(), 2, "{both:?}");
        let right = CertificateFiles { chain, key };
        load(&right, &[], &provider()).unwrap();
        assert!(errors_of(&right, &[], &provider()).is_empty());
    }
}
