//! `maintd on|off|status|run` against a stand-in for pfctl, as processes: every step of the plan, in success and in failure.
//!
//! The programs are examples of this package (tests/stand_in); `cargo test` builds them.

mod announce;
mod command_line;
mod freebsd;
mod host;
mod interfaces;
mod off;
mod off_fails;
mod on;
mod on_fails;
mod resume;
mod run;
mod signals;
mod status;
mod systems;

use serde_json::{Value, json};

/// The calls of `on` up to the change, and from it on, if all are moved and none is excepted.
const CHECKS: [&str; 7] = [
    "-s info",
    "-vs Tables",
    "-s labels",
    "-s memory",
    "-s rules",
    "ifconfig -a",
    "-t maintenance -T show",
];
const REPLACE: &str = "-q -t maintenance -T replace -f -";
const FLUSH: &str = "-t maintenance -T flush";
const SHOW: &str = "-t maintenance -T show";
const KILL_LIVE: &str = "-k label -k www-normal";
const KILL_PAGE: &str = "-k label -k www-maintenance";
const STATES: &str = "-s states";
const TEST: &str = "-v -t maintenance -T test -f -";
const ALL_CLIENTS: [&str; 2] = ["0.0.0.0/0", "::/0"];
const LOAD_RULES: &str =
    "put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\"";
/// The addresses that `on` tests to verify that all are moved.
const OUTSIDERS: &str = "203.0.113.77\n2001:db8:ffff::77\n";

/// /dev/pf is not open to the caller, in the calls that contain these words.
fn denied(call: &str) -> Value {
    json!({ "call": call, "status": 1, "stderr": "pfctl: /dev/pf: Permission denied\n" })
}

/// Without the table, `on` fails and `status` is off.
#[track_caller]
fn assert_missing_table(host: &host::Host) {
    host.set("tables", json!({}));
    host.assert_fault(
        &["on"],
        &format!("not switched on: pf has no table <maintenance>; {LOAD_RULES}"),
    );
    let ended = host.maintd(&["status"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(3), ""));
}
