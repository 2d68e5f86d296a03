//! What a rule matches on, and the readers' builder of conditions.
//!
//! A condition is decided by the packet, or it is unknown: it depends on the source address, a rate limit or a mark.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::config::network::{Family, Network};

/// The state of a packet's connection in conntrack. `Dnat` is a status bit, set in addition to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConntrackState {
    New,
    Established,
    Related,
    Invalid,
    Untracked,
    Dnat,
}

impl ConntrackState {
    /// Parses a name of nft(8) or iptables-extensions(8).
    pub(super) fn parse(name: &str) -> Option<Self> {
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

/// Inclusive port ranges.
pub(super) type PortRanges = Vec<(u16, u16)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Decided when the rule is read.
    Known(bool),
    Family(Family),
    DestinationPort(PortRanges),
    SourcePort(PortRanges),
    /// The destination port before address translation.
    OriginalPort(PortRanges),
    /// Any of these states.
    State(Vec<ConntrackState>),
    /// The TCP flags in `mask` equal `value`; without a value, any flag in `mask` is set.
    TcpFlags {
        mask: u8,
        value: Option<u8>,
    },
    Reply,
    /// The input or output interface: known for packets over the loopback interface.
    Interface {
        is_loopback: bool,
        of_clients: Box<Self>,
    },
    /// Cannot be evaluated. Conditions with the same key have the same value; a shared one has the same value for the page
    /// and for the live site.
    Unknown {
        key: usize,
        is_shared: bool,
    },
}

/// A condition of a rule, or its negation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) condition: Condition,
    pub(super) is_negated: bool,
}

impl From<Condition> for Match {
    fn from(condition: Condition) -> Self {
        Self {
            condition,
            is_negated: false,
        }
    }
}

/// What an unknown condition requires of a packet's source. A packet has one input interface and one source address, so two
/// of these may exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceLimit {
    /// Any of these input interfaces; a name may end in a wildcard.
    Interfaces(Vec<String>),
    Network(Network),
}

impl SourceLimit {
    pub(super) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Interfaces(names), Self::Interfaces(others)) => {
                let is_shared = |name: &String| others.iter().any(|other| overlap(name, other));
                !names.iter().any(is_shared)
            }
            (Self::Network(one), Self::Network(other)) => !one.covers(other) && !other.covers(one),
            (Self::Interfaces(_), Self::Network(_)) | (Self::Network(_), Self::Interfaces(_)) => {
                false
            }
        }
    }
}

/// One interface can match both names; each may end in a wildcard.
fn overlap(one: &str, other: &str) -> bool {
    let prefix = |name: &'_ str| name.strip_suffix(['*', '+']).map(str::len);
    match (prefix(one), prefix(other)) {
        (None, None) => one == other,
        (Some(length), None) => other.starts_with(&one[..length]),
        (None, Some(length)) => one.starts_with(&other[..length]),
        (Some(first), Some(second)) => {
            let length = first.min(second);
            one.as_bytes()[..length] == other.as_bytes()[..length]
        }
    }
}

/// Builds the conditions of all readers, and numbers the unknown ones.
#[derive(Debug)]
pub(super) struct ConditionBuilder<'a> {
    own: &'a [IpAddr],
    keys: HashMap<String, usize>,
    /// By key.
    source_limits: Vec<Option<SourceLimit>>,
}

impl<'a> ConditionBuilder<'a> {
    /// `own` are this host's addresses.
    pub(super) fn new(own: &'a [IpAddr]) -> Self {
        Self {
            own,
            keys: HashMap::new(),
            source_limits: Vec::new(),
        }
    }

    /// For each key of an unknown condition, its limit of the source.
    pub(super) fn into_source_limits(self) -> Vec<Option<SourceLimit>> {
        self.source_limits
    }

    pub(super) fn unknown(&mut self, text: String, is_shared: bool) -> Condition {
        let next = self.keys.len();
        let key = *self.keys.entry(text).or_insert(next);
        if key == next {
            self.source_limits.push(None);
        }
        Condition::Unknown { key, is_shared }
    }

    /// A condition on the source, which the page and the live site share.
    fn limited_source(&mut self, text: String, limit: SourceLimit) -> Condition {
        let condition = self.unknown(text, true);
        if let Condition::Unknown { key, .. } = condition {
            self.source_limits[key] = Some(limit);
        }
        condition
    }

    /// The source address: a visitor may have any.
    pub(super) fn source(&mut self, networks: &[Network], text: String) -> Condition {
        if networks.iter().any(Network::is_all_addresses) {
            Condition::Known(true)
        } else if let [one] = networks {
            self.limited_source(text, SourceLimit::Network(*one))
        } else {
            self.unknown(text, true)
        }
    }

    /// The destination address: a redirected packet goes to the first address of its interface, so it may differ between
    /// the page and the live site.
    pub(super) fn destination(&mut self, networks: &[Network], text: String) -> Condition {
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

    /// The interface: clients use any but the loopback interface.
    pub(super) fn interface<'b>(&mut self, names: impl Iterator<Item = &'b str>) -> Condition {
        let (loopback, mut names): (Vec<&str>, Vec<&str>) = names.partition(|name| *name == "lo");
        names.sort_unstable();
        let is_loopback = !loopback.is_empty() || names.iter().any(|name| overlap(name, "lo"));
        let of_clients = if names.is_empty() {
            Condition::Known(false)
        } else if names.iter().any(|name| matches!(*name, "*" | "+")) {
            Condition::Known(true)
        } else {
            let text = format!("interface {}", names.join(","));
            let names = names.into_iter().map(str::to_owned).collect();
            self.limited_source(text, SourceLimit::Interfaces(names))
        };
        Condition::Interface {
            is_loopback,
            of_clients: Box::new(of_clients),
        }
    }
}

/// Any of these names of `ct status`. Only `dnat` can be set for the first packet of a connection.
pub(super) fn conntrack_status<'a>(mut names: impl Iterator<Item = &'a str>) -> Condition {
    if names.any(|name| name.eq_ignore_ascii_case("dnat")) {
        Condition::State(vec![ConntrackState::Dnat])
    } else {
        Condition::Known(false)
    }
}

/// Parses names of TCP flags (RFC 9293 3.1) to bits.
pub(super) fn tcp_flags<'a>(names: impl Iterator<Item = &'a str>) -> Option<u8> {
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
