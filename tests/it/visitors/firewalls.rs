//! Another firewall on the host: redirected packets reach the input hook with the responder's port, and a chain that accepts
//! 80 and 443 alone drops them. `on` names the chain and the line to add before it changes anything.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{Ended, require_tool};
use crate::visitors::can_run;
use crate::visitors::site::Site;
use crate::visitors::site_client::Outcome;

/// A usual nftables file: what is not accepted is dropped.
const ONLY_80_AND_443: &str = "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n  \
    ct state vmap { established : accept, related : accept, invalid : drop }\n  iif lo accept\n  \
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n  tcp dport { 22, 80, 443 } accept\n }\n}\n";

/// The same by iptables, for one family each.
const BY_IPTABLES: &str = "
    $0 -A INPUT -i lo -j ACCEPT
    $0 -A INPUT -m conntrack --ctstate INVALID -j DROP
    $0 -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    $0 -A INPUT -p tcp -m multiport --dports 22,80,443 -j ACCEPT
    $0 -A INPUT -p ipv6-icmp -j ACCEPT
    $0 -P INPUT DROP";

/// ufw(8) with settings of its own: mounts are not seen outside of `ip netns exec`.
const UFW: &str = "set -e; mount --bind $0/ufw /etc/ufw; mount --bind $0/default /etc/default";

/// No client gets an answer.
const NO_ANSWER: [Outcome; 4] = [const { Outcome::Timeout }; 4];

/// How long a client waits that must get no answer.
const IO_TIMEOUT: Duration = Duration::from_millis(500);

impl Site {
    /// Loads rules in addition to maintd's.
    fn load(&self, rules: &str) {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("rules");
        fs::write(&file, rules).unwrap();
        self.server.run("nft", &["-f", file.to_str().unwrap()]);
    }

    /// Runs a script where the site is, with this as its `$0`.
    fn script(&self, script: &str, name: &str) {
        self.server.run("sh", &["-ec", script, name]);
    }

    /// New connections of client number 7, for each port one of each family, have these outcomes.
    fn new_clients_get(&self, expected: &[Outcome]) {
        for (mut client, expected) in self.clients(7).into_iter().zip(expected) {
            if *expected == Outcome::Timeout {
                client.io_timeout = IO_TIMEOUT;
            }
            assert_eq!(client.ask_once(), *expected, "{}", client.to);
        }
    }
}

/// The commands in the advice of a message.
fn lines_to_add(ended: &Ended) -> Vec<String> {
    let advice = ended.stderr.split_once("; run \"").unwrap().1;
    let advice = advice
        .split_once("\", and add it")
        .or_else(|| advice.split_once("\"; or"));
    advice
        .unwrap()
        .0
        .split("\" and \"")
        .map(str::to_owned)
        .collect()
}

/// `on` refuses and changes nothing; with `--force` new connections get this, and `status` has the reason.
fn is_in_the_way(site: &Site, expected: &str, forced_on: &[Outcome]) -> Ended {
    let live = [const { Outcome::Live }; 4];
    let mut kept = site.clients(8);
    for client in &mut kept {
        assert_eq!(client.ask(), Outcome::Live);
    }
    site.new_clients_get(&live);
    let refused = site.maintd(&["on"]);
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    let start = "maintd: not switched on: a firewall blocks visitors from the page: ";
    assert!(refused.stderr.starts_with(start), "{}", refused.stderr);
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    assert_eq!(site.status().0, 3);
    site.new_clients_get(&live);
    for client in &mut kept {
        assert_eq!(client.ask(), Outcome::Live, "a kept connection has ended");
    }
    let run = site.maintd(&["run", "--", "true"]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("the command was not run: "),
        "{}",
        run.stderr
    );

    let forced = site.maintd(&["on", "--force"]);
    assert_eq!(forced.status, Some(0), "{}", forced.stderr);
    assert!(forced.stderr.contains(expected), "{}", forced.stderr);
    let summary = "\nmaintd: on: all visitors are redirected to the page\n";
    assert!(forced.stderr.ends_with(summary), "{}", forced.stderr);
    site.new_clients_get(forced_on);
    let (status, table) = site.status();
    assert_eq!(status, 0, "{table}");
    assert!(
        table.contains("\nwarning       a firewall blocks visitors from the page: "),
        "{table}"
    );
    let moved = "\nmoved         all visitors are redirected to the page\n";
    assert!(table.contains(moved), "{table}");
    let json = site.maintd(&["status", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let warnings = json["warnings"].to_string();
    assert!(
        warnings.contains("a firewall blocks visitors"),
        "{warnings}"
    );
    site.switch(&["off"]);
    site.new_clients_get(&live);
    refused
}

/// `on` prints no warning, and all get the page.
fn is_open(site: &Site) {
    let on = site.maintd(&["on"]);
    assert_eq!(on.status, Some(0), "{}", on.stderr);
    assert_eq!(on.stderr, "maintd: on: all visitors get the page\n");
    site.new_clients_get(&[const { Outcome::Page }; 4]);
    let table = site.status().1;
    assert!(!table.contains("warning"), "{table}");
    site.switch(&["off"]);
    site.new_clients_get(&[const { Outcome::Live }; 4]);
}

#[test]
fn nftables_that_drop_the_page_are_named_and_opened_by_the_line() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    is_open(&site);
    site.load(ONLY_80_AND_443);
    let ended = is_in_the_way(
        &site,
        "chain \"input\" of table \"inet filter\" drops packets redirected to ports 8080 and 8443;",
        &NO_ANSWER,
    );
    for line in lines_to_add(&ended) {
        site.script(&line, "sh");
    }
    is_open(&site);
}

#[test]
fn a_firewall_that_drops_packets_over_the_loopback_is_named_and_opened_by_the_lines() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.load(&ONLY_80_AND_443.replace("iif lo accept", ""));
    let refused = site.maintd(&["on"]);
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    let lines = lines_to_add(&refused);
    let lo = "nft insert rule inet filter input iif lo accept";
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1], lo);
    // Clients reach the page, and maintd alone does not.
    site.script(&lines[0], "sh");
    let refused = site.maintd(&["on"]);
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    assert_eq!(lines_to_add(&refused), [lo]);
    let forced = site.maintd(&["on", "--force"]);
    assert_eq!(forced.status, Some(0), "{}", forced.stderr);
    assert!(
        forced
            .stderr
            .contains("no answer within 5 s; check that no firewall drops packets to port 8080"),
        "{}",
        forced.stderr
    );
    site.new_clients_get(&[const { Outcome::Page }; 4]);
    site.switch(&["off"]);
    site.script(lo, "sh");
    is_open(&site);
}

/// A chain that jumps to another one for each of many interfaces, of which clients use the first.
#[test]
fn a_drop_behind_one_of_many_interface_jumps_is_found() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let (mut chains, mut jumps) = (String::new(), String::new());
    for number in 0..40 {
        chains.push_str(&format!(
            " chain w{number} {{\n  tcp dport 22 accept\n }}\n"
        ));
        jumps.push_str(&format!("  iifname \"vlan{number}\" jump w{number}\n"));
    }
    let wan = "iifname != \"lo\" iifname \"to-clients\" jump wan\n";
    let rules = ONLY_80_AND_443.replace(
        "tcp dport { 22, 80, 443 } accept",
        &format!("{wan}{jumps}  ip saddr 192.168.0.0/16 accept"),
    );
    let rules = rules.replace(
        "table inet filter {\n",
        &format!(
            "table inet filter {{\n chain wan {{\n  tcp dport {{ 80, 443 }} accept\n }}\n{chains}"
        ),
    );
    site.load(&rules);
    is_in_the_way(
        &site,
        "chain \"input\" of table \"inet filter\" drops packets redirected",
        &NO_ANSWER,
    );
}

#[test]
fn a_chain_that_drops_one_family_is_named() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let v4 = "meta nfproto ipv4 tcp dport { 8080, 8443 } accept\n  tcp dport";
    site.load(&ONLY_80_AND_443.replacen("tcp dport", v4, 1));
    let ended = is_in_the_way(
        &site,
        "drops packets redirected to ports 8080 and 8443 over IPv6;",
        &[
            Outcome::Page,
            Outcome::Timeout,
            Outcome::Page,
            Outcome::Timeout,
        ],
    );
    // Clients of the other family alone.
    site.switch(&["on", "198.51.100.0/24"]);
    site.switch(&["off"]);
    for line in lines_to_add(&ended) {
        site.script(&line, "sh");
    }
    is_open(&site);
}

#[test]
fn rules_of_iptables_are_named_and_opened_by_the_lines() {
    for variant in ["nft", "legacy"] {
        let programs = ["iptables", "ip6tables"].map(|name| format!("{name}-{variant}"));
        if !can_run() || !require_tool(&programs[0]) {
            return;
        }
        let site = Site::new();
        for program in &programs {
            site.script(BY_IPTABLES, program);
        }
        let ended = is_in_the_way(
            &site,
            "chain \"INPUT\" of table \"ip6 filter\" drops packets redirected to ports 8080 and 8443; run \"iptables",
            &NO_ANSWER,
        );
        let lines = lines_to_add(&ended);
        assert_eq!(lines.len(), 2, "{lines:?}");
        for (line, program) in lines.iter().zip(&programs) {
            // A plain "iptables" is whatever the host's alternatives select.
            let (_, rest) = line.split_once(' ').unwrap();
            site.script(&format!("{program} {rest}"), "sh");
        }
        is_open(&site);
    }
}

#[test]
fn ufw_is_named_and_opened_by_its_own_line() {
    if !can_run() || !require_tool("ufw") {
        return;
    }
    let site = Site::new();
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    let ufw = |script: &str| site.script(&format!("{UFW}; {script}"), path);
    site.script(
        "cp -a /etc/ufw $0/ufw; cp -a /etc/default $0/default; sed -i 's/^IPT_SYSCTL/#&/' $0/default/ufw",
        path,
    );
    ufw("ufw allow 22,80,443/tcp; ufw --force enable");
    let ended = is_in_the_way(&site, "run \"ufw allow 8080,8443/tcp\"", &NO_ANSWER);
    for line in lines_to_add(&ended) {
        ufw(&line);
    }
    is_open(&site);
}

/// The chains of firewalld(1) accept what was redirected.
#[test]
fn firewalld_is_no_obstacle() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.load(
        "table inet firewalld {\n chain filter_INPUT {\n  type filter hook input priority filter + 10; policy accept;\n  \
         ct state { established, related } accept\n  ct status dnat accept\n  iifname \"lo\" accept\n  ct state invalid drop\n  \
         jump filter_INPUT_ZONES\n  reject with icmpx admin-prohibited\n }\n chain filter_INPUT_ZONES {\n  goto filter_IN_public\n }\n \
         chain filter_IN_public {\n  tcp dport { 80, 443 } accept\n  meta l4proto { icmp, ipv6-icmp } accept\n  \
         reject with icmpx admin-prohibited\n }\n}\n",
    );
    is_open(&site);
}

#[test]
fn a_site_for_some_networks_is_switched_where_they_reach_the_page() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let only = |ports: &str| {
        let rules = format!(
            "ip saddr 198.51.100.0/24 tcp dport {{ {ports} }} accept\n ip6 saddr 2001:db8::/32 tcp dport {{ {ports} }} accept"
        );
        ONLY_80_AND_443.replace("tcp dport { 22, 80, 443 } accept", &rules)
    };
    site.load(&only("80, 443"));
    is_in_the_way(&site, "chain \"input\"", &NO_ANSWER);
    site.load("delete table inet filter\n");
    site.load(&only("80, 443, 8080, 8443"));
    is_open(&site);
}

/// Rules that keep conntrack from the live site's connections, as busy hosts have them.
fn untracked(what: [&str; 2]) -> String {
    let [requests, answers] = what;
    format!(
        "table inet raw {{\n chain prerouting {{\n  type filter hook prerouting priority raw; policy accept;\n  {requests} notrack\n }}\n \
         chain output {{\n  type filter hook output priority raw; policy accept;\n  {requests} notrack\n  {answers} notrack\n }}\n}}\n"
    )
}

#[test]
fn off_reaches_a_live_site_that_conntrack_is_kept_from() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.load(&untracked([
        "tcp dport { 80, 443 }",
        "tcp sport { 80, 443 }",
    ]));
    is_open(&site);
}

#[test]
fn answers_that_conntrack_is_kept_from_are_an_obstacle() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.load(&untracked(["", ""]));
    let ended = is_in_the_way(
        &site,
        "chain \"output\" of table \"inet raw\" exempts answers from ports 8080 and 8443 from conntrack;",
        &NO_ANSWER,
    );
    for line in lines_to_add(&ended) {
        site.script(&line, "sh");
    }
    is_open(&site);
}
