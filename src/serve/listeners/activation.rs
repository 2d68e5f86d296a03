//! Socket activation (sd_listen_fds(3)): a socket that the service manager has opened is used instead of binding to its
//! address. No connection is refused while maintd starts, and a low port needs no privilege.

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use socket2::{SockAddr, Socket};

use crate::config::{BindAddr, Config, Endpoint, ListenSpec};
use crate::error::{Error, reason};
use crate::sys;

/// The number of the first descriptor (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// The names of sockets that use TLS, where no configuration names endpoints.
const SECURE_NAMES: [&str; 2] = ["https", "tls"];

/// The sockets from the service manager.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Activated>);

/// A socket from the service manager.
#[derive(Debug)]
struct Activated {
    socket: Socket,
    address: BindAddr,
    /// Its `FileDescriptorName`.
    name: String,
}

impl Inherited {
    /// Takes the sockets that this process has inherited; none at later calls.
    ///
    /// # Errors
    /// One of them is not a usable listening socket.
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
        let sockets = sys::take_listening(FIRST, count)
            .map_err(|(number, error)| unusable(number, &error))?;
        let names = variable("LISTEN_FDNAMES");
        let names = names.split(':').chain(std::iter::repeat(""));
        let activated = (FIRST..)
            .zip(sockets)
            .zip(names)
            .map(|((number, socket), name)| Activated::new(number, socket, name));
        activated.collect::<Result<_, _>>().map(Self)
    }

    /// The endpoints of the sockets, if they replace `configured`: these are the defaults, and no socket has an address of
    /// them. The names of the sockets decide which use TLS.
    pub(crate) fn default_endpoints(&self, configured: &[Endpoint]) -> Option<Vec<Endpoint>> {
        let mut sockets = self.0.iter();
        if self.0.is_empty()
            || configured != Config::default().endpoints
            || sockets.any(|activated| activated.fits(configured.iter()))
        {
            return None;
        }
        let endpoint = |activated: &Activated| {
            let secure = SECURE_NAMES.contains(&activated.name.as_str());
            ListenSpec::At(activated.address.clone()).endpoints(secure)
        };
        Some(self.0.iter().flat_map(endpoint).collect())
    }

    /// The socket on an endpoint's address, if there is one.
    pub(crate) fn socket(&self, endpoint: &Endpoint) -> Option<&Socket> {
        let mut all = self.0.iter();
        let found = all.find(|activated| activated.address == endpoint.address)?;
        Some(&found.socket)
    }

    /// Checks that every socket has an endpoint: clients of another one would wait until they time out.
    ///
    /// # Errors
    /// The first socket without an endpoint.
    pub(crate) fn check_all_used(&self, endpoints: &[&Endpoint]) -> Result<(), Error> {
        let is_unused = |(at, activated): &(usize, &Activated)| {
            let mut earlier = self.0[..*at].iter();
            !activated.fits(endpoints.iter().copied())
                || earlier.any(|one| one.address == activated.address)
        };
        match self.0.iter().enumerate().find(is_unused) {
            None => Ok(()),
            Some((_, Activated { address, .. })) => Err(Error::Failed(format!(
                "the service manager's socket {address} fits no listener; \
                 listen on {address} too or take it out of the socket unit and restart that and maintd"
            ))),
        }
    }
}

impl Activated {
    fn fits<'a>(&self, endpoints: impl Iterator<Item = &'a Endpoint>) -> bool {
        let mut addresses = endpoints.map(|endpoint| &endpoint.address);
        addresses.any(|address| *address == self.address)
    }

    fn new(number: RawFd, socket: Socket, name: &str) -> Result<Self, Error> {
        let local = socket
            .local_addr()
            .map_err(|error| unusable(number, &error))?;
        let address = bind_addr(&local).ok_or_else(|| {
            let error = io::Error::other("neither an address and port nor a path");
            unusable(number, &error)
        })?;
        // A socket for both families would conflict with the one for IPv4, or hide that there is none.
        if matches!(&address, BindAddr::Tcp(address) if address.is_ipv6())
            && socket.only_v6().is_ok_and(|only| !only)
        {
            return Err(Error::Failed(format!(
                "the service manager's socket {address} takes IPv4 too; \
                 write \"BindIPv6Only=ipv6-only\" into the socket unit, and a ListenStream for each family"
            )));
        }
        Ok(Self {
            socket,
            address,
            name: name.to_owned(),
        })
    }
}

/// The number of sockets for the process `id`: 0 if the variables are those of another process.
fn count(pid: &str, id: u32, count: &str) -> RawFd {
    if pid.parse() == Ok(id) {
        count.parse().unwrap_or(0)
    } else {
        0
    }
}

fn bind_addr(address: &SockAddr) -> Option<BindAddr> {
    let path = || address.as_pathname().map(PathBuf::from).map(BindAddr::Unix);
    address.as_socket().map(BindAddr::Tcp).or_else(path)
}

fn unusable(number: RawFd, error: &io::Error) -> Error {
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
    fn sockets_of_another_process_are_ignored() {
        assert_eq!(count("12", 12, "2"), 2);
        for (pid, number) in [("13", "2"), ("", "2"), ("12", ""), ("12", "x")] {
            assert_eq!(count(pid, 12, number), 0, "{pid} {number}");
        }
    }
}
