//! Checks of a certificate: its names, its validity, its chain.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, SubjectAltName};

use crate::config::server_name::ServerName;
use crate::serve::tls::certificates::chain::{Chain, ParsedCertificate};

/// Access to the issuer's certificate (RFC 5280 4.2.2.1).
const ID_AD_CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");

/// A certificate that expires earlier causes a warning.
const SOON: Duration = Duration::from_hours(14 * 24);

/// The findings about a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CertificateReport {
    /// Its names and its expiry.
    pub(crate) summary: String,
    /// Problems of the certificate and its chain.
    pub(crate) warnings: Vec<String>,
    /// The names of the site that it does not cover.
    pub(crate) uncovered_names: Vec<String>,
    /// A warning that few clients support its type of key, for a site without another certificate.
    pub(crate) key_type_warning: Option<String>,
}

/// Checks the first certificate of a file for these names, and its chain.
pub(crate) fn report(
    file: &Path,
    chain: &Chain,
    server_names: &[ServerName],
    now: SystemTime,
) -> Option<CertificateReport> {
    let certificate = Certificate::from_der(chain.leaf().der()).ok()?;
    let names = names(&certificate);
    let file = file.display();
    let own = check_validity(&certificate, now, "renew it");
    let own = own.map(|what| format!("certificate \"{file}\" {what}"));
    let of_chain = check_chain(chain, &certificate, now).into_iter();
    let of_chain = of_chain.map(|what| format!("certificate \"{file}\": {what}"));
    let warnings = own.into_iter().chain(of_chain).collect();
    let lacks = |name: &&ServerName| !names.iter().any(|own| covers(own, &name.to_string()));
    let uncovered_names = server_names.iter().filter(lacks).map(|name| {
        format!("certificate \"{file}\" is not for server_name \"{name}\"; give one that is")
    });
    let uncovered_names = uncovered_names.collect();
    let key_type_warning = chain.leaf().is_ed25519().then(|| {
        format!(
            "certificate \"{file}\" has an Ed25519 key, which browsers do not support; add an ECDSA or RSA certificate"
        )
    });
    let names = if names.is_empty() {
        "no name".to_owned()
    } else {
        names.join(", ")
    };
    let end = certificate.tbs_certificate().validity().not_after;
    let date = httpdate::fmt_http_date(end.to_system_time());
    Some(CertificateReport {
        summary: format!("certificate \"{file}\" is for {names} until {date}"),
        warnings,
        uncovered_names,
        key_type_warning,
    })
}

/// A problem of a certificate's validity period.
fn check_validity(certificate: &Certificate, now: SystemTime, advice: &str) -> Option<String> {
    let validity = certificate.tbs_certificate().validity();
    let (start, end) = (
        validity.not_before.to_system_time(),
        validity.not_after.to_system_time(),
    );
    let date = httpdate::fmt_http_date;
    if now < start {
        return Some(format!(
            "is not valid before {}; check the clock, or give another",
            date(start)
        ));
    }
    match end.duration_since(now) {
        Err(_) => Some(format!("expired on {}; {advice}", date(end))),
        Ok(left) if left < SOON => {
            let days = left.as_secs() / (24 * 60 * 60);
            Some(format!(
                "expires in {days} days, on {}; {advice}",
                date(end)
            ))
        }
        Ok(_) => None,
    }
}

/// Problems of the certificates after the first.
fn check_chain(chain: &Chain, leaf: &Certificate, now: SystemTime) -> Vec<String> {
    let mut warnings = Vec::new();
    let named = |certificate: &ParsedCertificate| {
        format!("\"{}\" (line {})", certificate.subject(), certificate.line)
    };
    if !chain.is_sorted() {
        let order: Vec<_> = chain.path().map(named).collect();
        warnings.push(format!(
            "its chain is in the wrong order; it is sent in the correct one: {}",
            order.join(", ")
        ));
    }
    let advice = "replace it with a newer one from its authority";
    for certificate in chain.path().skip(1) {
        let issuer = Certificate::from_der(certificate.der()).ok();
        if certificate.is_self_issued() {
            let what = "is the root, which clients already have; delete it";
            warnings.push(format!("{} {what}", named(certificate)));
        } else if let Some(what) = issuer.and_then(|issuer| check_validity(&issuer, now, advice)) {
            warnings.push(format!("{} {what}", named(certificate)));
        }
    }
    for certificate in chain.unrelated() {
        let what = "does not belong to its chain; delete it";
        warnings.push(format!("{} {what}", named(certificate)));
    }
    for [line, first] in chain.repeated() {
        warnings.push(format!(
            "line {line} repeats the certificate of line {first}; delete it"
        ));
    }
    // The issuer of an intermediate certificate is usually a root, which is not sent. The issuer of a server certificate is
    // rarely one.
    if chain.path().nth(1).is_none() && !chain.leaf().is_self_issued() {
        let from = issuer_url(leaf).map_or_else(String::new, |url| format!(" from {url}"));
        warnings.push(format!(
            "the certificate of its issuer \"{}\" is missing; append it{from}, unless clients trust it as a root",
            chain.leaf().issuer()
        ));
    }
    warnings
}

/// The URL of the issuer's certificate (RFC 5280 4.2.2.1).
fn issuer_url(certificate: &Certificate) -> Option<String> {
    let extension = certificate
        .tbs_certificate()
        .get_extension::<AuthorityInfoAccessSyntax>();
    let (_, access) = extension.ok()??;
    let mut urls = access.0.iter().filter_map(|access| {
        let GeneralName::UniformResourceIdentifier(url) = &access.access_location else {
            return None;
        };
        (access.access_method == ID_AD_CA_ISSUERS).then(|| url.to_string())
    });
    urls.find(|url| url.starts_with("http"))
}

/// The subject alternative names (RFC 5280 4.2.1.6). The common name is not used (RFC 9525 2).
fn names(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, names))) = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
    else {
        return Vec::new();
    };
    names.0.iter().filter_map(name).collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other types do not name a host"
)]
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Whether a certificate's name covers a server name: a wildcard is one label (RFC 9525 6.3). A wildcard server name needs the
/// same wildcard; `_` and the empty name need none.
fn covers(own: &str, server_name: &str) -> bool {
    let server_name = server_name.strip_prefix('.').unwrap_or(server_name);
    if matches!(server_name, "" | "_") || own.eq_ignore_ascii_case(server_name) {
        return true;
    }
    let rest = own.strip_prefix("*.");
    let parent = server_name.split_once('.').map(|(_, parent)| parent);
    rest.zip(parent)
        .is_some_and(|(rest, parent)| rest.eq_ignore_ascii_case(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_label() {
        for (own, name) in [
            ("a.example", "A.example"),
            ("*.a.example", "b.a.example"),
            ("*.a.example", "*.a.example"),
            ("a.example", ".a.example"),
            ("a.example", "_"),
            ("a.example", ""),
        ] {
            assert!(covers(own, name), "{own} {name}");
        }
        for (own, name) in [
            ("a.example", "b.example"),
            ("*.a.example", "a.example"),
            ("*.a.example", "c.b.a.example"),
            ("a.example", "*.a.example"),
        ] {
            assert!(!covers(own, name), "{own} {name}");
        }
    }

    #[test]
    fn names_and_expiry_are_reported_and_uncovered_names_are_warnings() {
        let file = Path::new("/etc/cert.pem");
        let names = ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = parameters
            .self_signed(&rcgen::KeyPair::generate().unwrap())
            .unwrap();
        let end = httpdate::parse_http_date("Tue, 01 Jan 2030 00:00:00 GMT").unwrap();
        let server_names =
            ["a.example", "c.b.example", "c.example"].map(|name| name.parse().unwrap());
        let name = file.display();
        let chain =
            Chain::new(vec![ParsedCertificate::new(1, certificate.der()).unwrap()]).unwrap();
        let report = |names: &[ServerName], now| report(file, &chain, names, now);
        let far = report(&server_names, end - 2 * SOON).unwrap();
        assert_eq!(
            far.summary,
            format!(
                "certificate \"{name}\" is for a.example, *.b.example, 192.0.2.1, 2001:db8::1 until Tue, 01 Jan 2030 00:00:00 GMT"
            )
        );
        let missing = format!(
            "certificate \"{name}\" is not for server_name \"c.example\"; give one that is"
        );
        assert_eq!(far.uncovered_names, [missing]);
        assert!(far.warnings.is_empty());
        let near = report(&[], end - Duration::from_hours(49)).unwrap();
        assert_eq!(
            near.warnings,
            [format!(
                "certificate \"{name}\" expires in 2 days, on Tue, 01 Jan 2030 00:00:00 GMT; renew it"
            )]
        );
        let past = report(&[], end + Duration::from_secs(1)).unwrap();
        assert_eq!(
            past.warnings,
            [format!(
                "certificate \"{name}\" expired on Tue, 01 Jan 2030 00:00:00 GMT; renew it"
            )]
        );
    }

    #[test]
    fn the_validity_of_each_certificate_of_the_chain_is_checked() {
        let file = Path::new("/etc/cert.pem");
        let make = |name: &str, years: [i32; 2]| {
            let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
            let subject = &mut parameters.distinguished_name;
            subject.push(rcgen::DnType::CommonName, name);
            [parameters.not_before, parameters.not_after] =
                years.map(|year| rcgen::date_time_ymd(year, 1, 1));
            parameters
        };
        let key = || rcgen::KeyPair::generate().unwrap();
        let mut root = make("root", [2020, 2040]);
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut intermediate = make("intermediate", [2020, 2029]);
        intermediate.is_ca = root.is_ca;
        let root = rcgen::CertifiedIssuer::self_signed(root, key()).unwrap();
        let intermediate = rcgen::CertifiedIssuer::signed_by(intermediate, key(), &root).unwrap();
        let leaf = make("a.example", [2027, 2030]);
        let leaf = leaf.signed_by(&key(), &intermediate).unwrap();
        let certificates = [(1, leaf.der()), (11, intermediate.der())]
            .map(|(line, der)| ParsedCertificate::new(line, der).unwrap());
        let chain = Chain::new(certificates.into()).unwrap();
        for (now, warning) in [
            (
                "Wed, 01 Jan 2025 00:00:00 GMT",
                Some(
                    " is not valid before Fri, 01 Jan 2027 00:00:00 GMT; check the clock, or give another",
                ),
            ),
            ("Sat, 01 Jan 2028 00:00:00 GMT", None),
            (
                "Fri, 01 Jun 2029 00:00:00 GMT",
                Some(
                    ": \"CN=intermediate\" (line 11) expired on Mon, 01 Jan 2029 00:00:00 GMT; replace it with a newer one from its authority",
                ),
            ),
        ] {
            let now = httpdate::parse_http_date(now).unwrap();
            let report = report(file, &chain, &[], now).unwrap();
            let name = format!("certificate \"{}\"", file.display());
            let warning = warning.map(|warning| format!("{name}{warning}"));
            assert_eq!(report.warnings, Vec::from_iter(warning));
        }
    }

    #[test]
    fn a_duplicate_certificate_is_a_warning() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let certificates =
            [1, 11].map(|line| ParsedCertificate::new(line, made.cert.der()).unwrap());
        let chain = Chain::new(certificates.into()).unwrap();
        let report = report(Path::new("a.pem"), &chain, &[], SystemTime::now()).unwrap();
        assert_eq!(
            report.warnings,
            ["certificate \"a.pem\": line 11 repeats the certificate of line 1; delete it"]
        );
    }
}
