//! `maintd on` without errors: its calls in their order, and the state afterwards.

use serde_json::json;

use crate::switch_pf::host::Host;
use crate::switch_pf::{
    ALL_CLIENTS, CHECKS, KILL_LIVE, KILL_PAGE, OUTSIDERS, REPLACE, STATES, TEST,
};

/// `on` has made exactly its calls, and each test was of these addresses: the moved ones, and the others.
#[track_caller]
fn assert_calls(host: &Host, tests: &[&[&str]]) {
    let mut expected = [&CHECKS[..], &[REPLACE]].concat();
    expected.extend(tests.iter().map(|_| TEST));
    expected.extend([KILL_LIVE, STATES, STATES]);
    let calls = host.calls_with_input();
    let args: Vec<&str> = calls.iter().map(|(args, _)| args.as_str()).collect();
    assert_eq!(args, expected);
    let tested = calls.iter().filter(|(args, _)| args == TEST);
    let tested: Vec<Vec<&str>> = tested.map(|(_, input)| input.lines().collect()).collect();
    assert_eq!(tested, tests);
}

/// What the only replacement was given to read.
fn replaced_by(host: &Host) -> String {
    let calls = host.calls_with_input().into_iter();
    let mut inputs = calls.filter(|(args, _)| args == REPLACE);
    let (_, input) = inputs.next().unwrap();
    assert_eq!(inputs.next(), None);
    input
}

#[test]
fn on_checks_changes_verifies_and_kills() {
    let host = Host::new();
    let ended = host.done(&["on"]);
    assert_eq!(ended.stderr, "maintd: on: all visitors get the page\n");
    assert_eq!(ended.stdout, "");
    let all = host.calls_with_input();
    let args: Vec<&str> = all.iter().map(|(args, _)| args.as_str()).collect();
    let expected = [&CHECKS[..], &[REPLACE, TEST, KILL_LIVE, STATES, STATES]].concat();
    assert_eq!(args, expected);
    for (args, input) in &all {
        let expected = match args.as_str() {
            REPLACE => "0.0.0.0/0\n::/0\n",
            TEST => OUTSIDERS,
            _ => "",
        };
        assert_eq!(input, expected, "{args}");
    }
    assert_eq!(host.table(), ALL_CLIENTS);
    assert_eq!(host.states("www-normal"), 0);
    let saved = host.saved().unwrap();
    assert_eq!(saved["entries"], json!(ALL_CLIENTS));
    assert_eq!(saved["except"], json!([]));
}

#[test]
fn a_repeated_on_does_the_same_and_keeps_the_start_time() {
    let host = Host::new();
    host.done(&["on"]);
    let mut saved = host.saved().unwrap();
    saved["since"] = json!(1_700_000_000);
    std::fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    host.calls();
    let ended = host.done(&["on"]);
    assert_eq!(ended.stderr, "maintd: on: all visitors get the page\n");
    assert_calls(&host, &[&["203.0.113.77", "2001:db8:ffff::77"]]);
    assert_eq!(host.table(), ALL_CLIENTS);
    assert_eq!(host.saved().unwrap()["since"], 1_700_000_000);
}

#[test]
fn after_an_end_by_hand_it_starts_again() {
    let host = Host::new();
    host.done(&["on"]);
    let mut saved = host.saved().unwrap();
    saved["since"] = json!(1_700_000_000);
    std::fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    host.set_table(&[]);
    host.done(&["on"]);
    assert!(host.saved().unwrap()["since"].as_u64() > Some(1_700_000_000));
}

#[test]
fn only_one_family_is_moved_if_configured() {
    for (family, entry, test, listens) in [
        ("inet", "0.0.0.0/0", "203.0.113.77", [true, false]),
        ("inet6", "::/0", "2001:db8:ffff::77", [false, true]),
    ] {
        let mut host = Host::quiet();
        host.live.listen();
        host.configure(&format!("family {family};"));
        // The other address is not probed.
        host.responder.start_on(listens);
        // Connections of the other family stay.
        host.set("returning", json!([]));
        let peer = if family == "inet" {
            "198.51.100.7"
        } else {
            "2001:db8::7"
        };
        host.set("states", json!([host.live_state(peer)]));
        let ended = host.done(&["on"]);
        assert_eq!(ended.stderr, format!("maintd: on: {entry} gets the page\n"));
        assert_calls(&host, &[&[test]]);
        assert_eq!(host.table(), [entry]);
        assert_eq!(host.maintd(&["status"]).status, Some(0));
    }
}

#[test]
fn new_states_of_the_other_family_are_not_an_error() {
    let host = Host::new();
    host.configure("family inet;");
    let mut again = host.live_state("2001:db8::7");
    again["times"] = json!(1);
    host.set("returning", json!([again]));
    host.done(&["on"]);
    assert_eq!(host.states("www-normal"), 1);
}

#[test]
fn some_alone_are_moved() {
    let host = Host::new();
    // The others connect again, to the live site.
    let mut again = host.live_state("198.51.100.7");
    again["times"] = json!(1);
    host.set("returning", json!([again]));
    let ended = host.done(&["on", "203.0.113.0/24", "2001:db8:7::1"]);
    assert_eq!(
        ended.stderr,
        "maintd: on: 203.0.113.0/24 and 2001:db8:7::1 get the page\n"
    );
    assert_calls(&host, &[&["203.0.113.77", "2001:db8:7::1"]]);
    assert_eq!(host.table(), ["203.0.113.0/24", "2001:db8:7::1"]);
    assert_eq!(host.maintd(&["status"]).status, Some(4));
}

#[test]
fn on_for_fewer_clients_is_the_same_single_change() {
    let host = Host::new();
    host.done(&["on"]);
    host.calls();
    host.done(&["on", "203.0.113.0/24"]);
    assert_eq!(replaced_by(&host), "203.0.113.0/24\n");
    assert_eq!(host.table(), ["203.0.113.0/24"]);
}

/// A kept connection to the page ends, so that its client gets the live site at once.
#[test]
fn clients_no_longer_moved_return_to_the_live_site() {
    for words in [
        &["on", "203.0.113.0/24"][..],
        &["on", "--except", "192.0.2.10"],
    ] {
        let host = Host::new();
        host.done(&["on"]);
        host.set("states", json!([host.page_state("192.0.2.10")]));
        host.calls();
        host.done(words);
        let calls = host.calls();
        assert_eq!(
            calls[calls.len() - 5..],
            [KILL_LIVE, STATES, STATES, KILL_PAGE, STATES]
        );
        assert_eq!(host.states("www-maintenance"), 0);
    }
}

#[test]
fn exceptions_stay_on_the_live_site() {
    let host = Host::new();
    let mut again = host.live_state("198.51.100.7");
    again["times"] = json!(1);
    host.set("returning", json!([again]));
    let ended = host.done(&[
        "on",
        "--except",
        "198.51.100.7",
        "--except",
        "2001:db8::/48",
        "--except=203.0.113.0/24",
    ]);
    assert_eq!(
        ended.stderr,
        "maintd: on: all visitors get the page, but for 198.51.100.7, 203.0.113.0/24 and 2001:db8::/48\n"
    );
    assert_calls(
        &host,
        &[
            // The usual one is excepted.
            &["198.51.100.77", "2001:db8:ffff::77"],
            &["198.51.100.7", "203.0.113.0", "2001:db8::"],
        ],
    );
    assert_eq!(
        host.table(),
        [
            "0.0.0.0/0",
            "!198.51.100.7",
            "!203.0.113.0/24",
            "::/0",
            "!2001:db8::/48"
        ]
    );
    // They were killed with the others, and came again.
    assert_eq!(host.states("www-normal"), 1);
    assert_eq!(host.maintd(&["status"]).status, Some(0));
}

/// What the host sends to itself is not redirected in any case.
#[test]
fn an_exception_of_the_host_itself_has_no_effect_and_a_warning() {
    let host = Host::new();
    let all = [
        "127.0.0.1",
        "127.0.0.0/8",
        "::1",
        "203.0.113.1",
        "198.51.100.7",
    ];
    let except: Vec<&str> = all.iter().flat_map(|one| ["--except", one]).collect();
    let ended = host.done(&[&["on"], &except[..]].concat());
    let warned: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.contains("warning"))
        .collect();
    let expected = all[..4].iter().map(|one| {
        format!("maintd: warning: the exception {one} has no effect: packets of this host to itself are never redirected")
    });
    assert_eq!(warned, expected.collect::<Vec<_>>());
}

#[test]
fn many_exceptions_make_no_more_calls_than_one() {
    let host = Host::new();
    let networks: Vec<String> = (0..500)
        .map(|number| format!("10.{}.{}.7", number / 250, number % 250))
        .collect();
    let words = networks.iter().flat_map(|network| ["--except", network]);
    host.done(&["on"].into_iter().chain(words).collect::<Vec<_>>());
    let excepted: Vec<&str> = networks.iter().map(String::as_str).collect();
    assert_calls(&host, &[&["203.0.113.77", "2001:db8:ffff::77"], &excepted]);
    assert_eq!(host.table().len(), 502);
    assert_eq!(host.maintd(&["status"]).status, Some(0));
}

#[test]
fn exceptions_of_the_configuration_are_added() {
    let host = Host::new();
    host.configure("except 192.0.2.10 2001:db8:9::/64;");
    host.done(&["on", "--except", "192.0.2.11"]);
    assert_eq!(
        replaced_by(&host),
        "0.0.0.0/0\n::/0\n!192.0.2.10\n!192.0.2.11\n!2001:db8:9::/64\n"
    );
    assert_eq!(
        host.saved().unwrap()["except"],
        json!(["192.0.2.10", "192.0.2.11", "2001:db8:9::/64"])
    );
}

#[test]
fn an_exception_of_a_family_that_is_not_moved_is_left_out() {
    let host = Host::new();
    host.configure("family inet; except 2001:db8:9::/64;");
    host.set("states", json!([]));
    host.done(&["on"]);
    assert_eq!(replaced_by(&host), "0.0.0.0/0\n");
}

#[test]
fn configured_names_are_used_with_pf() {
    let host = Host::new();
    host.configure("table upgrade; label_maintenance page; label_normal site;");
    host.set(
        "tables",
        json!({
            "maintenance": { "flags": "-pa-r-C", "entries": [] },
            "upgrade": { "flags": "-pa-r--", "entries": [] },
        }),
    );
    host.set(
        "labels",
        json!(["page 1 2 3 4 5 6 7 8", "site 1 2 3 4 5 6 7 8"]),
    );
    host.set("rules", json!(host.rules("em0", "upgrade", "page", "site")));
    host.set("states", json!([]));
    host.done(&["on"]);
    let calls = host.calls();
    assert_eq!(calls[7], "-q -t upgrade -T replace -f -");
    assert_eq!(calls[9], "-k label -k site");
    assert_eq!(
        host.pf()["tables"]["upgrade"]["entries"],
        json!(ALL_CLIENTS)
    );
    assert_eq!(host.table(), [""; 0]);
    host.done(&["off"]);
    assert!(host.calls().contains(&"-k label -k page".to_owned()));
}

#[test]
fn states_that_escape_the_first_kill_are_killed_again() {
    let host = Host::new();
    let mut again = host.live_state("198.51.100.9");
    again["times"] = json!(2);
    host.set("returning", json!([again]));
    host.done(&["on"]);
    let calls = host.calls();
    let expected = [KILL_LIVE, STATES].repeat(3);
    assert_eq!(calls[calls.len() - 7..calls.len() - 1], expected);
    assert_eq!(host.states("www-normal"), 0);
}

#[test]
fn connections_that_are_over_or_of_others_are_not_waited_for() {
    let host = Host::new();
    let port = host.live.number;
    let line = |line: String| json!({ "label": "other", "line": line });
    host.set(
        "states",
        json!([
            line(format!(
                "all tcp 203.0.113.1:{port} <- 198.51.100.7:50000       TIME_WAIT:TIME_WAIT"
            )),
            line(format!(
                "all tcp 203.0.113.1:{port} <- 198.51.100.7:50001       FIN_WAIT_2:FIN_WAIT_2"
            )),
            line(format!(
                "all tcp 203.0.113.1:50000 -> 198.51.100.7:{port}       ESTABLISHED:ESTABLISHED"
            )),
            line(
                "all tcp 203.0.113.1:22 <- 198.51.100.7:50002       ESTABLISHED:ESTABLISHED"
                    .to_owned()
            ),
            line(format!(
                "all udp 203.0.113.1:{port} <- 198.51.100.7:50003       MULTIPLE:MULTIPLE"
            )),
            // Through a gateway, to a site elsewhere.
            line(format!(
                "all tcp 192.0.2.99:{port} <- 198.51.100.7:50004       ESTABLISHED:ESTABLISHED"
            )),
            host.page_state("198.51.100.7"),
        ]),
    );
    host.done(&["on"]);
    assert_calls(&host, &[&["203.0.113.77", "2001:db8:ffff::77"]]);
}

#[test]
fn an_almost_full_state_table_is_a_warning() {
    let host = Host::new();
    host.set("used", json!(80_000));
    let ended = host.done(&["on"]);
    assert_eq!(
        ended.stderr,
        "maintd: warning: the packet filter's table of connections is full to 80% (80000 of 100000), and new visitors are dropped when it is full; raise its limit\n\
         maintd: on: all visitors get the page\n"
    );
    host.set("used", json!(79_999));
    assert_eq!(
        host.done(&["on"]).stderr,
        "maintd: on: all visitors get the page\n"
    );
}

#[test]
fn an_unknown_size_of_the_state_table_does_not_stop_on() {
    let host = Host::new();
    host.fault(crate::switch_pf::denied("-s memory"));
    let ended = host.done(&["on"]);
    assert_eq!(ended.stderr, "maintd: on: all visitors get the page\n");
}

#[test]
fn a_failed_list_of_states_is_only_a_warning() {
    let host = Host::new();
    host.fault(crate::switch_pf::denied("-s states"));
    let ended = host.done(&["on"]);
    assert_eq!(
        ended.stderr,
        "maintd: warning: cannot check whether connections are left: \"pfctl: /dev/pf: Permission denied\"\n\
         maintd: on: all visitors get the page\n"
    );
    assert_eq!(host.states("www-normal"), 0);
}

#[test]
fn pf_that_was_enabled_just_now_is_enabled() {
    let host = Host::new();
    // "Status: Enabled", without since when.
    host.set("since", json!(null));
    host.done(&["on"]);
    host.set("enabled", json!(false));
    host.assert_fault(
        &["on"],
        "not switched on: pf is disabled, so no visitor is redirected; run \"pfctl -e\"",
    );
}
