//! Parses the output of pfctl(8). Lines that cannot be parsed are skipped: the input is not trusted.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::config::network::Network;
use crate::switch::clients::ClientSet;
use crate::switch::filter::packet_filter::Count;

/// `-s info`: pf is enabled; `None` without a status line.
pub(crate) fn is_enabled(info: &str) -> Option<bool> {
    let status = info
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))?;
    match status.split_whitespace().next()? {
        "Enabled" => Some(true),
        "Disabled" => Some(false),
        _ => None,
    }
}

/// `-s info`: the number of states.
pub(crate) fn states_in_use(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.trim().strip_prefix("current entries"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `-s memory`: the limit of states.
pub(crate) fn state_limit(memory: &str) -> Option<u64> {
    let line = memory
        .lines()
        .find_map(|line| line.strip_prefix("states "))?;
    line.split_whitespace().last()?.parse().ok()
}

/// `-vs Tables`: rules use a table, which the fifth flag, `r`, shows; `None` if there is no such table.
pub(crate) fn is_referenced(tables: &str, name: &str) -> Option<bool> {
    let mut lines = tables.lines().filter_map(|line| line.split_once('\t'));
    let (flags, _) = lines.find(|(_, table)| table.split('\t').next() == Some(name))?;
    Some(flags.as_bytes().get(4) == Some(&b'r'))
}

/// `-T show`, with or without `-v`: the entries, and the exceptions with an exclamation mark; `None` if one of them cannot
/// be parsed, because none may be missed.
pub(crate) fn entries(show: &str) -> Option<ClientSet> {
    let mut clients = ClientSet::default();
    // Lines with an entry's counters begin with a tab.
    for text in show
        .lines()
        .filter_map(|line| line.strip_prefix(' '))
        .map(str::trim)
    {
        let (networks, text) = match text.strip_prefix('!') {
            Some(text) => (&mut clients.except, text),
            None => (&mut clients.entries, text),
        };
        networks.push(text.parse::<Network>().ok()?);
    }
    Some(clients)
}

/// `-v -T test`: the addresses that are in the table, as `M  192.0.2.10`, one a line.
pub(crate) fn matching(test: &str) -> impl Iterator<Item = IpAddr> {
    test.lines()
        .filter_map(|line| line.split_whitespace().next_back()?.parse().ok())
}

/// The stderr of a change that FreeBSD's pfctl cannot make at securelevel 2.
pub(crate) fn is_change_forbidden(stderr: &str) -> bool {
    let refusals = ["Anchor does not exist", "Operation not supported by device"];
    refusals.iter().any(|text| stderr.contains(text))
}

/// The stderr of a kill that the kernel forbids (securelevel(7)). FreeBSD's pfctl prints no cause then.
pub(crate) fn is_kill_forbidden(stderr: &str) -> bool {
    stderr.contains("Operation not permitted") || stderr.trim() == "pfctl: DIOCKILLSTATES"
}

/// A loaded rule, as far as the switch depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PfRule<'a> {
    /// The interfaces and groups that it names: after `on`, and as addresses, `to (em0)`.
    pub(crate) interfaces: Vec<&'a str>,
    /// The table after `from`.
    pub(crate) from: Option<&'a str>,
    pub(crate) labels: Vec<&'a str>,
    /// The targets of its redirection, as far as they are literal addresses; `None` if it does not redirect.
    pub(crate) redirect: Option<Vec<SocketAddr>>,
}

impl<'a> PfRule<'a> {
    /// The first of its interfaces that is not among `names`. If `names` is empty, none is missing.
    pub(crate) fn absent(&self, names: &[&str]) -> Option<&'a str> {
        let mut interfaces = self.interfaces.iter().copied();
        interfaces.find(|name| !names.is_empty() && !names.contains(name))
    }

    /// It does the same as `other` for another interface: the same table and labels, and all redirected ports and families
    /// of `other`.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let ports = |rule: &Self| -> BTreeSet<_> {
            let targets = rule.redirect.iter().flatten();
            targets
                .map(|target| (target.is_ipv4(), target.port()))
                .collect()
        };
        (self.from, &self.labels) == (other.from, &other.labels)
            && self.redirect.is_some() == other.redirect.is_some()
            && ports(other).is_subset(&ports(self))
    }
}

/// `-s rules` and `-s nat`: the rules that are loaded. A rule is a line:
///
/// ```text
/// pass in quick on em0 inet proto tcp from <maintenance> to (em0) port = http flags S/SA keep state label "www-maintenance" rdr-to 127.0.0.1 port 8080
/// rdr on em0 inet proto tcp from <maintenance> to any port = http -> 203.0.113.5 port 8080
/// ```
pub(crate) fn rules(text: &str) -> impl Iterator<Item = PfRule<'_>> {
    text.lines().filter_map(rule)
}

fn rule(line: &str) -> Option<PfRule<'_>> {
    let mut rule = PfRule::default();
    let mut words = Vec::new();
    // A label may contain any word, so quoted parts are not split into words.
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 0 {
            words.extend(part.split_whitespace());
        } else if words.last() == Some(&"label") {
            rule.labels.push(part);
        }
    }
    if !matches!(words.first(), Some(&("pass" | "block" | "match" | "rdr"))) {
        return None;
    }
    let mut index = 1;
    let mut has_interface = false;
    while let Some(word) = words.get(index) {
        // An operand after an exclamation mark is excluded.
        let is_not = words.get(index + 1) == Some(&"!");
        let operand = words.get(index + 1).filter(|_| !is_not);
        match (*word, operand) {
            ("on", Some(&name)) if !has_interface && name != "rdomain" => {
                has_interface = true;
                rule.interfaces.push(name);
            }
            ("from" | "to", Some(operand)) => {
                rule.interfaces.extend(inside(operand, '(', ')'));
                if *word == "from" {
                    rule.from = inside(operand, '<', '>');
                }
            }
            ("rdr-to" | "->", Some(_)) => rule.redirect = Some(targets(&words[index + 1..])),
            _ => {}
        }
        index += 1;
    }
    Some(rule)
}

/// The name in `(em0)` or `<maintenance>`, without a suffix after a colon.
fn inside(word: &str, open: char, close: char) -> Option<&str> {
    let name = word.strip_prefix(open)?.strip_suffix(close)?;
    name.split(':').next()
}

/// `127.0.0.1 port 8080`, `{ 192.0.2.1, 192.0.2.2 } port 8080 round-robin`.
fn targets(words: &[&str]) -> Vec<SocketAddr> {
    let Some(port) = words.iter().position(|word| *word == "port") else {
        return Vec::new();
    };
    let number = words.get(port + 1).and_then(|word| word.parse().ok());
    let addresses = words[..port].iter().filter_map(|word| {
        let address: IpAddr = word.trim_matches(['{', '}', ',']).parse().ok()?;
        Some(SocketAddr::new(address, number?))
    });
    addresses.collect()
}

/// `-s labels`: the sums over the rules with this label; `None` without such rules. Each line is a rule. A label may contain
/// spaces, so a line is parsed from the right.
pub(crate) fn count_of(labels: &str, label: &str) -> Option<Count> {
    let counts = lines_of(labels).filter(|(name, _)| *name == label);
    counts.map(|(_, count)| count).reduce(|total, count| Count {
        packets: total.packets.saturating_add(count.packets),
        bytes: total.bytes.saturating_add(count.bytes),
    })
}

/// The label and the counts of each line.
fn lines_of(labels: &str) -> impl Iterator<Item = (&str, Count)> {
    labels.lines().filter_map(|line| {
        let words: Vec<&str> = line.rsplitn(9, ' ').collect();
        let [_, _, _, _, _, bytes, packets, evaluations, name] = words.as_slice() else {
            return None;
        };
        let number = |text: &str| text.parse::<u64>().ok();
        number(evaluations)?;
        let count = Count {
            packets: number(packets)?,
            bytes: number(bytes)?,
        };
        Some((*name, count))
    })
}

/// A state of an incoming TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PfState {
    /// The local address, after redirection.
    pub(crate) to: SocketAddr,
    /// The local address before redirection, if it was redirected.
    pub(crate) redirected_from: Option<SocketAddr>,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Both ends have closed, or one has reset it.
    pub(crate) is_closed: bool,
}

/// `-s states`: the incoming TCP connections.
pub(crate) fn states(text: &str) -> impl Iterator<Item = PfState> {
    text.lines().filter_map(state)
}

/// `all tcp 127.0.0.1:8080 (203.0.113.1:80) <- 198.51.100.7:50000       ESTABLISHED:ESTABLISHED`
fn state(line: &str) -> Option<PfState> {
    let mut words = line.split_whitespace();
    let (_, "tcp", to) = (words.next()?, words.next()?, words.next()?) else {
        return None;
    };
    let mut next = words.next()?;
    let redirected_from = match next
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
    {
        Some(inner) => {
            next = words.next()?;
            Some(socket(inner)?)
        }
        None => None,
    };
    if next != "<-" {
        return None;
    }
    let peer = socket(words.next()?)?;
    let tcp_states = words.last().unwrap_or_default();
    let is_closed = tcp_states
        .split(':')
        .all(|half| matches!(half, "TIME_WAIT" | "CLOSED" | "FIN_WAIT_2"));
    Some(PfState {
        to: socket(to)?,
        redirected_from,
        peer,
        is_closed,
    })
}

/// `192.0.2.1:80` or `2001:db8::1[80]`.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = match text.strip_suffix(']') {
        Some(text) => text.split_once('[')?,
        None => text.rsplit_once(':')?,
    };
    // Without the scope of a link-local address.
    let address: IpAddr = address.split('%').next()?.parse().ok()?;
    Some(SocketAddr::new(address, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "Status: Enabled for 0 days 01:02:03    Debug: err\n\nState Table                          Total             Rate\n  current entries                       42               \n  half-open tcp                          0               \n";

    #[test]
    fn info_shows_whether_pf_is_enabled_and_its_states() {
        assert_eq!(is_enabled(INFO), Some(true));
        assert_eq!(is_enabled("Status: Disabled for 0 days\n"), Some(false));
        assert_eq!(is_enabled("what\n"), None);
        assert_eq!(states_in_use(INFO), Some(42));
        let memory = "states        hard limit   100000\nsrc-nodes     hard limit    10000\n";
        assert_eq!(state_limit(memory), Some(100_000));
        assert_eq!(state_limit(""), None);
    }

    #[test]
    fn the_fifth_flag_shows_that_rules_use_a_table() {
        let tables = "-pa-r-C\tmaintenance\n-pa---C\tother\n--a-r--\tbogons\n";
        assert_eq!(is_referenced(tables, "maintenance"), Some(true));
        assert_eq!(is_referenced(tables, "other"), Some(false));
        assert_eq!(is_referenced(tables, "maint"), None);
        assert_eq!(is_referenced("", "maintenance"), None);
    }

    #[test]
    fn a_table_is_read_with_and_without_its_counters() {
        let show = "   0.0.0.0/0\n\tCleared:     Mon Nov 23 18:00:00 2026\n\tIn/Pass:     [ Packets: 12                 Bytes: 3456               ]\n   ::/0\n  !192.0.2.10\n";
        let clients = entries(show).unwrap();
        let texts: Vec<_> = clients.entries.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["0.0.0.0/0", "::/0"]);
        assert_eq!(clients.except, ["192.0.2.10".parse().unwrap()]);
        assert_eq!(entries(""), Some(ClientSet::default()));
        assert_eq!(entries("   0.0.0.0/0\n   what\n"), None);
    }

    #[test]
    fn rules_name_their_interface_table_label_and_target() {
        let text = "anchor \"relayd/*\" all\n\
            pass in quick on egress inet proto tcp from <maintenance> to (egress) port = 80 flags S/SA keep state (tcp.closed 2, tcp.finwait 5) label \"www-maintenance\" rdr-to 127.0.0.1 port 8080\n\
            rdr on em0 inet6 proto tcp from <maintenance:2> to any port = https -> 2001:db8:1::5 port 8443\n\
            pass in quick on em0 proto tcp from any to (em1:0) port = http flags S/SA keep state label \"rdr-to on ! em9\" label \"b\"\n\
            pass in on ! em2 inet proto tcp from ! <bogons> to ! (em3) rdr-to { 192.0.2.1, 192.0.2.2 } port 8080 round-robin\n\
            match in on rdomain 1 all\n\
            rdr pass on em0 proto tcp from <maintenance> to any -> (em0) port 8080\n\
            what on earth\n";
        let rules: Vec<PfRule<'_>> = rules(text).collect();
        assert_eq!(
            rules[0],
            PfRule {
                interfaces: vec!["egress", "egress"],
                from: Some("maintenance"),
                labels: vec!["www-maintenance"],
                redirect: Some(vec!["127.0.0.1:8080".parse().unwrap()]),
            }
        );
        assert_eq!(
            rules[1],
            PfRule {
                interfaces: vec!["em0"],
                from: Some("maintenance"),
                labels: vec![],
                redirect: Some(vec!["[2001:db8:1::5]:8443".parse().unwrap()]),
            }
        );
        assert_eq!(
            rules[2],
            PfRule {
                interfaces: vec!["em0", "em1"],
                from: None,
                labels: vec!["rdr-to on ! em9", "b"],
                redirect: None,
            }
        );
        let several = ["192.0.2.1:8080", "192.0.2.2:8080"].map(|text| text.parse().unwrap());
        assert_eq!(
            rules[3],
            PfRule {
                redirect: Some(several.to_vec()),
                ..PfRule::default()
            }
        );
        assert_eq!(rules[4], PfRule::default());
        assert_eq!(rules[5].redirect, Some(vec![]));
        assert_eq!(rules.len(), 6);
    }

    #[test]
    fn the_counts_of_a_label_are_summed() {
        let labels = "www-maintenance 4 3 300 2 200 1 100 7\nwww-normal 10 20 2000 10 1000 10 1000 30\nwww-normal 1 2 3 4 5 6 7 8\nwww normal 1 9 9 9 9 9 9 9\nshort 1 2\n";
        let count = count_of(labels, "www-normal").unwrap();
        assert_eq!((count.packets, count.bytes), (22, 2003));
        assert_eq!(count_of(labels, "www normal").unwrap().packets, 9);
        assert_eq!(count_of(labels, "www"), None);
    }

    #[test]
    fn states_have_addresses_and_a_peer() {
        let text = "all tcp 127.0.0.1:8080 (203.0.113.1:80) <- 198.51.100.7:50000       ESTABLISHED:ESTABLISHED\n\
            all tcp 203.0.113.1:80 <- 198.51.100.8:50001       TIME_WAIT:TIME_WAIT\n\
            all tcp ::1[8080] (2001:db8::1[80]) <- 2001:db8::7[50000]       ESTABLISHED:ESTABLISHED\n\
            all tcp 203.0.113.1:50000 -> 198.51.100.9:443       ESTABLISHED:ESTABLISHED\n\
            all udp 203.0.113.1:53 <- 198.51.100.9:443       SINGLE:MULTIPLE\n\
            nonsense\n";
        let states: Vec<PfState> = states(text).collect();
        assert_eq!(states.len(), 3);
        assert_eq!(states[0].to, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(
            states[0].redirected_from,
            Some("203.0.113.1:80".parse().unwrap())
        );
        assert!(states[1].is_closed && !states[0].is_closed);
        assert_eq!(states[1].redirected_from, None);
        assert_eq!(states[2].peer, "[2001:db8::7]:50000".parse().unwrap());
    }
}
