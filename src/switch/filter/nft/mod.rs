//! nftables: visitors are the members of sets, one for each family; their sockets are ended by ss(8).

mod firewall;
mod output;
mod rules;
mod sockets;

use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::network::{Family, Network};
use crate::config::switch::SwitchConfig;
use crate::switch::command::{Call, Output};
use crate::switch::filter::means::{Finding, Means, Tools};
use crate::switch::filter::nft::firewall::{FirewallProblem, Listings, Ruleset, find_problem};
use crate::switch::plan::{Moved, Side, Step};

pub(crate) use crate::switch::filter::nft::rules::rules;

/// The sets of those who are moved, and of those who are excepted.
const CLIENTS: [&str; 2] = ["clients4", "clients6"];
const EXCEPT: [&str; 2] = ["except4", "except6"];

/// The connections that the kernel keeps account of, and how many it can.
const TRACKED: [&str; 2] = [
    "/proc/sys/net/netfilter/nf_conntrack_count",
    "/proc/sys/net/netfilter/nf_conntrack_max",
];

/// Which of the sets is the one of a family.
const fn number(family: Family) -> usize {
    match family {
        Family::Inet => 0,
        Family::Inet6 => 1,
    }
}

/// nftables with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Nft {
    settings: SwitchConfig,
    nft: PathBuf,
    ss: PathBuf,
    iptables_save: [Option<PathBuf>; 4],
    /// This host's own addresses, from which nobody is moved: what it sends to itself passes no prerouting.
    own: Vec<IpAddr>,
}

impl Nft {
    pub(crate) fn new(settings: SwitchConfig, tools: &Tools, own: Vec<IpAddr>) -> Self {
        Self {
            settings,
            nft: tools.nft.clone(),
            ss: tools.ss.clone(),
            iptables_save: tools.iptables_save.clone(),
            own,
        }
    }

    fn list(&self) -> Call {
        Call::new(
            &self.nft,
            ["-j", "list", "table", "inet", self.settings.table()],
        )
    }

    /// The one transaction that makes exactly these the sets' members, and those of whom ICMP errors may speak.
    fn change(&self, moved: &Moved) -> Call {
        let table = self.settings.table();
        let mut input = rules::quoted(table, moved);
        // The exceptions of nobody do no harm, and are still needed while the change is under way.
        let outdated: &[_] = if moved.is_anybody() { &EXCEPT } else { &[] };
        for set in CLIENTS.iter().chain(outdated) {
            input.push_str(&format!("flush set inet {table} {set}\n"));
        }
        for (sets, networks) in [(CLIENTS, &moved.entries), (EXCEPT, &moved.except)] {
            for family in [Family::Inet, Family::Inet6] {
                let of_family = networks.iter().filter(|network| network.family() == family);
                let elements: Vec<String> = of_family.map(Network::to_string).collect();
                if !elements.is_empty() {
                    let (set, elements) = (sets[number(family)], elements.join(", "));
                    input.push_str(&format!(
                        "add element inet {table} {set} {{ {elements} }}\n"
                    ));
                }
            }
        }
        Call::new(&self.nft, ["-f", "-"]).with_input(input)
    }

    /// ss(8) for the connections at the ports of a side, also those that only close: what is left of one would answer a
    /// visitor who comes again from the same port.
    fn sockets(&self, options: &str, side: Side, filter: &str) -> Call {
        let ports = self.settings.redirects.iter().map(|redirect| match side {
            Side::Live => redirect.from,
            Side::Maintenance => redirect.to,
        });
        let ports: Vec<String> = ports.map(|port| format!("sport = :{port}")).collect();
        let mut terms = format!("( {} )", ports.join(" or "));
        if !filter.is_empty() {
            terms.push_str(" and ");
            terms.push_str(filter);
        }
        Call::new(&self.ss, [options, "state", "connected", &terms])
    }

    /// Ends the connections on a side of clients that belong on the other one.
    fn kill(&self, side: Side, moved: &Moved) -> Vec<Call> {
        let everybody = [Family::Inet, Family::Inet6].map(Family::everybody);
        let (include, exclude) = match side {
            Side::Live => (moved.entries.as_slice(), &moved.except),
            Side::Maintenance => (&everybody[..], &moved.entries),
        };
        let mut exclude = exclude.clone();
        exclude.extend(self.own.iter().copied().map(Network::single));
        exclude.extend([Family::Inet, Family::Inet6].map(Family::loopback));
        let filters = sockets::filters(include, &exclude);
        let kill = |filter: &String| self.sockets("-KHtn", side, filter);
        filters.iter().map(kill).collect()
    }

    /// The open connections that ss(8) lists, of clients that are wanted; without those of this host to itself.
    fn count(&self, sockets: &str, is_wanted: impl Fn(IpAddr) -> bool) -> Finding {
        let is_own = |peer: IpAddr| self.own.contains(&peer) || peer.is_loopback();
        // A client that cannot be read must not be overlooked.
        let counts =
            |peer: &Option<IpAddr>| peer.is_none_or(|peer| !is_own(peer) && is_wanted(peer));
        let open = output::open_sockets(sockets).filter(counts);
        Finding::Connections(open.count().try_into().unwrap_or(u64::MAX))
    }

    /// The commands that print the rules of all firewalls.
    fn list_all(&self) -> Vec<Call> {
        let nft = Call::new(&self.nft, ["-j", "list", "ruleset"]);
        let saves = self.iptables_save.iter().flatten();
        let saves = saves.map(|program| Call::new(program, []));
        [nft].into_iter().chain(saves).collect()
    }

    /// What has come of [`Self::list_all`], or of [`Self::kill`].
    pub(crate) fn judge_several(&self, step: &Step, outputs: &[Output]) -> Result<Finding, String> {
        let Step::PathIsOpen {
            families,
            is_required,
        } = step
        else {
            let judge = |_, output| self.judge(step, output);
            return outputs.iter().try_fold(Finding::Right, judge);
        };
        let (ruleset, mut saved) = match outputs.split_first() {
            Some((ruleset, saved)) => (ruleset, saved.iter()),
            None => return Ok(Finding::Right),
        };
        // Of a program that is not there nothing was printed.
        let [v4, v6, legacy4, legacy6] = self.iptables_save.each_ref().map(|program| {
            let output = program.as_ref().and_then(|_| saved.next());
            output.map_or("", |output| output.stdout.as_str())
        });
        let listings = Listings {
            nft: &ruleset.stdout,
            iptables_nft: [v4, v6],
            iptables_legacy: [legacy4, legacy6],
        };
        let others = Ruleset::read(&listings, self.settings.table(), &self.own);
        let Some(others) = others.filter(|_| ruleset.status == Some(0)) else {
            return Ok(Finding::Warning(format!(
                "cannot see whether another firewall blocks visitors from the page: nft does not list all rules: {}",
                ruleset.complaint()
            )));
        };
        // Where the host has no address of a family, no visitor comes by it.
        let is_here = |family: &&Family| self.own.iter().any(|own| Family::of(*own) == **family);
        let families: Vec<Family> = families.iter().filter(is_here).copied().collect();
        match find_problem(&others, &self.settings.redirects, &families) {
            None => Ok(Finding::Right),
            Some(FirewallProblem::BlocksVisitors(what) | FirewallProblem::BlocksOwnCheck(what))
                if *is_required =>
            {
                Err(format!("{what}; or switch on all the same by --force"))
            }
            Some(FirewallProblem::BlocksVisitors(what)) => Ok(Finding::Obstacle(what)),
            Some(FirewallProblem::BlocksOwnCheck(what) | FirewallProblem::Undecided(what)) => {
                Ok(Finding::Warning(what))
            }
        }
    }

    pub(crate) fn means(&self, step: &Step) -> Means {
        Means::Call(match step {
            Step::RulesLoaded { .. }
            | Step::Remember
            | Step::AreMoved(_)
            | Step::NobodyIsMoved
            | Step::Counts => self.list(),
            Step::PathIsOpen { .. } => return Means::Calls(self.list_all()),
            // AreMoved has looked at both: listing many exceptions takes nft its time.
            Step::AreNotMoved(_) => return Means::Nothing,
            Step::HasRoom => return Means::Files(TRACKED.map(PathBuf::from).to_vec()),
            Step::Change(moved) => self.change(moved),
            Step::Kill(side, moved) => return Means::Calls(self.kill(*side, moved)),
            Step::AreGone(side, _) | Step::Connected(side) => self.sockets("-Htn", *side, ""),
            Step::Responder {
                server,
                is_required,
            } => {
                return Means::AskForPage {
                    server: *server,
                    is_required: *is_required,
                };
            }
            Step::Live(server) => return Means::Connect(*server),
            Step::AnyLive {
                places,
                is_required,
            } => {
                return Means::ConnectToAny {
                    servers: places.clone(),
                    is_required: *is_required,
                };
            }
            // Whether ss can be used is to be known before anything has changed.
            Step::LabelsLoaded => self.sockets("-Htn", Side::Maintenance, ""),
            Step::FilterRuns | Step::Redirects { .. } => return Means::Nothing,
        })
    }

    pub(crate) fn judge(&self, step: &Step, output: &Output) -> Result<Finding, String> {
        let is_well = output.status == Some(0);
        let table = || self.read(output);
        match step {
            Step::RulesLoaded { is_required } => {
                let table = table()?;
                let complaint = |what: String| {
                    format!(
                        "table \"inet {}\" {what}; {}",
                        self.settings.table(),
                        self.load_rules()
                    )
                };
                if let Some(what) = rules::missing(&self.settings, &table) {
                    return Err(complaint(what));
                }
                match rules::outdated(&table).map(complaint) {
                    None => Ok(Finding::Right),
                    Some(what) if *is_required => Err(what),
                    Some(what) => Ok(Finding::Warning(what)),
                }
            }
            Step::Remember if is_missing(output) => Ok(Finding::NoTable(self.missing())),
            Step::Remember => table().map(|table| Finding::Moved(table.moved)),
            Step::NobodyIsMoved if table()?.moved.is_anybody() => {
                Err("the sets are not empty after they were emptied".to_owned())
            }
            Step::AreMoved(moved) => {
                let now = table()?.moved.index();
                if let Some(address) = moved.witnesses().find(|address| !now.has(*address)) {
                    return Err(format!(
                        "{address} is not in the set, where it was just put"
                    ));
                }
                match moved.excepted().find(|address| now.has(*address)) {
                    Some(address) => Err(format!("{address} is moved, and was not to be")),
                    None => Ok(Finding::Right),
                }
            }
            Step::HasRoom => {
                let mut numbers = output.stdout.lines().map(|line| line.parse().ok());
                Ok(Finding::Room {
                    used: numbers.next().flatten(),
                    limit: numbers.next().flatten(),
                })
            }
            Step::Change(_) if !is_well => Err(format!(
                "nft cannot change the sets: {}",
                output.complaint()
            )),
            Step::Kill(..) if !is_well => {
                Err(format!("ss cannot end connections: {}", output.complaint()))
            }
            // Ending them was carried out; only the proof is missing.
            Step::AreGone(..) if !is_well => Ok(Finding::Warning(format!(
                "cannot see whether connections are left: {}",
                output.complaint()
            ))),
            Step::Connected(_) | Step::LabelsLoaded if !is_well => Err(format!(
                "ss cannot list connections: {}",
                output.complaint()
            )),
            Step::Counts => {
                let counts = table()?.counts;
                let labels = [
                    &self.settings.label_maintenance,
                    &self.settings.label_normal,
                ];
                Ok(Finding::Counts(
                    labels.map(|label| counts.get(label).copied()),
                ))
            }
            Step::AreGone(Side::Live, moved) => {
                let moved = moved.index();
                Ok(self.count(&output.stdout, |peer| moved.has(peer)))
            }
            // Connections of new exceptions stay: the rules reset each at its next packet.
            Step::AreGone(Side::Maintenance, moved) => {
                let entries = moved.without_exceptions().index();
                Ok(self.count(&output.stdout, |peer| !entries.has(peer)))
            }
            Step::Connected(_) => Ok(self.count(&output.stdout, |_| true)),
            Step::PathIsOpen { .. }
            | Step::NobodyIsMoved
            | Step::AreNotMoved(_)
            | Step::Change(_)
            | Step::Kill(..)
            | Step::FilterRuns
            | Step::Redirects { .. }
            | Step::LabelsLoaded
            | Step::Responder { .. }
            | Step::Live(_)
            | Step::AnyLive { .. } => Ok(Finding::Right),
        }
    }

    /// What nft tells of the table.
    fn read(&self, output: &Output) -> Result<output::Table, String> {
        let table = self.settings.table();
        if output.status == Some(0) {
            return output::table(&output.stdout)
                .ok_or_else(|| format!("nft does not tell of table \"inet {table}\" in a way that is understood; it must be 1.0 or newer"));
        }
        if is_missing(output) {
            return Err(self.missing());
        }
        Err(format!(
            "nft cannot list table \"inet {table}\": {}",
            output.complaint()
        ))
    }

    fn missing(&self) -> String {
        format!(
            "there is no table \"inet {}\"; {}",
            self.settings.table(),
            self.load_rules()
        )
    }

    /// What to do where the rules are missing.
    fn load_rules(&self) -> String {
        format!(
            "load its rules: \"maintd rules --backend nft | {} -f -\", and at each boot from a file",
            self.nft.display()
        )
    }
}

/// Reads a text as everything that nft and ss print.
pub(crate) fn read_everything(text: &str) {
    output::table(text);
    output::open_sockets(text).count();
    firewall::read_everything(text);
}

/// nft says that there is no such table.
fn is_missing(output: &Output) -> bool {
    output.status != Some(0) && output.stderr.contains("No such file or directory")
}
