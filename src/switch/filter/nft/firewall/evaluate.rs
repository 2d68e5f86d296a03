//! Evaluates the chains for redirected packets: does a packet to the page pass wherever one to the live site does?
//!
//! An unknown condition is assumed to be true or false, and a packet to the page is compared with a packet to the live site
//! under the same assumptions. `ip saddr @blocklist drop` drops both, and does not block the page; a rule that accepts ports
//! 80 and 443 alone does, whatever else it requires. The first assumption is that no unknown condition is true, as for most
//! visitors; then each alone is, then each pair, and so on. If there are too many combinations, the result is undecided.

use std::collections::VecDeque;

use crate::config::network::Family;
use crate::config::switch::Redirect;
use crate::switch::filter::nft::firewall::chain::{BaseChain, Hook, RuleAction};
use crate::switch::filter::nft::firewall::condition::{
    Condition, ConntrackState, Match, PortRanges, SourceLimit,
};
use crate::switch::filter::nft::firewall::ruleset::Ruleset;

/// Priorities of hooks (`linux/netfilter_ipv4.h`): conntrack assigns the connection, and our own chain redirects.
pub(super) const CONNTRACK_PRIORITY: i64 = -200;
const REDIRECT_PRIORITY: i64 = -110;

/// How many rules are evaluated in all, and how deep chains call each other: the kernel allows 16.
const MAX_RULES: u64 = 4_000_000;
const MAX_DEPTH: usize = 32;
/// How many combinations of assumptions are tried.
const MAX_COMBINATIONS: usize = 20_000;

/// TCP flags (RFC 9293 3.1).
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Source ports of clients on any system.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// The result for redirected packets of one family and port, with indices of base chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reachability {
    /// Visitors with access to the live site have access to the page.
    Open,
    /// Some visitors have access to the live site only; these chains drop their packets to the page.
    Obstructed(Vec<usize>),
    /// No visitor has access to either: the site does not serve this family or this port. These chains drop the packets.
    Closed(Vec<usize>),
    /// Too many rules or combinations, with unknown conditions in these chains.
    Undecided(Vec<usize>),
}

/// Compares a visitor's packets to the page with those to the live site.
pub(super) fn page_reachability(
    ruleset: &Ruleset,
    family: Family,
    redirect: &Redirect,
) -> Reachability {
    let mut evaluator = Evaluator::new(ruleset);
    let mut result = None;
    loop {
        let blocking = evaluator.blocking_page(family, redirect);
        let is_open = blocking.is_empty();
        let is_live_reached = !is_open && evaluator.is_live_reached(family, redirect);
        if evaluator.rules_left == 0 {
            break;
        }
        if is_open {
            result = Some(Reachability::Open);
        } else if is_live_reached {
            return Reachability::Obstructed(blocking);
        } else {
            result.get_or_insert(Reachability::Closed(blocking));
        }
        if !evaluator.assumptions.next() {
            break;
        }
    }
    match result {
        Some(result) if evaluator.rules_left > 0 && evaluator.assumptions.are_complete => result,
        Some(_) | None => Reachability::Undecided(evaluator.undecided),
    }
}

/// The base chains that drop maintd's own requests to a port of the responder, or the answers, under every assumption.
pub(super) fn chains_blocking_own_requests(
    ruleset: &Ruleset,
    family: Family,
    port: u16,
) -> Vec<usize> {
    let mut evaluator = Evaluator::new(ruleset);
    let mut first = None;
    loop {
        let blocking = evaluator.blocking_own_requests(family, port);
        if blocking.is_empty() || evaluator.rules_left == 0 {
            return Vec::new();
        }
        first.get_or_insert(blocking);
        if !evaluator.assumptions.next() {
            break;
        }
    }
    let first = first.filter(|_| evaluator.assumptions.are_complete);
    first.unwrap_or_default()
}

/// The connection that a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PacketFlow {
    /// A visitor's connection to the live site.
    Live,
    /// A visitor's connection to the page.
    Page,
    /// maintd's own connection to the responder over the loopback interface.
    Own,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    family: Family,
    flow: PacketFlow,
    /// From the server.
    is_reply: bool,
    /// The server's port. The client's may be any.
    port: u16,
    /// The port that the client connected to.
    original_port: u16,
    state: ConntrackState,
    /// Its destination was changed.
    is_translated: bool,
}

impl Packet {
    /// The first packet of a connection.
    const fn request(family: Family, flow: PacketFlow, port: u16, original_port: u16) -> Self {
        Self {
            family,
            flow,
            is_reply: false,
            port,
            original_port,
            state: ConntrackState::New,
            is_translated: matches!(flow, PacketFlow::Page),
        }
    }

    const fn answer(self) -> Self {
        Self {
            is_reply: true,
            state: ConntrackState::Established,
            ..self
        }
    }
}

/// Values of the unknown conditions: none is true first, then each alone, each pair, and so on.
#[derive(Debug)]
struct Assumptions<'a> {
    source_limits: &'a [Option<SourceLimit>],
    values: Vec<Option<bool>>,
    /// The conditions that this combination had to assume, in order.
    made: Vec<usize>,
    /// The keys of the conditions that are assumed to be true.
    true_keys: Vec<usize>,
    /// The positions in `made` that are assumed to be true; all others are false.
    true_positions: Vec<usize>,
    /// The combinations to try next.
    queue: VecDeque<Vec<usize>>,
    /// All combinations so far.
    count: usize,
    /// No combination was left out.
    are_complete: bool,
}

impl<'a> Assumptions<'a> {
    fn new(source_limits: &'a [Option<SourceLimit>]) -> Self {
        Self {
            source_limits,
            values: vec![None; source_limits.len() * 2],
            made: Vec::new(),
            true_keys: Vec::new(),
            true_positions: Vec::new(),
            queue: VecDeque::new(),
            count: 1,
            are_complete: true,
        }
    }

    fn value(&mut self, key: usize, is_live: bool) -> bool {
        let index = key * 2 + usize::from(is_live);
        if let Some(value) = self.values[index] {
            return value;
        }
        let limit = |key: usize| self.source_limits[key].as_ref();
        let excludes = |other: &usize| matches!((limit(*other), limit(key)), (Some(one), Some(two)) if one.excludes(two));
        if self.true_keys.iter().any(excludes) {
            return false;
        }
        let value = self.true_positions.get(self.true_keys.len()) == Some(&self.made.len());
        self.values[index] = Some(value);
        self.made.push(index);
        if value {
            self.true_keys.push(key);
        }
        value
    }

    /// Starts the next combination. False if none is left.
    fn next(&mut self) -> bool {
        let first = self.true_positions.last().map_or(0, |last| last + 1);
        for position in first..self.made.len() {
            if self.count == MAX_COMBINATIONS {
                self.are_complete = false;
                break;
            }
            self.count += 1;
            self.queue
                .push_back([self.true_positions.as_slice(), &[position]].concat());
        }
        for index in self.made.drain(..) {
            self.values[index] = None;
        }
        self.true_keys.clear();
        match self.queue.pop_front() {
            Some(positions) => {
                self.true_positions = positions;
                true
            }
            None => false,
        }
    }
}

/// Passes packets through the chains under the current assumptions.
#[derive(Debug)]
struct Evaluator<'a> {
    ruleset: &'a Ruleset,
    assumptions: Assumptions<'a>,
    /// How many rules may still be evaluated.
    rules_left: u64,
    /// The base chains that needed an assumption.
    undecided: Vec<usize>,
}

impl<'a> Evaluator<'a> {
    fn new(ruleset: &'a Ruleset) -> Self {
        Self {
            ruleset,
            assumptions: Assumptions::new(&ruleset.source_limits),
            rules_left: MAX_RULES,
            undecided: Vec::new(),
        }
    }

    /// The base chains that drop a visitor's packets to the page, or the answers.
    fn blocking_page(&mut self, family: Family, redirect: &Redirect) -> Vec<usize> {
        let request = Packet::request(family, PacketFlow::Page, redirect.to, redirect.from);
        let mut blocking = Vec::new();
        for (index, chain) in self.ruleset.chains.iter().enumerate() {
            let Some(base) = chain.base_for(family).filter(|base| !base.is_nat) else {
                continue;
            };
            let mut packet = match base.hook {
                Hook::Prerouting if base.priority <= REDIRECT_PRIORITY => continue,
                Hook::Prerouting | Hook::Input => request,
                Hook::Output => request.answer(),
            };
            let is_dropped = self.is_dropped(index, base, &mut packet);
            // Without conntrack an answer keeps the responder's port, and the client resets the connection.
            let is_untranslated =
                packet.state == ConntrackState::Untracked && base.priority < CONNTRACK_PRIORITY;
            if is_dropped || is_untranslated {
                blocking.push(index);
            }
        }
        blocking
    }

    /// No chain drops a visitor's packets to the live site, or the answers.
    fn is_live_reached(&mut self, family: Family, redirect: &Redirect) -> bool {
        let mut packet = Packet::request(family, PacketFlow::Live, redirect.from, redirect.from);
        for hook in [Hook::Prerouting, Hook::Input, Hook::Output] {
            if hook == Hook::Output {
                packet.is_reply = true;
                if packet.state == ConntrackState::New {
                    packet.state = ConntrackState::Established;
                }
            }
            for (index, chain) in self.ruleset.chains.iter().enumerate() {
                let Some(base) = chain.base_for(family).filter(|base| base.hook == hook) else {
                    continue;
                };
                if base.is_nat && hook != Hook::Prerouting {
                    continue;
                }
                if self.is_dropped(index, base, &mut packet) {
                    return false;
                }
                // The live site is a container or has another port. Its path is not evaluated, and assumed to be open.
                if packet.is_translated {
                    return true;
                }
            }
        }
        true
    }

    /// The base chains that drop maintd's own requests to the responder, or the answers: this host sends and receives both.
    fn blocking_own_requests(&mut self, family: Family, port: u16) -> Vec<usize> {
        let request = Packet::request(family, PacketFlow::Own, port, port);
        let mut blocking = Vec::new();
        for mut packet in [request, request.answer()] {
            for hook in [Hook::Output, Hook::Prerouting, Hook::Input] {
                for (index, chain) in self.ruleset.chains.iter().enumerate() {
                    let base = chain.base_for(family);
                    let Some(base) = base.filter(|base| base.hook == hook && !base.is_nat) else {
                        continue;
                    };
                    if self.is_dropped(index, base, &mut packet) && !blocking.contains(&index) {
                        blocking.push(index);
                    }
                }
            }
        }
        blocking
    }

    /// A base chain drops this packet.
    fn is_dropped(&mut self, index: usize, base: BaseChain, packet: &mut Packet) -> bool {
        let made = self.assumptions.made.len();
        let is_accepted = self.evaluate_chain(index, packet, 0);
        if self.assumptions.made.len() > made && !self.undecided.contains(&index) {
            self.undecided.push(index);
        }
        is_accepted.map_or(base.policy_drops, |is_accepted| !is_accepted)
    }

    /// A chain's verdict: true for accept. None if it returns to its caller.
    fn evaluate_chain(&mut self, index: usize, packet: &mut Packet, depth: usize) -> Option<bool> {
        let ruleset = self.ruleset;
        for rule in &ruleset.chains[index].rules {
            self.rules_left = self.rules_left.saturating_sub(1);
            if self.rules_left == 0 {
                return Some(true);
            }
            if !rule.matches.iter().all(|one| self.matches(one, packet)) {
                continue;
            }
            match &rule.action {
                RuleAction::Accept => return Some(true),
                RuleAction::Drop => return Some(false),
                RuleAction::Return => return None,
                RuleAction::Translate => {
                    packet.is_translated = true;
                    return Some(true);
                }
                RuleAction::NoTrack => packet.state = ConntrackState::Untracked,
                RuleAction::Jump(_) | RuleAction::Goto(_) => {
                    let target = rule.target.filter(|_| depth < MAX_DEPTH);
                    let verdict =
                        target.and_then(|target| self.evaluate_chain(target, packet, depth + 1));
                    if verdict.is_some() || matches!(rule.action, RuleAction::Goto(_)) {
                        return verdict;
                    }
                }
            }
        }
        None
    }

    fn matches(&mut self, one: &Match, packet: &Packet) -> bool {
        self.holds(&one.condition, packet) != one.is_negated
    }

    fn holds(&mut self, condition: &Condition, packet: &Packet) -> bool {
        let contains = |ranges: &PortRanges, port: u16| {
            ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&port))
        };
        match condition {
            Condition::Known(value) => *value,
            Condition::Family(family) => packet.family == *family,
            Condition::DestinationPort(ranges) if packet.is_reply => has_ephemeral(ranges),
            Condition::SourcePort(ranges) if !packet.is_reply => has_ephemeral(ranges),
            Condition::DestinationPort(ranges) | Condition::SourcePort(ranges) => {
                contains(ranges, packet.port)
            }
            Condition::OriginalPort(ranges) => contains(ranges, packet.original_port),
            Condition::State(states) => {
                states.contains(&packet.state)
                    || packet.is_translated && states.contains(&ConntrackState::Dnat)
            }
            Condition::TcpFlags { mask, value } => {
                let flags = if packet.is_reply { SYN | ACK } else { SYN };
                value.map_or(flags & mask != 0, |value| flags & mask == value)
            }
            Condition::Reply => packet.is_reply,
            Condition::Interface { is_loopback, .. } if packet.flow == PacketFlow::Own => {
                *is_loopback
            }
            Condition::Interface { of_clients, .. } => self.holds(of_clients, packet),
            Condition::Unknown { key, is_shared } => self
                .assumptions
                .value(*key, packet.flow == PacketFlow::Live && !is_shared),
        }
    }
}

/// One range contains all source ports of clients.
fn has_ephemeral(ranges: &PortRanges) -> bool {
    ranges
        .iter()
        .any(|(first, last)| *first <= EPHEMERAL.0 && *last >= EPHEMERAL.1)
}
