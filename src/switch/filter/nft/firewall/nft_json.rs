//! Reads the output of `nft -j list ruleset` (libnftables-json(5)).

use std::collections::HashMap;

use serde_json::Value;

use crate::config::network::{Family, Network};
use crate::switch::filter::nft::firewall::chain::{
    BaseChain, FirewallChain, FirewallRule, FirewallTool, Hook, RuleAction, TableId,
};
use crate::switch::filter::nft::firewall::condition::{
    Condition, ConditionBuilder, ConntrackState, Match, PortRanges, conntrack_status, tcp_flags,
};
use crate::switch::filter::nft::firewall::iptables_save::target_action;
use crate::switch::filter::nft::output;

/// Statements without a verdict or a condition.
const NEUTRAL: [&str; 16] = [
    "comment",
    "counter",
    "ct expectation",
    "ct helper",
    "ct timeout",
    "dup",
    "flow",
    "last",
    "log",
    "mangle",
    "map",
    "masquerade",
    "secmark",
    "set",
    "snat",
    "synproxy",
];
/// Statements that match by a counter of their own.
const COUNTING: [&str; 4] = ["ct count", "limit", "meter", "quota"];

/// Elements of sets and maps, by family, table and name.
type NamedSets<'a> = HashMap<(&'a str, &'a str, &'a str), &'a Value>;

/// The named sets of one table.
struct TableSets<'a> {
    family: &'a str,
    name: &'a str,
    sets: &'a NamedSets<'a>,
}

impl TableSets<'_> {
    /// The elements of `@name`.
    fn elements<'a>(&'a self, name: &'a str) -> Option<&'a Value> {
        let name = name.strip_prefix('@')?;
        self.sets.get(&(self.family, self.name, name)).copied()
    }
}

/// Reads the chains of the families `inet`, `ip` and `ip6`. None if `json` is not nft's output.
pub(super) fn chains(
    json: &str,
    conditions: &mut ConditionBuilder<'_>,
) -> Option<Vec<FirewallChain>> {
    let json: Value = serde_json::from_str(json).ok()?;
    let items = json.get("nftables")?.as_array()?;
    let mut sets = NamedSets::new();
    for set in items
        .iter()
        .filter_map(|item| item.get("set").or_else(|| item.get("map")))
    {
        if let Some(id) = id(set, "name") {
            sets.insert(id, set.get("elem").unwrap_or(&Value::Null));
        }
    }
    let mut chains: Vec<FirewallChain> = Vec::new();
    let mut indices = HashMap::new();
    for chain in items.iter().filter_map(|item| item.get("chain")) {
        let Some(id @ (family @ ("inet" | "ip" | "ip6"), table, name)) = id(chain, "name") else {
            continue;
        };
        let base = |hook| BaseChain {
            hook,
            priority: chain.get("prio").and_then(Value::as_i64).unwrap_or(0),
            is_nat: str_of(chain, "type") == Some("nat"),
            policy_drops: str_of(chain, "policy") == Some("drop"),
        };
        indices.insert(id, chains.len());
        chains.push(FirewallChain {
            table: TableId {
                tool: FirewallTool::Nft,
                family: family.to_owned(),
                name: table.to_owned(),
            },
            name: name.to_owned(),
            base: str_of(chain, "hook").and_then(Hook::parse).map(base),
            rules: Vec::new(),
            is_opaque: false,
        });
    }
    for (position, rule) in items.iter().filter_map(|item| item.get("rule")).enumerate() {
        if let Some(id @ (family, table, _)) = id(rule, "chain")
            && let Some(index) = indices.get(&id)
            && let Some(expressions) = rule.get("expr").and_then(Value::as_array)
        {
            let chain = &mut chains[*index];
            chain.is_opaque |= expressions.iter().any(|one| one.get("xt").is_some());
            let table = TableSets {
                family,
                name: table,
                sets: &sets,
            };
            let rules = rules(expressions, position, &table, conditions);
            chain.rules.extend(rules);
        }
    }
    Some(chains)
}

/// The family, the table and the name of a chain or a set.
fn id<'a>(item: &'a Value, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let field = |name| str_of(item, name);
    Some((field("family")?, field("table")?, field(name)?))
}

fn str_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// Converts a rule: a verdict map becomes one rule for each of its elements.
fn rules(
    expressions: &[Value],
    position: usize,
    table: &TableSets<'_>,
    conditions: &mut ConditionBuilder<'_>,
) -> Vec<FirewallRule> {
    let mut rules = Vec::new();
    let mut matches: Vec<Match> = Vec::new();
    for expression in expressions {
        let Some((name, value)) = expression
            .as_object()
            .and_then(|object| object.iter().next())
        else {
            continue;
        };
        if let Some(action) = verdict(expression) {
            let is_notrack = action == RuleAction::NoTrack;
            rules.extend(FirewallRule::new(matches.clone(), action));
            if !is_notrack {
                break;
            }
        } else if name == "match" {
            matches.extend(match_expression(value, table, conditions));
        } else if name == "vmap" {
            rules.extend(verdict_map(value, &matches, table, conditions));
        } else if name == "xt" {
            let extension = str_of(value, "name").unwrap_or_default();
            let is_target = str_of(value, "type") == Some("target");
            if is_target {
                // Of a target, only the name is known. CT mostly sets a helper or a zone.
                rules.extend(
                    target_action(extension, false)
                        .and_then(|action| FirewallRule::new(matches.clone(), action)),
                );
            } else if extension != "comment" {
                let text = format!("xt {extension} {position}");
                matches.push(conditions.unknown(text, false).into());
            }
        } else if COUNTING.contains(&name.as_str()) || is_counting_set(name, value) {
            matches.push(
                conditions
                    .unknown(format!("{position} {value}"), true)
                    .into(),
            );
        } else if !NEUTRAL.contains(&name.as_str()) {
            matches.push(conditions.unknown(expression.to_string(), false).into());
        }
    }
    rules
}

/// A `set` statement with a counter for each element.
fn is_counting_set(name: &str, value: &Value) -> bool {
    let mut statements = value
        .get("stmt")
        .into_iter()
        .filter_map(Value::as_array)
        .flatten();
    let counts = |statement: &Value| COUNTING.iter().any(|name| statement.get(name).is_some());
    let element = value.get("elem").and_then(|element| element.get("elem"));
    name == "set" && (statements.any(counts) || element.is_some_and(counts))
}

/// The action of a statement, if it has one. A program that gets packets from a queue is assumed to accept them.
fn verdict(statement: &Value) -> Option<RuleAction> {
    let object = statement.as_object()?;
    let (name, value) = object.iter().next()?;
    let target = || str_of(value, "target").map(str::to_owned);
    Some(match name.as_str() {
        "accept" | "queue" => RuleAction::Accept,
        "drop" | "reject" => RuleAction::Drop,
        "return" => RuleAction::Return,
        "jump" => RuleAction::Jump(target()?),
        "goto" => RuleAction::Goto(target()?),
        "notrack" => RuleAction::NoTrack,
        "dnat" | "redirect" | "tproxy" => RuleAction::Translate,
        _ => return None,
    })
}

/// One rule for each element of a verdict map.
fn verdict_map(
    map: &Value,
    matches: &[Match],
    table: &TableSets<'_>,
    conditions: &mut ConditionBuilder<'_>,
) -> Vec<FirewallRule> {
    let (Some(left), Some(data)) = (map.get("key"), map.get("data")) else {
        return Vec::new();
    };
    let elements = data
        .as_str()
        .and_then(|name| table.elements(name))
        .or_else(|| data.get("set"));
    let mut rules = Vec::new();
    for element in elements.and_then(Value::as_array).into_iter().flatten() {
        if let Some([key, statement]) = element.as_array().map(Vec::as_slice)
            && let Some(action) = verdict(statement)
        {
            let mut matches = matches.to_vec();
            let is_default = key.as_str() == Some("*");
            if !is_default {
                matches.extend(comparison("==", left, key, table, conditions));
            }
            rules.extend(FirewallRule::new(matches, action));
        }
    }
    rules
}

/// Converts a `match` expression.
fn match_expression(
    value: &Value,
    table: &TableSets<'_>,
    conditions: &mut ConditionBuilder<'_>,
) -> Vec<Match> {
    let null = Value::Null;
    let part = |name| value.get(name).unwrap_or(&null);
    let operator = str_of(value, "op").unwrap_or("==");
    comparison(operator, part("left"), part("right"), table, conditions)
}

fn comparison(
    operator: &str,
    left: &Value,
    right: &Value,
    table: &TableSets<'_>,
    conditions: &mut ConditionBuilder<'_>,
) -> Vec<Match> {
    let mut matches = Vec::new();
    if let Some(payload) = left.get("payload") {
        // A comparison requires the protocol of its field, also when it is negated.
        match str_of(payload, "protocol") {
            Some("ip") => matches.push(Condition::Family(Family::Inet).into()),
            Some("ip6") => matches.push(Condition::Family(Family::Inet6).into()),
            Some(
                "udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah"
                | "comp" | "arp" | "gre",
            ) => return vec![Condition::Known(false).into()],
            Some(_) | None => {}
        }
    }
    let items = items(right, table);
    let condition = items
        .as_ref()
        .and_then(|items| condition(operator, left, right, items, conditions));
    let condition = condition.unwrap_or_else(|| {
        let text = format!("{} {left} {right}", table.name);
        conditions.unknown(text, !depends_on_destination(left))
    });
    matches.push(Match {
        condition,
        is_negated: matches!(operator, "!=" | "!"),
    });
    matches
}

/// The values on the right side of a comparison. None if a named set is missing.
fn items<'a>(right: &'a Value, table: &'a TableSets<'_>) -> Option<Vec<&'a Value>> {
    let several = if let Some(name) = right.as_str().filter(|name| name.starts_with('@')) {
        table.elements(name)?
    } else {
        right.get("set").unwrap_or(right)
    };
    let inner = |item: &'a Value| {
        let element = item.get("elem").and_then(|deeper| deeper.get("val"));
        element.unwrap_or(item)
    };
    Some(match several {
        Value::Array(items) => items.iter().map(inner).collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            vec![inner(several)]
        }
    })
}

/// The condition of a comparison. None if it cannot be evaluated.
fn condition(
    operator: &str,
    left: &Value,
    right: &Value,
    items: &[&Value],
    conditions: &mut ConditionBuilder<'_>,
) -> Option<Condition> {
    let names = || items.iter().filter_map(|item| item.as_str());
    let has = |any: &[&str]| Some(Condition::Known(names().any(|name| any.contains(&name))));
    let text = || format!("{left} {right}");
    let networks = || -> Option<Vec<Network>> {
        let networks = items.iter().map(|item| output::element(item));
        networks.collect::<Option<Vec<_>>>().map(|all| all.concat())
    };
    if let Some([field, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice) {
        let mask = tcp_flags_of(mask).filter(|_| is_tcp_flags(field))?;
        let value = Some(tcp_flags_of(right)?);
        return Some(Condition::TcpFlags { mask, value });
    }
    if is_tcp_flags(left) {
        let bits = tcp_flags_of(right)?;
        return Some(match operator {
            "==" | "!=" => Condition::TcpFlags {
                mask: u8::MAX,
                value: Some(bits),
            },
            _ => Condition::TcpFlags {
                mask: bits,
                value: None,
            },
        });
    }
    if let Some(payload) = left.get("payload") {
        return match (str_of(payload, "protocol")?, str_of(payload, "field")?) {
            ("tcp" | "th", "dport") => Some(Condition::DestinationPort(ports(operator, items)?)),
            ("tcp" | "th", "sport") => Some(Condition::SourcePort(ports(operator, items)?)),
            ("ip", "protocol") | ("ip6", "nexthdr") => Some(transport(items)),
            ("ip" | "ip6", "saddr") => Some(conditions.source(&networks()?, text())),
            ("ip" | "ip6", "daddr") => Some(conditions.destination(&networks()?, text())),
            _ => None,
        };
    }
    if let Some(meta) = left.get("meta") {
        return match str_of(meta, "key")? {
            "l4proto" => Some(transport(items)),
            "nfproto" => Some(family(&names().collect::<Vec<_>>(), ["ipv4", "ipv6"])),
            "protocol" => Some(family(&names().collect::<Vec<_>>(), ["ip", "ip6"])),
            "iifname" | "iif" | "oifname" | "oif" => Some(conditions.interface(names())),
            "pkttype" => has(&["host", "unicast"]),
            _ => None,
        };
    }
    if let Some(ct) = left.get("ct") {
        return match (str_of(ct, "key")?, str_of(ct, "dir")) {
            ("state", _) => Some(Condition::State(
                names().filter_map(ConntrackState::parse).collect(),
            )),
            ("status", _) => Some(conntrack_status(names())),
            ("direction", _) if names().eq(["reply"]) => Some(Condition::Reply),
            ("proto-dst", Some("original")) => {
                Some(Condition::OriginalPort(ports(operator, items)?))
            }
            _ => None,
        };
    }
    let fib = left.get("fib")?;
    let selectors: Vec<&str> = fib
        .get("flags")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if str_of(fib, "result") == Some("type") && selectors.contains(&"daddr") {
        return has(&["local"]);
    }
    None
}

fn is_tcp_flags(field: &Value) -> bool {
    field.get("payload").is_some_and(|payload| {
        str_of(payload, "field") == Some("flags") && str_of(payload, "protocol") == Some("tcp")
    })
}

/// `"syn"`, `["syn", "ack"]`, or `{"|": ["syn", "ack"]}`.
fn tcp_flags_of(value: &Value) -> Option<u8> {
    let several = value.get("|").unwrap_or(value);
    match several {
        Value::String(name) => tcp_flags([name.as_str()].into_iter()),
        Value::Number(number) => number.as_u64().and_then(|bits| u8::try_from(bits).ok()),
        Value::Array(items) => items
            .iter()
            .try_fold(0, |bits, item| Some(bits | tcp_flags_of(item)?)),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// The ports on the right side of a comparison, with `<`, `<=`, `>` and `>=` as ranges; the caller negates for `!=`.
fn ports(operator: &str, items: &[&Value]) -> Option<PortRanges> {
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let one = |item: &&Value| {
        let (first, last) = match item
            .get("range")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
        {
            Some([first, last]) => (port(first)?, port(last)?),
            Some(_) => return None,
            None => (port(item)?, port(item)?),
        };
        Some(match operator {
            "<" => (0, first.checked_sub(1)?),
            "<=" => (0, first),
            ">" => (first.checked_add(1)?, u16::MAX),
            ">=" => (first, u16::MAX),
            _ => (first, last),
        })
    };
    items.iter().map(one).collect()
}

/// These transport protocols include TCP.
fn transport(items: &[&Value]) -> Condition {
    let is_tcp = |item: &&Value| item.as_str() == Some("tcp") || item.as_u64() == Some(6);
    Condition::Known(items.iter().any(is_tcp))
}

/// The address families, by their names for IPv4 and IPv6.
fn family(names: &[&str], [v4, v6]: [&str; 2]) -> Condition {
    match (names.contains(&v4), names.contains(&v6)) {
        (true, true) => Condition::Known(true),
        (true, false) => Condition::Family(Family::Inet),
        (false, true) => Condition::Family(Family::Inet6),
        (false, false) => Condition::Known(false),
    }
}

/// The value may differ between packets to the page and to the live site.
fn depends_on_destination(left: &Value) -> bool {
    match left {
        Value::Object(object) => object.iter().any(|(name, value)| match name.as_str() {
            "payload" => {
                let transport = ["tcp", "th"].map(Some).contains(&str_of(value, "protocol"));
                let is_field = |name| str_of(value, "field") == Some(name);
                transport && (is_field("dport") || is_field("sport"))
                    || is_field("daddr")
                    || str_of(value, "base") == Some("th")
            }
            "ct" => !matches!(
                str_of(value, "key"),
                Some("mark" | "zone" | "label" | "helper" | "saddr")
            ),
            _ => depends_on_destination(value),
        }),
        Value::Array(items) => items.iter().any(depends_on_destination),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
