//! What `on` and `off` do, as data: check, change, verify, kill, verify. The packet filters know how each step is done.

use std::net::{IpAddr, SocketAddr};

use crate::config::network::{Family, Network};

/// Which way visitors are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the page.
    On,
    /// Back to the live site.
    Off,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// On the live site.
    Live,
    /// On the page.
    Maintenance,
}

/// Who is moved. Nobody is where there are no entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Those who get the page.
    pub(crate) entries: Vec<Network>,
    /// Those of them who do not.
    pub(crate) except: Vec<Network>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The packet filter runs.
    FilterRuns,
    /// Its rules are loaded, and use the table.
    RulesLoaded {
        /// Rules of an older maintd are a failure.
        is_required: bool,
    },
    /// Its rules carry the labels by which connections are told apart.
    LabelsLoaded,
    /// Its rules redirect those who are moved, on interfaces that exist, to servers that answer with the page.
    Redirects {
        /// A missing interface is a failure.
        is_required: bool,
    },
    /// It has room for the connections of many visitors. Where it has not, that is told and nothing else.
    HasRoom,
    /// No other firewall keeps visitors of these families from the responder. Where it is not required, it is only reported.
    PathIsOpen {
        /// Of those who are moved.
        families: Vec<Family>,
        /// A closed path is a failure.
        is_required: bool,
    },
    /// The responder answers with 503 there.
    Responder {
        server: SocketAddr,
        /// No answer in time, as where a firewall drops the request, is a failure.
        is_required: bool,
    },
    /// The live site accepts connections there.
    Live(SocketAddr),
    /// The live site accepts connections at one of these places at least. Where that is not required, none is a warning.
    AnyLive {
        places: Vec<SocketAddr>,
        is_required: bool,
    },
    /// Who is moved now, to be put back if what follows goes wrong.
    Remember,
    /// Exactly these are moved from now on: one change, all of it or nothing.
    Change(Moved),
    /// For each entry an address is moved.
    AreMoved(Moved),
    /// For each exception an address is not moved.
    AreNotMoved(Moved),
    /// Nobody is moved.
    NobodyIsMoved,
    /// Connections on this side end, of those who belong on the other one.
    Kill(Side, Moved),
    /// No such connection is left; what is left is killed, and looked for again.
    AreGone(Side, Moved),
    /// How many connections there are on this side. In no plan: it is asked for the status.
    Connected(Side),
    /// What the rules of both sides have counted. In no plan either.
    Counts,
}

/// What is true when a step fails, which is told by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has changed.
    Check,
    /// What has changed is to be undone.
    Change,
    /// New visitors are moved; old connections may be where they were.
    Kill,
}

impl Step {
    pub(crate) const fn phase(&self) -> Phase {
        match self {
            Self::FilterRuns
            | Self::RulesLoaded { .. }
            | Self::LabelsLoaded
            | Self::Redirects { .. }
            | Self::HasRoom
            | Self::PathIsOpen { .. }
            | Self::Responder { .. }
            | Self::Live(_)
            | Self::AnyLive { .. }
            | Self::Remember
            | Self::Connected(_)
            | Self::Counts => Phase::Check,
            Self::Change(_) | Self::AreMoved(_) | Self::AreNotMoved(_) | Self::NobodyIsMoved => {
                Phase::Change
            }
            Self::Kill(..) | Self::AreGone(..) => Phase::Kill,
        }
    }
}

/// Where the live site must accept connections before visitors are moved back. A live site seldom listens on each address
/// and port of its host, so `on` saves where it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Required {
    /// At each of these places.
    Each(Vec<SocketAddr>),
    /// At one of these at least: it is not known where it accepted before `on`.
    Any(Vec<SocketAddr>),
    /// At none of these: it accepted at none before `on`. It was stopped already, or packets to its ports are redirected,
    /// which those of the host to itself are not.
    Unknowable(Vec<SocketAddr>),
}

impl Required {
    /// Of these places those at which the live site accepted before `on`, as far as that is known.
    pub(crate) fn of(places: Vec<SocketAddr>, accepted: Option<&[SocketAddr]>) -> Self {
        if places.is_empty() {
            return Self::Each(places);
        }
        let Some(accepted) = accepted else {
            return Self::any(places);
        };
        if accepted.is_empty() {
            return Self::Unknowable(places);
        }
        let is_known = |place: &&SocketAddr| accepted.contains(place);
        let known: Vec<SocketAddr> = places.iter().filter(is_known).copied().collect();
        // The host may have lost an address since, and the configuration may have changed.
        if known.is_empty() {
            Self::any(places)
        } else {
            Self::Each(known)
        }
    }

    /// At one of these at least. Of a single one, what is said has the cause too.
    pub(crate) fn any(places: Vec<SocketAddr>) -> Self {
        if places.len() == 1 {
            Self::Each(places)
        } else {
            Self::Any(places)
        }
    }

    fn steps(&self) -> Vec<Step> {
        let any = |places: &Vec<SocketAddr>, is_required| {
            vec![Step::AnyLive {
                places: places.clone(),
                is_required,
            }]
        };
        match self {
            Self::Each(places) => places.iter().copied().map(Step::Live).collect(),
            Self::Any(places) => any(places, true),
            Self::Unknowable(places) => any(places, false),
        }
    }
}

/// The steps of one switch, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) direction: Direction,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Moves visitors to the page, once the responder answers at all of `responders`. Those who are on it and not to be moved
    /// any more come back. Other firewalls are examined first: they may keep maintd from the responder, too. `force` goes on
    /// where one is in the way, an interface of the rules is missing, or the rules are of an older maintd.
    pub(crate) fn on(moved: &Moved, responders: &[SocketAddr], force: bool) -> Self {
        let mut steps = vec![
            Step::FilterRuns,
            Step::RulesLoaded {
                is_required: !force,
            },
            Step::LabelsLoaded,
            Step::HasRoom,
            Step::Redirects {
                is_required: !force,
            },
        ];
        steps.push(Step::PathIsOpen {
            families: moved.families(),
            is_required: !force,
        });
        steps.extend(responders.iter().map(|server| Step::Responder {
            server: *server,
            is_required: !force,
        }));
        steps.push(Step::Remember);
        steps.push(Step::Change(moved.clone()));
        steps.push(Step::AreMoved(moved.clone()));
        steps.push(Step::AreNotMoved(moved.clone()));
        steps.push(Step::Kill(Side::Live, moved.clone()));
        steps.push(Step::AreGone(Side::Live, moved.clone()));
        steps.push(Step::AreGone(Side::Maintenance, moved.clone()));
        Self {
            direction: Direction::On,
            steps,
        }
    }

    /// Moves visitors back, once the live site accepts connections where it is required to.
    pub(crate) fn off(live: &Required) -> Self {
        let mut steps = vec![Step::Remember];
        steps.extend(live.steps());
        steps.push(Step::Change(Moved::default()));
        steps.push(Step::NobodyIsMoved);
        steps.extend(Self::end_connections().steps);
        Self {
            direction: Direction::Off,
            steps,
        }
    }

    /// Leaves all as it is: nobody is moved.
    pub(crate) const fn nothing() -> Self {
        Self {
            direction: Direction::Off,
            steps: Vec::new(),
        }
    }

    /// Ends the connections of visitors who have been moved back.
    pub(crate) fn end_connections() -> Self {
        Self {
            direction: Direction::Off,
            steps: vec![
                Step::Kill(Side::Maintenance, Moved::default()),
                Step::AreGone(Side::Maintenance, Moved::default()),
            ],
        }
    }
}

impl Moved {
    /// These, but for some. What another network covers is left out, for a packet filter may refuse to have both.
    ///
    /// # Errors
    /// Somebody is to be moved and not to be: an exception covers an entry. What to do.
    pub(crate) fn new(entries: Vec<Network>, except: Vec<Network>) -> Result<Self, String> {
        let (entries, except) = (without_covered(entries), without_covered(except));
        for entry in &entries {
            if let Some(exception) = covering(&except, entry) {
                return Err(format!(
                    "{entry} is to get the page, and the exception {exception} has it stay on the live site; give only one of them"
                ));
            }
        }
        Ok(Self { entries, except })
    }

    /// Somebody is moved.
    pub(crate) fn is_anybody(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The families of those who are moved.
    pub(crate) fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = self.entries.iter().map(Network::family).collect();
        families.sort_unstable();
        families.dedup();
        families
    }

    /// For questions about many addresses.
    pub(crate) fn index(&self) -> Index {
        Index {
            entries: without_covered(self.entries.clone()),
            except: without_covered(self.except.clone()),
        }
    }

    /// The same, with all exceptions moved too.
    pub(crate) fn without_exceptions(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            except: Vec::new(),
        }
    }

    /// For each entry one address that is moved by it, as far as one is easily found.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = IpAddr> {
        let index = self.index();
        self.entries.iter().filter_map(move |entry| {
            let candidates = [outsiders(entry.family()), vec![entry.last(), entry.first()]];
            let mut candidates = candidates.concat().into_iter();
            candidates.find(|address| entry.has(*address) && index.has(*address))
        })
    }

    /// For each exception one address that is not moved.
    pub(crate) fn excepted(&self) -> impl Iterator<Item = IpAddr> {
        self.except.iter().map(Network::first)
    }
}

/// Who is moved, in lists that are searched by halves: there may be ten thousand exceptions, and as many connections.
pub(crate) struct Index {
    entries: Vec<Network>,
    except: Vec<Network>,
}

impl Index {
    /// This address is moved. No exception covers an entry, so every exception is the more precise one.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = Network::single(address);
        covering(&self.entries, &address).is_some() && covering(&self.except, &address).is_none()
    }
}

/// In order, without what others cover.
pub(crate) fn without_covered(mut networks: Vec<Network>) -> Vec<Network> {
    networks.sort_unstable();
    let mut kept: Vec<Network> = Vec::new();
    for network in networks {
        // What covers it comes before it, and so does all that is covered by that, which was left out.
        if !kept.last().is_some_and(|last| last.covers(&network)) {
            kept.push(network);
        }
    }
    kept
}

/// Which of these networks, in order and without any that another covers, covers this one.
fn covering<'a>(networks: &'a [Network], one: &Network) -> Option<&'a Network> {
    // Only the last that is not behind it can: one before that ends before that begins.
    let behind = networks.partition_point(|network| network <= one);
    networks[..behind]
        .last()
        .filter(|network| network.covers(one))
}

/// Addresses that nobody has: for documentation (RFC 5737 3, RFC 3849 2).
fn outsiders(family: Family) -> Vec<IpAddr> {
    let texts: &[&str] = match family {
        Family::Inet => &["203.0.113.77", "198.51.100.77", "192.0.2.77"],
        Family::Inet6 => &["2001:db8:ffff::77", "2001:db8::77"],
    };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn moved(entries: &[&str], except: &[&str]) -> Moved {
        Moved::new(networks(entries), networks(except)).unwrap()
    }

    #[test]
    fn on_checks_changes_verifies_kills_and_verifies() {
        let moved = moved(&["0.0.0.0/0", "::/0"], &["192.0.2.10", "2001:db8::/48"]);
        let responders: Vec<SocketAddr> = vec!["127.0.0.1:8080".parse().unwrap()];
        let plan = Plan::on(&moved, &responders, false);
        assert_eq!(
            plan.steps,
            [
                Step::FilterRuns,
                Step::RulesLoaded { is_required: true },
                Step::LabelsLoaded,
                Step::HasRoom,
                Step::Redirects { is_required: true },
                Step::PathIsOpen {
                    families: vec![Family::Inet, Family::Inet6],
                    is_required: true,
                },
                Step::Responder {
                    server: responders[0],
                    is_required: true,
                },
                Step::Remember,
                Step::Change(moved.clone()),
                Step::AreMoved(moved.clone()),
                Step::AreNotMoved(moved.clone()),
                Step::Kill(Side::Live, moved.clone()),
                Step::AreGone(Side::Live, moved.clone()),
                Step::AreGone(Side::Maintenance, moved),
            ]
        );
        let phases: Vec<Phase> = plan.steps.iter().map(Step::phase).collect();
        assert!(phases.is_sorted_by_key(|phase| *phase as u8), "{phases:?}");
    }

    #[test]
    fn off_looks_for_the_live_site_first() {
        let live: Vec<SocketAddr> = vec!["192.0.2.1:80".parse().unwrap()];
        assert_eq!(
            Plan::off(&Required::Each(live.clone())).steps,
            [
                Step::Remember,
                Step::Live(live[0]),
                Step::Change(Moved::default()),
                Step::NobodyIsMoved,
                Step::Kill(Side::Maintenance, Moved::default()),
                Step::AreGone(Side::Maintenance, Moved::default()),
            ]
        );
    }

    #[test]
    fn off_requires_the_places_that_accepted_before_on() {
        let places = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = places(&["192.0.2.1:80", "192.0.2.1:443", "[2001:db8::1]:80"]);
        let required =
            |accepted: Option<&[&str]>| Required::of(all.clone(), accepted.map(places).as_deref());
        assert_eq!(
            required(Some(&["192.0.2.1:443", "192.0.2.9:80"])),
            Required::Each(places(&["192.0.2.1:443"]))
        );
        // The address is gone.
        assert_eq!(
            required(Some(&["192.0.2.9:80"])),
            Required::Any(all.clone())
        );
        assert_eq!(required(Some(&[])), Required::Unknowable(all.clone()));
        assert_eq!(required(None), Required::Any(all.clone()));
        let any = |is_required| {
            vec![Step::AnyLive {
                places: all.clone(),
                is_required,
            }]
        };
        assert_eq!(Required::Any(all.clone()).steps(), any(true));
        assert_eq!(Required::Unknowable(all.clone()).steps(), any(false));
        // A host without addresses has nothing to connect to.
        assert_eq!(Required::of(Vec::new(), Some(&[])).steps(), []);
    }

    #[test]
    fn a_witness_is_moved_whatever_is_excepted() {
        for (entries, except) in [
            (
                &["0.0.0.0/0", "::/0"][..],
                &["203.0.113.0/24", "198.51.100.0/24"][..],
            ),
            (
                &["203.0.113.0/24", "2001:db8::/64"],
                &["203.0.113.255", "2001:db8::"],
            ),
            (&["192.0.2.1"], &[]),
        ] {
            let moved = moved(entries, except);
            let witnesses: Vec<IpAddr> = moved.witnesses().collect();
            assert_eq!(witnesses.len(), entries.len());
            assert!(
                witnesses.iter().all(|witness| moved.index().has(*witness)),
                "{witnesses:?}"
            );
        }
    }

    #[test]
    fn nobody_is_moved_and_excepted() {
        let what = Moved::new(networks(&["192.0.2.7"]), networks(&["192.0.2.0/24"])).unwrap_err();
        assert!(
            what.starts_with("192.0.2.7 is to get the page, and the exception 192.0.2.0/24"),
            "{what}"
        );
        assert!(Moved::new(networks(&["::/0"]), networks(&["::/0"])).is_err());
        let moved = moved(&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"], &["10.2.0.1"]);
        assert_eq!(moved.entries, networks(&["10.0.0.0/8"]));
        assert!(moved.index().has("10.1.0.1".parse().unwrap()));
        assert!(!moved.index().has("10.2.0.1".parse().unwrap()));
    }

    #[test]
    fn what_another_network_covers_is_found_and_left_out() {
        let all = networks(&[
            "10.0.0.0/8",
            "10.0.0.0/9",
            "10.255.255.255",
            "11.0.0.0",
            "10.0.0.0/8",
            "9.255.255.0/24",
            "::/0",
            "::/1",
            "ffff::1",
            "0.0.0.0",
        ]);
        let kept = networks(&[
            "0.0.0.0",
            "9.255.255.0/24",
            "10.0.0.0/8",
            "11.0.0.0",
            "::/0",
        ]);
        assert_eq!(without_covered(all.clone()), kept);
        for one in all {
            let slowly = kept.iter().find(|other| other.covers(&one));
            assert_eq!(covering(&kept, &one), slowly, "{one}");
        }
        assert_eq!(covering(&kept[..4], &networks(&["10.0.0.0/7"])[0]), None);
        assert_eq!(covering(&kept[..4], &networks(&["11.0.0.1"])[0]), None);
    }
}
