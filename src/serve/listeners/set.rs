//! The listening sockets as the supervisor keeps them, from its first worker to its last: a worker is lent its own, and
//! whoever stands in their queues meanwhile waits for the next one.

use std::mem;

use crate::config::{BindAddr, Endpoint, Purpose};
use crate::error::{Error, reason};
use crate::serve::listeners::activation::Inherited;
use crate::serve::listeners::listener;
use crate::serve::listeners::listener::{
    Beside, Listener, SocketFile, Within, bind_fault, is_missing_family,
};
use crate::sys;

/// All places where it is listened.
#[derive(Debug, Default)]
pub(crate) struct ListenerSet {
    gates: Vec<ListenerSlots>,
    /// The sockets that the service manager has opened. They are kept, for nobody else could listen there.
    inherited: Inherited,
}

/// One place, with one socket for all workers or one for each.
#[derive(Debug)]
struct ListenerSlots {
    standing: Standing,
    endpoint: Endpoint,
    /// Removed with the gate, and before the sockets are closed. The service manager's is left to it.
    file: Option<SocketFile>,
    sockets: Vec<Listener>,
    /// Nobody else is let in.
    turns_away: bool,
    /// The URLs that have been told.
    announced: Vec<String>,
}

/// Why a gate is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is asked for.
    Wanted,
    /// Its address is one of those of a wildcard gate that has come later. Whoever is in its queue, or on the way there,
    /// would be lost with it, and there would be a gap; so it stays for as long as the other.
    Within,
    /// It is asked for no more, and closed when the workers retire that have been lent it.
    Leaving,
}

impl ListenerSet {
    /// Opens all endpoints or none, for this many workers. What is listened on by default may be missing: a host need not
    /// have IPv6.
    ///
    /// # Errors
    /// The first endpoint that cannot be had.
    pub(crate) fn open(
        inherited: Inherited,
        endpoints: &[Endpoint],
        workers: usize,
    ) -> Result<Self, Error> {
        let mut gates = Self {
            gates: Vec::new(),
            inherited,
        };
        gates.change(endpoints, workers)?;
        listener::warn_of_short_backlog(endpoints);
        Ok(gates)
    }

    /// The sockets that the service manager has opened.
    pub(crate) const fn inherited(&self) -> &Inherited {
        &self.inherited
    }

    /// Opens what is missing, and lends what is asked for no more to no new worker: [`Self::close_left`] closes it. What
    /// stays open keeps its sockets, and those who stand in their queues.
    ///
    /// # Errors
    /// The first endpoint that cannot be had, or a socket of the service manager's that would be left without one: it
    /// stays open with the manager, so its visitors would wait for ever. Then nothing has changed.
    pub(crate) fn change(&mut self, endpoints: &[Endpoint], workers: usize) -> Result<(), Error> {
        let mut left: Vec<bool> = vec![true; self.gates.len()];
        let mut find = |endpoint: &Endpoint| {
            let same =
                |gate: &ListenerSlots| gate.endpoint.place == endpoint.place && gate.can_be_found();
            let exactly =
                |gate: &ListenerSlots| same(gate) && gate.endpoint.secure == endpoint.secure;
            let search = |wanted: &dyn Fn(&ListenerSlots) -> bool| {
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
                None => {
                    let beside = self.make_room(endpoint)?;
                    ListenerSlots::open(endpoint, workers, &self.inherited, &beside)?
                }
            });
        }
        let old = mem::take(&mut self.gates);
        let mut old: Vec<Option<ListenerSlots>> = old.into_iter().map(Some).collect();
        for (((number, within), found), opened) in plan.iter().zip(found).zip(opened) {
            let kept = found.and_then(|found| old[found].take());
            self.gates.extend(kept.or(opened).map(|mut gate| {
                gate.standing = Standing::Wanted;
                gate.widen(workers);
                gate.stand_for(*number, &endpoints[*number], within);
                gate
            }));
        }
        for mut gate in old.into_iter().flatten() {
            let place = &gate.endpoint.place;
            let mut planned = plan.iter();
            let wide =
                planned.find(|(number, _)| listener::takes_in(&endpoints[*number].place, place));
            gate.standing = Standing::Leaving;
            if let Some((number, within)) = wide {
                let is_own = |within: &&Within| BindAddr::Tcp(within.address) == *place;
                let own = within.iter().find(is_own);
                let number = own.map_or(*number, |within| within.endpoint);
                gate.standing = Standing::Within;
                gate.announced.clear();
                gate.widen(workers);
                gate.stand_for(number, &endpoints[number], &[]);
            }
            self.gates.push(gate);
        }
        Ok(())
    }

    /// Has those of our sockets make room that would be in the way of a new one.
    fn make_room(&self, endpoint: &Endpoint) -> Result<Beside<'_>, Error> {
        let place = &endpoint.place;
        let in_the_way = self.gates.iter().filter(|gate| {
            let own = &gate.endpoint.place;
            sys::WILDCARD_EXCLUDES_OTHERS
                && (listener::takes_in(own, place) || listener::takes_in(place, own))
        });
        Beside::new(in_the_way.flat_map(|gate| &gate.sockets)).map_err(|(own, error)| {
            Error::Failed(format!(
                "cannot listen on {place}: this maintd's own socket {own} is in the way: {}; restart it",
                reason(&error)
            ))
        })
    }

    /// Lends a worker its sockets. This process must be the worker's own copy: the sockets of the others are closed
    /// in it, and files stay.
    pub(crate) fn lend(self, slot: usize, workers: usize) -> Vec<Listener> {
        let mut lent = Vec::new();
        for gate in self.gates {
            // The file is the supervisor's to remove.
            mem::forget(gate.file);
            if gate.standing == Standing::Leaving {
                continue;
            }
            let shared = gate.sockets.len() < workers;
            let sockets = gate.sockets.into_iter().enumerate();
            let own = sockets.filter(|(number, _)| shared || number % workers == slot);
            lent.extend(own.map(|(_, socket)| socket));
        }
        lent
    }

    /// Lets nobody else in where it is asked for no more, and returns whether that is so anywhere.
    pub(crate) fn turn_away_where_left(&mut self) -> bool {
        let mut turned = false;
        for gate in &mut self.gates {
            if gate.standing == Standing::Leaving {
                turned |= gate.turn_newcomers_away();
            }
        }
        turned
    }

    /// Closes what is asked for no more.
    pub(crate) fn close_left(&mut self) {
        self.gates.retain(|gate| gate.standing != Standing::Leaving);
    }

    /// The sockets that a worker is lent at most.
    pub(crate) fn most_sockets(&self, workers: usize) -> usize {
        let of_gate = |gate: &ListenerSlots| match gate.sockets.len() {
            shared if shared < workers => shared,
            sockets => sockets.div_ceil(workers),
        };
        let lent = |gate: &&ListenerSlots| gate.standing != Standing::Leaving;
        self.gates.iter().filter(lent).map(of_gate).sum()
    }

    /// Lets nobody else in, and returns whether that is so anywhere. The service manager's sockets stay as they are: it
    /// has the next server listen on them.
    pub(crate) fn turn_newcomers_away(&mut self) -> bool {
        let mut turned = false;
        for gate in &mut self.gates {
            let is_page = gate.endpoint.purpose == Purpose::Page;
            if is_page && self.inherited.socket(&gate.endpoint).is_none() {
                turned |= gate.turn_newcomers_away();
            }
        }
        turned
    }

    /// Says where it is answered, as far as that has not been said yet.
    pub(crate) fn announce(&mut self) {
        let wanted = |gate: &&mut ListenerSlots| gate.standing == Standing::Wanted;
        for gate in self.gates.iter_mut().filter(wanted) {
            let urls: Vec<String> = gate.sockets[0].urls().collect();
            for url in urls.iter().filter(|url| !gate.announced.contains(url)) {
                match gate.endpoint.purpose {
                    Purpose::Page => log::info!("listening on {url}"),
                    Purpose::Metrics => log::info!("metrics are on {url}/metrics"),
                }
            }
            gate.announced = urls;
        }
    }
}

impl ListenerSlots {
    /// Opens an endpoint, unless it may be missing and is.
    fn open(
        endpoint: &Endpoint,
        workers: usize,
        inherited: &Inherited,
        beside: &Beside<'_>,
    ) -> Result<Option<Self>, Error> {
        let inherited = inherited.socket(endpoint);
        let listener = match inherited {
            Some(socket) => Listener::adopt(socket, endpoint),
            None => Listener::bind_beside(endpoint, workers > 1, beside),
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
            standing: Standing::Wanted,
            endpoint: endpoint.clone(),
            file: listener.take_file(),
            sockets: vec![listener],
            turns_away: false,
            announced: Vec::new(),
        };
        gate.widen(workers);
        Ok(Some(gate))
    }

    /// Stands for an endpoint, which has this number, and for those within it.
    fn stand_for(&mut self, number: usize, endpoint: &Endpoint, within: &[Within]) {
        self.endpoint = Endpoint {
            // Its own may be a single address, and the endpoint's the wildcard.
            place: self.endpoint.place.clone(),
            ..endpoint.clone()
        };
        if mem::take(&mut self.turns_away) {
            for socket in &self.sockets {
                socket.let_newcomers_in(&self.endpoint.place);
            }
        }
        for socket in &mut self.sockets {
            socket.stand_for(number, &self.endpoint, within);
        }
    }

    /// Lets nobody else in, and returns whether that is so anywhere.
    fn turn_newcomers_away(&mut self) -> bool {
        self.turns_away = true;
        // Without its file a Unix socket is not to be found.
        let mut turned = self.file.take().is_some();
        for socket in &self.sockets {
            turned |= socket.turn_newcomers_away().is_ok();
        }
        turned
    }

    /// Visitors find it, or can again: nobody has removed or replaced its file.
    fn can_be_found(&self) -> bool {
        match (&self.endpoint.place, &self.file) {
            (_, Some(file)) => file.is_there(),
            (BindAddr::Unix(_), None) => !self.turns_away,
            (BindAddr::Tcp(_), None) => true,
        }
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
mod tests {
    use super::*;

    fn endpoint(place: &str, secure: bool) -> Endpoint {
        Endpoint::new(BindAddr::Tcp(place.parse().unwrap()), secure)
    }

    fn open(endpoints: &[Endpoint], workers: usize) -> ListenerSet {
        ListenerSet::open(Inherited::default(), endpoints, workers).unwrap()
    }

    fn addresses(gates: &ListenerSet) -> Vec<String> {
        let urls = |gate: &ListenerSlots| gate.sockets[0].urls().collect::<Vec<_>>();
        let wanted = |gate: &&ListenerSlots| gate.standing == Standing::Wanted;
        gates.gates.iter().filter(wanted).flat_map(urls).collect()
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
