//! The listening sockets as the supervisor keeps them, from its first worker to its last: a worker is lent its own, and
//! whoever stands in their queues meanwhile waits for the next one.

use std::mem;

use super::activation::Inherited;
use super::listener::{self, Listener, SocketFile, bind_fault, is_missing_family};
use crate::config::Endpoint;
use crate::fault::{Fault, reason};

/// All places where it is listened.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: Vec<Gate>,
    /// The sockets that the service manager has opened. They are kept, for nobody else could listen there.
    inherited: Inherited,
}

/// One place, with one socket for all workers or one for each.
#[derive(Debug)]
struct Gate {
    endpoint: Endpoint,
    /// Removed with the gate, and before the sockets are closed. The service manager's is left to it.
    file: Option<SocketFile>,
    sockets: Vec<Listener>,
    /// The URLs that have been told.
    announced: Vec<String>,
}

impl Gates {
    /// Opens all endpoints or none, for this many workers. What is listened on by default may be missing: a host need not
    /// have IPv6.
    ///
    /// # Errors
    /// The first endpoint that cannot be had.
    pub(super) fn open(
        inherited: Inherited,
        endpoints: &[Endpoint],
        workers: usize,
    ) -> Result<Self, Fault> {
        let mut gates = Self {
            gates: Vec::new(),
            inherited,
        };
        gates.change(endpoints, workers)?;
        listener::warn_of_short_backlog(endpoints);
        Ok(gates)
    }

    /// The sockets that the service manager has opened.
    pub(super) const fn inherited(&self) -> &Inherited {
        &self.inherited
    }

    /// Opens what is missing and closes what is asked for no more. What stays open keeps its sockets, and those who
    /// stand in their queues.
    ///
    /// # Errors
    /// The first endpoint that cannot be had, or a socket of the service manager's that would be left without one: it
    /// stays open with the manager, so its visitors would wait for ever. Then nothing has changed.
    pub(super) fn change(&mut self, endpoints: &[Endpoint], workers: usize) -> Result<(), Fault> {
        let mut left: Vec<bool> = vec![true; self.gates.len()];
        let mut find = |endpoint: &Endpoint| {
            let same = |gate: &Gate| gate.endpoint.place == endpoint.place && gate.can_be_found();
            let exactly = |gate: &Gate| same(gate) && gate.endpoint.secure == endpoint.secure;
            let search = |wanted: &dyn Fn(&Gate) -> bool| {
                let mut gates = self.gates.iter().zip(&left);
                gates.position(|(gate, left)| *left && wanted(gate))
            };
            let found = search(&exactly).or_else(|| search(&same))?;
            left[found] = false;
            Some(found)
        };
        let plan = listener::plan(endpoints);
        let wanted: Vec<&Endpoint> = plan.iter().map(|(number, _)| &endpoints[*number]).collect();
        self.inherited.all_fit(&wanted)?;
        let found: Vec<Option<usize>> = wanted.iter().copied().map(&mut find).collect();
        // What is new is opened before anything is changed.
        let mut opened = Vec::new();
        for (endpoint, found) in wanted.iter().zip(&found) {
            opened.push(match found {
                Some(_) => None,
                None => Gate::open(endpoint, workers, &self.inherited)?,
            });
        }
        let old = mem::take(&mut self.gates);
        let mut old: Vec<Option<Gate>> = old.into_iter().map(Some).collect();
        for (((number, within), found), opened) in plan.iter().zip(found).zip(opened) {
            let kept = found.and_then(|found| old[found].take()).map(|mut gate| {
                gate.endpoint = endpoints[*number].clone();
                gate.widen(workers);
                gate
            });
            self.gates.extend(kept.or(opened).map(|mut gate| {
                for socket in &mut gate.sockets {
                    socket.stand_for(*number, &gate.endpoint, within);
                }
                gate
            }));
        }
        Ok(())
    }

    /// Lends a worker its sockets. This process must be the worker's own copy: the sockets of the others are closed
    /// in it, and files stay.
    pub(super) fn lend(self, slot: usize, workers: usize) -> Vec<Listener> {
        let mut lent = Vec::new();
        for gate in self.gates {
            // The file is the supervisor's to remove.
            mem::forget(gate.file);
            let shared = gate.sockets.len() < workers;
            let sockets = gate.sockets.into_iter().enumerate();
            let own = sockets.filter(|(number, _)| shared || number % workers == slot);
            lent.extend(own.map(|(_, socket)| socket));
        }
        lent
    }

    /// The sockets that a worker is lent at most.
    pub(super) fn most_sockets(&self, workers: usize) -> usize {
        let of_gate = |gate: &Gate| match gate.sockets.len() {
            shared if shared < workers => shared,
            sockets => sockets.div_ceil(workers),
        };
        self.gates.iter().map(of_gate).sum()
    }

    /// Lets nobody else in, and returns whether that is so anywhere. The service manager's sockets stay as they are: it
    /// has the next server listen on them.
    pub(super) fn turn_newcomers_away(&mut self) -> bool {
        let mut turned = false;
        for gate in &mut self.gates {
            if self.inherited.socket(&gate.endpoint).is_none() {
                // Without its file a Unix socket is not to be found.
                turned |= gate.file.take().is_some();
                for socket in &gate.sockets {
                    turned |= socket.turn_newcomers_away().is_ok();
                }
            }
        }
        turned
    }

    /// Says where it is answered, as far as that has not been said yet.
    pub(super) fn announce(&mut self) {
        for gate in &mut self.gates {
            let urls: Vec<String> = gate.sockets[0].urls().collect();
            for url in urls.iter().filter(|url| !gate.announced.contains(url)) {
                log::info!("listening on {url}");
            }
            gate.announced = urls;
        }
    }
}

impl Gate {
    /// Opens an endpoint, unless it may be missing and is.
    fn open(
        endpoint: &Endpoint,
        workers: usize,
        inherited: &Inherited,
    ) -> Result<Option<Self>, Fault> {
        let inherited = inherited.socket(endpoint);
        let listener = match inherited {
            Some(socket) => Listener::adopt(socket, endpoint),
            None => Listener::bind(endpoint, workers > 1),
        };
        let mut listener = match listener {
            Ok(listener) => listener,
            Err(error) if endpoint.optional && is_missing_family(&error) => {
                log::warn!("not listening on {}: this host has no IPv6", endpoint.place);
                return Ok(None);
            }
            Err(error) => return Err(bind_fault(endpoint, &error)),
        };
        let mut gate = Self {
            endpoint: endpoint.clone(),
            file: listener.take_file(),
            sockets: vec![listener],
            announced: Vec::new(),
        };
        gate.widen(workers);
        Ok(Some(gate))
    }

    /// Visitors find it: nobody has removed or replaced its file.
    fn can_be_found(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_there)
    }

    /// Has a socket for each worker where the system spreads connections over them. Elsewhere, and where the first one
    /// was opened for a single worker, all share what is there.
    fn widen(&mut self, workers: usize) {
        while self.sockets.len() < workers {
            match self.sockets[0].sibling() {
                Ok(sibling) => self.sockets.push(sibling),
                Err(error) => {
                    let place = &self.endpoint.place;
                    log::debug!(
                        "all workers accept from one socket on {place}: {}",
                        reason(&error)
                    );
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::config::Place;

    fn endpoint(place: &str, secure: bool) -> Endpoint {
        Endpoint::new(Place::Tcp(place.parse().unwrap()), secure)
    }

    fn open(endpoints: &[Endpoint], workers: usize) -> Gates {
        Gates::open(Inherited::default(), endpoints, workers).unwrap()
    }

    fn addresses(gates: &Gates) -> Vec<String> {
        let urls = |gate: &Gate| gate.sockets[0].urls().collect::<Vec<_>>();
        gates.gates.iter().flat_map(urls).collect()
    }

    #[test]
    fn what_is_asked_for_again_stays_and_the_rest_goes() {
        let (clear, secure) = (
            endpoint("127.0.0.1:0", false),
            endpoint("127.0.0.1:0", true),
        );
        let mut gates = open(&[clear.clone(), secure.clone()], 1);
        let before = addresses(&gates);
        gates.change(&[secure.clone(), clear], 1).unwrap();
        let turned: Vec<_> = before.iter().rev().cloned().collect();
        assert_eq!(addresses(&gates), turned);
        gates.change(&[secure], 1).unwrap();
        assert_eq!(addresses(&gates), turned[..1]);
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = endpoint(&taken.local_addr().unwrap().to_string(), false);
        let first = endpoint("127.0.0.1:0", false);
        let mut gates = open(&[first], 1);
        let before = addresses(&gates);
        let fault = gates.change(&[endpoint("127.0.0.1:0", true), taken], 1);
        assert!(fault.is_err());
        assert_eq!(addresses(&gates), before);
    }

    #[test]
    fn every_worker_is_lent_a_socket_of_each_place() {
        let places = [
            endpoint("127.0.0.1:0", false),
            endpoint("127.0.0.1:0", true),
        ];
        for (opened, workers) in [(1, 1), (1, 3), (3, 3), (3, 2), (2, 3)] {
            for slot in 0..workers {
                let mut gates = open(&places, opened);
                gates.change(&places, workers).unwrap();
                let most = gates.most_sockets(workers);
                let lent = gates.lend(slot, workers);
                assert!(
                    lent.iter().any(|listener| listener.secure),
                    "{opened} {workers} {slot}"
                );
                assert!(lent.iter().any(|listener| !listener.secure));
                assert!(lent.len() <= most, "{opened} {workers} {slot}");
            }
        }
    }
}
