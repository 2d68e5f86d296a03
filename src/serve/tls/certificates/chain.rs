//! The certificates of a file: the path from the server's certificate to its issuers, and the certificate of a key.
//!
//! Only the required fields are parsed, and no signature is verified: as in other servers, a certificate of version 1, or one
//! that violates RFC 5280 otherwise, is sent to clients.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode as _, Reader as _, Result, SliceReader, Tag};
use x509_cert::name::Name;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};

/// The OID of Ed25519 (RFC 8410 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A certificate of a file.
#[derive(Debug)]
pub struct ParsedCertificate {
    /// The line of its start, from 1.
    pub line: usize,
    der: CertificateDer<'static>,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    key: SubjectPublicKeyInfoOwned,
}

impl ParsedCertificate {
    /// Parses a certificate. Data after it, such as the trust settings of openssl, is ignored.
    ///
    /// # Errors
    /// It is not a certificate, or damaged.
    pub fn new(line: usize, der: &[u8]) -> Result<Self> {
        let mut reader = SliceReader::new(der)?;
        // RFC 5280 4.1
        let (issuer, subject, key) = reader.sequence(|certificate: &mut SliceReader<'_>| {
            let fields = certificate.sequence(|fields: &mut SliceReader<'_>| {
                // The version is optional: 1 is the default.
                if Tag::peek(fields)?.is_context_specific() {
                    AnyRef::decode(fields)?;
                }
                let _serial_number = AnyRef::decode(fields)?;
                let _signature = AnyRef::decode(fields)?;
                let issuer = DistinguishedName::new(fields.tlv_bytes()?);
                let _validity = AnyRef::decode(fields)?;
                let subject = DistinguishedName::new(fields.tlv_bytes()?);
                let key = SubjectPublicKeyInfoOwned::decode(fields)?;
                fields.drain(fields.remaining_len())?;
                Ok::<_, x509_cert::der::Error>((issuer, subject, key))
            })?;
            let _signature_algorithm = AnyRef::decode(certificate)?;
            let _signature = AnyRef::decode(certificate)?;
            Ok::<_, x509_cert::der::Error>(fields)
        })?;
        let length = usize::try_from(reader.position())?;
        Ok(Self {
            line,
            der: der[..length].to_vec().into(),
            issuer,
            subject,
            key,
        })
    }

    /// The certificate itself.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its subject as text (RFC 4514).
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.text()
    }

    /// Its issuer as text (RFC 4514).
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.text()
    }

    /// Its key is Ed25519.
    #[must_use]
    pub fn is_ed25519(&self) -> bool {
        self.key.algorithm.oid == ED25519
    }

    /// Its subject is its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer.matches(&self.subject)
    }

    /// It has this public key. The parameters of the algorithm are not compared: some authorities omit them.
    fn has_key(&self, key: &SubjectPublicKeyInfoRef<'_>) -> bool {
        let bits = self.key.subject_public_key.raw_bytes();
        self.key.algorithm.oid == key.algorithm.oid && bits == key.subject_public_key.raw_bytes()
    }
}

/// The name of an issuer or subject.
#[derive(Debug)]
struct DistinguishedName {
    der: Vec<u8>,
    /// The name as text (RFC 4514); `None` if it cannot be parsed or is empty.
    text: Option<String>,
}

impl DistinguishedName {
    fn new(der: &[u8]) -> Self {
        let mut text = String::new();
        let is_read = Name::from_der(der).is_ok_and(|name| write!(text, "{name}").is_ok());
        Self {
            der: der.to_vec(),
            text: (is_read && !text.is_empty()).then_some(text),
        }
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("no name")
    }

    /// Whether both names are equal. The string type and case are ignored (RFC 5280 7.1).
    fn matches(&self, other: &Self) -> bool {
        let same_text = |(one, other): (&String, &String)| {
            one.len() == other.len() && one.to_lowercase() == other.to_lowercase()
        };
        self.der == other.der
            || self
                .text
                .as_ref()
                .zip(other.text.as_ref())
                .is_some_and(same_text)
    }
}

/// The certificates of a file, at least one.
#[derive(Debug)]
pub struct Chain {
    /// In the order of the file.
    certificates: Vec<ParsedCertificate>,
    /// The line of each repeated certificate, and of its first occurrence.
    repeated: Vec<[usize; 2]>,
    /// Indexes in the order of sending, each certificate once: first the path, in which each is the issuer of the previous one,
    /// then the others.
    order: Vec<usize>,
    /// The length of the path.
    length: usize,
}

impl Chain {
    /// Sorts the certificates of a file, the first of which is the server's. `None` for an empty file.
    #[must_use]
    pub fn new(certificates: Vec<ParsedCertificate>) -> Option<Self> {
        let mut order = Vec::with_capacity(certificates.len());
        let mut repeated = Vec::new();
        let mut rest = Vec::new();
        for at in 1..certificates.len() {
            match certificates[..at]
                .iter()
                .find(|it| it.der == certificates[at].der)
            {
                Some(first) => repeated.push([certificates[at].line, first.line]),
                None => rest.push(at),
            }
        }
        let mut last = certificates.first().map(|_| 0);
        while let Some(at) = last {
            order.push(at);
            let issued = &certificates[at];
            let is_issuer = |at: &usize| issued.issuer.matches(&certificates[*at].subject);
            // A cross-signed certificate precedes the root of the same name: its issuer is another certificate.
            let is_signed_issuer =
                |at: &usize| is_issuer(at) && !certificates[*at].is_self_issued();
            let next = rest.iter().position(is_signed_issuer);
            let next = next.or_else(|| rest.iter().position(is_issuer));
            last = next
                .filter(|_| !issued.is_self_issued())
                .map(|next| rest.remove(next));
        }
        let length = order.len();
        order.append(&mut rest);
        (length > 0).then_some(Self {
            certificates,
            repeated,
            order,
            length,
        })
    }

    /// The certificates in the order of sending. Those outside the path are sent too: a client may trust another path.
    #[must_use]
    pub fn sent(&self) -> Vec<CertificateDer<'static>> {
        self.in_order()
            .map(|certificate| certificate.der.clone())
            .collect()
    }

    fn in_order(&self) -> impl Iterator<Item = &ParsedCertificate> {
        self.order.iter().map(|at| &self.certificates[*at])
    }

    /// The server's own certificate.
    #[must_use]
    pub fn leaf(&self) -> &ParsedCertificate {
        &self.certificates[0]
    }

    /// The server's certificate, its issuer, and so on.
    pub fn path(&self) -> impl Iterator<Item = &ParsedCertificate> {
        self.in_order().take(self.length)
    }

    /// The certificates outside the path.
    pub fn unrelated(&self) -> impl Iterator<Item = &ParsedCertificate> {
        self.in_order().skip(self.length)
    }

    /// The line of each repeated certificate, and of its first occurrence.
    pub fn repeated(&self) -> impl Iterator<Item = [usize; 2]> {
        self.repeated.iter().copied()
    }

    /// Whether the path is in the order of the file.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.order[..self.length].is_sorted()
    }

    /// The first certificate with this public key (a SubjectPublicKeyInfo), and its index.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<(usize, &ParsedCertificate)> {
        let key = SubjectPublicKeyInfoRef::from_der(key).ok()?;
        let mut certificates = self.certificates.iter().enumerate();
        certificates.find(|(_, certificate)| certificate.has_key(&key))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair};

    use super::*;

    fn parameters(name: impl Into<DnValue>) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters
    }

    fn root(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::self_signed(parameters(name), KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate with a new key.
    fn signed(
        name: impl Into<DnValue>,
        issuer: &CertifiedIssuer<'static, KeyPair>,
    ) -> CertifiedIssuer<'static, KeyPair> {
        let key = KeyPair::generate().unwrap();
        CertifiedIssuer::signed_by(parameters(name), key, issuer).unwrap()
    }

    /// The lines of the path and of the others. The line of a certificate is its index.
    fn lines(certificates: &[&CertifiedIssuer<'static, KeyPair>]) -> [Vec<usize>; 2] {
        let parsed = certificates.iter().enumerate();
        let parsed = parsed.map(|(line, made)| ParsedCertificate::new(line, made.der()).unwrap());
        let chain = Chain::new(parsed.collect()).unwrap();
        assert_eq!(chain.sent().len(), certificates.len());
        assert_eq!(&chain.sent()[0], certificates[0].der());
        let lines = |certificate: &ParsedCertificate| certificate.line;
        [
            chain.path().map(lines).collect(),
            chain.unrelated().map(lines).collect(),
        ]
    }

    #[test]
    fn a_path_leads_from_each_certificate_to_its_issuer() {
        let (root, other) = (root("root"), root("other"));
        let first = signed("first", &root);
        let second = signed("second", &first);
        let leaf = signed("leaf", &second);
        assert_eq!(lines(&[&leaf, &second, &first]), [vec![0, 1, 2], vec![]]);
        let mixed = [&leaf, &root, &other, &first, &second];
        assert_eq!(lines(&mixed), [vec![0, 4, 3, 1], vec![2]]);
        assert_eq!(lines(&[&leaf, &first]), [vec![0], vec![1]]);
        assert_eq!(lines(&[&root, &leaf]), [vec![0], vec![1]]);
        assert!(Chain::new(Vec::new()).is_none());
    }

    #[test]
    fn a_repeated_certificate_is_sent_once() {
        let root = root("root");
        let (leaf, other) = (signed("leaf", &root), signed("other", &root));
        let twice = [&leaf, &root, &leaf, &other, &root, &other];
        let certificates = twice.iter().zip(1..);
        let certificates =
            certificates.map(|(made, line)| ParsedCertificate::new(line, made.der()).unwrap());
        let chain = Chain::new(certificates.collect()).unwrap();
        assert_eq!(
            chain.repeated().collect::<Vec<_>>(),
            [[3, 1], [5, 2], [6, 4]]
        );
        assert_eq!(
            chain.sent(),
            [&leaf, &root, &other].map(|made| made.der().clone())
        );
    }

    /// As with ISRG Root X1: the root, and a certificate of the same name that an older root signed.
    #[test]
    fn a_cross_signed_certificate_precedes_the_root_of_its_name() {
        let (young, old) = (root("young"), root("old"));
        let cross = signed("young", &old);
        let leaf = signed("leaf", &young);
        let path = [vec![0, 2], vec![1]];
        assert_eq!(lines(&[&leaf, &young, &cross]), path);
    }

    #[test]
    fn names_are_equal_regardless_of_the_string_type() {
        let printable = DnValue::PrintableString("The CA".try_into().unwrap());
        let issuer =
            CertifiedIssuer::self_signed(parameters(printable), KeyPair::generate().unwrap());
        let leaf = signed("leaf", &issuer.unwrap());
        assert_eq!(lines(&[&leaf, &root("the CA")]), [vec![0, 1], vec![]]);
    }

    #[test]
    fn only_a_complete_certificate_is_parsed() {
        let made = root("a");
        let der = made.der();
        for end in 0..der.len() {
            assert!(ParsedCertificate::new(1, &der[..end]).is_err(), "{end}");
        }
        let more = [der, &b"\x30\x00"[..]].concat();
        assert_eq!(ParsedCertificate::new(1, &more).unwrap().der(), der);
    }
}
