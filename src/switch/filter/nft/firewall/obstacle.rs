//! Reports the chains that block the page, with the commands that open them.

use crate::config::network::Family;
use crate::config::switch::Redirect;
use crate::switch::filter::nft::firewall::chain::{
    BaseChain, FirewallChain, FirewallTool, Hook, TableId,
};
use crate::switch::filter::nft::firewall::evaluate::{
    CONNTRACK_PRIORITY, Reachability, chains_blocking_own_requests, page_reachability,
};
use crate::switch::filter::nft::firewall::ruleset::Ruleset;

/// A problem with other firewalls, as a message with the commands that solve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FirewallProblem {
    BlocksClients(String),
    /// Only maintd's own check of the responder is blocked.
    BlocksOwnCheck(String),
    Undecided(String),
}

/// A base chain that drops packets to the page, exempts the answers from conntrack, or cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BlockingChain {
    /// Its index in the ruleset.
    chain: usize,
    /// It drops maintd's own requests.
    is_own: bool,
    /// The responder's ports.
    ports: Vec<u16>,
    families: Vec<Family>,
}

/// The chains that block the page or, if there are none, those that cannot be evaluated.
pub(crate) fn find_problem(
    ruleset: &Ruleset,
    redirects: &[Redirect],
    families: &[Family],
) -> Option<FirewallProblem> {
    let pairs = families.iter().flat_map(|family| {
        redirects.iter().map(|redirect| {
            let reachability = page_reachability(ruleset, *family, redirect);
            (*family, redirect.to, reachability)
        })
    });
    let results: Vec<_> = pairs.collect();
    // A closed port is only a problem if all are.
    let are_closed = results
        .iter()
        .all(|(_, _, result)| matches!(result, Reachability::Closed(_)));
    let (mut blocking, mut undecided) = (Vec::new(), Vec::new());
    for (family, port, result) in results {
        match result {
            Reachability::Obstructed(chains) => add(&mut blocking, &chains, false, family, port),
            Reachability::Closed(chains) if are_closed => {
                add(&mut blocking, &chains, false, family, port);
            }
            Reachability::Undecided(chains) => add(&mut undecided, &chains, false, family, port),
            Reachability::Open | Reachability::Closed(_) => {}
        }
        let chains = chains_blocking_own_requests(ruleset, family, port);
        add(&mut blocking, &chains, true, family, port);
    }
    let problem = blocked(ruleset, &sorted(blocking), families);
    problem.or_else(|| not_evaluated(ruleset, &sorted(undecided)))
}

fn add(all: &mut Vec<BlockingChain>, chains: &[usize], is_own: bool, family: Family, port: u16) {
    for chain in chains {
        let is_same = |other: &BlockingChain| (other.chain, other.is_own) == (*chain, is_own);
        let known = all.iter().position(is_same);
        let index = known.unwrap_or_else(|| {
            all.push(BlockingChain {
                chain: *chain,
                is_own,
                ports: Vec::new(),
                families: Vec::new(),
            });
            all.len() - 1
        });
        all[index].ports.push(port);
        all[index].families.push(family);
    }
}

fn sorted(mut all: Vec<BlockingChain>) -> Vec<BlockingChain> {
    all.sort_by_key(|one| (one.chain, one.is_own));
    for one in &mut all {
        one.ports.sort_unstable();
        one.ports.dedup();
        one.families.dedup();
    }
    all
}

fn not_evaluated(ruleset: &Ruleset, undecided: &[BlockingChain]) -> Option<FirewallProblem> {
    let mut ports: Vec<u16> = undecided
        .iter()
        .flat_map(|one| one.ports.iter().copied())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let chains: Vec<String> = undecided
        .iter()
        .map(|one| name(&ruleset.chains[one.chain]))
        .collect();
    let (last, first) = chains.split_last()?;
    let (chains, they) = if first.is_empty() {
        (last.clone(), "it accepts")
    } else {
        (format!("{} and {last}", first.join(", ")), "they accept")
    };
    Some(FirewallProblem::Undecided(format!(
        "cannot evaluate all rules of {chains}; check that {they} packets redirected to {}",
        port_list(&ports)
    )))
}

fn blocked(
    ruleset: &Ruleset,
    blocking: &[BlockingChain],
    families: &[Family],
) -> Option<FirewallProblem> {
    let (mut what, mut commands) = (Vec::new(), Vec::new());
    for one in blocking {
        what.push(describe(ruleset, one, families.len()));
        let command = format!("\"{}\"", command(ruleset, one));
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    let is_own = blocking.iter().all(|one| one.is_own);
    // ufw saves its rules itself.
    let are_saved = |one: &BlockingChain| is_of_ufw(ruleset, &ruleset.chains[one.chain]);
    let keep = if blocking.iter().all(are_saved) {
        ""
    } else {
        ", and add it to the firewall's configuration for the next boot"
    };
    (!what.is_empty()).then(|| {
        let commands = commands.join(" and ");
        let what = format!("{}; run {commands}{keep}", what.join(", and "));
        if is_own {
            FirewallProblem::BlocksOwnCheck(format!(
                "a firewall blocks maintd's check of the responder: {what}"
            ))
        } else {
            FirewallProblem::BlocksClients(format!(
                "a firewall blocks visitors from the page: {what}"
            ))
        }
    })
}

/// `port 8080`, `ports 8080 and 8443`.
fn port_list(ports: &[u16]) -> String {
    let texts: Vec<String> = ports.iter().map(u16::to_string).collect();
    let plural = if texts.len() == 1 { "" } else { "s" };
    format!("port{plural} {}", texts.join(" and "))
}

fn name(chain: &FirewallChain) -> String {
    let FirewallChain { table, name, .. } = chain;
    format!(
        "chain \"{name}\" of table \"{} {}\"",
        table.family, table.name
    )
}

/// What a chain does to redirected packets. The family is named if only one of several is affected.
fn describe(ruleset: &Ruleset, blocking: &BlockingChain, families: usize) -> String {
    let chain = &ruleset.chains[blocking.chain];
    let ports = port_list(&blocking.ports);
    let what = match chain.base {
        Some(_) | None if blocking.is_own => {
            format!("drops maintd's own requests to {ports} over the loopback interface")
        }
        Some(BaseChain {
            hook: Hook::Output,
            priority,
            ..
        }) if priority < CONNTRACK_PRIORITY => {
            format!("exempts answers from {ports} from conntrack")
        }
        Some(BaseChain {
            hook: Hook::Output, ..
        }) => format!("drops answers from {ports}"),
        Some(_) | None => format!("drops packets redirected to {ports}"),
    };
    let over = match blocking.families.as_slice() {
        [_] if chain.table.family != "inet" || families == 1 => "",
        [Family::Inet] => " over IPv4",
        [Family::Inet6] => " over IPv6",
        _ => "",
    };
    format!("{} {what}{over}", name(chain))
}

/// Whether ufw manages a chain: an input chain in a table with chains of ufw.
fn is_of_ufw(ruleset: &Ruleset, chain: &FirewallChain) -> bool {
    let same_table = |other: &&FirewallChain| other.table == chain.table;
    let mut others = ruleset.chains.iter().filter(same_table);
    chain.base.is_some_and(|base| base.hook == Hook::Input)
        && others.any(|other| other.name.starts_with("ufw"))
}

/// The command that opens a chain for redirected packets. Our own table still drops packets sent to the responder's ports
/// directly.
fn command(ruleset: &Ruleset, blocking: &BlockingChain) -> String {
    let chain = &ruleset.chains[blocking.chain];
    let TableId { tool, family, name } = &chain.table;
    let list = |separator: &str| {
        let ports: Vec<String> = blocking.ports.iter().map(u16::to_string).collect();
        ports.join(separator)
    };
    let base = chain.base;
    let is_output = base.is_some_and(|base| base.hook == Hook::Output);
    let is_untracked = base.is_some_and(|base| is_output && base.priority < CONNTRACK_PRIORITY);
    let is_input = base.is_some_and(|base| base.hook == Hook::Input);
    if is_of_ufw(ruleset, chain) {
        return format!("ufw allow {}/tcp", list(","));
    }
    if is_input && name == "firewalld" {
        return format!("firewall-cmd --add-port={}/tcp", list("/tcp --add-port="));
    }
    if *tool == FirewallTool::Nft && blocking.is_own {
        let interface = if is_output { "oif" } else { "iif" };
        return format!(
            "nft insert rule {family} {name} {} {interface} lo accept",
            chain.name
        );
    }
    if *tool == FirewallTool::Nft {
        let port = if is_output { "sport" } else { "dport" };
        let status = if is_untracked { "" } else { "ct status dnat " };
        return format!(
            "nft insert rule {family} {name} {} {status}tcp {port} {{ {} }} accept",
            chain.name,
            list(", ")
        );
    }
    let program = match (*tool == FirewallTool::IptablesLegacy, family == "ip6") {
        (false, false) => "iptables",
        (false, true) => "ip6tables",
        (true, false) => "iptables-legacy",
        (true, true) => "ip6tables-legacy",
    };
    let table = if name == "filter" {
        String::new()
    } else {
        format!("-t {name} ")
    };
    if blocking.is_own {
        let option = if is_output { "-o" } else { "-i" };
        return format!("{program} {table}-I {} {option} lo -j ACCEPT", chain.name);
    }
    let port = if is_output { "sports" } else { "dports" };
    let state = if is_untracked {
        ""
    } else {
        "-m conntrack --ctstate DNAT "
    };
    format!(
        "{program} {table}-I {} {state}-p tcp -m multiport --{port} {} -j ACCEPT",
        chain.name,
        list(",")
    )
}
