//! Reads the output of iptables-save(8). nft(8) prints only the names of iptables' extensions, and does not list the tables
//! of iptables-legacy.

use std::collections::HashMap;

use crate::config::network::Network;
use crate::switch::filter::nft::firewall::chain::{
    BaseChain, FirewallChain, FirewallRule, FirewallTool, Hook, RuleAction, TableId,
};
use crate::switch::filter::nft::firewall::condition::{
    Condition, ConditionBuilder, ConntrackState, Match, PortRanges, conntrack_status, tcp_flags,
};

/// Extensions with a counter of their own: two uses are never the same condition.
const COUNTING: [&str; 6] = [
    "connlimit",
    "hashlimit",
    "limit",
    "quota",
    "recent",
    "statistic",
];
/// Extensions that may depend on the port, which differs between the page and the live site.
const PORT_DEPENDENT: [&str; 7] = ["bpf", "multiport", "set", "string", "tcp", "tos", "u32"];

/// The hook and priority of a built-in chain (iptables(8), `linux/netfilter_ipv4.h`). In the kernel INPUT of `nat` has the
/// priority 100; `evaluate` ignores nat chains outside prerouting.
fn base(table: &str, chain: &str) -> Option<BaseChain> {
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "OUTPUT" => Hook::Output,
        _ => return None,
    };
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => -100,
        "filter" => 0,
        "security" => 50,
        _ => return None,
    };
    Some(BaseChain {
        hook,
        priority,
        is_nat: table == "nat",
        policy_drops: false,
    })
}

/// Reads the chains of all tables.
pub(super) fn chains(
    text: &str,
    tool: FirewallTool,
    family: &str,
    conditions: &mut ConditionBuilder<'_>,
) -> Vec<FirewallChain> {
    let mut chains: Vec<FirewallChain> = Vec::new();
    let mut table = TableId {
        tool,
        family: family.to_owned(),
        name: String::new(),
    };
    // The chains of the current table.
    let mut indices = HashMap::new();
    for (line_number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table.name);
            indices.clear();
        } else if let Some(line) = line.strip_prefix(':') {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let base = base(&table.name, name).map(|base| BaseChain {
                policy_drops: words.next() == Some("DROP"),
                ..base
            });
            indices.insert(name.to_owned(), chains.len());
            chains.push(FirewallChain {
                table: table.clone(),
                name: name.to_owned(),
                base,
                rules: Vec::new(),
                is_opaque: false,
            });
        } else if let Some(line) = line.strip_prefix("-A ") {
            let words = words(line);
            if let Some((name, words)) = words.split_first()
                && let Some(chain) = indices.get(name)
            {
                let position = format!("{family} {tool:?} {line_number}");
                let rule = rule(words, &position, family, conditions, &indices);
                chains[*chain].rules.extend(rule);
            }
        }
    }
    chains
}

/// Splits a line into words, of which some are quoted.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut chars = line.chars();
    while let Some(character) = chars.next() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' if !is_quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Parses a rule. None if it has no effect on the verdict.
fn rule(
    words: &[String],
    position: &str,
    family: &str,
    conditions: &mut ConditionBuilder<'_>,
    chains: &HashMap<String, usize>,
) -> Option<FirewallRule> {
    let mut matches = Vec::new();
    let mut action = None;
    // The current extension, and its options that are not supported.
    let (mut extension, mut options) = (String::new(), String::new());
    let mut words = words.iter().map(String::as_str).peekable();
    let mut is_negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            is_negated = true;
            continue;
        }
        if matches!(word, "-m" | "-j" | "-g") {
            matches.extend(unknown(&extension, &mut options, position, conditions));
            words.next().unwrap_or_default().clone_into(&mut extension);
            if word != "-m" {
                let rest: Vec<&str> = words.by_ref().collect();
                action = verdict(word, &extension, &rest, chains);
                break;
            }
            continue;
        }
        let mut values = Vec::new();
        while let Some(value) = words.next_if(|next| *next != "!" && !next.starts_with('-')) {
            values.push(value);
        }
        let value = values.first().copied().unwrap_or_default();
        if word == "--comment" {
            continue;
        }
        match condition(word, value, &values, family, conditions) {
            Some(condition) => matches.push(Match {
                condition,
                is_negated,
            }),
            None => {
                for word in is_negated
                    .then_some("!")
                    .into_iter()
                    .chain([word])
                    .chain(values)
                {
                    options.push(' ');
                    options.push_str(word);
                }
            }
        }
        is_negated = false;
    }
    FirewallRule::new(matches, action?)
}

/// The match of an extension with options that are not supported; takes the options.
fn unknown(
    extension: &str,
    options: &mut String,
    position: &str,
    conditions: &mut ConditionBuilder<'_>,
) -> Option<Match> {
    let options = std::mem::take(options);
    if options.is_empty() {
        return None;
    }
    // The negation of a condition has the same key.
    let (is_negated, options) = match options.strip_prefix(" ! ") {
        Some(plain) if !plain.contains(" ! ") => (true, plain),
        Some(_) | None => (false, options.trim_start()),
    };
    let mut text = format!("{extension} {options}");
    if COUNTING.contains(&extension) {
        text.push_str(position);
    }
    let is_shared =
        !PORT_DEPENDENT.contains(&extension) || extension == "set" && !options.contains("dst");
    Some(Match {
        condition: conditions.unknown(text, is_shared),
        is_negated,
    })
}

/// The condition of one option. None if it cannot be evaluated.
fn condition(
    option: &str,
    value: &str,
    values: &[&str],
    family: &str,
    conditions: &mut ConditionBuilder<'_>,
) -> Option<Condition> {
    let names = || value.split(',');
    let networks = || -> Option<Vec<Network>> {
        // A netmask that is not a prefix is not supported.
        let networks = names().map(str::parse).collect::<Result<Vec<Network>, _>>();
        networks.ok()
    };
    let key = format!("{option} {value}");
    Some(match option {
        "-p" => Condition::Known(matches!(value, "tcp" | "6" | "all" | "0")),
        "-s" => conditions.source(&networks()?, format!("source {value}")),
        "-d" => conditions.destination(&networks()?, key),
        "-i" | "-o" => conditions.interface(names()),
        "--dport" | "--dports" => Condition::DestinationPort(ports(value)?),
        "--sport" | "--sports" => Condition::SourcePort(ports(value)?),
        "--ctorigdstport" => Condition::OriginalPort(ports(value)?),
        "--ctstate" | "--state" => {
            Condition::State(names().filter_map(ConntrackState::parse).collect())
        }
        "--ctstatus" => conntrack_status(names()),
        "--ctdir" => match value {
            "REPLY" => Condition::Reply,
            _ => return None,
        },
        "--tcp-flags" => Condition::TcpFlags {
            mask: tcp_flags(value.split(','))?,
            value: Some(tcp_flags(values.get(1)?.split(','))?),
        },
        "--dst-type" => Condition::Known(names().any(|name| matches!(name, "LOCAL" | "UNSPEC"))),
        "--src-type" => Condition::Known(names().any(|name| matches!(name, "UNICAST" | "UNSPEC"))),
        "--pkt-type" => Condition::Known(value == "unicast"),
        "--icmp-type" | "--icmpv6-type" => Condition::Known(false),
        "-4" => Condition::Known(family == "ip"),
        "-6" => Condition::Known(family == "ip6"),
        _ => return None,
    })
}

/// `80`, `1024:65535`, `22,80,443`.
fn ports(text: &str) -> Option<PortRanges> {
    let port = |text: &str, default: u16| {
        if text.is_empty() {
            Some(default)
        } else {
            text.parse().ok()
        }
    };
    let range = |text: &str| match text.split_once(':') {
        Some((first, last)) => Some((port(first, 0)?, port(last, u16::MAX)?)),
        None => text.parse().ok().map(|port| (port, port)),
    };
    text.split(',').map(range).collect()
}

/// The action of `-j` or `-g`. None if evaluation continues with the next rule.
fn verdict(
    option: &str,
    target: &str,
    options: &[&str],
    chains: &HashMap<String, usize>,
) -> Option<RuleAction> {
    if chains.contains_key(target) {
        return Some(if option == "-g" {
            RuleAction::Goto(target.to_owned())
        } else {
            RuleAction::Jump(target.to_owned())
        });
    }
    target_action(target, options.contains(&"--notrack"))
}

/// The action of a target that is not a chain. A program that gets packets from a queue is assumed to accept them.
pub(super) fn target_action(name: &str, is_notrack: bool) -> Option<RuleAction> {
    match name {
        "ACCEPT" | "NFQUEUE" | "QUEUE" => Some(RuleAction::Accept),
        "DROP" | "REJECT" | "TARPIT" => Some(RuleAction::Drop),
        "RETURN" => Some(RuleAction::Return),
        "DNAT" | "REDIRECT" | "TPROXY" | "NETMAP" => Some(RuleAction::Translate),
        "NOTRACK" => Some(RuleAction::NoTrack),
        "CT" if is_notrack => Some(RuleAction::NoTrack),
        _ => None,
    }
}
