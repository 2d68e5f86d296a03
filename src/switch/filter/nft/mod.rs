//! nftables: redirected clients are the members of sets, one for each family; ss(8) ends their sockets.

mod firewall;
mod output;
mod rules;
mod set_names;
mod sockets;
mod transaction;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::network::{Family, Network};
use crate::config::switch::SwitchConfig;
use crate::switch::clients::ClientSet;
use crate::switch::command::{Call, CommandOutput};
use crate::switch::error::SwitchError;
use crate::switch::filter::nft::firewall::{FirewallProblem, Listings, Ruleset, find_problem};
use crate::switch::filter::packet_filter::{Count, FirewallCheck, PacketFilter, StateUsage};
use crate::switch::host::Host;
use crate::switch::plan::Side;
use crate::switch::tools::Tools;

pub(crate) use crate::switch::filter::nft::rules::rules;

/// The number of connections that conntrack has, and its limit.
const CONNTRACK_COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// The sets of clients in messages.
const SET: &str = "the set of clients";

/// nftables with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Nft {
    settings: SwitchConfig,
    nft: PathBuf,
    ss: PathBuf,
    iptables_save: [Option<PathBuf>; 4],
    /// This host's own addresses, which are never redirected: its packets to itself do not pass prerouting.
    own: Vec<IpAddr>,
}

impl PacketFilter for Nft {
    fn check_rules(
        &self,
        host: &mut dyn Host,
        is_required: bool,
    ) -> Result<Option<String>, SwitchError> {
        let table = self.read_table(host)?;
        let incomplete = |what: String| SwitchError::IncompleteNftTable {
            table: self.settings.table().to_owned(),
            what,
            nft: self.nft.clone(),
        };
        if let Some(what) = rules::missing(&self.settings, &table) {
            return Err(incomplete(what));
        }
        match rules::outdated(&table).map(incomplete) {
            Some(error) if is_required => Err(error),
            outdated => Ok(outdated.map(|error| error.to_string())),
        }
    }

    /// That ss runs must be known before anything has changed.
    fn check_selectors(&self, host: &mut dyn Host) -> Result<(), SwitchError> {
        self.list_sockets(host, Side::Maintenance).map(drop)
    }

    fn state_usage(&self, host: &mut dyn Host) -> StateUsage {
        let mut number = |path| {
            let text = host.read(Path::new(path)).ok()?;
            text.trim_end().parse().ok()
        };
        StateUsage {
            used: number(CONNTRACK_COUNT),
            limit: number(CONNTRACK_MAX),
        }
    }

    fn check_firewalls(
        &self,
        host: &mut dyn Host,
        families: &[Family],
        is_required: bool,
    ) -> Result<FirewallCheck, SwitchError> {
        let mut run = |call: &Call| host.run(call).unwrap_or_else(CommandOutput::not_run);
        let ruleset = run(&self.list_ruleset());
        // The output of a program that is not installed is empty.
        let [v4, v6, legacy4, legacy6] = self.iptables_save.each_ref().map(|program| {
            let output = program.as_ref().map(|program| run(&Call::new(program, [])));
            output.unwrap_or_default().stdout
        });
        let listings = Listings {
            nft: &ruleset.stdout,
            iptables_nft: [&v4, &v6],
            iptables_legacy: [&legacy4, &legacy6],
        };
        let others = Ruleset::read(&listings, self.settings.table(), &self.own);
        let Some(others) = others.filter(|_| ruleset.is_success()) else {
            return Ok(FirewallCheck::Unknown(format!(
                "cannot check whether another firewall blocks visitors from the page: nft does not list all rules: {}",
                ruleset.error_text()
            )));
        };
        // Clients cannot use a family of which the host has no address.
        let is_here = |family: &&Family| self.own.iter().any(|own| Family::of(*own) == **family);
        let families: Vec<Family> = families.iter().filter(is_here).copied().collect();
        match find_problem(&others, &self.settings.redirects, &families) {
            None => Ok(FirewallCheck::Open),
            Some(FirewallProblem::BlocksClients(what) | FirewallProblem::BlocksOwnCheck(what))
                if is_required =>
            {
                Err(SwitchError::Firewall(what))
            }
            Some(FirewallProblem::BlocksClients(what)) => Ok(FirewallCheck::Blocked(what)),
            Some(FirewallProblem::BlocksOwnCheck(what) | FirewallProblem::Undecided(what)) => {
                Ok(FirewallCheck::Unknown(what))
            }
        }
    }

    fn clients(&self, host: &mut dyn Host) -> Result<Option<ClientSet>, SwitchError> {
        match self.read_table(host) {
            Ok(table) => Ok(Some(table.clients)),
            Err(SwitchError::NoNftTable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace_clients(&self, host: &mut dyn Host, clients: &ClientSet) -> Result<(), SwitchError> {
        let output = host.run(&self.replace_call(clients))?;
        if output.is_success() {
            Ok(())
        } else {
            Err(output.failure_to("nft cannot change the sets"))
        }
    }

    /// Checks the exceptions too: nft needs time to list many of them.
    fn verify_redirected(
        &self,
        host: &mut dyn Host,
        clients: &ClientSet,
    ) -> Result<(), SwitchError> {
        let now = self.read_table(host)?.clients.index();
        let mut redirected = clients.redirected_samples();
        if let Some(address) = redirected.find(|address| !now.has(*address)) {
            let set = SET.to_owned();
            return Err(SwitchError::NotRedirected { address, set });
        }
        let mut excepted = clients.excepted_samples();
        match excepted.find(|address| now.has(*address)) {
            Some(address) => Err(SwitchError::NotExcepted {
                address,
                set: SET.to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn verify_empty(&self, host: &mut dyn Host) -> Result<(), SwitchError> {
        if self.read_table(host)?.clients.is_empty() {
            Ok(())
        } else {
            Err(SwitchError::NotEmpty {
                set: SET.to_owned(),
            })
        }
    }

    fn kill(
        &self,
        host: &mut dyn Host,
        side: Side,
        clients: &ClientSet,
    ) -> Result<(), SwitchError> {
        // All filters are run, also after one that fails.
        let calls = self.kill_calls(side, clients);
        let outputs: Vec<_> = calls.iter().map(|call| host.run(call)).collect();
        for output in outputs {
            let output = output?;
            if !output.is_success() {
                return Err(output.failure_to("ss cannot end connections"));
            }
        }
        Ok(())
    }

    fn misplaced_connections(
        &self,
        host: &mut dyn Host,
        side: Side,
        clients: &ClientSet,
    ) -> Result<u64, SwitchError> {
        let sockets = self.list_sockets(host, side)?;
        Ok(match side {
            Side::Live => {
                let clients = clients.index();
                self.count(&sockets, |peer| clients.has(peer))
            }
            // Connections of new exceptions stay: the rules reset each at its next packet.
            Side::Maintenance => {
                let entries = clients.without_exceptions().index();
                self.count(&sockets, |peer| !entries.has(peer))
            }
        })
    }

    fn connections(&self, host: &mut dyn Host, side: Side) -> Result<u64, SwitchError> {
        Ok(self.count(&self.list_sockets(host, side)?, |_| true))
    }

    fn counts(&self, host: &mut dyn Host) -> [Option<Count>; 2] {
        let counts = self.read_table(host).map(|table| table.counts);
        let counts = counts.unwrap_or_default();
        self.settings
            .labels()
            .map(|label| counts.get(label).copied())
    }
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

    fn list_ruleset(&self) -> Call {
        Call::new(&self.nft, ["-j", "list", "ruleset"])
    }

    fn list_table(&self) -> Call {
        Call::new(
            &self.nft,
            ["-j", "list", "table", "inet", self.settings.table()],
        )
    }

    fn read_table(&self, host: &mut dyn Host) -> Result<output::MaintdTable, SwitchError> {
        let output = host.run(&self.list_table())?;
        let table = self.settings.table().to_owned();
        if output.is_success() {
            return output::table(&output.stdout).ok_or(SwitchError::UnreadableNftTable { table });
        }
        if output::is_missing(&output.stderr) {
            let nft = self.nft.clone();
            return Err(SwitchError::NoNftTable { table, nft });
        }
        Err(output.failure_to(format!("nft cannot list table \"inet {table}\"")))
    }

    fn replace_call(&self, clients: &ClientSet) -> Call {
        let input = transaction::replace_clients(self.settings.table(), clients);
        Call::new(&self.nft, ["-f", "-"]).with_input(input)
    }

    /// ss(8) for the connections at the ports of a side, also for closing ones: the rest of one would answer a client that
    /// connects again from the same port.
    fn ss(&self, options: &str, side: Side, filter: &str) -> Call {
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

    fn list_call(&self, side: Side) -> Call {
        self.ss("-Htn", side, "")
    }

    fn list_sockets(&self, host: &mut dyn Host, side: Side) -> Result<String, SwitchError> {
        let output = host.run(&self.list_call(side))?;
        if output.is_success() {
            Ok(output.stdout)
        } else {
            Err(output.failure_to("ss cannot list connections"))
        }
    }

    /// Ends the connections on a side of clients that belong on the other one.
    fn kill_calls(&self, side: Side, clients: &ClientSet) -> Vec<Call> {
        let all = [Family::Inet, Family::Inet6].map(Family::all_addresses);
        let (include, exclude) = match side {
            Side::Live => (clients.entries.as_slice(), &clients.except),
            Side::Maintenance => (&all[..], &clients.entries),
        };
        let mut exclude = exclude.clone();
        exclude.extend(self.own.iter().copied().map(Network::single));
        exclude.extend([Family::Inet, Family::Inet6].map(Family::loopback));
        let filters = sockets::filters(include, &exclude);
        let kill = |filter: &String| self.ss("-KHtn", side, filter);
        filters.iter().map(kill).collect()
    }

    /// The number of open connections of clients that match `filter`, without those of this host to itself.
    fn count(&self, sockets: &str, filter: impl Fn(IpAddr) -> bool) -> u64 {
        let is_own = |peer: IpAddr| self.own.contains(&peer) || peer.is_loopback();
        // A client whose address cannot be parsed must be counted.
        let counts = |peer: &Option<IpAddr>| peer.is_none_or(|peer| !is_own(peer) && filter(peer));
        let open = output::open_sockets(sockets).filter(counts);
        open.count().try_into().unwrap_or(u64::MAX)
    }
}

/// Reads a text with every parser of the output of nft and ss, for fuzzing.
pub(crate) fn read_everything(text: &str) {
    output::table(text);
    output::open_sockets(text).count();
    firewall::read_everything(text);
}
