//! The flags of "serve" and "check", and what they change in a configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::check;
use crate::config;
use crate::config::nginx::socket_path;
use crate::config::user;
use crate::config::user::Identity;
use crate::config::{CertificateFiles, Config, ControlSocket, ListenSpec, PageSource};
use crate::error::Error;
use crate::sys;

#[derive(Args, Clone, Debug)]
pub(crate) struct Flags {
    /// The configuration, in nginx's grammar; flags win over it. Without it /etc/maintd.conf, if that is there
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Listen for HTTP on PORT of all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH; may be given again
    #[arg(long, value_name = "WHERE")]
    listen: Vec<ListenSpec>,

    /// Listen for HTTPS on such a place; may be given again
    #[arg(long, value_name = "WHERE")]
    tls_listen: Vec<ListenSpec>,

    /// The certificate and its chain, in PEM; may be given again with another --key (RSA and ECDSA)
    #[arg(long, value_name = "FILE")]
    cert: Vec<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// The page
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// When clients may come again, 300 without it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    retry_after: Option<Duration>,

    /// How many processes answer, 1 without it; "auto" is one for each processor
    #[arg(long, value_name = "N", value_parser = workers, allow_negative_numbers = true)]
    workers: Option<usize>,

    /// Whom workers run as where this is started as root, by name or number; without it "www" or "nobody"
    #[arg(long, value_name = "NAME|UID:GID")]
    user: Option<String>,

    /// The workers' root directory where this is started as root; without it an empty one
    #[arg(long, value_name = "DIR")]
    chroot: Option<PathBuf>,

    /// The socket through which "on", "off" and "status" reach this daemon
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

impl Flags {
    /// Puts what was typed over a configuration.
    fn over(self, mut config: Config) -> Result<Config, Error> {
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
        let asked = self.listen.into_iter().map(|place| (place, false));
        let asked = asked.chain(self.tls_listen.into_iter().map(|place| (place, true)));
        let asked: Vec<_> = asked
            .flat_map(|(place, secure)| place.endpoints(secure))
            .collect();
        if !asked.is_empty() {
            // Nobody has said which sites stand there, so all do.
            let hosts = config.hosts();
            config.endpoints = asked;
            for endpoint in &mut config.endpoints {
                endpoint.hosts = hosts.clone();
            }
        }
        if !certificates.is_empty() {
            if !config.speaks_tls() {
                return Err(Error::Usage(
                    "--cert without a place to use it; add --tls-listen WHERE".to_owned(),
                ));
            }
            for site in &mut config.sites {
                site.certificates.clone_from(&certificates);
            }
        }
        Ok(config)
    }

    /// The configuration that a command works with.
    pub(crate) fn config(mut self) -> Result<Config, Error> {
        let config = check::read(self.config.take())?;
        self.over(config)
    }
}

fn workers(text: &str) -> Result<usize, &'static str> {
    config::workers(text).ok_or("not a number of workers; write a number from 1 to 256, or auto")
}

/// Seconds as RFC 9110 10.2.3 has them, up to 68 years.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<i32>().map(u64::try_from) {
        Ok(Ok(seconds)) => Ok(Duration::from_secs(seconds)),
        Ok(Err(_)) | Err(_) => Err("not a number of seconds; write digits alone, as in 300"),
    }
}

/// Who is meant by --user.
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

/// What is meant by --chroot.
fn root_directory(directory: PathBuf) -> Result<Option<PathBuf>, Error> {
    if let Some(ignored) = user::ignored_chroot() {
        log::warn!("--chroot is ignored: {ignored}");
        return Ok(None);
    }
    user::check_chroot(&directory).map_err(Error::Failed)?;
    Ok(Some(directory))
}

/// What is meant by --control. A new working directory must not move the socket.
fn control_socket(path: PathBuf) -> Result<ControlSocket, Error> {
    let wrong = |what: &str| Error::Usage(format!("wrong value for --control: give {what}"));
    let path = std::path::absolute(path).map_err(|_| wrong("the path of a socket"))?;
    socket_path(&path).map_err(wrong)?;
    Ok(ControlSocket::At(path))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// A command line that has nothing else.
    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        flags: Flags,
    }

    fn config(arguments: &[&str]) -> Result<Config, Error> {
        let typed = Typed::try_parse_from(["serve"].iter().chain(arguments)).unwrap();
        typed.flags.over(Config::default())
    }

    #[test]
    fn places_asked_for_take_the_place_of_the_defaults() {
        let config =
            config(&["--listen", "192.0.2.1:80", "--tls-listen", "unix:/run/tls"]).unwrap();
        let listed: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.place.to_string(), endpoint.secure))
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
    fn certificates_come_with_their_keys() {
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
    fn flags_that_do_not_go_together_are_wrong_usage() {
        for arguments in [
            &["--cert", "a"][..],
            &["--key", "a"],
            &["--listen", "127.0.0.1:0", "--cert", "a", "--key", "b"],
        ] {
            assert_eq!(config(arguments).unwrap_err().status(), 2, "{arguments:?}");
        }
    }
}
