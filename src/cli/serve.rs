//! The flags of "serve" and "check", and their effect on the configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::control::check_socket_path;
use crate::config::load::load;
use crate::config::user::{self, Identity};
use crate::config::{self, CertificateFiles, Config, ControlSocket, ListenSpec, PageSource};
use crate::error::Error;
use crate::sys;

#[derive(Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Read this configuration, in nginx's grammar; flags override it [default: /etc/maintd.conf, if it exists]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Listen for HTTP on PORT of all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "WHERE")]
    listen: Vec<ListenSpec>,

    /// Listen for HTTPS on such an address; may be repeated
    #[arg(long, value_name = "WHERE")]
    tls_listen: Vec<ListenSpec>,

    /// The certificate and its chain, in PEM; may be repeated with another --key (RSA and ECDSA)
    #[arg(long, value_name = "FILE")]
    cert: Vec<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// The page
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// The value of Retry-After [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    retry_after: Option<Duration>,

    /// The number of worker processes; "auto" is one for each processor [default: 1]
    #[arg(long, value_name = "N", value_parser = workers, allow_negative_numbers = true)]
    workers: Option<usize>,

    /// The user of the workers if started as root, by name or number [default: www or nobody]
    #[arg(long, value_name = "NAME|UID:GID")]
    user: Option<String>,

    /// The root directory of the workers if started as root [default: an empty one]
    #[arg(long, value_name = "DIR")]
    chroot: Option<PathBuf>,

    /// The control socket, on which "on", "off" and "status" connect to this daemon
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

impl Flags {
    /// Overrides settings of a configuration.
    fn override_config(self, mut config: Config) -> Result<Config, Error> {
        if self.cert.len() != self.key.len() {
            return Err(Error::Usage(
                "--cert and --key go together; give as many of one as of the other".to_owned(),
            ));
        }
        for site in &mut config.sites {
            if let Some(page) = &self.page {
                site.page = PageSource::File(page.clone());
            }
            if let Some(retry_after) = self.retry_after {
                site.retry_after = retry_after;
            }
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
        }
        if let Some(user) = self.user {
            config.identity = identity(&user)?;
        }
        if let Some(chroot) = self.chroot {
            config.chroot = root_directory(chroot)?;
        }
        if let Some(path) = self.control {
            config.control = control_socket(path)?;
        }
        let pairs = self.cert.into_iter().zip(self.key);
        let certificates: Vec<_> = pairs
            .map(|(chain, key)| CertificateFiles { chain, key })
            .collect();
        let http = self.listen.into_iter().map(|spec| (spec, false));
        let https = self.tls_listen.into_iter().map(|spec| (spec, true));
        let endpoints: Vec<_> = http
            .chain(https)
            .flat_map(|(spec, secure)| spec.endpoints(secure))
            .collect();
        if !endpoints.is_empty() {
            // Flags do not assign sites to endpoints, so each has all of them.
            let hosts = config.hosts();
            config.endpoints = endpoints;
            for endpoint in &mut config.endpoints {
                endpoint.hosts = hosts.clone();
            }
        }
        if !certificates.is_empty() {
            if !config.has_tls() {
                return Err(Error::Usage(
                    "--cert without a TLS listener; add --tls-listen WHERE".to_owned(),
                ));
            }
            for site in &mut config.sites {
                site.certificates.clone_from(&certificates);
            }
        }
        Ok(config)
    }

    /// The configuration: the file with the flags applied.
    pub(crate) fn config(mut self) -> Result<Config, Error> {
        let loaded = load(self.config.take())?;
        loaded.log_remarks();
        self.override_config(loaded.into_config()?)
    }
}

fn workers(text: &str) -> Result<usize, &'static str> {
    config::limits::workers(text)
        .ok_or("not a number of workers; write a number from 1 to 256, or auto")
}

/// Seconds of Retry-After (RFC 9110 10.2.3), up to 68 years.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<i32>().map(u64::try_from) {
        Ok(Ok(seconds)) => Ok(Duration::from_secs(seconds)),
        Ok(Err(_)) | Err(_) => Err("not a number of seconds; write only digits, as in 300"),
    }
}

/// The value of --user.
fn identity(user: &str) -> Result<Option<Identity>, Error> {
    let found = Identity::find_pair(user);
    if !sys::is_root() {
        if !found.is_ok_and(Identity::is_own) {
            log::warn!("--user is ignored: only root can become another user; start as root");
        }
        return Ok(None);
    }
    found
        .map(Some)
        .map_err(|what| Error::Failed(format!("wrong value for --user: {what}")))
}

/// The value of --chroot.
fn root_directory(directory: PathBuf) -> Result<Option<PathBuf>, Error> {
    if let Some(ignored) = user::ignored_chroot() {
        log::warn!("--chroot is ignored: {ignored}");
        return Ok(None);
    }
    user::check_chroot(&directory).map_err(Error::Failed)?;
    Ok(Some(directory))
}

/// The value of --control, made absolute: the daemon may change its working directory.
fn control_socket(path: PathBuf) -> Result<ControlSocket, Error> {
    let wrong = |what: &str| Error::Usage(format!("wrong value for --control: give {what}"));
    let path = std::path::absolute(path).map_err(|_| wrong("the path of a socket"))?;
    check_socket_path(&path).map_err(wrong)?;
    Ok(ControlSocket::At(path))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// A command line of these flags alone.
    #[derive(Parser)]
    struct FlagsOnly {
        #[command(flatten)]
        flags: Flags,
    }

    fn config(arguments: &[&str]) -> Result<Config, Error> {
        let typed = FlagsOnly::try_parse_from(["serve"].iter().chain(arguments)).unwrap();
        typed.flags.override_config(Config::default())
    }

    #[test]
    fn listen_flags_replace_the_default_endpoints() {
        let config =
            config(&["--listen", "192.0.2.1:80", "--tls-listen", "unix:/run/tls"]).unwrap();
        let listed: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.address.to_string(), endpoint.secure))
            .collect();
        assert_eq!(
            listed,
            [
                ("192.0.2.1:80".to_owned(), false),
                ("unix:/run/tls".to_owned(), true)
            ]
        );
    }

    #[test]
    fn certificates_are_paired_with_keys() {
        let config = config(&["--cert", "a", "--key", "b", "--cert", "c", "--key", "d"]).unwrap();
        let files: Vec<_> = config.sites[0]
            .certificates
            .iter()
            .map(|files| (&*files.chain, &*files.key))
            .collect();
        assert_eq!(
            files,
            [("a".as_ref(), "b".as_ref()), ("c".as_ref(), "d".as_ref())]
        );
    }

    #[test]
    fn inconsistent_flags_are_a_usage_error() {
        for arguments in [
            &["--cert", "a"][..],
            &["--key", "a"],
            &["--listen", "127.0.0.1:0", "--cert", "a", "--key", "b"],
        ] {
            assert_eq!(config(arguments).unwrap_err().status(), 2, "{arguments:?}");
        }
    }
}
