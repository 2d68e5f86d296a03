//! The chains of all other firewalls of this host, read from the listings of nft(8) and iptables-save(8).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::switch::filter::nft::firewall::chain::{
    FirewallChain, FirewallTool, RuleAction, TableId,
};
use crate::switch::filter::nft::firewall::condition::{ConditionBuilder, SourceLimit};
use crate::switch::filter::nft::firewall::{iptables_save, nft_json};

/// The families of iptables' tables, as nft(8) writes them.
const FAMILIES: [&str; 2] = ["ip", "ip6"];

/// The outputs of the programs that list rules. Empty if a program is not installed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listings<'a> {
    /// `nft -j list ruleset`.
    pub(crate) nft: &'a str,
    /// `iptables-nft-save` and `ip6tables-nft-save`: nft(8) prints only the names of iptables' extensions.
    pub(crate) iptables_nft: [&'a str; 2],
    /// `iptables-legacy-save` and `ip6tables-legacy-save`: nft(8) does not list these tables.
    pub(crate) iptables_legacy: [&'a str; 2],
}

#[derive(Debug)]
pub(crate) struct Ruleset {
    /// In the order of their priorities.
    pub(super) chains: Vec<FirewallChain>,
    /// By the key of an unknown condition.
    pub(super) source_limits: Vec<Option<SourceLimit>>,
}

impl Ruleset {
    /// Reads all chains except those of our own table. `own` are this host's addresses. None if nft's output is malformed.
    pub(crate) fn read(listings: &Listings<'_>, own_table: &str, own: &[IpAddr]) -> Option<Self> {
        let mut conditions = ConditionBuilder::new(own);
        let mut chains = nft_json::chains(listings.nft, &mut conditions)?;
        chains.retain(|chain| chain.table.family != "inet" || chain.table.name != own_table);
        let mut indices = indices(&chains);
        // Tables that are changed with iptables.
        let mut of_iptables: HashSet<TableId> = chains
            .iter()
            .filter(|chain| chain.is_opaque)
            .map(|chain| chain.table.clone())
            .collect();
        for (text, family) in listings.iptables_nft.into_iter().zip(FAMILIES) {
            let saved =
                iptables_save::chains(text, FirewallTool::Iptables, family, &mut conditions);
            for mut saved in saved {
                saved.table.tool = FirewallTool::Nft;
                let key = (saved.table, saved.name);
                if let Some(index) = indices.remove(&key) {
                    of_iptables.insert(key.0);
                    if chains[index].is_opaque {
                        chains[index].rules = saved.rules;
                    }
                }
            }
        }
        for chain in &mut chains {
            if of_iptables.contains(&chain.table) {
                chain.table.tool = FirewallTool::Iptables;
            }
        }
        for (text, family) in listings.iptables_legacy.into_iter().zip(FAMILIES) {
            let tool = FirewallTool::IptablesLegacy;
            chains.extend(iptables_save::chains(text, tool, family, &mut conditions));
        }
        chains.sort_by_key(|chain| chain.base.map_or(i64::MAX, |base| base.priority));
        resolve_jumps(&mut chains);
        Some(Self {
            chains,
            source_limits: conditions.into_source_limits(),
        })
    }
}

fn indices(chains: &[FirewallChain]) -> HashMap<(TableId, String), usize> {
    let key = |(index, chain): (usize, &FirewallChain)| {
        let key = (chain.table.clone(), chain.name.clone());
        (key, index)
    };
    chains.iter().enumerate().map(key).collect()
}

fn resolve_jumps(chains: &mut [FirewallChain]) {
    let indices = indices(chains);
    for chain in chains {
        for rule in &mut chain.rules {
            if let RuleAction::Jump(name) | RuleAction::Goto(name) = &rule.action {
                let key = (chain.table.clone(), name.clone());
                rule.target = indices.get(&key).copied();
            }
        }
    }
}
