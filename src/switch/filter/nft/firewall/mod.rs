//! The other firewalls of this host: whether their rules let redirected packets reach the responder.
//!
//! A redirected packet arrives at the input hook with the responder's port, 8080 in place of 80, and a chain that accepts
//! 80 alone drops it. An `accept` in our own table does not override that: each base chain of a hook has to accept.
//!
//! Whether a condition holds is not always known: it may depend on the source address, a rate limit or a mark. Such a
//! condition is guessed, and a packet to the page is compared with a packet to the live site under the same guesses.
//! `ip saddr @blocklist drop` drops both, which is no fault of the path; a rule that accepts ports 80 and 443 alone is one,
//! whatever else it requires. The first guess is that no such condition holds, as for the usual visitor; then that each
//! holds alone, then each two of them, and so on. There may be too many combinations to try: then it is unknown whether the
//! path is open, which is a warning.
//!
//! maintd's own requests to the responder, by which it checks that it answers, have to pass too: over the loopback interface,
//! to an address of this host. They are only reported where they are dropped whatever is guessed.

mod ruleset;
mod saved;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::config::switch::Redirect;

/// Priorities of hooks (`linux/netfilter_ipv4.h`): where the kernel finds a packet's connection, and where our own chain
/// redirects.
const CONNTRACK: i64 = -200;
const REDIRECT: i64 = -110;

/// The families of iptables' tables, as nft(8) has them.
const FAMILIES: [&str; 2] = ["ip", "ip6"];

/// How many rules are evaluated in all, and how deep chains call each other: the kernel allows 16.
const MAX_RULES: u64 = 4_000_000;
const MAX_DEPTH: usize = 32;
/// How many combinations of guesses are tried. The first is the usual visitor's.
const MAX_GUESSES: usize = 20_000;

/// TCP flags (RFC 9293 3.1).
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The ports from which clients connect on any system.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// What conntrack knows of a packet. `Dnat` is no state of the kernel's: it holds beside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Established,
    Related,
    Invalid,
    Untracked,
    Dnat,
}

impl State {
    /// By its name in nft(8) or iptables-extensions(8).
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "new" => Self::New,
            "established" => Self::Established,
            "related" => Self::Related,
            "invalid" => Self::Invalid,
            "untracked" => Self::Untracked,
            "dnat" => Self::Dnat,
            _ => return None,
        })
    }
}

/// Which connection a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// A visitor's, with the live site.
    Live,
    /// A visitor's, with the page.
    Page,
    /// maintd's own, with the responder over the loopback interface.
    Own,
}

/// A packet that is followed through the chains.
#[derive(Clone, Copy, Debug)]
struct Packet {
    family: Family,
    flow: Flow,
    /// The server's answer.
    is_reply: bool,
    /// The server's port. The client's is any.
    port: u16,
    /// The port that the client connected to.
    original: u16,
    state: State,
    /// A rule sent it to another address or port than it came for.
    is_translated: bool,
}

/// Ranges of ports, with both ends.
type Ports = Vec<(u16, u16)>;

/// What a rule requires of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Known(bool),
    Family(Family),
    DestinationPort(Ports),
    SourcePort(Ports),
    OriginalPort(Ports),
    /// One of these.
    State(Vec<State>),
    /// Of the flags in `mask` exactly these are set; any of them where there is no value.
    Flags {
        mask: u8,
        value: Option<u8>,
    },
    Reply,
    /// By this interface or another: for packets over the loopback that is known.
    Interface {
        is_loopback: bool,
        of_visitors: Box<Self>,
    },
    /// It cannot be evaluated. Conditions with the same key hold together; for both packets alike where it is shared.
    Unknown {
        key: usize,
        is_shared: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    condition: Condition,
    is_negated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// conntrack, and so address translation, leaves the packet alone.
    Untrack,
    /// The packet goes elsewhere.
    Translate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    tests: Vec<Test>,
    action: Action,
    /// The chain that a jump leads to.
    target: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Prerouting,
    Input,
    Output,
}

impl Hook {
    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "prerouting" => Some(Self::Prerouting),
            "input" => Some(Self::Input),
            "output" => Some(Self::Output),
            _ => None,
        }
    }
}

/// Where a base chain is called.
#[derive(Clone, Copy, Debug)]
struct Base {
    hook: Hook,
    priority: i64,
    is_nat: bool,
    policy_drops: bool,
}

/// The program by which a table is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tool {
    Nft,
    Iptables,
    IptablesLegacy,
}

/// A table: its tool, its family as nft(8) has it, its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Table {
    tool: Tool,
    family: String,
    name: String,
}

#[derive(Clone, Debug)]
struct Chain {
    table: Table,
    name: String,
    base: Option<Base>,
    rules: Vec<Rule>,
    /// Some of its rules are extensions of iptables, of which nft(8) prints only the name.
    is_opaque: bool,
}

impl Chain {
    /// Where packets of a family enter this chain, if they do.
    fn base_for(&self, family: Family) -> Option<Base> {
        let other = match family {
            Family::Inet => "ip6",
            Family::Inet6 => "ip",
        };
        self.base.filter(|_| self.table.family != other)
    }
}

/// Where a packet comes from, as a condition has it. A packet comes by one interface and from one address, so two of these
/// may exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// By one of these interfaces; the end of a name may be a wildcard.
    Interfaces(Vec<String>),
    Network(Network),
}

impl Origin {
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Interfaces(ours), Self::Interfaces(theirs)) => {
                let is_shared = |one: &String| theirs.iter().any(|other| may_be_same(one, other));
                !ours.iter().any(is_shared)
            }
            (Self::Network(one), Self::Network(other)) => !one.covers(other) && !other.covers(one),
            (Self::Interfaces(_), Self::Network(_)) | (Self::Network(_), Self::Interfaces(_)) => {
                false
            }
        }
    }
}

/// Whether one interface can have both names, of which each may end in a wildcard.
fn may_be_same(one: &str, other: &str) -> bool {
    let start = |name: &'_ str| name.strip_suffix(['*', '+']).map(str::len);
    match (start(one), start(other)) {
        (None, None) => one == other,
        (Some(length), None) => other.starts_with(&one[..length]),
        (None, Some(length)) => one.starts_with(&other[..length]),
        (Some(ours), Some(theirs)) => {
            let length = ours.min(theirs);
            one.as_bytes()[..length] == other.as_bytes()[..length]
        }
    }
}

/// What readers of rules have in common: this host's addresses, and the conditions that cannot be evaluated.
#[derive(Debug)]
struct Conditions<'a> {
    own: &'a [IpAddr],
    keys: HashMap<String, usize>,
    /// Of each key, where it is one.
    origins: Vec<Option<Origin>>,
}

impl Conditions<'_> {
    fn unknown(&mut self, text: String, is_shared: bool) -> Condition {
        let next = self.keys.len();
        let key = *self.keys.entry(text).or_insert(next);
        if key == next {
            self.origins.push(None);
        }
        Condition::Unknown { key, is_shared }
    }

    /// One that both packets have in common, about where they come from.
    fn origin(&mut self, text: String, origin: Origin) -> Condition {
        let condition = self.unknown(text, true);
        if let Condition::Unknown { key, .. } = condition {
            self.origins[key] = Some(origin);
        }
        condition
    }

    /// A visitor may come from anywhere.
    fn source(&mut self, networks: &[Network], text: String) -> Condition {
        if networks.iter().any(Network::is_everybody) {
            Condition::Known(true)
        } else if let [one] = networks {
            self.origin(text, Origin::Network(*one))
        } else {
            self.unknown(text, true)
        }
    }

    /// A redirected packet goes to the first address of its interface, so both packets may differ in this.
    fn destination(&mut self, networks: &[Network], text: String) -> Condition {
        let Some(family) = networks.first().map(Network::family) else {
            return Condition::Known(false);
        };
        let own = self.own.iter().filter(|own| Family::of(**own) == family);
        let (mut inside, mut outside) = (false, false);
        for address in own {
            if networks.iter().any(|network| network.has(*address)) {
                inside = true;
            } else {
                outside = true;
            }
        }
        if inside && outside {
            self.unknown(text, false)
        } else {
            Condition::Known(inside)
        }
    }

    /// Visitors come by any interface but the loopback.
    fn interface<'b>(&mut self, names: impl Iterator<Item = &'b str>) -> Condition {
        let (loopback, mut names): (Vec<&str>, Vec<&str>) = names.partition(|name| *name == "lo");
        names.sort_unstable();
        let is_loopback = !loopback.is_empty() || names.iter().any(|name| may_be_same(name, "lo"));
        let of_visitors = if names.is_empty() {
            Condition::Known(false)
        } else if names.iter().any(|name| matches!(*name, "*" | "+")) {
            Condition::Known(true)
        } else {
            let text = format!("interface {}", names.join(","));
            let names = names.into_iter().map(str::to_owned).collect();
            self.origin(text, Origin::Interfaces(names))
        };
        Condition::Interface {
            is_loopback,
            of_visitors: Box::new(of_visitors),
        }
    }
}

/// One of these names of `ct status`. Of a first packet only `dnat` can hold.
fn status<'a>(mut names: impl Iterator<Item = &'a str>) -> Condition {
    if names.any(|name| name.eq_ignore_ascii_case("dnat")) {
        Condition::State(vec![State::Dnat])
    } else {
        Condition::Known(false)
    }
}

/// Bits of TCP flags by their names.
fn flags<'a>(names: impl Iterator<Item = &'a str>) -> Option<u8> {
    const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    let mut bits = 0;
    for name in names {
        match name.to_ascii_lowercase().as_str() {
            "none" => {}
            "all" => bits = 0x3f,
            name => bits |= 1 << NAMES.iter().position(|other| *other == name)?,
        }
    }
    Some(bits)
}

/// A rule with the tests that can be evaluated first, so that few guesses are made. None where it never applies.
fn rule(mut tests: Vec<Test>, action: Action) -> Option<Rule> {
    tests.retain(|test| test.condition != Condition::Known(!test.is_negated));
    if tests
        .iter()
        .any(|test| matches!(test.condition, Condition::Known(_)))
    {
        return None;
    }
    tests.sort_by_key(|test| {
        matches!(
            test.condition,
            Condition::Unknown { .. } | Condition::Interface { .. }
        )
    });
    Some(Rule {
        tests,
        action,
        target: None,
    })
}

/// The outputs of the programs that list rules. Empty where a program is not installed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Printed<'a> {
    /// `nft -j list ruleset`.
    pub(crate) ruleset: &'a str,
    /// `iptables-nft-save` and `ip6tables-nft-save`: of iptables' extensions nft(8) prints the names alone.
    pub(crate) translated: [&'a str; 2],
    /// `iptables-legacy-save` and `ip6tables-legacy-save`: nft(8) does not list these tables.
    pub(crate) legacy: [&'a str; 2],
}

/// The chains of all firewalls but ours.
#[derive(Debug)]
pub(crate) struct Firewall {
    /// In the order of their priorities.
    chains: Vec<Chain>,
    /// For each condition that cannot be evaluated, where a packet comes from that fulfils it, if it is about that.
    origins: Vec<Option<Origin>>,
}

/// Whether redirected packets of one family and port pass all chains, with the base chains that drop them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    /// Visitors with access to the live site have access to the page.
    Open,
    /// Some visitors have access to the live site alone.
    Obstructed(Vec<usize>),
    /// No visitor has access to either: the site does not serve this family or this port.
    Closed(Vec<usize>),
    /// There are too many rules or combinations of conditions, in these base chains.
    Unknown(Vec<usize>),
}

/// What is reported of other firewalls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// What keeps visitors from the page, and how to open it.
    Obstacle(String),
    /// What keeps maintd alone from a check of the responder, and how to open it.
    OfOwn(String),
    /// What is not known.
    Doubt(String),
}

/// A base chain that drops what is redirected to the page, or keeps conntrack from it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Obstacle {
    chain: usize,
    /// It drops maintd's own requests.
    is_own: bool,
    /// The responder's ports.
    ports: Vec<u16>,
    families: Vec<Family>,
}

impl Firewall {
    /// None where nft's output cannot be read.
    pub(crate) fn read(printed: &Printed<'_>, ours: &str, own: &[IpAddr]) -> Option<Self> {
        let mut conditions = Conditions {
            own,
            keys: HashMap::new(),
            origins: Vec::new(),
        };
        let mut chains = ruleset::chains(printed.ruleset, &mut conditions)?;
        chains.retain(|chain| chain.table.family != "inet" || chain.table.name != ours);
        let mut numbers = numbers(&chains);
        // Tables that iptables knows, too, and that are changed by it.
        let mut of_iptables: HashSet<Table> = chains
            .iter()
            .filter(|chain| chain.is_opaque)
            .map(|chain| chain.table.clone())
            .collect();
        for (text, family) in printed.translated.into_iter().zip(FAMILIES) {
            for mut saved in saved::chains(text, Tool::Iptables, family, &mut conditions) {
                saved.table.tool = Tool::Nft;
                let key = (saved.table, saved.name);
                if let Some(number) = numbers.remove(&key) {
                    of_iptables.insert(key.0);
                    if chains[number].is_opaque {
                        chains[number].rules = saved.rules;
                    }
                }
            }
        }
        for chain in &mut chains {
            if of_iptables.contains(&chain.table) {
                chain.table.tool = Tool::Iptables;
            }
        }
        for (text, family) in printed.legacy.into_iter().zip(FAMILIES) {
            let tool = Tool::IptablesLegacy;
            chains.extend(saved::chains(text, tool, family, &mut conditions));
        }
        chains.sort_by_key(|chain| chain.base.map_or(i64::MAX, |base| base.priority));
        resolve(&mut chains);
        Some(Self {
            chains,
            origins: conditions.origins,
        })
    }

    /// The chains that drop redirected packets, and the commands that open them, as one message. Where there is no such
    /// chain, those that cannot be evaluated.
    pub(crate) fn complaint(
        &self,
        redirects: &[Redirect],
        families: &[Family],
    ) -> Option<Complaint> {
        let pairs = families.iter().flat_map(|family| {
            redirects
                .iter()
                .map(|redirect| (*family, redirect.to, self.path(*family, redirect)))
        });
        let paths: Vec<_> = pairs.collect();
        // A closed path is a fault where no other one is open.
        let is_closed = paths
            .iter()
            .all(|(_, _, path)| matches!(path, Path::Closed(_)));
        let (mut obstacles, mut doubts) = (Obstacles::default(), Obstacles::default());
        for (family, port, path) in paths {
            match path {
                Path::Obstructed(chains) => obstacles.add(&chains, false, family, port),
                Path::Closed(chains) if is_closed => obstacles.add(&chains, false, family, port),
                Path::Unknown(chains) => doubts.add(&chains, false, family, port),
                Path::Open | Path::Closed(_) => {}
            }
            obstacles.add(&self.own_path(family, port), true, family, port);
        }
        let obstacle = self.obstacle(&obstacles.sorted(), families);
        obstacle.or_else(|| self.doubt(&doubts.sorted()))
    }

    /// The warning about chains that cannot be evaluated.
    fn doubt(&self, doubts: &[Obstacle]) -> Option<Complaint> {
        let mut ports: Vec<u16> = doubts
            .iter()
            .flat_map(|doubt| doubt.ports.clone())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        let chains: Vec<String> = doubts.iter().map(|doubt| self.name(doubt.chain)).collect();
        let (last, first) = chains.split_last()?;
        let (chains, they) = if first.is_empty() {
            (last.clone(), "it accepts")
        } else {
            (format!("{} and {last}", first.join(", ")), "they accept")
        };
        Some(Complaint::Doubt(format!(
            "cannot evaluate all rules of {chains}; check that {they} what is redirected to {}",
            in_words(&ports)
        )))
    }

    /// The message about chains that drop redirected packets.
    fn obstacle(&self, obstacles: &[Obstacle], families: &[Family]) -> Option<Complaint> {
        let (mut what, mut lines) = (Vec::new(), Vec::new());
        for obstacle in obstacles {
            what.push(self.describe(obstacle, families.len()));
            let line = format!("\"{}\"", self.opening(obstacle));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let is_own = obstacles.iter().all(|obstacle| obstacle.is_own);
        // ufw saves its rules itself.
        let keep = if lines.iter().all(|line| line.starts_with("\"ufw")) {
            ""
        } else {
            ", and add it to the firewall's configuration for the next boot"
        };
        (!what.is_empty()).then(|| {
            let what = format!("{}; run {}{keep}", what.join(", and "), lines.join(" and "));
            if is_own {
                Complaint::OfOwn(format!(
                    "a firewall keeps maintd from a check of the responder: {what}"
                ))
            } else {
                Complaint::Obstacle(format!("a firewall keeps visitors from the page: {what}"))
            }
        })
    }

    /// A chain as messages have it.
    fn name(&self, chain: usize) -> String {
        let Chain { table, name, .. } = &self.chains[chain];
        format!(
            "chain \"{name}\" of table \"{} {}\"",
            table.family, table.name
        )
    }

    /// What a chain does to redirected packets. The family is named where only one of `families` is concerned.
    fn describe(&self, obstacle: &Obstacle, families: usize) -> String {
        let chain = &self.chains[obstacle.chain];
        let ports = in_words(&obstacle.ports);
        let what = match chain.base {
            Some(_) | None if obstacle.is_own => {
                format!("drops maintd's own requests to {ports} over the loopback interface")
            }
            Some(Base {
                hook: Hook::Output,
                priority,
                ..
            }) if priority < CONNTRACK => format!("exempts answers from {ports} from conntrack"),
            Some(Base {
                hook: Hook::Output, ..
            }) => format!("drops answers from {ports}"),
            Some(_) | None => format!("drops what is redirected to {ports}"),
        };
        let over = match obstacle.families.as_slice() {
            [_] if chain.table.family != "inet" || families == 1 => "",
            [Family::Inet] => " over IPv4",
            [Family::Inet6] => " over IPv6",
            _ => "",
        };
        format!("{} {what}{over}", self.name(obstacle.chain))
    }

    /// The command that opens a chain for redirected packets. Our own table still drops packets that were sent to the
    /// responder's ports directly.
    fn opening(&self, obstacle: &Obstacle) -> String {
        let chain = &self.chains[obstacle.chain];
        let Table { tool, family, name } = &chain.table;
        let list = |separator: &str| {
            let ports: Vec<String> = obstacle.ports.iter().map(u16::to_string).collect();
            ports.join(separator)
        };
        let base = chain.base;
        let is_output = base.is_some_and(|base| base.hook == Hook::Output);
        let is_untracked = base.is_some_and(|base| is_output && base.priority < CONNTRACK);
        let is_input = base.is_some_and(|base| base.hook == Hook::Input);
        let of_table = |other: &&Chain| other.table == chain.table;
        let mut others = self.chains.iter().filter(of_table);
        if is_input && others.any(|other| other.name.starts_with("ufw")) {
            return format!("ufw allow {}/tcp", list(","));
        }
        if is_input && name == "firewalld" {
            return format!("firewall-cmd --add-port={}/tcp", list("/tcp --add-port="));
        }
        if *tool == Tool::Nft && obstacle.is_own {
            let interface = if is_output { "oif" } else { "iif" };
            return format!(
                "nft insert rule {family} {name} {} {interface} lo accept",
                chain.name
            );
        }
        if *tool == Tool::Nft {
            let port = if is_output { "sport" } else { "dport" };
            let status = if is_untracked { "" } else { "ct status dnat " };
            return format!(
                "nft insert rule {family} {name} {} {status}tcp {port} {{ {} }} accept",
                chain.name,
                list(", ")
            );
        }
        let program = match (*tool == Tool::IptablesLegacy, family == "ip6") {
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
        if obstacle.is_own {
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

    /// Compares a visitor's packets to the page with those to the live site.
    fn path(&self, family: Family, redirect: &Redirect) -> Path {
        let mut walk = Walk::new(self);
        let mut path = None;
        loop {
            let blocked = walk.page(family, redirect);
            let is_open = blocked.is_empty();
            let is_live_reached = !is_open && walk.is_live_reached(family, redirect);
            if walk.left == 0 {
                break;
            }
            if is_open {
                path = Some(Path::Open);
            } else if is_live_reached {
                return Path::Obstructed(blocked);
            } else {
                path.get_or_insert(Path::Closed(blocked));
            }
            if !walk.guesses.next() {
                break;
            }
        }
        match path {
            Some(path) if walk.left > 0 && walk.guesses.are_complete => path,
            Some(_) | None => Path::Unknown(walk.guessed),
        }
    }

    /// The base chains that drop maintd's own requests to a port of the responder whatever is guessed, or the answers.
    fn own_path(&self, family: Family, port: u16) -> Vec<usize> {
        let mut walk = Walk::new(self);
        let mut first = None;
        loop {
            let blocked = walk.own(family, port);
            if blocked.is_empty() || walk.left == 0 {
                return Vec::new();
            }
            first.get_or_insert(blocked);
            if !walk.guesses.next() {
                break;
            }
        }
        let first = first.filter(|_| walk.guesses.are_complete);
        first.unwrap_or_default()
    }
}

/// `port 8080`, `ports 8080 and 8443`.
fn in_words(ports: &[u16]) -> String {
    let texts: Vec<String> = ports.iter().map(u16::to_string).collect();
    let plural = if texts.len() == 1 { "" } else { "s" };
    format!("port{plural} {}", texts.join(" and "))
}

/// Base chains with what is wrong with them.
#[derive(Debug, Default)]
struct Obstacles(Vec<Obstacle>);

impl Obstacles {
    fn add(&mut self, chains: &[usize], is_own: bool, family: Family, port: u16) {
        for chain in chains {
            let is_known = |other: &Obstacle| (other.chain, other.is_own) == (*chain, is_own);
            let known = self.0.iter().position(is_known);
            let number = known.unwrap_or_else(|| {
                self.0.push(Obstacle {
                    chain: *chain,
                    is_own,
                    ports: Vec::new(),
                    families: Vec::new(),
                });
                self.0.len() - 1
            });
            self.0[number].ports.push(port);
            self.0[number].families.push(family);
        }
    }

    fn sorted(mut self) -> Vec<Obstacle> {
        self.0
            .sort_by_key(|obstacle| (obstacle.chain, obstacle.is_own));
        for obstacle in &mut self.0 {
            obstacle.ports.sort_unstable();
            obstacle.ports.dedup();
            obstacle.families.dedup();
        }
        self.0
    }
}

/// Where each chain is.
fn numbers(chains: &[Chain]) -> HashMap<(Table, String), usize> {
    let key = |(number, chain): (usize, &Chain)| {
        let key = (chain.table.clone(), chain.name.clone());
        (key, number)
    };
    chains.iter().enumerate().map(key).collect()
}

/// Finds the chains that rules jump to.
fn resolve(chains: &mut [Chain]) {
    let numbers = numbers(chains);
    for chain in chains {
        for rule in &mut chain.rules {
            if let Action::Jump(name) | Action::Goto(name) = &rule.action {
                let key = (chain.table.clone(), name.clone());
                rule.target = numbers.get(&key).copied();
            }
        }
    }
}

/// Guesses whether conditions hold that cannot be evaluated: none first, then each alone, each two, and so on.
#[derive(Debug)]
struct Guesses<'a> {
    origins: &'a [Option<Origin>],
    values: Vec<Option<bool>>,
    /// What was guessed in this combination, in the order in which it was needed.
    made: Vec<usize>,
    /// The keys of those guesses that are true.
    chosen: Vec<usize>,
    /// Where in that order the true ones are; all others are false.
    script: Vec<usize>,
    /// The combinations to come, and how many there have been in all.
    waiting: VecDeque<Vec<usize>>,
    count: usize,
    /// No combination was left out.
    are_complete: bool,
}

impl<'a> Guesses<'a> {
    fn new(origins: &'a [Option<Origin>]) -> Self {
        Self {
            origins,
            values: vec![None; origins.len() * 2],
            made: Vec::new(),
            chosen: Vec::new(),
            script: Vec::new(),
            waiting: VecDeque::new(),
            count: 1,
            are_complete: true,
        }
    }

    fn guess(&mut self, key: usize, is_live: bool) -> bool {
        let number = key * 2 + usize::from(is_live);
        if let Some(value) = self.values[number] {
            return value;
        }
        let origin = |key: usize| self.origins[key].as_ref();
        let excludes = |other: &usize| matches!((origin(*other), origin(key)), (Some(one), Some(two)) if one.excludes(two));
        if self.chosen.iter().any(excludes) {
            return false;
        }
        let value = self.script.get(self.chosen.len()) == Some(&self.made.len());
        self.values[number] = Some(value);
        self.made.push(number);
        if value {
            self.chosen.push(key);
        }
        value
    }

    /// Starts the next combination. False where there is none left.
    fn next(&mut self) -> bool {
        let first = self.script.last().map_or(0, |last| last + 1);
        for place in first..self.made.len() {
            if self.count == MAX_GUESSES {
                self.are_complete = false;
                break;
            }
            self.count += 1;
            self.waiting
                .push_back([self.script.as_slice(), &[place]].concat());
        }
        for number in self.made.drain(..) {
            self.values[number] = None;
        }
        self.chosen.clear();
        match self.waiting.pop_front() {
            Some(script) => {
                self.script = script;
                true
            }
            None => false,
        }
    }
}

/// Evaluates chains for one packet after the other.
#[derive(Debug)]
struct Walk<'a> {
    firewall: &'a Firewall,
    guesses: Guesses<'a>,
    /// How many rules may still be evaluated.
    left: u64,
    /// The base chains in which something was guessed.
    guessed: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(firewall: &'a Firewall) -> Self {
        Self {
            firewall,
            guesses: Guesses::new(&firewall.origins),
            left: MAX_RULES,
            guessed: Vec::new(),
        }
    }

    /// The base chains that drop a visitor's packets to the page, or the answers.
    fn page(&mut self, family: Family, redirect: &Redirect) -> Vec<usize> {
        let request = Packet {
            family,
            flow: Flow::Page,
            is_reply: false,
            port: redirect.to,
            original: redirect.from,
            state: State::New,
            is_translated: true,
        };
        let answer = Packet {
            is_reply: true,
            state: State::Established,
            ..request
        };
        let mut blocked = Vec::new();
        for (number, chain) in self.firewall.chains.iter().enumerate() {
            let Some(base) = chain.base_for(family).filter(|base| !base.is_nat) else {
                continue;
            };
            let mut packet = match base.hook {
                Hook::Prerouting if base.priority <= REDIRECT => continue,
                Hook::Prerouting | Hook::Input => request,
                Hook::Output => answer,
            };
            let is_dropped = self.base(number, base, &mut packet);
            // Without conntrack an answer keeps the responder's port, and the client resets it.
            let is_lost = packet.state == State::Untracked && base.priority < CONNTRACK;
            if is_dropped || is_lost {
                blocked.push(number);
            }
        }
        blocked
    }

    /// Whether no chain drops a visitor's packets to the live site, or the answers.
    fn is_live_reached(&mut self, family: Family, redirect: &Redirect) -> bool {
        let mut packet = Packet {
            family,
            flow: Flow::Live,
            is_reply: false,
            port: redirect.from,
            original: redirect.from,
            state: State::New,
            is_translated: false,
        };
        for hook in [Hook::Prerouting, Hook::Input, Hook::Output] {
            if hook == Hook::Output {
                packet.is_reply = true;
                if packet.state == State::New {
                    packet.state = State::Established;
                }
            }
            for (number, chain) in self.firewall.chains.iter().enumerate() {
                let Some(base) = chain.base_for(family).filter(|base| base.hook == hook) else {
                    continue;
                };
                if base.is_nat && hook != Hook::Prerouting {
                    continue;
                }
                if self.base(number, base, &mut packet) {
                    return false;
                }
                // The live site is a container or another port. Its path is not examined, and assumed to be open.
                if packet.is_translated {
                    return true;
                }
            }
        }
        true
    }

    /// The base chains that drop maintd's own requests to the responder, or the answers: each is sent and received here.
    fn own(&mut self, family: Family, port: u16) -> Vec<usize> {
        let request = Packet {
            family,
            flow: Flow::Own,
            is_reply: false,
            port,
            original: port,
            state: State::New,
            is_translated: false,
        };
        let answer = Packet {
            is_reply: true,
            state: State::Established,
            ..request
        };
        let mut blocked = Vec::new();
        for mut packet in [request, answer] {
            for hook in [Hook::Output, Hook::Prerouting, Hook::Input] {
                for (number, chain) in self.firewall.chains.iter().enumerate() {
                    let base = chain.base_for(family);
                    let Some(base) = base.filter(|base| base.hook == hook && !base.is_nat) else {
                        continue;
                    };
                    if self.base(number, base, &mut packet) && !blocked.contains(&number) {
                        blocked.push(number);
                    }
                }
            }
        }
        blocked
    }

    /// Whether a base chain drops this packet.
    fn base(&mut self, number: usize, base: Base, packet: &mut Packet) -> bool {
        let made = self.guesses.made.len();
        let verdict = self.chain(number, packet, 0);
        if self.guesses.made.len() > made && !self.guessed.contains(&number) {
            self.guessed.push(number);
        }
        match verdict {
            Some(is_accepted) => !is_accepted,
            None => base.policy_drops,
        }
    }

    /// The verdict of a chain: true for accept. None where it returns to its caller.
    fn chain(&mut self, number: usize, packet: &mut Packet, depth: usize) -> Option<bool> {
        let firewall = self.firewall;
        let chain = &firewall.chains[number];
        for rule in &chain.rules {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return Some(true);
            }
            if !rule.tests.iter().all(|test| self.holds(test, packet)) {
                continue;
            }
            match &rule.action {
                Action::Accept => return Some(true),
                Action::Drop => return Some(false),
                Action::Return => return None,
                Action::Translate => {
                    packet.is_translated = true;
                    return Some(true);
                }
                Action::Untrack => packet.state = State::Untracked,
                Action::Jump(_) | Action::Goto(_) => {
                    let target = rule.target.filter(|_| depth < MAX_DEPTH);
                    let verdict = target.and_then(|target| self.chain(target, packet, depth + 1));
                    if verdict.is_some() || matches!(rule.action, Action::Goto(_)) {
                        return verdict;
                    }
                }
            }
        }
        None
    }

    fn holds(&mut self, test: &Test, packet: &Packet) -> bool {
        self.is_met(&test.condition, packet) != test.is_negated
    }

    fn is_met(&mut self, condition: &Condition, packet: &Packet) -> bool {
        let among = |ports: &Ports, port: u16| ports.iter().any(|(a, b)| (*a..=*b).contains(&port));
        match condition {
            Condition::Known(holds) => *holds,
            Condition::Family(family) => packet.family == *family,
            Condition::DestinationPort(ports) if packet.is_reply => has_ephemeral(ports),
            Condition::SourcePort(ports) if !packet.is_reply => has_ephemeral(ports),
            Condition::DestinationPort(ports) | Condition::SourcePort(ports) => {
                among(ports, packet.port)
            }
            Condition::OriginalPort(ports) => among(ports, packet.original),
            Condition::State(states) => {
                states.contains(&packet.state)
                    || packet.is_translated && states.contains(&State::Dnat)
            }
            Condition::Flags { mask, value } => {
                let flags = if packet.is_reply { SYN | ACK } else { SYN };
                value.map_or(flags & mask != 0, |value| flags & mask == value)
            }
            Condition::Reply => packet.is_reply,
            Condition::Interface { is_loopback, .. } if packet.flow == Flow::Own => *is_loopback,
            Condition::Interface { of_visitors, .. } => self.is_met(of_visitors, packet),
            Condition::Unknown { key, is_shared } => self
                .guesses
                .guess(*key, packet.flow == Flow::Live && !is_shared),
        }
    }
}

/// Whether any client's port is one of these.
fn has_ephemeral(ports: &Ports) -> bool {
    ports
        .iter()
        .any(|(first, last)| *first <= EPHEMERAL.0 && *last >= EPHEMERAL.1)
}

/// Reads a text as everything that is read of other firewalls.
pub(crate) fn read_everything(text: &str) {
    let own = [IpAddr::from([192, 0, 2, 1])];
    let printed = [
        Printed {
            ruleset: text,
            ..Printed::default()
        },
        Printed {
            ruleset: r#"{"nftables": []}"#,
            legacy: [text, text],
            ..Printed::default()
        },
    ];
    for printed in &printed {
        if let Some(firewall) = Firewall::read(printed, "maintd", &own) {
            let redirects = [Redirect { from: 80, to: 8080 }];
            firewall.complaint(&redirects, &[Family::Inet, Family::Inet6]);
        }
    }
}

#[cfg(test)]
mod tests;
