//! Parses the output of nft(8) and ss(8). Unknown items are skipped; an unreadable set member fails.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::config::network::{Family, Network};
use crate::switch::clients::ClientSet;
use crate::switch::filter::nft::set_names::{CLIENTS, EXCEPT};
use crate::switch::filter::packet_filter::Count;

/// maintd's own table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaintdTable {
    /// The members of the sets.
    pub(crate) clients: ClientSet,
    /// The names of the sets.
    pub(crate) sets: Vec<String>,
    /// The names of the chains.
    pub(crate) chains: Vec<String>,
    /// The redirections of the rules: family, from port, to port.
    pub(crate) redirects: Vec<(Family, u16, u16)>,
    /// A rule accepts the host's packets to itself before conntrack.
    pub(crate) exempts_loopback: bool,
    /// The named counters.
    pub(crate) counts: BTreeMap<String, Count>,
}

/// `nft -j list table`.
pub(crate) fn table(json: &str) -> Option<MaintdTable> {
    let json: Value = serde_json::from_str(json).ok()?;
    let mut table = MaintdTable::default();
    for item in json.get("nftables")?.as_array()? {
        if let Some(set) = item.get("set") {
            table.add_set(set)?;
        } else if let Some(counter) = item.get("counter") {
            table.add_counter(counter);
        } else if let Some(chain) = item.get("chain") {
            let name = chain.get("name").and_then(Value::as_str);
            table.chains.extend(name.map(str::to_owned));
        } else if let Some(rule) = item.get("rule") {
            table.redirects.extend(redirect(rule));
            table.exempts_loopback |= exempts_loopback(rule);
        }
    }
    if table.clients.is_empty() {
        // Exceptions left by an earlier `off` have no effect.
        table.clients.except.clear();
    }
    Some(table)
}

impl MaintdTable {
    /// `None` if a member of the sets cannot be parsed, because none may be missed.
    fn add_set(&mut self, set: &Value) -> Option<()> {
        let Some(name) = set.get("name").and_then(Value::as_str) else {
            return Some(());
        };
        self.sets.push(name.to_owned());
        let networks = if CLIENTS.contains(&name) {
            &mut self.clients.entries
        } else if EXCEPT.contains(&name) {
            &mut self.clients.except
        } else {
            return Some(());
        };
        for member in set
            .get("elem")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            networks.extend(element(member)?);
        }
        Some(())
    }

    fn add_counter(&mut self, counter: &Value) {
        let number = |name: &str| counter.get(name).and_then(Value::as_u64).unwrap_or(0);
        if let Some(name) = counter.get("name").and_then(Value::as_str) {
            let count = Count {
                packets: number("packets"),
                bytes: number("bytes"),
            };
            self.counts.insert(name.to_owned(), count);
        }
    }
}

/// An element of a set: an address, a prefix or a range, which a comment or a timeout wraps in another `elem`.
pub(crate) fn element(element: &Value) -> Option<Vec<Network>> {
    let element = element
        .get("elem")
        .and_then(|inner| inner.get("val"))
        .unwrap_or(element);
    let address = |value: &Value| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    if let Some(address) = address(element) {
        return Some(vec![Network::single(address)]);
    }
    if let Some(prefix) = element.get("prefix") {
        let (address, length) = (prefix.get("addr")?.as_str()?, prefix.get("len")?);
        return Some(vec![format!("{address}/{length}").parse().ok()?]);
    }
    let [first, last] = element.get("range")?.as_array()?.as_slice() else {
        return None;
    };
    let (first, last) = (address(first)?, address(last)?);
    (Family::of(first) == Family::of(last)).then(|| Network::of_range(first, last))
}

/// The redirection of a rule: family, from port, to port.
fn redirect(rule: &Value) -> Option<(Family, u16, u16)> {
    let expressions = rule.get("expr")?.as_array()?;
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let to = expressions
        .iter()
        .find_map(|expression| port(expression.get("redirect")?.get("port")?))?;
    let matches = || {
        expressions
            .iter()
            .filter_map(|expression| expression.get("match"))
    };
    let from = matches().find_map(|test| {
        let field = test.get("left")?.get("payload")?.get("field")?;
        port(test.get("right")?).filter(|_| field == "dport")
    })?;
    let family = matches().find_map(|test| match test.get("right")?.as_str()? {
        "ipv4" => Some(Family::Inet),
        "ipv6" => Some(Family::Inet6),
        _ => None,
    })?;
    Some((family, from, to))
}

/// The rule accepts packets over the loopback interface before conntrack.
fn exempts_loopback(rule: &Value) -> bool {
    let expressions = rule.get("expr").and_then(Value::as_array);
    let Some([condition, verdict]) = expressions.map(Vec::as_slice) else {
        return false;
    };
    let condition = condition.get("match");
    let is = |name: &str, value: &Value| {
        condition.and_then(|condition| condition.get(name)) == Some(value)
    };
    rule.get("chain").and_then(Value::as_str) == Some("raw")
        && verdict.get("accept").is_some()
        && is("op", &json!("=="))
        && is("left", &json!({"meta": {"key": "iif"}}))
        && is("right", &json!("lo"))
}

/// `ss -Htn`: the peers of open connections; `None` for one that cannot be parsed. A closing connection is not counted: it
/// sends no answer, and older kernels cannot end it after its program has closed it.
pub(crate) fn open_sockets(text: &str) -> impl Iterator<Item = Option<IpAddr>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_open = matches!(words.next()?, "ESTAB" | "SYN-RECV" | "CLOSE-WAIT");
        is_open.then(|| words.nth(3).and_then(peer))
    })
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`, `[fe80::1]%eth0:80`, or `[::ffff:192.0.2.1]:80` if one socket serves both families.
fn peer(text: &str) -> Option<IpAddr> {
    let (host, _) = text.rsplit_once(':')?;
    let host = host.split('%').next()?.trim_matches(['[', ']']);
    host.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// The stderr of nft for a missing table.
pub(crate) fn is_missing(stderr: &str) -> bool {
    stderr.contains("No such file or directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_parsed() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "maintd"}},
            {"counter": {"family": "inet", "name": "www-normal", "table": "maintd", "packets": 12, "bytes": 3456}},
            {"set": {"name": "clients4", "table": "maintd", "elem": [{"prefix": {"addr": "0.0.0.0", "len": 0}}]}},
            {"set": {"name": "clients6", "table": "maintd", "elem": [{"prefix": {"addr": "::", "len": 0}}]}},
            {"set": {"name": "except4", "table": "maintd", "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "192.0.2.10", {"range": ["192.0.2.20", "192.0.2.21"]}]}},
            {"set": {"name": "except6", "table": "maintd"}},
            {"rule": {"chain": "prerouting", "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@except4"}}, {"accept": null}]}},
            {"rule": {"chain": "prerouting", "expr": [
                {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}},
                {"match": {"op": "==", "left": {"ct": {"key": "zone", "dir": "original"}}, "right": 503}},
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}},
                {"redirect": {"port": 8080}}]}},
            {"rule": {"chain": "input", "expr": [
                {"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, {"accept": null}]}}]}"#;
        let table = table(json).unwrap();
        let texts =
            |networks: &[Network]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&table.clients.entries), ["0.0.0.0/0", "::/0"]);
        assert_eq!(
            texts(&table.clients.except),
            ["10.0.0.0/8", "192.0.2.10", "192.0.2.20/31"]
        );
        assert_eq!(table.sets, ["clients4", "clients6", "except4", "except6"]);
        assert_eq!(table.redirects, [(Family::Inet, 80, 8080)]);
        assert_eq!(table.counts["www-normal"].packets, 12);
        assert!(!table.exempts_loopback);
        let raw = json.replace(r#""chain": "input""#, r#""chain": "raw""#);
        assert!(super::table(&raw).unwrap().exempts_loopback);
    }

    #[test]
    fn invalid_json_is_no_table() {
        for json in ["", "{", "[]", "{}", r#"{"nftables": 1}"#] {
            assert_eq!(table(json), None, "{json}");
        }
        let odd = r#"{"nftables": [1, {"set": 1}, {"set": {"name": "other", "elem": ["x"]}}, {"rule": {}}]}"#;
        assert!(table(odd).unwrap().clients.is_empty());
        let by_hand = r#"{"nftables": [{"set": {"name": "clients4", "elem": [{"elem": {"val": {"prefix": {"addr": "0.0.0.0", "len": 0}}, "comment": "by hand"}}]}}]}"#;
        assert!(!table(by_hand).unwrap().clients.is_empty());
        for member in [
            "1",
            r#"{"prefix": 1}"#,
            r#"{"range": ["::", "0.0.0.0"]}"#,
            r#""x""#,
        ] {
            let json = format!(
                r#"{{"nftables": [{{"set": {{"name": "clients4", "elem": [{member}]}}}}]}}"#
            );
            assert_eq!(table(&json), None, "{member}");
        }
    }

    #[test]
    fn time_wait_is_not_open() {
        let text = "ESTAB     0      0      192.0.2.1:80  198.51.100.7:50000 \nTIME-WAIT 0      0      192.0.2.1:80  198.51.100.7:50001 \nSYN-RECV  0      0      192.0.2.1:80  198.51.100.7:50002 \n";
        assert_eq!(open_sockets(text).count(), 2);
        assert_eq!(open_sockets("").count(), 0);
    }

    #[test]
    fn the_peer_of_a_connection_is_an_address_of_either_family() {
        let text = "ESTAB 0 0 192.0.2.1:80 198.51.100.7:50000 \n\
            ESTAB 0 0 [2001:db8::1]:80 [2001:db8::7]:50001\n\
            ESTAB 0 0 [::ffff:192.0.2.1]:443 [::ffff:198.51.100.8]:50002\n\
            ESTAB 0 0 [fe80::1]%eth0:443 [fe80::7]%eth0:50002\n\
            ESTAB 0 0\n";
        let address = |text: &str| Some(text.parse().unwrap());
        let expected = [
            address("198.51.100.7"),
            address("2001:db8::7"),
            address("198.51.100.8"),
            address("fe80::7"),
            None,
        ];
        assert_eq!(open_sockets(text).collect::<Vec<_>>(), expected);
    }
}
