//! The rules of nft(8), as `nft -j list ruleset` prints them (libnftables-json(5)).

use std::collections::HashMap;

use serde_json::Value;

use crate::config::network::{Family, Network};
use crate::switch::filter::nft::firewall::{
    Action, Base, Chain, Condition, Conditions, Hook, Ports, Rule, State, Table, Test, Tool, flags,
    rule, saved, status,
};
use crate::switch::filter::nft::output;

/// Statements that neither decide nor require anything.
const HARMLESS: [&str; 16] = [
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
/// Statements that let only some packets go on, each by its own count.
const COUNTING: [&str; 4] = ["ct count", "limit", "meter", "quota"];

/// A table's sets and maps by their names, with what is in them.
type Sets<'a> = HashMap<(&'a str, &'a str, &'a str), &'a Value>;

/// Of a table: its family, its name, and what is in its sets.
struct Scope<'a> {
    family: &'a str,
    table: &'a str,
    sets: &'a Sets<'a>,
}

impl Scope<'_> {
    /// What `@name` holds.
    fn set<'a>(&'a self, name: &'a str) -> Option<&'a Value> {
        let name = name.strip_prefix('@')?;
        self.sets.get(&(self.family, self.table, name)).copied()
    }
}

/// The chains of the families that TCP packets of visitors belong to. None where this is not nft's output.
pub(crate) fn chains(json: &str, conditions: &mut Conditions<'_>) -> Option<Vec<Chain>> {
    let json: Value = serde_json::from_str(json).ok()?;
    let items = json.get("nftables")?.as_array()?;
    let text = |value: &'_ Value, name: &str| -> Option<String> {
        value.get(name)?.as_str().map(str::to_owned)
    };
    let mut sets = Sets::new();
    for item in items {
        if let Some(set) = item.get("set").or_else(|| item.get("map"))
            && let (Some(family), Some(table), Some(name)) = (
                str_of(set, "family"),
                str_of(set, "table"),
                str_of(set, "name"),
            )
        {
            sets.insert(
                (family, table, name),
                set.get("elem").unwrap_or(&Value::Null),
            );
        }
    }
    let mut chains: Vec<Chain> = Vec::new();
    let mut numbers = HashMap::new();
    for chain in items.iter().filter_map(|item| item.get("chain")) {
        let (Some(family), Some(table), Some(name)) = (
            text(chain, "family"),
            text(chain, "table"),
            text(chain, "name"),
        ) else {
            continue;
        };
        if !matches!(family.as_str(), "inet" | "ip" | "ip6") {
            continue;
        }
        let base = str_of(chain, "hook").and_then(Hook::of).map(|hook| Base {
            hook,
            priority: chain.get("prio").and_then(Value::as_i64).unwrap_or(0),
            is_nat: str_of(chain, "type") == Some("nat"),
            policy_drops: str_of(chain, "policy") == Some("drop"),
        });
        numbers.insert((family.clone(), table.clone(), name.clone()), chains.len());
        chains.push(Chain {
            table: Table {
                tool: Tool::Nft,
                family,
                name: table,
            },
            name,
            base,
            rules: Vec::new(),
            is_opaque: false,
        });
    }
    for (place, item) in items.iter().filter_map(|item| item.get("rule")).enumerate() {
        let (Some(family), Some(table), Some(name)) = (
            str_of(item, "family"),
            str_of(item, "table"),
            str_of(item, "chain"),
        ) else {
            continue;
        };
        let key = (family.to_owned(), table.to_owned(), name.to_owned());
        let (Some(number), Some(expressions)) = (
            numbers.get(&key),
            item.get("expr").and_then(Value::as_array),
        ) else {
            continue;
        };
        let chain = &mut chains[*number];
        chain.is_opaque |= expressions.iter().any(|one| one.get("xt").is_some());
        let scope = Scope {
            family,
            table,
            sets: &sets,
        };
        chain
            .rules
            .extend(rules(expressions, place, &scope, conditions));
    }
    Some(chains)
}

fn str_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// What a rule decides: several times where it has a verdict map, one for each of its elements.
fn rules(
    expressions: &[Value],
    place: usize,
    scope: &Scope<'_>,
    conditions: &mut Conditions<'_>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut tests: Vec<Test> = Vec::new();
    for expression in expressions {
        let Some((name, value)) = expression
            .as_object()
            .and_then(|object| object.iter().next())
        else {
            continue;
        };
        if let Some(action) = verdict(expression) {
            let is_untrack = action == Action::Untrack;
            rules.extend(rule(tests.clone(), action));
            if !is_untrack {
                break;
            }
        } else if name == "match" {
            tests.extend(matches(value, scope, conditions));
        } else if name == "vmap" {
            rules.extend(verdict_map(value, &tests, scope, conditions));
        } else if name == "xt" {
            let extension = str_of(value, "name").unwrap_or_default();
            let is_target = str_of(value, "type") == Some("target");
            if is_target {
                // Of a target, too, only the name is known. CT mostly sets a helper or a zone.
                rules.extend(
                    saved::target(extension, false).and_then(|action| rule(tests.clone(), action)),
                );
            } else if extension != "comment" {
                let text = format!("xt {extension} {place}");
                tests.push(plain(conditions.unknown(text, false)));
            }
        } else if COUNTING.contains(&name.as_str()) || is_counting_set(name, value) {
            tests.push(plain(conditions.unknown(format!("{place} {value}"), true)));
        } else if !HARMLESS.contains(&name.as_str()) {
            tests.push(plain(conditions.unknown(expression.to_string(), false)));
        }
    }
    rules
}

/// A set that counts for each of its elements.
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

const fn plain(condition: Condition) -> Test {
    Test {
        condition,
        is_negated: false,
    }
}

/// What a statement decides, if it does. A program that packets are handed to is taken to accept them.
fn verdict(statement: &Value) -> Option<Action> {
    let object = statement.as_object()?;
    let (name, value) = object.iter().next()?;
    let target = || str_of(value, "target").map(str::to_owned);
    Some(match name.as_str() {
        "accept" | "queue" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "jump" => Action::Jump(target()?),
        "goto" => Action::Goto(target()?),
        "notrack" => Action::Untrack,
        "dnat" | "redirect" | "tproxy" => Action::Translate,
        _ => return None,
    })
}

/// The rules that a verdict map stands for.
fn verdict_map(
    map: &Value,
    tests: &[Test],
    scope: &Scope<'_>,
    conditions: &mut Conditions<'_>,
) -> Vec<Rule> {
    let (Some(left), Some(data)) = (map.get("key"), map.get("data")) else {
        return Vec::new();
    };
    let elements = data
        .as_str()
        .and_then(|name| scope.set(name))
        .or_else(|| data.get("set"));
    let mut rules = Vec::new();
    for element in elements.and_then(Value::as_array).into_iter().flatten() {
        if let Some([key, statement]) = element.as_array().map(Vec::as_slice)
            && let Some(action) = verdict(statement)
        {
            let mut tests = tests.to_vec();
            let is_default = key.as_str() == Some("*");
            if !is_default {
                tests.extend(comparison("==", left, key, scope, conditions));
            }
            rules.extend(rule(tests, action));
        }
    }
    rules
}

/// What a match requires.
fn matches(value: &Value, scope: &Scope<'_>, conditions: &mut Conditions<'_>) -> Vec<Test> {
    let null = Value::Null;
    let part = |name| value.get(name).unwrap_or(&null);
    let operator = str_of(value, "op").unwrap_or("==");
    comparison(operator, part("left"), part("right"), scope, conditions)
}

fn comparison(
    operator: &str,
    left: &Value,
    right: &Value,
    scope: &Scope<'_>,
    conditions: &mut Conditions<'_>,
) -> Vec<Test> {
    let mut tests = Vec::new();
    if let Some(payload) = left.get("payload") {
        // A field is there only where its protocol is, however it is compared.
        match str_of(payload, "protocol") {
            Some("ip") => tests.push(plain(Condition::Family(Family::Inet))),
            Some("ip6") => tests.push(plain(Condition::Family(Family::Inet6))),
            Some(
                "udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah"
                | "comp" | "arp" | "gre",
            ) => return vec![plain(Condition::Known(false))],
            Some(_) | None => {}
        }
    }
    let items = items(right, scope);
    let condition = items
        .as_ref()
        .and_then(|items| known(operator, left, right, items, conditions));
    let condition = condition.unwrap_or_else(|| {
        let text = format!("{} {left} {right}", scope.table);
        conditions.unknown(text, !is_about_ports(left))
    });
    tests.push(Test {
        condition,
        is_negated: matches!(operator, "!=" | "!"),
    });
    tests
}

/// The values on the right side of a comparison, one by one.
fn items<'a>(right: &'a Value, scope: &'a Scope<'_>) -> Option<Vec<&'a Value>> {
    let several = if let Some(name) = right.as_str().filter(|name| name.starts_with('@')) {
        scope.set(name)?
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

/// What a comparison requires, where it can be evaluated.
fn known(
    operator: &str,
    left: &Value,
    right: &Value,
    items: &[&Value],
    conditions: &mut Conditions<'_>,
) -> Option<Condition> {
    let names = || items.iter().filter_map(|item| item.as_str());
    let has = |wanted: &[&str]| Some(Condition::Known(names().any(|name| wanted.contains(&name))));
    let text = || format!("{left} {right}");
    let networks = || -> Option<Vec<Network>> {
        let networks = items.iter().map(|item| output::element(item));
        networks.collect::<Option<Vec<_>>>().map(|all| all.concat())
    };
    if let Some([field, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice) {
        let mask = flags_of(mask).filter(|_| is_flags(field))?;
        let value = Some(flags_of(right)?);
        return Some(Condition::Flags { mask, value });
    }
    if is_flags(left) {
        let bits = flags_of(right)?;
        return Some(match operator {
            "==" | "!=" => Condition::Flags {
                mask: u8::MAX,
                value: Some(bits),
            },
            _ => Condition::Flags {
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
            ("state", _) => Some(Condition::State(names().filter_map(State::of).collect())),
            ("status", _) => Some(status(names())),
            ("direction", _) if names().eq(["reply"]) => Some(Condition::Reply),
            ("proto-dst", Some("original")) => {
                Some(Condition::OriginalPort(ports(operator, items)?))
            }
            _ => None,
        };
    }
    let fib = left.get("fib")?;
    let about: Vec<&str> = fib
        .get("flags")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if str_of(fib, "result") == Some("type") && about.contains(&"daddr") {
        return has(&["local"]);
    }
    None
}

fn is_flags(field: &Value) -> bool {
    field.get("payload").is_some_and(|payload| {
        str_of(payload, "field") == Some("flags") && str_of(payload, "protocol") == Some("tcp")
    })
}

/// `"syn"`, `["syn", "ack"]`, or `{"|": ["syn", "ack"]}`.
fn flags_of(value: &Value) -> Option<u8> {
    let several = value.get("|").unwrap_or(value);
    match several {
        Value::String(name) => flags([name.as_str()].into_iter()),
        Value::Number(number) => number.as_u64().and_then(|bits| u8::try_from(bits).ok()),
        Value::Array(items) => items
            .iter()
            .try_fold(0, |bits, item| Some(bits | flags_of(item)?)),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// The ports that fulfil a comparison; those that do not for `!=`.
fn ports(operator: &str, items: &[&Value]) -> Option<Ports> {
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

/// TCP is among these protocols.
fn transport(items: &[&Value]) -> Condition {
    let is_tcp = |item: &&Value| item.as_str() == Some("tcp") || item.as_u64() == Some(6);
    Condition::Known(items.iter().any(is_tcp))
}

/// One of the families by these names of IPv4 and IPv6.
fn family(names: &[&str], [v4, v6]: [&str; 2]) -> Condition {
    match (names.contains(&v4), names.contains(&v6)) {
        (true, true) => Condition::Known(true),
        (true, false) => Condition::Family(Family::Inet),
        (false, true) => Condition::Family(Family::Inet6),
        (false, false) => Condition::Known(false),
    }
}

/// The packet to the page and the one to the live site may differ in this.
fn is_about_ports(left: &Value) -> bool {
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
            _ => is_about_ports(value),
        }),
        Value::Array(items) => items.iter().any(is_about_ports),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
