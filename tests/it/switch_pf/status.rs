//! `maintd status`: exit statuses, the table, JSON, and warnings.

use serde_json::{Value, json};

use crate::common::Ended;
use crate::switch_pf::host::Host;
use crate::switch_pf::{ALL_CLIENTS, denied};

const DENIED: &str = "\"pfctl: /dev/pf: Permission denied\"";

/// `status` ends with this status and prints nothing on stderr.
#[track_caller]
fn status(host: &Host, expected: i32) -> Ended {
    let ended = host.maintd(&["status"]);
    assert_eq!(ended.status, Some(expected), "{ended:?}");
    assert_eq!(ended.stderr, "");
    ended
}

#[track_caller]
fn json_of(host: &Host, expected: i32) -> Value {
    let ended = host.maintd(&["status", "--json"]);
    assert_eq!(ended.status, Some(expected), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// `status` fails, with the reason on stderr.
#[track_caller]
fn assert_unknown(host: &Host, line: &str) -> Ended {
    let ended = host.maintd(&["status"]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(ended.stderr, format!("maintd: {line}\n"));
    assert!(
        ended.stdout.starts_with("maintenance   unknown\n"),
        "{ended:?}"
    );
    assert_eq!(json_of(host, 1)["state"], "unknown");
    ended
}

/// The rows of the table that have this name.
fn rows<'a>(ended: &'a Ended, name: &str) -> Vec<&'a str> {
    let rows = ended
        .stdout
        .lines()
        .filter_map(|row| row.split_at_checked(14));
    let rows = rows.filter(|(found, _)| found.trim_end() == name);
    rows.map(|(_, value)| value).collect()
}

#[test]
fn off() {
    let host = Host::new();
    let ended = status(&host, 3);
    let (live, page) = (host.live.number, host.responder.port.number);
    assert_eq!(
        ended.stdout,
        format!(
            "maintenance   off\n\
             on the page   0 connections now; 4 packets, 350 bytes (www-maintenance)\n\
             on the site   2 connections now; 21 packets, 2040 bytes (www-normal)\n\
             responder     answers on 127.0.0.1:{page}, [::1]:{page}\n\
             live server   accepts on 127.0.0.1:{live}\n\
             states        2 of 100000\n"
        )
    );
    assert_eq!(
        json_of(&host, 3),
        json!({
            "state": "off",
            "backend": "pf",
            "table": "maintenance",
            "since": null,
            "until": null,
            "message": null,
            "entries": [],
            "except": [],
            "maintenance": { "label": "www-maintenance", "packets": 4, "bytes": 350, "connections": 0 },
            "normal": { "label": "www-normal", "packets": 21, "bytes": 2040, "connections": 2 },
            "responder": [
                { "address": format!("127.0.0.1:{page}"), "answers": true, "error": null },
                { "address": format!("[::1]:{page}"), "answers": true, "error": null },
            ],
            "live": [{ "address": format!("127.0.0.1:{live}"), "answers": true, "error": null }],
            "states": { "used": 2, "limit": 100_000 },
            "warnings": [],
            "daemon": null,
        })
    );
}

#[test]
fn on() {
    let host = Host::new();
    host.configure("except 192.0.2.10;");
    host.done(&["on"]);
    host.set("states", json!([host.page_state("198.51.100.7")]));
    let ended = status(&host, 0);
    let first = ended.stdout.lines().next().unwrap();
    assert!(first.starts_with("maintenance   on, since "), "{first}");
    assert!(first.ends_with(" s)"), "{first}");
    assert_eq!(rows(&ended, "moved"), ["all visitors get the page"]);
    assert_eq!(rows(&ended, "excepted"), ["192.0.2.10"]);
    assert_eq!(
        rows(&ended, "on the page"),
        ["1 connection now; 4 packets, 350 bytes (www-maintenance)"]
    );
    assert_eq!(rows(&ended, "warning"), [""; 0]);
    let value = json_of(&host, 0);
    assert_eq!(value["state"], "on");
    assert_eq!(value["entries"], json!(ALL_CLIENTS));
    assert_eq!(value["except"], json!(["192.0.2.10"]));
    assert_eq!(value["maintenance"]["connections"], 1);
    assert!(value["since"].is_string());
    assert_eq!(value["until"], Value::Null);
}

#[test]
fn partly_on_if_one_family_is_not_moved() {
    for entries in [&["0.0.0.0/0"][..], &["::/0"], &["203.0.113.0/24", "::/0"]] {
        let host = Host::new();
        host.set_table(entries);
        host.set("states", json!([]));
        let ended = status(&host, 4);
        assert!(
            ended.stdout.starts_with("maintenance   partly\n"),
            "{ended:?}"
        );
        assert_eq!(
            rows(&ended, "warning"),
            [
                "maintd did not switch this on, and a reboot ends it; run \"maintd on\" for the same addresses to keep it"
            ]
        );
        assert_eq!(json_of(&host, 4)["state"], "partly");
    }
    let host = Host::new();
    host.configure("family inet;");
    host.set_table(&["0.0.0.0/0"]);
    status(&host, 0);
}

#[test]
fn off_if_the_table_holds_only_exceptions() {
    let host = Host::new();
    host.set_table(&["!192.0.2.10"]);
    status(&host, 3);
}

#[test]
fn switched_off_by_hand_is_off_with_a_warning() {
    let host = Host::new();
    host.done(&["on"]);
    host.set_table(&[]);
    assert_eq!(
        rows(&status(&host, 3), "warning"),
        [
            "it was on, and maintd did not switch it off; run \"maintd on --resume\" or \"maintd off\""
        ]
    );
}

#[test]
fn pf_is_disabled() {
    let host = Host::new();
    host.done(&["on"]);
    host.set("enabled", json!(false));
    let ended = host.maintd(&["status"]);
    let what = "pf is disabled, so no visitor is redirected; run \"pfctl -e\"";
    assert_eq!(ended.status, Some(1));
    assert_eq!(
        ended.stderr,
        format!("maintd: visitors should get the page but do not: {what}\n")
    );
    assert!(ended.stdout.starts_with("maintenance   unknown, since "));
    assert_eq!(rows(&ended, "warning"), [what]);
    let value = json_of(&host, 1);
    assert_eq!(value["state"], "unknown");
    assert_eq!(value["entries"], json!(ALL_CLIENTS));
    assert_eq!(value["warnings"], json!([what]));
    // With an empty table it is off, whatever else is wrong.
    host.done(&["off"]);
    assert_eq!(rows(&status(&host, 3), "warning"), [what]);
}

#[test]
fn no_rule_uses_the_table() {
    let host = Host::new();
    host.set(
        "tables",
        json!({ "maintenance": { "flags": "-pa----", "entries": ALL_CLIENTS } }),
    );
    let what = "no rule uses table <maintenance>, so no visitor is redirected; put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\"";
    let line = format!("visitors should get the page but do not: {what}");
    let ended = assert_unknown(&host, &line);
    assert_eq!(rows(&ended, "warning"), [what]);
}

#[test]
fn there_is_no_table() {
    let host = Host::new();
    host.set("tables", json!({}));
    assert_eq!(
        rows(&status(&host, 3), "warning"),
        [
            "pf has no table <maintenance>; put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\""
        ]
    );
}

#[test]
fn nothing_is_permitted() {
    let host = Host::new();
    host.set("dev_pf", json!(false));
    let show =
        |what: &str| format!("pfctl fails: {DENIED}; run \"pfctl {what}\" by hand to see why");
    let line = format!(
        "cannot determine whether visitors get the page: {}",
        show("-s info")
    );
    let ended = assert_unknown(&host, &line);
    assert_eq!(
        rows(&ended, "warning"),
        [
            show("-s info"),
            show("-vs Tables"),
            show("-s rules"),
            show("-t maintenance -T show")
        ]
    );
    assert_eq!(
        rows(&ended, "on the page"),
        ["an unknown number of connections now"]
    );
    let value = json_of(&host, 1);
    assert_eq!(value["normal"]["packets"], Value::Null);
    assert_eq!(value["normal"]["connections"], Value::Null);
    assert_eq!(value["states"], json!({ "used": null, "limit": null }));
}

#[test]
fn the_table_alone_cannot_be_seen() {
    let host = Host::new();
    host.fault(denied("-T show"));
    let what =
        format!("pfctl fails: {DENIED}; run \"pfctl -t maintenance -T show\" by hand to see why");
    assert_unknown(
        &host,
        &format!("cannot determine whether visitors get the page: {what}"),
    );
}

#[test]
fn unavailable_counts_are_left_out() {
    let host = Host::new();
    host.faults(&[
        denied("-s labels"),
        denied("-s states"),
        denied("-s memory"),
    ]);
    let ended = status(&host, 3);
    assert_eq!(
        rows(&ended, "on the page"),
        ["an unknown number of connections now"]
    );
    assert_eq!(rows(&ended, "states"), [""; 0]);
}

#[test]
fn servers_that_do_not_answer_are_reported() {
    let mut host = Host::quiet();
    host.responder.start_on([false, true]);
    host.responder.answer_with(200);
    let (live, page) = (host.live.number, host.responder.port.number);
    let ended = status(&host, 3);
    assert_eq!(
        rows(&ended, "responder"),
        [
            format!(
                "no server answers on http://127.0.0.1:{page}/: connection refused; start \"maintd serve\" there"
            ),
            format!(
                "the server on http://[::1]:{page}/ answers with 200 and not 503, so visitors would not see the page; stop it, and start \"maintd serve\""
            ),
        ]
    );
    assert_eq!(
        rows(&ended, "live server"),
        [format!(
            "no server accepts connections on 127.0.0.1:{live}: connection refused"
        )]
    );
    let value = json_of(&host, 3);
    assert_eq!(value["responder"][0]["answers"], false);
    assert_eq!(value["live"][0]["answers"], false);
    assert_eq!(
        value["live"][0]["error"],
        format!("no server accepts connections on 127.0.0.1:{live}: connection refused")
    );
}

#[test]
fn a_program_sees_each_place_where_none_accepts() {
    let mut host = Host::quiet();
    host.responder.start();
    host.configure("live ::1;");
    let live = host.live.number;
    let ended = status(&host, 3);
    assert_eq!(
        rows(&ended, "live server"),
        [format!(
            "accepts on none of 127.0.0.1:{live} and [::1]:{live}"
        )]
    );
    let server = |address: &str| {
        json!({
            "address": format!("{address}:{live}"),
            "answers": false,
            "error": format!("no server accepts connections on {address}:{live}"),
        })
    };
    let value = json_of(&host, 3);
    assert_eq!(value["live"], json!(["127.0.0.1", "[::1]"].map(server)));
    assert_eq!(value["warnings"], json!([]));
}

#[test]
fn an_almost_full_state_table_is_a_warning() {
    let host = Host::new();
    host.set("used", json!(95_000));
    let ended = status(&host, 3);
    assert_eq!(rows(&ended, "states"), ["95000 of 100000"]);
    assert_eq!(rows(&ended, "warning").len(), 1);
    assert!(rows(&ended, "warning")[0].contains("full to 95% (95000 of 100000)"));
}

#[test]
fn a_damaged_state_file_is_reported() {
    let host = Host::new();
    host.done(&["on"]);
    let path = host.path("state/state.json");
    std::fs::write(&path, "{").unwrap();
    assert_eq!(
        rows(&status(&host, 0), "warning"),
        [format!(
            "cannot read \"{}\": it is damaged; delete it and switch again",
            path.display()
        )]
    );
}

#[test]
fn quiet_keeps_the_requested_output() {
    let host = Host::new();
    assert_eq!(
        host.maintd(&["status", "-q"]).stdout,
        status(&host, 3).stdout
    );
}

#[test]
fn it_changes_nothing() {
    let host = Host::new();
    host.done(&["on"]);
    let (pf, saved) = (host.pf(), host.saved());
    host.calls();
    status(&host, 0);
    for call in host.calls() {
        assert!(
            call.starts_with("-s ")
                || call.starts_with("-vs ")
                || [crate::switch_pf::SHOW, "ifconfig -a"].contains(&call.as_str()),
            "{call}"
        );
    }
    assert_eq!((host.pf(), host.saved()), (pf, saved));
}
