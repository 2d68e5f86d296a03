//! Rules in the formats of nft 1.0.6, iptables 1.8.9, ufw 0.36 and firewalld 1.3.

use crate::switch::filter::nft::firewall::*;

const UFW: [&str; 2] = [
    include_str!("samples/ufw.json"),
    include_str!("samples/ufw.save"),
];
const FIREWALLD: &str = include_str!("samples/firewalld.json");

const REDIRECTS: [Redirect; 2] = [
    Redirect { from: 80, to: 8080 },
    Redirect {
        from: 443,
        to: 8443,
    },
];
const BOTH: [Family; 2] = [Family::Inet, Family::Inet6];

fn problem_of(listings: &Listings<'_>) -> Option<String> {
    let own = ["198.51.100.1", "198.51.100.9", "2001:db8::1"].map(|text| text.parse().unwrap());
    let ruleset = Ruleset::read(listings, "maintd", &own).unwrap();
    find_problem(&ruleset, &REDIRECTS, &BOTH).map(|problem| match problem {
        FirewallProblem::BlocksClients(what)
        | FirewallProblem::BlocksOwnCheck(what)
        | FirewallProblem::Undecided(what) => what,
    })
}

/// nft's JSON of a chain and its rules, each given by its expressions.
fn chain(family: &str, table: &str, rest: &str, rules: &[&str]) -> String {
    let place = format!(r#""family": "{family}", "table": "{table}""#);
    let mut text = format!(r#"{{"chain": {{{place}, {rest}}}}}"#);
    let name = rest.split('"').nth(3).unwrap();
    for rule in rules {
        text.push_str(&format!(
            r#", {{"rule": {{{place}, "chain": "{name}", "expr": [{rule}]}}}}"#
        ));
    }
    text
}

fn ruleset(items: &[String]) -> String {
    format!(r#"{{"nftables": [{}]}}"#, items.join(", "))
}

fn nft_problem(items: &[String]) -> Option<String> {
    problem_of(&Listings {
        nft: &ruleset(items),
        ..Listings::default()
    })
}

const DROPS: &str =
    r#""name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop""#;
const ACCEPTS: &str =
    r#""name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "accept""#;

const ESTABLISHED: &str = r#"{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", {"drop": null}], ["established", {"accept": null}], ["related", {"accept": null}]]}}}"#;
const LOOPBACK: &str =
    r#"{"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, {"accept": null}"#;
const LIVE: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, 80, 443]}}}, {"counter": {"packets": 0, "bytes": 0}}, {"accept": null}"#;
const PAGE: &str = r#"{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [8080, 8443]}}}, {"accept": null}"#;
const SOURCE: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "192.0.2.0", "len": 24}}}}"#;

/// The problem with one chain at the input hook with policy drop.
fn dropping(rules: &[&str]) -> Option<String> {
    let rules = [&[ESTABLISHED, LOOPBACK], rules].concat();
    nft_problem(&[chain("inet", "filter", DROPS, &rules)])
}

/// The same with policy accept.
fn accepting(rules: &[&str]) -> Option<String> {
    nft_problem(&[chain("inet", "filter", ACCEPTS, rules)])
}

#[test]
fn a_chain_that_accepts_only_the_live_ports_is_reported_with_a_command() {
    assert_eq!(
        dropping(&[LIVE]).unwrap(),
        "a firewall blocks visitors from the page: chain \"input\" of table \"inet filter\" drops packets redirected to ports 8080 and 8443; \
         run \"nft insert rule inet filter input ct status dnat tcp dport { 8080, 8443 } accept\", \
         and add it to the firewall's configuration for the next boot"
    );
    assert_eq!(dropping(&[PAGE, LIVE]), None);
    // The site is closed to all visitors.
    assert!(dropping(&[]).is_some());
}

#[test]
fn rules_that_match_a_redirected_packet_accept_it() {
    for rule in [
        r#"{"accept": null}"#,
        r#"{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, {"accept": null}"#,
        r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new", "untracked"]}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": {"set": ["established", "new"]}}}, {"accept": null}"#,
        r#"{"match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": "established"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"range": [8000, 9000]}}}, {"accept": null}"#,
        r#"{"match": {"op": ">", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 1024}}, {"accept": null}"#,
        r#"{"match": {"op": "!=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": {"range": [1024, 65535]}}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"ct": {"key": "proto-dst", "dir": "original"}}, "right": {"set": [80, 443]}}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn", "rst", "ack"]]}, "right": "syn"}}, {"accept": null}"#,
        r#"{"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": {"set": ["local", "broadcast"]}}}, {"accept": null}"#,
        r#"{"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"meta": {"key": "pkttype"}}, "right": "host"}}, {"accept": null}"#,
    ] {
        assert_eq!(dropping(&[rule, LIVE]), None, "{rule}");
    }
}

#[test]
fn rules_that_do_not_match_a_redirected_packet_do_not_accept_it() {
    for rule in [
        r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}, {"accept": null}"#,
        r#"{"match": {"op": "!", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 8080}}, {"accept": null}"#,
        r#"{"match": {"op": "!=", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "type"}}, "right": "echo-request"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "nexthdr"}}, "right": "ipv6-icmp"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"prefix": {"addr": "224.0.0.0", "len": 4}}}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "reply"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "ack"}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["192.0.2.1", 8080]}]}}}, {"accept": null}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"base": "th", "offset": 16, "len": 16}}, "right": 8080}}, {"accept": null}"#,
        r#"{"a future statement": 1}, {"accept": null}"#,
        r#"{"limit": {"rate": 3, "burst": 5, "per": "minute"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}}, {"accept": null}"#,
        r#"{"xt": {"type": "match", "name": "multiport"}}, {"accept": null}"#,
        r#"{"log": null}"#,
    ] {
        assert!(dropping(&[rule, LIVE]).is_some(), "{rule}");
    }
}

#[test]
fn rules_that_drop_packets_to_both_sides_are_not_reported() {
    let source = |action: &str| format!(r#"{SOURCE}, {{"{action}": null}}"#);
    let (drop, accept) = (source("drop"), source("accept"));
    let limited = format!(r#"{SOURCE}, {LIVE}"#);
    let both = format!(
        r#"{SOURCE}, {}"#,
        LIVE.replace("[22, 80, 443]", "[80, 443, 8080, 8443]")
    );
    // Block lists and rate limits.
    for rules in [
        &[drop.as_str()][..],
        &[
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@unknown"}}, {"drop": null}"#,
        ],
        &[
            r#"{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": false}}, {"drop": null}"#,
        ],
        &[
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"ct count": {"val": 20, "inv": true}}, {"reject": null}"#,
        ],
        &[r#"{"limit": {"rate": 5, "burst": 5, "per": "second", "inv": true}}, {"drop": null}"#],
        &[
            r#"{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@meter", "stmt": [{"limit": {"rate": 10, "per": "second", "inv": true}}]}}, {"drop": null}"#,
        ],
    ] {
        assert_eq!(accepting(rules), None, "{rules:?}");
    }
    // Only visitors from some networks.
    assert_eq!(dropping(&[&both]), None);
    assert_eq!(dropping(&[&accept]), None);
    assert!(dropping(&[&limited]).is_some());
    assert!(dropping(&[&accept, LIVE]).is_some());
    // One interface accepts the live site, another one the page.
    let by = |name: &str, rule: &str| {
        format!(
            r#"{{"match": {{"op": "==", "left": {{"meta": {{"key": "iifname"}}}}, "right": "{name}"}}}}, {rule}"#
        )
    };
    assert_eq!(dropping(&[&by("eth0", PAGE), &by("eth0", LIVE)]), None);
    assert!(dropping(&[&by("eth1", PAGE), &by("eth0", LIVE)]).is_some());
}

#[test]
fn accepting_one_source_does_not_open_the_page() {
    // The live site is a container: its packets are forwarded, and pass no chain at the input hook.
    let nat = r#""name": "PREROUTING", "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept""#;
    let dnat = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [80, 443]}}}, {"dnat": {"addr": "172.17.0.2", "port": 80}}"#;
    let accept = format!(r#"{SOURCE}, {{"accept": null}}"#);
    let problem = nft_problem(&[
        chain("ip", "nat", nat, &[dnat]),
        chain("inet", "filter", DROPS, &[ESTABLISHED, LOOPBACK, &accept]),
    ]);
    assert!(problem.unwrap().contains("chain \"input\""));
}

#[test]
fn each_base_chain_must_accept() {
    let early =
        r#""name": "early", "type": "filter", "hook": "input", "prio": -300, "policy": "accept""#;
    let late =
        r#""name": "late", "type": "filter", "hook": "input", "prio": 300, "policy": "drop""#;
    let problem = nft_problem(&[
        chain("inet", "filter", late, &[ESTABLISHED, LOOPBACK, LIVE]),
        chain("ip", "first", early, &[r#"{"accept": null}"#]),
        chain("ip6", "other", DROPS, &[ESTABLISHED, LOOPBACK, LIVE]),
        chain("bridge", "other", DROPS, &[]),
        chain("inet", "maintd", DROPS, &[]),
    ])
    .unwrap();
    assert!(
        problem.contains(
            "chain \"input\" of table \"ip6 other\" drops packets redirected to ports 8080 and 8443, \
             and chain \"late\" of table \"inet filter\" drops packets redirected to ports 8080 and 8443; \
             run \"nft insert rule ip6 other input ct status dnat tcp dport { 8080, 8443 } accept\" \
             and \"nft insert rule inet filter late "
        ),
        "{problem}"
    );
}

#[test]
fn the_only_dropped_family_is_named() {
    let v4 = r#"{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}, {"accept": null}"#;
    let problem = dropping(&[v4, LIVE]).unwrap();
    assert!(
        problem.contains("to ports 8080 and 8443 over IPv6;"),
        "{problem}"
    );
    let v4 = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "tcp"}}, {"accept": null}"#;
    let problem = dropping(&[v4, LIVE]).unwrap();
    assert!(problem.contains(" over IPv6;"), "{problem}");
}

#[test]
fn jumps_are_followed() {
    let web = r#""name": "web""#;
    let jump = r#"{"jump": {"target": "web"}}"#;
    let goto = r#"{"goto": {"target": "web"}}"#;
    let by_port = r#"{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@ports"}}"#;
    let ports = r#"{"map": {"family": "inet", "table": "filter", "name": "ports", "map": "verdict", "elem": [[80, {"accept": null}], [443, {"accept": null}], [8080, {"goto": {"target": "web"}}], [8443, {"jump": {"target": "web"}}]]}}"#;
    let set = r#"{"set": {"family": "inet", "table": "filter", "name": "open", "elem": [80, 443, 8080, {"elem": {"val": 8443, "comment": "page"}}]}}"#;
    let named = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": "@open"}}, {"accept": null}"#;
    for (input, inside, is_open) in [
        (&[jump][..], &[PAGE][..], true),
        (&[jump], &[LIVE], false),
        (
            &[jump, PAGE],
            &[r#"{"return": null}"#, r#"{"drop": null}"#],
            true,
        ),
        (&[goto, PAGE], &[], false),
        (&[jump, PAGE], &[], true),
        (&[by_port], &[PAGE], true),
        (&[by_port], &[], false),
        (&[named], &[], true),
        (&[r#"{"jump": {"target": "nowhere"}}"#, PAGE], &[], true),
        (&[jump, PAGE], &[jump], true),
    ] {
        let problem = nft_problem(&[
            ports.to_owned(),
            set.to_owned(),
            chain(
                "inet",
                "filter",
                DROPS,
                &[&[ESTABLISHED, LOOPBACK], input].concat(),
            ),
            chain("inet", "filter", web, inside),
        ]);
        assert_eq!(problem.is_none(), is_open, "{input:?} {inside:?}");
    }
}

#[test]
fn dropped_answers_are_reported() {
    let output = |priority: i32| {
        format!(
            r#""name": "output", "type": "filter", "hook": "output", "prio": {priority}, "policy": "drop""#
        )
    };
    let live = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": {"set": [80, 443]}}}, {"accept": null}"#;
    let lo = LOOPBACK.replace("iif", "oif");
    let problem = |rules: &[&str], priority| {
        let rules = [&[lo.as_str()], rules].concat();
        nft_problem(&[chain("inet", "filter", &output(priority), &rules)])
    };
    assert_eq!(problem(&[ESTABLISHED], 0), None);
    let what = problem(&[live], 0).unwrap();
    assert!(
        what.contains("drops answers from ports 8080 and 8443; run \"nft insert rule inet filter output ct status dnat tcp sport { 8080, 8443 } accept\""),
        "{what}"
    );
    // Untracked answers keep the responder's port.
    let untracked = &[r#"{"notrack": null}"#, r#"{"accept": null}"#];
    let what = problem(untracked, -300).unwrap();
    assert!(
        what.contains("exempts answers from ports 8080 and 8443 from conntrack; run \"nft insert rule inet filter output tcp sport { 8080, 8443 } accept\""),
        "{what}"
    );
    assert_eq!(
        problem(
            &[&live.replace("accept", "notrack"), r#"{"accept": null}"#],
            -300
        ),
        None
    );
}

#[test]
fn dropped_own_requests_are_reported() {
    let input = |rules: &[&str]| nft_problem(&[chain("inet", "filter", DROPS, rules)]);
    assert_eq!(
        input(&[ESTABLISHED, PAGE, LIVE]).unwrap(),
        "a firewall blocks maintd's check of the responder: \
         chain \"input\" of table \"inet filter\" drops maintd's own requests to ports 8080 and 8443 over the loopback interface; \
         run \"nft insert rule inet filter input iif lo accept\", and add it to the firewall's configuration for the next boot"
    );
    assert_eq!(
        input(&[ESTABLISHED, LIVE]).unwrap(),
        "a firewall blocks visitors from the page: \
         chain \"input\" of table \"inet filter\" drops packets redirected to ports 8080 and 8443, \
         and chain \"input\" of table \"inet filter\" drops maintd's own requests to ports 8080 and 8443 over the loopback interface; \
         run \"nft insert rule inet filter input ct status dnat tcp dport { 8080, 8443 } accept\" \
         and \"nft insert rule inet filter input iif lo accept\", and add it to the firewall's configuration for the next boot"
    );
    let not_loopback = LOOPBACK.replace("==", "!=");
    assert!(
        input(&[ESTABLISHED, &not_loopback])
            .unwrap()
            .contains("iif lo accept")
    );
    // Other forms of the loopback interface, and ports open to all.
    for rule in [
        LOOPBACK,
        &LOOPBACK.replace("\"lo\"", r#"{"set": ["eth0", "lo"]}"#),
        &LOOPBACK.replace("\"lo\"", "\"l*\""),
        &LIVE.replace("[22, 80, 443]", "[80, 443, 8080, 8443]"),
    ] {
        assert_eq!(input(&[ESTABLISHED, rule, PAGE, LIVE]), None, "{rule}");
    }
    // These networks may contain an address of this host.
    let source = format!(r#"{SOURCE}, {{"accept": null}}"#);
    let other = source
        .replace("ip", "ip6")
        .replace("192.0.2.0", "2001:db8::");
    assert_eq!(input(&[ESTABLISHED, PAGE, LIVE, &source, &other]), None);
    let output =
        r#""name": "output", "type": "filter", "hook": "output", "prio": 0, "policy": "drop""#;
    let what = nft_problem(&[chain("inet", "filter", output, &[ESTABLISHED])]);
    let what = what.unwrap();
    assert!(
        what.contains("run \"nft insert rule inet filter output oif lo accept\""),
        "{what}"
    );
    let what = problem_of(&Listings {
        nft: r#"{"nftables": []}"#,
        iptables_legacy: [
            "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED,DNAT -j ACCEPT\nCOMMIT\n",
            "",
        ],
        ..Listings::default()
    });
    let what = what.unwrap();
    assert!(
        what.contains("run \"iptables-legacy -I INPUT -i lo -j ACCEPT\""),
        "{what}"
    );
}

#[test]
fn ufw_gets_its_own_command() {
    let listings = Listings {
        nft: UFW[0],
        iptables_nft: [UFW[1], ""],
        ..Listings::default()
    };
    assert_eq!(
        problem_of(&listings).unwrap(),
        "a firewall blocks visitors from the page: chain \"INPUT\" of table \"ip filter\" drops packets redirected to ports 8080 and 8443; \
         run \"ufw allow 8080,8443/tcp\""
    );
    let allowed = "-A ufw-user-input -p tcp -m multiport --dports 8080,8443 -j ACCEPT\nCOMMIT";
    let open = UFW[1].replace("COMMIT", allowed);
    let listings = Listings {
        iptables_nft: [&open, ""],
        ..listings
    };
    assert_eq!(problem_of(&listings), None);
    // Without iptables-save the rule is unknown, and assumed not to accept.
    let listings = Listings {
        iptables_nft: [""; 2],
        ..listings
    };
    assert!(problem_of(&listings).is_some());
}

#[test]
fn firewalld_accepts_redirected_packets() {
    let listings = Listings {
        nft: FIREWALLD,
        ..Listings::default()
    };
    assert_eq!(problem_of(&listings), None);
    // Older versions did not accept them.
    let strict = FIREWALLD.replace(r#""right": "dnat""#, r#""right": "snat""#);
    let listings = Listings {
        nft: &strict,
        ..Listings::default()
    };
    let what = problem_of(&listings).unwrap();
    assert!(
        what.contains("run \"firewall-cmd --add-port=8080/tcp --add-port=8443/tcp\", and"),
        "{what}"
    );
}

/// The problem with these rules of iptables-legacy in INPUT, with policy drop.
fn legacy(rules: &[&str]) -> Option<String> {
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| format!("-A INPUT {rule}\n"))
        .collect();
    let text = format!(
        "# Generated\n*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:WEB - [0:0]\n-A INPUT -i lo -j ACCEPT\n{}-A WEB -p tcp -m tcp --dport 8000:9000 -j ACCEPT\nCOMMIT\n",
        rules.concat()
    );
    problem_of(&Listings {
        nft: r#"{"nftables": []}"#,
        iptables_legacy: [&text, ""],
        ..Listings::default()
    })
}

#[test]
fn iptables_rules_are_parsed() {
    const LIVE: &str = "-p tcp -m multiport --dports 22,80,443 -j ACCEPT";
    assert_eq!(
        legacy(&[LIVE]).unwrap(),
        "a firewall blocks visitors from the page: chain \"INPUT\" of table \"ip filter\" drops packets redirected to ports 8080 and 8443; \
         run \"iptables-legacy -I INPUT -m conntrack --ctstate DNAT -p tcp -m multiport --dports 8080,8443 -j ACCEPT\", \
         and add it to the firewall's configuration for the next boot"
    );
    for rule in [
        "-p tcp -m conntrack --ctstate DNAT -m multiport --dports 8080,8443 -j ACCEPT",
        "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
        "-m conntrack --ctstatus DNAT -j ACCEPT",
        "-p tcp -m tcp --dport 1024:65535 --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -m comment --comment \"an \\\"old\\\" -j DROP\" -j ACCEPT",
        "-p tcp -m conntrack ! --ctstate INVALID -j ACCEPT",
        "-d 198.51.100.0/24 -j ACCEPT",
        "-m addrtype --dst-type LOCAL -j ACCEPT",
        "! -i lo -p tcp -m multiport --dports 80,443,8000:9000 -j ACCEPT",
        "-j WEB",
        "-g WEB",
    ] {
        assert_eq!(legacy(&[rule, LIVE]), None, "{rule}");
    }
    for rule in [
        "-i lo -j ACCEPT",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-s 192.0.2.0/24 -j ACCEPT",
        "-p udp -m udp --dport 8080 -j ACCEPT",
        "-d 192.0.2.0/24 -j ACCEPT",
        "-p tcp -m limit --limit 3/min -m tcp --dport 8080 -j ACCEPT",
        "-m set --match-set ports dst -j ACCEPT",
        "-m limit --limit 3/min -j LOG --log-prefix \"-j ACCEPT\"",
        "-p tcp -m tcp --dport 8080 -j DROP",
    ] {
        assert!(legacy(&[rule, LIVE]).is_some(), "{rule}");
    }
    for rule in [
        "-s 192.0.2.0/24 -j DROP",
        "-m set --match-set blocked src -j DROP",
        "-m recent --update --seconds 60 --hitcount 10 --name web --mask 255.255.255.255 --rsource -j DROP",
        "-p tcp -m tcp --dport 80 -m connlimit --connlimit-above 20 -j REJECT --reject-with tcp-reset",
    ] {
        let open = "-p tcp -m multiport --dports 80,443,8080,8443 -j ACCEPT";
        assert_eq!(legacy(&[rule, open]), None, "{rule}");
    }
}

/// An input chain that jumps to one chain for each input interface. Only the first accepts the live site.
fn by_interface(networks: usize) -> String {
    let iifname = |name: &str| {
        format!(
            r#"{{"match": {{"op": "==", "left": {{"meta": {{"key": "iifname"}}}}, "right": "{name}"}}}}"#
        )
    };
    let jump = |name: &str, chain: &str| {
        format!(r#"{}, {{"jump": {{"target": "{chain}"}}}}"#, iifname(name))
    };
    let mut jumps = vec![
        ESTABLISHED.to_owned(),
        LOOPBACK.to_owned(),
        jump("eth0", "wan"),
    ];
    let mut chains = vec![chain("inet", "filter", r#""name": "wan""#, &[LIVE])];
    for number in 1..=networks {
        let name = format!("w{number}");
        let ssh = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}"#;
        jumps.push(jump(&format!("vlan{number}"), &name));
        chains.push(chain(
            "inet",
            "filter",
            &format!(r#""name": "{name}""#),
            &[ssh],
        ));
    }
    jumps.push(format!(r#"{SOURCE}, {{"accept": null}}"#));
    jumps.push(r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "saddr"}}, "right": {"prefix": {"addr": "fd00::", "len": 8}}}}, {"accept": null}"#.to_owned());
    let jumps: Vec<&str> = jumps.iter().map(String::as_str).collect();
    chains.insert(0, chain("inet", "filter", DROPS, &jumps));
    ruleset(&chains)
}

#[test]
fn a_chain_of_one_of_many_interfaces_is_reported() {
    for networks in [0, 13, 14, 40, 200] {
        let listings = by_interface(networks);
        let what = problem_of(&Listings {
            nft: &listings,
            ..Listings::default()
        });
        let what = what.unwrap_or_default();
        assert!(
            what.contains("drops packets redirected to ports 8080 and 8443;"),
            "{networks}: {what}"
        );
    }
}

/// Rules that each drop packets with one mark, then rules that accept all packets.
fn marks(count: usize) -> Vec<String> {
    let mark = |number| {
        format!(
            r#"{{"match": {{"op": "==", "left": {{"&": [{{"meta": {{"key": "mark"}}}}, {number}]}}, "right": {number}}}}}"#
        )
    };
    let mut rules: Vec<String> = (0..count)
        .map(|number| format!(r#"{}, {{"log": null}}, {{"drop": null}}"#, mark(number)))
        .collect();
    rules.push(PAGE.to_owned());
    rules.push(LIVE.to_owned());
    rules
}

#[test]
fn too_many_rules_or_combinations_are_undecided() {
    let problem = |count| {
        let rules = marks(count);
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        dropping(&rules)
    };
    assert_eq!(problem(8), None);
    // Over MAX_RULES.
    assert_eq!(
        problem(4_000).unwrap_or_default(),
        "cannot evaluate all rules of chain \"input\" of table \"inet filter\"; \
         check that it accepts packets redirected to ports 8080 and 8443"
    );
    // Over MAX_COMBINATIONS.
    let sixteen: Vec<String> = (0..16)
        .map(|number| {
            format!(
                r#"{{"match": {{"op": "==", "left": {{"meta": {{"key": "mark"}}}}, "right": {number}}}}}, {{"jump": {{"target": "web"}}}}"#
            )
        })
        .collect();
    let mut rules = vec![ESTABLISHED, LOOPBACK];
    rules.extend(sixteen.iter().map(String::as_str));
    rules.extend([LIVE, PAGE]);
    let log = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}, {"drop": null}"#;
    let what = nft_problem(&[
        chain("inet", "filter", DROPS, &rules),
        chain("inet", "filter", r#""name": "web""#, &[log]),
    ]);
    assert!(
        what.unwrap_or_default()
            .starts_with("cannot evaluate all rules of chain \"input\""),
    );
}

#[test]
fn many_rules_and_loops_terminate() {
    let sources: Vec<String> = (0..1000)
        .map(|number| format!("-s 10.0.{}.{}/32 -j ACCEPT", number / 250, number % 250))
        .collect();
    let mut rules: Vec<&str> = sources.iter().map(String::as_str).collect();
    rules.push("-p tcp -m multiport --dports 80,443,8080,8443 -j ACCEPT");
    assert_eq!(legacy(&rules), None);
    let web = r#""name": "web""#;
    let twice = [r#"{"jump": {"target": "web"}}"#; 2];
    nft_problem(&[
        chain("inet", "filter", DROPS, &twice),
        chain("inet", "filter", web, &twice),
    ]);
}

#[test]
fn malformed_listings_are_rejected() {
    for text in ["", "{", "[]", r#"{"nftables": 1}"#] {
        let listings = Listings {
            nft: text,
            ..Listings::default()
        };
        assert!(Ruleset::read(&listings, "maintd", &[]).is_none(), "{text}");
    }
    for text in [
        r#"{"nftables": [1, {"chain": 1}, {"rule": {"expr": [1]}}, {"set": {}}, {"map": {"name": 1}}]}"#,
        r#"{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "c", "hook": "input"}}, {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [{}, {"match": 1}, {"vmap": {}}, {"jump": 1}, {"xt": null}]}}]}"#,
    ] {
        read_everything(text);
    }
    read_everything(
        "*filter\n:INPUT\n:\n-A\n-A INPUT\n-A INPUT ! -m\n-A INPUT -j\n-A OTHER -j ACCEPT\n-A INPUT --dport : -p \"",
    );
}
