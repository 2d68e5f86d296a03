//! What `on` and `off` do, as data: check, change, verify, kill, verify. `execute` runs a plan, `dry_run` prints it.

use std::net::SocketAddr;

use crate::config::network::Family;
use crate::switch::clients::ClientSet;

/// Which way clients are switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the page.
    On,
    /// Back to the live site.
    Off,
}

/// The server that a connection is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The live site.
    Live,
    /// The responder, which sends the page.
    Maintenance,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlanStep {
    /// The packet filter is enabled. Only pf can be disabled.
    CheckEnabled,
    /// The rules are loaded and use the table (pf), or the table has its sets, chains and redirects (nft).
    CheckRules {
        /// Rules of an older maintd are an error.
        is_required: bool,
    },
    /// The connections of one side can be selected: the rules have both labels (pf), and ss(8) can list sockets (nft).
    CheckSelectors,
    /// Reads how full the packet filter's state table is. A full table is a warning.
    CheckCapacity,
    /// The loaded rules redirect the table's clients, on interfaces that exist, to servers that answer with the page. Of pf
    /// alone: nft redirects to the host's own addresses, which `CheckResponder` names.
    CheckRedirects {
        /// A missing interface, and no answer in time, are errors.
        is_required: bool,
    },
    /// No other firewall drops packets of these families to the responder. Of nft alone: pf has one list of rules.
    CheckFirewalls {
        families: Vec<Family>,
        /// A firewall that drops them is an error, else a warning.
        is_required: bool,
    },
    /// The responder answers with 503.
    CheckResponder {
        server: SocketAddr,
        /// No answer in time, as where a firewall drops the request, is an error.
        is_required: bool,
    },
    /// The live site accepts connections there.
    CheckLive(SocketAddr),
    /// The live site accepts connections on at least one of these addresses.
    CheckAnyLive {
        servers: Vec<SocketAddr>,
        /// None is an error, else a warning.
        is_required: bool,
    },
    /// Reads the redirected clients, to restore them if a later step fails.
    ReadClients,
    /// Redirects exactly these clients, in one atomic change.
    ReplaceClients(ClientSet),
    /// For each entry one address is redirected.
    VerifyRedirected(ClientSet),
    /// For each exception one address is not redirected.
    VerifyExcepted(ClientSet),
    /// No client is redirected.
    VerifyEmpty,
    /// Ends the connections on this side of clients that belong on the other one.
    KillConnections(Side, ClientSet),
    /// No such connection is left. Kills again until that is so.
    VerifyKilled(Side, ClientSet),
}

/// The part of a plan that a step belongs to, which decides what is true when the step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanPhase {
    /// Nothing has changed.
    Check,
    /// The change must be undone.
    Change,
    /// New connections are switched; old ones may not be.
    Kill,
}

impl PlanStep {
    pub(crate) const fn phase(&self) -> PlanPhase {
        match self {
            Self::CheckEnabled
            | Self::CheckRules { .. }
            | Self::CheckSelectors
            | Self::CheckCapacity
            | Self::CheckRedirects { .. }
            | Self::CheckFirewalls { .. }
            | Self::CheckResponder { .. }
            | Self::CheckLive(_)
            | Self::CheckAnyLive { .. }
            | Self::ReadClients => PlanPhase::Check,
            Self::ReplaceClients(_)
            | Self::VerifyRedirected(_)
            | Self::VerifyExcepted(_)
            | Self::VerifyEmpty => PlanPhase::Change,
            Self::KillConnections(..) | Self::VerifyKilled(..) => PlanPhase::Kill,
        }
    }
}

/// Where the live site must accept connections before `off`. A live site seldom listens on each address and port of its
/// host, so `on` saves where it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LiveRequirement {
    /// On each of these addresses.
    Each(Vec<SocketAddr>),
    /// On at least one of these: it is not known where it accepted before `on`.
    Any(Vec<SocketAddr>),
    /// On none of these: it accepted on none before `on`. It was stopped already, or packets to its ports are redirected,
    /// which those of the host to itself are not.
    Unknown(Vec<SocketAddr>),
}

impl LiveRequirement {
    /// The candidates on which the live site accepted before `on`, as far as that is known.
    pub(crate) fn new(candidates: Vec<SocketAddr>, accepted: Option<&[SocketAddr]>) -> Self {
        if candidates.is_empty() {
            return Self::Each(candidates);
        }
        let Some(accepted) = accepted else {
            return Self::any(candidates);
        };
        if accepted.is_empty() {
            return Self::Unknown(candidates);
        }
        let is_known = |server: &&SocketAddr| accepted.contains(server);
        let known: Vec<SocketAddr> = candidates.iter().filter(is_known).copied().collect();
        // The host may have lost an address since, and the configuration may have changed.
        if known.is_empty() {
            Self::any(candidates)
        } else {
            Self::Each(known)
        }
    }

    /// On at least one of these. The error for a single address names the cause too, so that one is `Each`.
    pub(crate) fn any(candidates: Vec<SocketAddr>) -> Self {
        if candidates.len() == 1 {
            Self::Each(candidates)
        } else {
            Self::Any(candidates)
        }
    }

    fn steps(&self) -> Vec<PlanStep> {
        let any = |servers: &Vec<SocketAddr>, is_required| {
            vec![PlanStep::CheckAnyLive {
                servers: servers.clone(),
                is_required,
            }]
        };
        match self {
            Self::Each(servers) => servers.iter().copied().map(PlanStep::CheckLive).collect(),
            Self::Any(servers) => any(servers, true),
            Self::Unknown(servers) => any(servers, false),
        }
    }
}

/// The steps of one switch, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(pub(crate) Vec<PlanStep>);

impl Plan {
    /// Redirects clients to the page, if the responder answers on all of `responders`. Clients on the page that are not in
    /// the set return to the live site. Other firewalls are checked first: they may drop the requests to the responder, too.
    /// `force` ignores a firewall that drops packets, a missing interface, and rules of an older maintd.
    pub(crate) fn on(clients: &ClientSet, responders: &[SocketAddr], force: bool) -> Self {
        let is_required = !force;
        let mut steps = vec![
            PlanStep::CheckEnabled,
            PlanStep::CheckRules { is_required },
            PlanStep::CheckSelectors,
            PlanStep::CheckCapacity,
            PlanStep::CheckRedirects { is_required },
            PlanStep::CheckFirewalls {
                families: clients.families(),
                is_required,
            },
        ];
        steps.extend(responders.iter().map(|server| PlanStep::CheckResponder {
            server: *server,
            is_required,
        }));
        steps.extend([
            PlanStep::ReadClients,
            PlanStep::ReplaceClients(clients.clone()),
            PlanStep::VerifyRedirected(clients.clone()),
            PlanStep::VerifyExcepted(clients.clone()),
            PlanStep::KillConnections(Side::Live, clients.clone()),
            PlanStep::VerifyKilled(Side::Live, clients.clone()),
            PlanStep::VerifyKilled(Side::Maintenance, clients.clone()),
        ]);
        Self(steps)
    }

    /// Returns clients to the live site, if it accepts connections where it must.
    pub(crate) fn off(live: &LiveRequirement) -> Self {
        let mut steps = vec![PlanStep::ReadClients];
        steps.extend(live.steps());
        steps.push(PlanStep::ReplaceClients(ClientSet::default()));
        steps.push(PlanStep::VerifyEmpty);
        steps.extend(Self::end_connections().0);
        Self(steps)
    }

    /// Does nothing.
    pub(crate) const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Ends all connections with the page.
    pub(crate) fn end_connections() -> Self {
        Self(vec![
            PlanStep::KillConnections(Side::Maintenance, ClientSet::default()),
            PlanStep::VerifyKilled(Side::Maintenance, ClientSet::default()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_checks_changes_verifies_kills_and_verifies() {
        let networks = |texts: [&str; 2]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let clients = ClientSet::new(
            networks(["0.0.0.0/0", "::/0"]),
            networks(["192.0.2.10", "2001:db8::/48"]),
        )
        .unwrap();
        let responders: Vec<SocketAddr> = vec!["127.0.0.1:8080".parse().unwrap()];
        let Plan(steps) = Plan::on(&clients, &responders, false);
        assert_eq!(
            steps,
            [
                PlanStep::CheckEnabled,
                PlanStep::CheckRules { is_required: true },
                PlanStep::CheckSelectors,
                PlanStep::CheckCapacity,
                PlanStep::CheckRedirects { is_required: true },
                PlanStep::CheckFirewalls {
                    families: vec![Family::Inet, Family::Inet6],
                    is_required: true,
                },
                PlanStep::CheckResponder {
                    server: responders[0],
                    is_required: true,
                },
                PlanStep::ReadClients,
                PlanStep::ReplaceClients(clients.clone()),
                PlanStep::VerifyRedirected(clients.clone()),
                PlanStep::VerifyExcepted(clients.clone()),
                PlanStep::KillConnections(Side::Live, clients.clone()),
                PlanStep::VerifyKilled(Side::Live, clients.clone()),
                PlanStep::VerifyKilled(Side::Maintenance, clients),
            ]
        );
        let phases: Vec<PlanPhase> = steps.iter().map(PlanStep::phase).collect();
        assert!(phases.is_sorted_by_key(|phase| *phase as u8), "{phases:?}");
    }

    #[test]
    fn off_checks_the_live_site_first() {
        let live: Vec<SocketAddr> = vec!["192.0.2.1:80".parse().unwrap()];
        assert_eq!(
            Plan::off(&LiveRequirement::Each(live.clone())).0,
            [
                PlanStep::ReadClients,
                PlanStep::CheckLive(live[0]),
                PlanStep::ReplaceClients(ClientSet::default()),
                PlanStep::VerifyEmpty,
                PlanStep::KillConnections(Side::Maintenance, ClientSet::default()),
                PlanStep::VerifyKilled(Side::Maintenance, ClientSet::default()),
            ]
        );
    }

    #[test]
    fn off_requires_the_addresses_that_accepted_before_on() {
        let servers = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = servers(&["192.0.2.1:80", "192.0.2.1:443", "[2001:db8::1]:80"]);
        let required = |accepted: Option<&[&str]>| {
            LiveRequirement::new(all.clone(), accepted.map(servers).as_deref())
        };
        assert_eq!(
            required(Some(&["192.0.2.1:443", "192.0.2.9:80"])),
            LiveRequirement::Each(servers(&["192.0.2.1:443"]))
        );
        // The host has lost the address.
        assert_eq!(
            required(Some(&["192.0.2.9:80"])),
            LiveRequirement::Any(all.clone())
        );
        assert_eq!(required(Some(&[])), LiveRequirement::Unknown(all.clone()));
        assert_eq!(required(None), LiveRequirement::Any(all.clone()));
        let any = |is_required| {
            vec![PlanStep::CheckAnyLive {
                servers: all.clone(),
                is_required,
            }]
        };
        assert_eq!(LiveRequirement::Any(all.clone()).steps(), any(true));
        assert_eq!(LiveRequirement::Unknown(all.clone()).steps(), any(false));
        // A host without addresses has nothing to connect to.
        assert_eq!(LiveRequirement::new(Vec::new(), Some(&[])).steps(), []);
    }
}
