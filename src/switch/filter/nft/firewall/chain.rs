//! Tables, chains and rules of nftables and iptables.

use crate::config::network::Family;
use crate::switch::filter::nft::firewall::condition::{Condition, Match};

/// The program that changes a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FirewallTool {
    Nft,
    Iptables,
    IptablesLegacy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TableId {
    pub(super) tool: FirewallTool,
    /// As nft(8) writes it.
    pub(super) family: String,
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Prerouting,
    Input,
    Output,
}

impl Hook {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "prerouting" => Some(Self::Prerouting),
            "input" => Some(Self::Input),
            "output" => Some(Self::Output),
            _ => None,
        }
    }
}

/// The properties of a base chain, which the kernel calls at a hook.
#[derive(Clone, Copy, Debug)]
pub(super) struct BaseChain {
    pub(super) hook: Hook,
    pub(super) priority: i64,
    pub(super) is_nat: bool,
    /// The policy is drop, not accept.
    pub(super) policy_drops: bool,
}

#[derive(Clone, Debug)]
pub(super) struct FirewallChain {
    pub(super) table: TableId,
    pub(super) name: String,
    pub(super) base: Option<BaseChain>,
    pub(super) rules: Vec<FirewallRule>,
    /// Has extensions of iptables, of which nft(8) prints only the name.
    pub(super) is_opaque: bool,
}

impl FirewallChain {
    /// The base chain properties if packets of this family enter the chain at a hook.
    pub(super) fn base_for(&self, family: Family) -> Option<BaseChain> {
        let other = match family {
            Family::Inet => "ip6",
            Family::Inet6 => "ip",
        };
        self.base.filter(|_| self.table.family != other)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleAction {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// Exempts the packet from conntrack, and so from address translation.
    NoTrack,
    /// Changes the destination.
    Translate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FirewallRule {
    pub(super) matches: Vec<Match>,
    pub(super) action: RuleAction,
    /// The index of the chain that a jump goes to, set when all chains are read.
    pub(super) target: Option<usize>,
}

impl FirewallRule {
    /// Orders the matches so that unknown ones come last: few assumptions are needed then. None if the rule never matches.
    pub(super) fn new(mut matches: Vec<Match>, action: RuleAction) -> Option<Self> {
        matches.retain(|one| one.condition != Condition::Known(!one.is_negated));
        let is_never = |one: &Match| matches!(one.condition, Condition::Known(_));
        if matches.iter().any(is_never) {
            return None;
        }
        matches.sort_by_key(|one| {
            matches!(
                one.condition,
                Condition::Unknown { .. } | Condition::Interface { .. }
            )
        });
        Some(Self {
            matches,
            action,
            target: None,
        })
    }
}
