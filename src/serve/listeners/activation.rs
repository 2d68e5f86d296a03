//! Listening sockets that the service manager has opened (sd_listen_fds(3)): each takes the place of the one that would be
//! bound to the same address, so that nobody is refused while maintd starts, and a low port needs no privilege.

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use socket2::{SockAddr, Socket};

use crate::config::{BindAddr, Config, Endpoint, ListenSpec};
use crate::error::{Error, reason};
use crate::sys;

/// The number of the first one.
const FIRST: RawFd = 3;
/// The names that say that TLS is to be spoken, where no configuration says so.
const SECURE_NAMES: [&str; 2] = ["https", "tls"];

/// The sockets from the service manager.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Activated>);

/// A socket from the service manager.
#[derive(Debug)]
struct Activated {
    socket: Socket,
    place: BindAddr,
    /// What the manager calls it.
    name: String,
}

impl Inherited {
    /// Takes the sockets that were left open for this process, if there are any. They are there the first time only.
    ///
    /// # Errors
    /// One of them is not to be listened on.
    pub(crate) fn take() -> Result<Self, Error> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let count = count(
            &variable("LISTEN_PID"),
            std::process::id(),
            &variable("LISTEN_FDS"),
        );
        if count == 0 {
            return Ok(Self::default());
        }
        let sockets =
            sys::take_listening(FIRST, count).map_err(|(number, error)| unfit(number, &error))?;
        let names = variable("LISTEN_FDNAMES");
        let names = names.split(':').chain(std::iter::repeat(""));
        let activated = (FIRST..)
            .zip(sockets)
            .zip(names)
            .map(|((number, socket), name)| Activated::new(number, socket, name));
        activated.collect::<Result<_, _>>().map(Self)
    }

    /// Where a configuration names no endpoints, has the sockets take the place of the defaults; their names say which
    /// speak TLS.
    pub(crate) fn replace_defaults(&self, config: &mut Config) {
        if self.0.is_empty()
            || config.endpoints != Config::default().endpoints
            || self
                .0
                .iter()
                .any(|activated| activated.fits(config.endpoints.iter()))
        {
            return;
        }
        let endpoint = |activated: &Activated| {
            let secure = SECURE_NAMES.contains(&activated.name.as_str());
            ListenSpec::At(activated.place.clone()).endpoints(secure)
        };
        config.endpoints = self.0.iter().flat_map(endpoint).collect();
    }

    /// The socket for an endpoint, if there is one.
    pub(crate) fn socket(&self, endpoint: &Endpoint) -> Option<&Socket> {
        let mut all = self.0.iter();
        let found = all.find(|activated| activated.place == endpoint.place)?;
        Some(&found.socket)
    }

    /// Makes sure that every socket is listened on: on another one visitors would wait for ever.
    ///
    /// # Errors
    /// One is not.
    pub(crate) fn all_fit(&self, endpoints: &[&Endpoint]) -> Result<(), Error> {
        let is_left = |(at, activated): &(usize, &Activated)| {
            let mut earlier = self.0[..*at].iter();
            !activated.fits(endpoints.iter().copied())
                || earlier.any(|one| one.place == activated.place)
        };
        match self.0.iter().enumerate().find(is_left) {
            None => Ok(()),
            Some((_, Activated { place, .. })) => Err(Error::Failed(format!(
                "the service manager's socket {place} fits no listener; \
                 listen on {place} too or take it out of the socket unit and restart that and maintd"
            ))),
        }
    }
}

impl Activated {
    fn fits<'a>(&self, endpoints: impl Iterator<Item = &'a Endpoint>) -> bool {
        let mut places = endpoints.map(|endpoint| &endpoint.place);
        places.any(|place| *place == self.place)
    }

    fn new(number: RawFd, socket: Socket, name: &str) -> Result<Self, Error> {
        let address = socket.local_addr().map_err(|error| unfit(number, &error))?;
        let place = place(&address).ok_or_else(|| {
            let kind = io::Error::other("neither an address and port nor a path");
            unfit(number, &kind)
        })?;
        // One socket for both families would stand in the way of the one for IPv4, or hide that there is none.
        if matches!(&place, BindAddr::Tcp(address) if address.is_ipv6())
            && socket.only_v6().is_ok_and(|only| !only)
        {
            return Err(Error::Failed(format!(
                "the service manager's socket {place} takes IPv4 too; \
                 write \"BindIPv6Only=ipv6-only\" into the socket unit, and a ListenStream for each family"
            )));
        }
        Ok(Self {
            socket,
            place,
            name: name.to_owned(),
        })
    }
}

/// How many sockets there are for the process `id`; those of another one are none of ours.
fn count(pid: &str, id: u32, count: &str) -> RawFd {
    if pid.parse() == Ok(id) {
        count.parse().unwrap_or(0)
    } else {
        0
    }
}

fn place(address: &SockAddr) -> Option<BindAddr> {
    let path = || address.as_pathname().map(PathBuf::from).map(BindAddr::Unix);
    address.as_socket().map(BindAddr::Tcp).or_else(path)
}

fn unfit(number: RawFd, error: &io::Error) -> Error {
    Error::Failed(format!(
        "cannot listen on descriptor {number} of the service manager: {}; \
         give ListenStream in the socket unit",
        reason(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_another_process_are_none_of_ours() {
        assert_eq!(count("12", 12, "2"), 2);
        for (pid, number) in [("13", "2"), ("", "2"), ("12", ""), ("12", "x")] {
            assert_eq!(count(pid, 12, number), 0, "{pid} {number}");
        }
    }
}
