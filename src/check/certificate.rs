//! What a certificate is good for, and until when.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::names::ServerName;

/// A certificate that is to be renewed before this is over should be told of.
const SOON: Duration = Duration::from_hours(14 * 24);

/// What there is to say of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Its names and its end.
    pub(super) summary: String,
    /// What may become a trouble.
    pub(super) warnings: Vec<String>,
    /// The names that it is not for.
    pub(super) missing: Vec<String>,
}

/// Looks at the first certificate of a file, for the sake of these names. A file that cannot be read has nothing to tell
/// here: that is a fault, and told elsewhere.
pub(super) fn report(file: &Path, server_names: &[ServerName], now: SystemTime) -> Option<Report> {
    let der = CertificateDer::from_pem_file(file).ok()?;
    let certificate = Certificate::from_der(&der).ok()?;
    let names = names(&certificate);
    let end = certificate
        .tbs_certificate()
        .validity()
        .not_after
        .to_system_time();
    let file = file.display();
    let date = httpdate::fmt_http_date(end);
    let mut warnings = Vec::new();
    match end.duration_since(now) {
        Err(_) => warnings.push(format!(
            "certificate \"{file}\" expired on {date}; renew it"
        )),
        Ok(left) if left < SOON => {
            let days = left.as_secs() / (24 * 60 * 60);
            warnings.push(format!(
                "certificate \"{file}\" expires in {days} days, on {date}; renew it"
            ));
        }
        Ok(_) => {}
    }
    let lacks = |name: &&ServerName| !names.iter().any(|own| covers(own, &name.to_string()));
    let missing = server_names.iter().filter(lacks).map(|name| {
        format!("certificate \"{file}\" is not for server_name \"{name}\"; give one that is")
    });
    let missing = missing.collect();
    let names = if names.is_empty() {
        "no name".to_owned()
    } else {
        names.join(", ")
    };
    Some(Report {
        summary: format!("certificate \"{file}\" is for {names} until {date}"),
        warnings,
        missing,
    })
}

/// The names of a certificate's subject (RFC 5280 4.2.1.6); the common name is none (RFC 9525 2).
fn names(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, names))) = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
    else {
        return Vec::new();
    };
    names.0.iter().filter_map(name).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other kind is a host's")]
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

/// Whether a certificate's name is good for a server's: a star stands for one label (RFC 9525 6.3). A server name with a
/// star of its own needs the same star, and `_` and the empty name are nobody's.
fn covers(own: &str, server_name: &str) -> bool {
    let server_name = server_name.strip_prefix('.').unwrap_or(server_name);
    if matches!(server_name, "" | "_") || own.eq_ignore_ascii_case(server_name) {
        return true;
    }
    let rest = own.strip_prefix("*.");
    let behind = server_name.split_once('.').map(|(_, behind)| behind);
    rest.zip(behind)
        .is_some_and(|(rest, behind)| rest.eq_ignore_ascii_case(behind))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
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
    fn names_and_end_are_told_and_what_is_missing_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cert.pem");
        let names = ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = parameters
            .self_signed(&rcgen::KeyPair::generate().unwrap())
            .unwrap();
        std::fs::write(&file, certificate.pem()).unwrap();
        let end = httpdate::parse_http_date("Tue, 01 Jan 2030 00:00:00 GMT").unwrap();
        let server_names =
            ["a.example", "c.b.example", "c.example"].map(|name| name.parse().unwrap());
        let name = file.display();
        let far = report(&file, &server_names, end - 2 * SOON).unwrap();
        assert_eq!(
            far.summary,
            format!(
                "certificate \"{name}\" is for a.example, *.b.example, 192.0.2.1, 2001:db8::1 until Tue, 01 Jan 2030 00:00:00 GMT"
            )
        );
        let missing = format!(
            "certificate \"{name}\" is not for server_name \"c.example\"; give one that is"
        );
        assert_eq!(far.missing, [missing]);
        assert!(far.warnings.is_empty());
        let near = report(&file, &[], end - Duration::from_hours(49)).unwrap();
        assert_eq!(
            near.warnings,
            [format!(
                "certificate \"{name}\" expires in 2 days, on Tue, 01 Jan 2030 00:00:00 GMT; renew it"
            )]
        );
        let past = report(&file, &[], end + Duration::from_secs(1)).unwrap();
        assert_eq!(
            past.warnings,
            [format!(
                "certificate \"{name}\" expired on Tue, 01 Jan 2030 00:00:00 GMT; renew it"
            )]
        );
        assert_eq!(report(&directory.path().join("none"), &[], end), None);
    }
}
