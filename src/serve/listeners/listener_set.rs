//! The listening sockets of the supervisor, from its start to its end. Each worker gets its own sockets, or all share one.
//! Connections in their queues outlive a worker.

use std::mem;

use crate::config::control::METRICS_PATH;
use crate::config::{BindAddr, Endpoint, Purpose};
use crate::error::{Error, reason};
use crate::serve::listeners::activation::Inherited;
use crate::serve::listeners::bind::{
    SocketFile, bind_error, is_missing_family, warn_of_short_backlog,
};
use crate::serve::listeners::listener::{CoveredEndpoint, Listener};

/// The listening sockets of all endpoints.
#[derive(Debug, Default)]
pub(crate) struct ListenerSet {
    endpoints: Vec<EndpointListeners>,
    /// The sockets from the service manager. They stay open: no other socket could be bound to their addresses.
    inherited: Inherited,
}

/// The sockets of one endpoint: one for all workers, or one for each.
#[derive(Debug)]
struct EndpointListeners {
    endpoint: Endpoint,
    /// Removed before the sockets are closed. The service manager removes the files of its sockets.
    file: Option<SocketFile>,
    listeners: Vec<Listener>,
    /// The configuration no longer has the endpoint: closed when the old workers retire.
    is_removed: bool,
    /// New connections are blocked.
    is_blocked: bool,
    /// The URLs that have been logged.
    logged_urls: Vec<String>,
}

impl ListenerSet {
    /// Opens all endpoints or none. A default endpoint may be missing on a host without IPv6.
    ///
    /// # Errors
    /// The first endpoint that cannot be opened.
    pub(crate) fn open(
        inherited: Inherited,
        endpoints: &[Endpoint],
        workers: usize,
    ) -> Result<Self, Error> {
        let mut set = Self {
            endpoints: Vec::new(),
            inherited,
        };
        set.change(endpoints, workers)?;
        warn_of_short_backlog(endpoints);
        Ok(set)
    }

    /// The sockets from the service manager.
    pub(crate) const fn inherited(&self) -> &Inherited {
        &self.inherited
    }

    /// Opens new endpoints, and marks missing ones: no new worker gets them, and [`Self::close_removed`] closes them. All
    /// other sockets stay open with their queues.
    ///
    /// # Errors
    /// The first endpoint that cannot be opened; or a socket from the service manager without an endpoint, whose clients
    /// would wait until they time out. Nothing has changed then.
    pub(crate) fn change(&mut self, endpoints: &[Endpoint], workers: usize) -> Result<(), Error> {
        let plan = assign_endpoints(endpoints);
        let planned: Vec<&Endpoint> = plan.iter().map(|(number, _)| &endpoints[*number]).collect();
        self.inherited.check_all_used(&planned)?;
        let mut unused: Vec<bool> = vec![true; self.endpoints.len()];
        let mut find = |endpoint: &Endpoint| {
            let same = |old: &EndpointListeners| {
                old.endpoint.address == endpoint.address && old.is_reachable()
            };
            let exact =
                |old: &EndpointListeners| same(old) && old.endpoint.secure == endpoint.secure;
            let search = |fits: &dyn Fn(&EndpointListeners) -> bool| {
                let mut old = self.endpoints.iter().zip(&unused);
                old.position(|(old, unused)| *unused && fits(old))
            };
            let found = search(&exact).or_else(|| search(&same))?;
            unused[found] = false;
            Some(found)
        };
        let found: Vec<Option<usize>> = planned.iter().copied().map(&mut find).collect();
        // All new sockets are opened before anything is changed.
        let mut opened = Vec::new();
        for (endpoint, found) in planned.iter().zip(&found) {
            opened.push(match found {
                Some(_) => None,
                None => {
                    self.check_overlap(endpoint)?;
                    EndpointListeners::open(endpoint, workers, &self.inherited)?
                }
            });
        }
        let old = mem::take(&mut self.endpoints);
        let mut old: Vec<Option<EndpointListeners>> = old.into_iter().map(Some).collect();
        for (((number, covered), found), opened) in plan.iter().zip(found).zip(opened) {
            let kept = found.and_then(|found| old[found].take());
            self.endpoints.extend(kept.or(opened).map(|mut listeners| {
                listeners.add_worker_sockets(workers);
                listeners.assign(*number, &endpoints[*number], covered);
                listeners
            }));
        }
        self.endpoints
            .extend(old.into_iter().flatten().map(|mut listeners| {
                listeners.is_removed = true;
                listeners
            }));
        Ok(())
    }

    /// Refuses an endpoint on the wildcard address of an open one's port, or the other way round: Linux does not bind both, and
    /// connections in the queue of the old socket would be reset.
    fn check_overlap(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let mut open = self.endpoints.iter().map(|open| &open.endpoint.address);
        let address = &endpoint.address;
        match open.find(|open| covers(open, address) || covers(address, open)) {
            None => Ok(()),
            Some(open) => Err(Error::Failed(format!(
                "cannot listen on {address}: maintd listens on {open}, \
                 and a reload cannot change between one address and all addresses of a port; restart maintd"
            ))),
        }
    }

    /// The sockets of one worker. This process must be that worker: the sockets of the others are closed in it, and
    /// socket files are not removed.
    pub(crate) fn into_worker_listeners(self, slot: usize, workers: usize) -> Vec<Listener> {
        let mut own = Vec::new();
        for endpoint in self.endpoints {
            // The supervisor removes the file.
            mem::forget(endpoint.file);
            if endpoint.is_removed {
                continue;
            }
            let shared = endpoint.listeners.len() < workers;
            let listeners = endpoint.listeners.into_iter().enumerate();
            let of_slot = listeners.filter(|(number, _)| shared || number % workers == slot);
            own.extend(of_slot.map(|(_, listener)| listener));
        }
        own
    }

    /// Blocks new connections to removed endpoints; returns whether any could be blocked.
    pub(crate) fn block_removed(&mut self) -> bool {
        let removed = self.endpoints.iter_mut().filter(|one| one.is_removed);
        removed.fold(false, |blocked, one| one.block() | blocked)
    }

    /// Closes removed endpoints.
    pub(crate) fn close_removed(&mut self) {
        self.endpoints.retain(|endpoint| !endpoint.is_removed);
    }

    /// The largest number of sockets that a worker gets.
    pub(crate) fn max_sockets(&self, workers: usize) -> usize {
        let of_worker = |endpoint: &EndpointListeners| match endpoint.listeners.len() {
            shared if shared < workers => shared,
            listeners => listeners.div_ceil(workers),
        };
        let kept = self
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.is_removed);
        kept.map(of_worker).sum()
    }

    /// Blocks new connections to all endpoints of pages; returns whether any could be blocked. The service manager's sockets
    /// stay as they are, because it passes them to the next process.
    pub(crate) fn block_new_connections(&mut self) -> bool {
        let mut blocked = false;
        for one in &mut self.endpoints {
            let is_page = one.endpoint.purpose == Purpose::Page;
            if is_page && self.inherited.socket(&one.endpoint).is_none() {
                blocked |= one.block();
            }
        }
        blocked
    }

    /// Logs the URLs that have not been logged yet.
    pub(crate) fn log_urls(&mut self) {
        for one in self.endpoints.iter_mut().filter(|one| !one.is_removed) {
            let urls: Vec<String> = one.listeners[0].urls().collect();
            for url in urls.iter().filter(|url| !one.logged_urls.contains(url)) {
                match one.endpoint.purpose {
                    Purpose::Page => log::info!("listening on {url}"),
                    Purpose::Metrics => log::info!("metrics are on {url}{METRICS_PATH}"),
                }
            }
            one.logged_urls = urls;
        }
    }
}

impl EndpointListeners {
    /// Opens an endpoint; nothing if it is optional and the host has no IPv6.
    fn open(
        endpoint: &Endpoint,
        workers: usize,
        inherited: &Inherited,
    ) -> Result<Option<Self>, Error> {
        let listener = match inherited.socket(endpoint) {
            Some(socket) => Listener::from_inherited(socket, endpoint),
            None => Listener::bind(endpoint, workers > 1),
        };
        let mut listener = match listener {
            Ok(listener) => listener,
            Err(error) if endpoint.optional && is_missing_family(&error) => {
                log::warn!(
                    "not listening on {}: this host has no IPv6",
                    endpoint.address
                );
                return Ok(None);
            }
            Err(error) => return Err(bind_error(endpoint, &error)),
        };
        let mut listeners = Self {
            endpoint: endpoint.clone(),
            file: listener.take_file(),
            listeners: vec![listener],
            is_removed: false,
            is_blocked: false,
            logged_urls: Vec::new(),
        };
        listeners.add_worker_sockets(workers);
        Ok(Some(listeners))
    }

    /// Assigns the sockets to an endpoint, by its number, and to those that it covers.
    fn assign(&mut self, number: usize, endpoint: &Endpoint, covered: &[CoveredEndpoint]) {
        self.endpoint = endpoint.clone();
        self.is_removed = false;
        if mem::take(&mut self.is_blocked) {
            for listener in &self.listeners {
                listener.unblock_new_connections(&endpoint.address);
            }
        }
        for listener in &mut self.listeners {
            listener.assign(number, endpoint, covered);
        }
    }

    /// Blocks new connections, and returns whether that was possible. A Unix socket is blocked by the removal of its file.
    fn block(&mut self) -> bool {
        self.is_blocked = true;
        let mut blocked = self.file.take().is_some();
        for listener in &self.listeners {
            blocked |= listener.block_new_connections().is_ok();
        }
        blocked
    }

    /// Whether clients can connect, or can again: the file of a Unix socket exists.
    fn is_reachable(&self) -> bool {
        match (&self.endpoint.address, &self.file) {
            (_, Some(file)) => file.exists(),
            (BindAddr::Unix(_), None) => !self.is_blocked,
            (BindAddr::Tcp(_), None) => true,
        }
    }

    /// Adds a socket for each worker, on systems that spread connections over them. Elsewhere, and if the first socket was
    /// opened for a single worker, all workers share the sockets.
    fn add_worker_sockets(&mut self, workers: usize) {
        while self.listeners.len() < workers {
            match self.listeners[0].bind_again() {
                Ok(listener) => self.listeners.push(listener),
                Err(error) => {
                    let address = &self.endpoint.address;
                    log::debug!(
                        "all workers accept from one socket on {address}: {}",
                        reason(&error)
                    );
                    return;
                }
            }
        }
    }
}

/// Whether `wide` is the wildcard address of `narrow`'s family and port: connections to `narrow` reach its socket too.
fn covers(wide: &BindAddr, narrow: &BindAddr) -> bool {
    match (wide, narrow) {
        (BindAddr::Tcp(wide), BindAddr::Tcp(narrow)) => {
            wide.ip().is_unspecified()
                && !narrow.ip().is_unspecified()
                && wide.is_ipv4() == narrow.is_ipv4()
                && wide.port() == narrow.port()
                && wide.port() != 0
        }
        (BindAddr::Tcp(_) | BindAddr::Unix(_), _) => false,
    }
}

/// The endpoints that get a socket, by number, each with those that it covers. As in nginx, a single address needs no socket
/// if there is one on the wildcard address of its port; on Linux it could not be bound.
fn assign_endpoints(endpoints: &[Endpoint]) -> Vec<(usize, Vec<CoveredEndpoint>)> {
    let covers = |wide: &Endpoint, narrow: &Endpoint| covers(&wide.address, &narrow.address);
    let mut plan = Vec::with_capacity(endpoints.len());
    for (number, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().any(|wide| covers(wide, endpoint)) {
            continue;
        }
        let narrow = endpoints.iter().enumerate();
        let narrow = narrow.filter(|(_, narrow)| covers(endpoint, narrow));
        let covered = narrow.filter_map(|(number, narrow)| match narrow.address {
            BindAddr::Tcp(address) => Some(CoveredEndpoint {
                address,
                secure: narrow.secure,
                endpoint: number,
            }),
            BindAddr::Unix(_) => None,
        });
        plan.push((number, covered.collect()));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, secure: bool) -> Endpoint {
        Endpoint::new(BindAddr::Tcp(address.parse().unwrap()), secure)
    }

    fn open(endpoints: &[Endpoint], workers: usize) -> ListenerSet {
        ListenerSet::open(Inherited::default(), endpoints, workers).unwrap()
    }

    fn urls(set: &ListenerSet) -> Vec<String> {
        let open = set.endpoints.iter().filter(|one| !one.is_removed);
        open.flat_map(|one| one.listeners[0].urls()).collect()
    }

    #[test]
    fn configured_endpoints_stay_open_and_others_are_removed() {
        let (plaintext, secure) = (
            endpoint("127.0.0.1:0", false),
            endpoint("127.0.0.1:0", true),
        );
        let mut set = open(&[plaintext.clone(), secure.clone()], 1);
        let before = urls(&set);
        set.change(&[secure.clone(), plaintext], 1).unwrap();
        let reversed: Vec<_> = before.iter().rev().cloned().collect();
        assert_eq!(urls(&set), reversed);
        set.change(&[secure], 1).unwrap();
        assert_eq!(urls(&set), reversed[..1]);
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = endpoint(&taken.local_addr().unwrap().to_string(), false);
        let first = endpoint("127.0.0.1:0", false);
        let mut set = open(&[first], 1);
        let before = urls(&set);
        let changed = set.change(&[endpoint("127.0.0.1:0", true), taken], 1);
        assert!(changed.is_err());
        assert_eq!(urls(&set), before);
    }

    #[test]
    fn every_worker_gets_a_socket_of_each_endpoint() {
        let endpoints = [
            endpoint("127.0.0.1:0", false),
            endpoint("127.0.0.1:0", true),
        ];
        for (opened, workers) in [(1, 1), (1, 3), (3, 3), (3, 2), (2, 3)] {
            for slot in 0..workers {
                let mut set = open(&endpoints, opened);
                set.change(&endpoints, workers).unwrap();
                let max = set.max_sockets(workers);
                let own = set.into_worker_listeners(slot, workers);
                assert!(
                    own.iter().any(|listener| listener.secure),
                    "{opened} {workers} {slot}"
                );
                assert!(own.iter().any(|listener| !listener.secure));
                assert!(own.len() <= max, "{opened} {workers} {slot}");
            }
        }
    }

    #[test]
    fn an_open_address_and_its_wildcard_are_refused() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (one, all) = (
            endpoint(&format!("127.0.0.1:{port}"), false),
            endpoint(&format!("0.0.0.0:{port}"), false),
        );
        for (old, new) in [(&one, &all), (&all, &one)] {
            let mut set = open(std::slice::from_ref(old), 1);
            let before = urls(&set);
            let error = set.change(std::slice::from_ref(new), 1).unwrap_err();
            let text = format!(
                "cannot listen on {}: maintd listens on {}",
                new.address, old.address
            );
            assert!(error.to_string().starts_with(&text), "{error}");
            assert_eq!(urls(&set), before);
        }
        let mut set = open(std::slice::from_ref(&all), 1);
        set.change(&[one, all], 1).unwrap();
        assert_eq!(set.endpoints.len(), 1);
    }

    /// The numbers of the endpoints with a socket and of those that each covers.
    fn planned(addresses: &[&str]) -> Vec<(usize, Vec<usize>)> {
        let endpoints: Vec<Endpoint> = addresses
            .iter()
            .map(|address| endpoint(address, false))
            .collect();
        assign_endpoints(&endpoints)
            .into_iter()
            .map(|(number, covered)| (number, covered.iter().map(|one| one.endpoint).collect()))
            .collect()
    }

    #[test]
    fn the_wildcard_address_covers_single_addresses_of_its_port() {
        let addresses = [
            "127.0.0.1:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::1]:80",
            "127.0.0.1:81",
            "127.0.0.2:80",
        ];
        assert_eq!(
            planned(&addresses),
            [(1, vec![0, 5]), (2, vec![3]), (4, vec![])]
        );
        // Port 0 is a different port for each.
        let any = ["127.0.0.1:0", "0.0.0.0:0"];
        assert_eq!(planned(&any), [(0, vec![]), (1, vec![])]);
    }
}
