//! The rules of iptables(8), as `iptables-save` prints them. nft(8) prints only the names of their extensions, and of
//! iptables-legacy nothing.

use std::collections::HashMap;

use crate::config::network::Network;
use crate::switch::filter::nft::firewall::{
    Action, Base, Chain, Condition, Conditions, Hook, Ports, Rule, State, Table, Test, Tool, flags,
    rule, status,
};

/// Extensions of which two uses are never the same condition: each counts by itself.
const COUNTING: [&str; 6] = [
    "connlimit",
    "hashlimit",
    "limit",
    "quota",
    "recent",
    "statistic",
];
/// Extensions that may be about the port, of which the two packets differ.
const ABOUT_PORTS: [&str; 7] = ["bpf", "multiport", "set", "string", "tcp", "tos", "u32"];

/// Where a built-in chain is called (iptables(8), `linux/netfilter_ipv4.h`).
pub(crate) fn base(table: &str, chain: &str) -> Option<Base> {
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
    Some(Base {
        hook,
        priority,
        is_nat: table == "nat",
        policy_drops: false,
    })
}

/// The chains of all tables.
pub(crate) fn chains(
    text: &str,
    tool: Tool,
    family: &str,
    conditions: &mut Conditions<'_>,
) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = Table {
        tool,
        family: family.to_owned(),
        name: String::new(),
    };
    // The chains of this table.
    let mut numbers = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table.name);
            numbers.clear();
        } else if let Some(line) = line.strip_prefix(':') {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let base = base(&table.name, name).map(|base| Base {
                policy_drops: words.next() == Some("DROP"),
                ..base
            });
            numbers.insert(name.to_owned(), chains.len());
            chains.push(Chain {
                table: table.clone(),
                name: name.to_owned(),
                base,
                rules: Vec::new(),
                is_opaque: false,
            });
        } else if let Some(line) = line.strip_prefix("-A ") {
            let words = words(line);
            if let Some((name, words)) = words.split_first()
                && let Some(chain) = numbers.get(name)
            {
                let place = format!("{family} {tool:?} {number}");
                let rule = read(words, &place, family, conditions, &numbers);
                chains[*chain].rules.extend(rule);
            }
        }
    }
    chains
}

/// The words of a line, of which some are quoted.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(letters.next()),
            ' ' if !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// One rule; none where it decides nothing.
fn read(
    words: &[String],
    place: &str,
    family: &str,
    conditions: &mut Conditions<'_>,
    chains: &HashMap<String, usize>,
) -> Option<Rule> {
    let mut tests = Vec::new();
    let mut action = None;
    // An extension, and what is required of it that is not understood.
    let (mut extension, mut rest) = (String::new(), String::new());
    let mut words = words.iter().map(String::as_str).peekable();
    let mut is_negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            is_negated = true;
            continue;
        }
        if matches!(word, "-m" | "-j" | "-g") {
            tests.extend(not_understood(&extension, &mut rest, place, conditions));
            words.next().unwrap_or_default().clone_into(&mut extension);
            if word != "-m" {
                let options: Vec<&str> = words.by_ref().collect();
                action = verdict(word, &extension, &options, chains);
                rest.clear();
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
            Some(condition) => tests.push(Test {
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
                    rest.push(' ');
                    rest.push_str(word);
                }
            }
        }
        is_negated = false;
    }
    rule(tests, action?)
}

/// The requirement of an extension that cannot be evaluated.
fn not_understood(
    extension: &str,
    rest: &mut String,
    place: &str,
    conditions: &mut Conditions<'_>,
) -> Option<Test> {
    let rest = std::mem::take(rest);
    if rest.is_empty() {
        return None;
    }
    // The opposite of one condition is no other condition.
    let (is_negated, rest) = match rest.strip_prefix(" ! ") {
        Some(plain) if !plain.contains(" ! ") => (true, plain),
        Some(_) | None => (false, rest.trim_start()),
    };
    let mut text = format!("{extension} {rest}");
    if COUNTING.contains(&extension) {
        text.push_str(place);
    }
    let is_shared =
        !ABOUT_PORTS.contains(&extension) || extension == "set" && !rest.contains("dst");
    Some(Test {
        condition: conditions.unknown(text, is_shared),
        is_negated,
    })
}

/// What one option requires, where it can be evaluated.
fn condition(
    option: &str,
    value: &str,
    values: &[&str],
    family: &str,
    conditions: &mut Conditions<'_>,
) -> Option<Condition> {
    let names = || value.split(',');
    let networks = || -> Option<Vec<Network>> {
        // An address with a mask that is no prefix is not understood.
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
        "--ctstate" | "--state" => Condition::State(names().filter_map(State::of).collect()),
        "--ctstatus" => status(names()),
        "--ctdir" => match value {
            "REPLY" => Condition::Reply,
            _ => return None,
        },
        "--tcp-flags" => Condition::Flags {
            mask: flags(value.split(','))?,
            value: Some(flags(values.get(1)?.split(','))?),
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
fn ports(text: &str) -> Option<Ports> {
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

/// What a target does; none where the next rule decides.
fn verdict(
    option: &str,
    target: &str,
    options: &[&str],
    chains: &HashMap<String, usize>,
) -> Option<Action> {
    if chains.contains_key(target) {
        return Some(if option == "-g" {
            Action::Goto(target.to_owned())
        } else {
            Action::Jump(target.to_owned())
        });
    }
    crate::switch::filter::nft::firewall::saved::target(target, options.contains(&"--notrack"))
}

/// What a target of iptables does that is no chain. A program that packets are handed to is taken to accept them.
pub(crate) fn target(name: &str, is_notrack: bool) -> Option<Action> {
    match name {
        "ACCEPT" | "NFQUEUE" | "QUEUE" => Some(Action::Accept),
        "DROP" | "REJECT" | "TARPIT" => Some(Action::Drop),
        "RETURN" => Some(Action::Return),
        "DNAT" | "REDIRECT" | "TPROXY" | "NETMAP" => Some(Action::Translate),
        "NOTRACK" => Some(Action::Untrack),
        "CT" if is_notrack => Some(Action::Untrack),
        _ => None,
    }
}
