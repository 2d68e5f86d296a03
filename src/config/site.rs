//! A site: the page, headers and certificates for some names, as one `server` block sets them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::server_name::ServerName;

/// The most origins of a site.
pub const MAX_ORIGINS: usize = 32;

/// The settings of a site.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// The names. Without any the site answers requests without a name.
    pub names: Vec<ServerName>,
    /// The page.
    pub page: PageSource,
    /// The media type of pages whose file extension is unknown.
    pub default_type: Option<String>,
    /// The charset that is sent, or `off`; `None` is the charset of the page.
    pub charset: Option<String>,
    /// Additional header fields of the 503, name and value.
    pub headers: Vec<(String, String)>,
    /// The value of Retry-After while no end is announced.
    pub retry_after: Duration,
    /// The origins whose scripts may read the answers.
    pub cors: Cors,
    /// The certificates in order of preference. Without any the site uses those of the endpoint's default site; if that has
    /// none, a temporary self-signed certificate.
    pub certificates: Vec<CertificateFiles>,
    /// The TLS settings of endpoints whose default site this is.
    pub tls: TlsConfig,
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            page: PageSource::Embedded,
            default_type: None,
            charset: None,
            headers: Vec::new(),
            retry_after: Duration::from_secs(300),
            cors: Cors::None,
            certificates: Vec::new(),
            tls: TlsConfig::default(),
        }
    }
}

/// The source of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// The page in the executable.
    Embedded,
    /// A file.
    File(PathBuf),
    /// The text of `return 503 TEXT;`.
    Text(String),
}

/// The origins whose scripts may read the answers (Fetch, CORS protocol).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// Only the site's own.
    #[default]
    None,
    /// All.
    Any,
    /// These, each as browsers send it; at most [`MAX_ORIGINS`].
    Origins(Vec<String>),
}

/// A certificate with its chain, and its key: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by its chain.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The TLS settings of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The protocol versions.
    pub versions: TlsVersions,
    /// The lifetime of session tickets that clients are sent; `None` is the lifetime of the ticket keys.
    pub ticket_lifetime: Option<Duration>,
    /// Session tickets are issued and accepted.
    pub tickets: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            versions: TlsVersions::Both,
            ticket_lifetime: None,
            tickets: true,
        }
    }
}

/// The TLS versions that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    Both,
    /// TLS 1.2 alone.
    Only12,
    /// TLS 1.3 alone.
    Only13,
}
