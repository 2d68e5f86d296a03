//! Plans on a scripted host: every step can fail, and the message is true then.

use std::io;
use std::path::Path;

use crate::config::SwitchConfig;
use crate::config::network::{Family, Network};
use crate::config::switch::Backend;
use crate::switch::command::{Call, CommandOutput};
use crate::switch::execute::*;
use crate::switch::filter;
use crate::switch::plan::LiveRequirement;
use crate::switch::tools::Tools;

/// A host with a pf that has a table, and fails where the script says so.
#[derive(Default)]
struct ScriptedHost {
    /// The table's entries, as `-T show` prints them.
    table: Vec<String>,
    /// The commands that were run.
    calls: Vec<String>,
    /// Calls that contain this fail with a status and an error text, from the n-th on.
    failing: Vec<(&'static str, usize, i32, &'static str)>,
    /// How often connections are listed that were not killed.
    stubborn: usize,
    /// The number of states.
    states: u64,
    page: Option<SwitchError>,
    /// The live site does not accept.
    is_down: bool,
    interrupted_after: Option<usize>,
    sleeps: usize,
}

fn no_responder() -> SwitchError {
    SwitchError::NoResponder {
        url: "http://127.0.0.1:8080/".to_owned(),
        cause: "connection refused".to_owned(),
    }
}

fn responder_timeout() -> SwitchError {
    SwitchError::ResponderTimeout {
        url: "http://127.0.0.1:8080/".to_owned(),
        cause: "no answer within 5 s".to_owned(),
        port: 8080,
    }
}

fn output(status: i32, stdout: &str, stderr: &str) -> CommandOutput {
    CommandOutput {
        status: Some(status),
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}

impl Host for ScriptedHost {
    fn run(&mut self, call: &Call) -> Result<CommandOutput, SwitchError> {
        let text = call.arguments.join(" ");
        self.calls.push(text.clone());
        for (part, from, status, error_text) in &self.failing {
            let seen = self.calls.iter().filter(|call| call.contains(part)).count();
            if text.contains(part) && seen >= *from {
                return Ok(output(*status, "", error_text));
            }
        }
        let is_member = |address: &str| {
            let lines = self.table.iter().map(|line| line.trim());
            let (except, entries): (Vec<&str>, Vec<&str>) =
                lines.partition(|line| line.starts_with('!'));
            let parse = |texts: Vec<&str>| -> Vec<Network> {
                texts
                    .iter()
                    .map(|text| text.trim_start_matches('!').parse().unwrap())
                    .collect()
            };
            ClientSet::new(parse(entries), parse(except))
                .unwrap()
                .index()
                .has(address.parse().unwrap())
        };
        Ok(if text == "-s info" {
            let entries = format!("  current entries   {}\n", self.states);
            output(
                0,
                &format!("Status: Enabled for 0 days 00:00:01    Debug: err\n{entries}"),
                "",
            )
        } else if text == "-vs Tables" {
            output(0, "-pa-r-C\tmaintenance\n", "")
        } else if text == "-s labels" {
            output(
                0,
                "www-maintenance 1 2 3 4 5 6 7 8\nwww-normal 1 2 3 4 5 6 7 8\n",
                "",
            )
        } else if text == "-s rules" {
            let rule = |port: u16| {
                format!(
                    "pass in quick on egress inet proto tcp from <maintenance> to (egress) port = {port} label \"www-maintenance\" rdr-to 127.0.0.1 port {}\n",
                    port + 8000
                )
            };
            output(0, &[80, 443].map(rule).concat(), "")
        } else if text == "-s memory" {
            output(0, "states        hard limit   100000\n", "")
        } else if text.ends_with("-T show") {
            output(0, &self.table.concat(), "")
        } else if text.contains("-T replace") {
            let input = call.input.clone().unwrap_or_default();
            self.table = input.lines().map(|line| format!("   {line}\n")).collect();
            output(0, "", "")
        } else if text.ends_with("-T flush") {
            self.table.clear();
            output(0, "", "2 addresses deleted.\n")
        } else if text.ends_with("-T test -f -") {
            let input = call.input.clone().unwrap_or_default();
            let matching: Vec<&str> = input.lines().filter(|address| is_member(address)).collect();
            let lines: String = matching.iter().map(|one| format!("M  {one}\n")).collect();
            let all_match = matching.len() == input.lines().count();
            output(if all_match { 0 } else { 2 }, &lines, "")
        } else if text.starts_with("-k label") {
            output(0, "", "killed 3 states\n")
        } else if text == "-s states" && self.stubborn > 0 {
            self.stubborn -= 1;
            let line = "all tcp 192.0.2.1:80 <- 198.51.100.7:50000       ESTABLISHED:ESTABLISHED\n\
                        all tcp 127.0.0.1:8080 (192.0.2.1:80) <- 198.51.100.7:50001       ESTABLISHED:ESTABLISHED\n";
            output(0, line, "")
        } else {
            output(0, "", "")
        })
    }

    fn read(&mut self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn check_page(&mut self, _: SocketAddr) -> Result<(), SwitchError> {
        self.page.clone().map_or(Ok(()), Err)
    }

    fn connect(&mut self, server: SocketAddr) -> Result<(), SwitchError> {
        if !self.is_down {
            return Ok(());
        }
        Err(SwitchError::LiveRefuses {
            server,
            cause: "connection refused".to_owned(),
        })
    }

    fn accepting(&mut self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let accepting = servers.iter().filter(|_| !self.is_down);
        accepting.copied().collect()
    }

    fn is_interrupted(&mut self) -> bool {
        self.interrupted_after
            .is_some_and(|after| self.calls.len() >= after)
    }

    fn sleep(&mut self, _: Duration) {
        self.sleeps += 1;
    }
}

fn filter() -> Box<dyn PacketFilter> {
    let settings = SwitchConfig {
        backend: Backend::Pf,
        ..SwitchConfig::default()
    };
    filter::open(
        settings,
        &Tools::of_the_system(),
        vec!["192.0.2.1".parse().unwrap()],
    )
}

fn on(script: &mut ScriptedHost) -> Result<ExecutionReport, PlanError> {
    on_by(script, false)
}

fn on_by(script: &mut ScriptedHost, force: bool) -> Result<ExecutionReport, PlanError> {
    let all = vec![Family::Inet.all_addresses(), Family::Inet6.all_addresses()];
    let clients = ClientSet::new(all, vec!["192.0.2.10".parse().unwrap()]).unwrap();
    execute(
        &Plan::on(&clients, &["127.0.0.1:8080".parse().unwrap()], force),
        &*filter(),
        script,
    )
}

fn off(script: &mut ScriptedHost) -> Result<ExecutionReport, PlanError> {
    execute(
        &Plan::off(&LiveRequirement::Each(vec![
            "192.0.2.1:80".parse().unwrap(),
        ])),
        &*filter(),
        script,
    )
}

const OLD: &str = "   203.0.113.0/24\n";

fn was_on_for_some() -> ScriptedHost {
    ScriptedHost {
        table: vec![OLD.to_owned()],
        ..ScriptedHost::default()
    }
}

#[test]
fn a_responder_that_does_not_answer_in_time_is_a_warning_with_force() {
    for (page, force, is_on) in [
        (responder_timeout(), true, true),
        (responder_timeout(), false, false),
        (no_responder(), true, false),
    ] {
        let mut script = ScriptedHost {
            page: Some(page.clone()),
            ..ScriptedHost::default()
        };
        let done = on_by(&mut script, force);
        assert_eq!(done.is_ok(), is_on, "{page} {force}");
        assert_eq!(script.table.is_empty(), !is_on);
        if let Ok(report) = done {
            assert_eq!(report.warnings, [page.to_string()]);
        }
    }
}

#[test]
fn on_and_off_change_the_table() {
    let mut script = ScriptedHost::default();
    let report = on(&mut script).unwrap();
    assert_eq!(report.before, Some(ClientSet::default()));
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(
        script.table,
        ["   0.0.0.0/0\n", "   ::/0\n", "   !192.0.2.10\n"]
    );
    let report = off(&mut script).unwrap();
    assert_eq!(report.before.unwrap().entries.len(), 2);
    assert!(script.table.is_empty());
}

#[test]
fn a_failed_check_changes_nothing() {
    for (part, error_text) in [
        ("-s info", "pfctl: /dev/pf: Permission denied"),
        ("-vs Tables", "no"),
        ("-s labels", "no"),
        ("-s rules", "no"),
        ("-T show", "no"),
    ] {
        let mut script = was_on_for_some();
        script.failing.push((part, 1, 1, error_text));
        let failure = on(&mut script).unwrap_err();
        assert_eq!(failure.outcome, FailureOutcome::Unchanged, "{part}");
        let message = failure.cause.to_string();
        assert!(message.contains(error_text), "{part}: {message}");
        assert_eq!(script.table, [OLD]);
        assert!(
            !script.calls.iter().any(|call| call.contains("replace")),
            "{part}"
        );
    }
    let mut script = ScriptedHost {
        page: Some(no_responder()),
        ..was_on_for_some()
    };
    let failure = on(&mut script).unwrap_err();
    assert_eq!(
        failure.message(Direction::On),
        format!("not switched on: {}", no_responder())
    );
    assert_eq!(script.table, [OLD]);
    let mut script = ScriptedHost {
        is_down: true,
        ..was_on_for_some()
    };
    let failure = off(&mut script).unwrap_err();
    assert!(
        failure
            .message(Direction::Off)
            .starts_with("not switched off: no server accepts connections on 192.0.2.1:80: connection refused; start the live site")
    );
    assert_eq!(script.table, [OLD]);
}

#[test]
fn a_silent_live_site_stops_off_unless_it_was_silent_before_on() {
    let servers = vec![
        "192.0.2.1:80".parse().unwrap(),
        "192.0.2.1:443".parse().unwrap(),
    ];
    let silent = || ScriptedHost {
        is_down: true,
        ..was_on_for_some()
    };
    let off = |required: LiveRequirement, script: &mut ScriptedHost| {
        execute(&Plan::off(&required), &*filter(), script)
    };
    let any = LiveRequirement::Any(servers.clone());
    let unknown = LiveRequirement::Unknown(servers);
    let mut script = silent();
    let failure = off(any.clone(), &mut script).unwrap_err();
    assert!(
        failure
            .message(Direction::Off)
            .starts_with("not switched off: no server accepts connections on any of 192.0.2.1:80 and 192.0.2.1:443; start the live site")
    );
    assert_eq!(script.table, [OLD]);
    let report = off(unknown.clone(), &mut script).unwrap();
    assert_eq!(
        report.warnings,
        [
            "no server accepts connections on 192.0.2.1:80 and 192.0.2.1:443, as before \"on\"; check that visitors reach the live site"
        ]
    );
    assert!(script.table.is_empty());
    for required in [any, unknown] {
        let report = off(required, &mut was_on_for_some()).unwrap();
        assert_eq!(report.warnings, [""; 0]);
    }
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut script = was_on_for_some();
    script
        .failing
        .push(("replace", 1, 1, "pfctl: Operation not permitted"));
    let failure = on(&mut script).unwrap_err();
    assert_eq!(failure.outcome, FailureOutcome::Unchanged);
    assert_eq!(script.table, [OLD]);
}

#[test]
fn a_change_that_cannot_be_verified_is_undone() {
    // Redirected addresses are tested first, then excepted ones.
    for (number, status) in [(1, 2), (2, 0)] {
        let mut script = was_on_for_some();
        script.failing.push(("-T test", number, status, ""));
        let failure = on(&mut script).unwrap_err();
        assert_eq!(failure.outcome, FailureOutcome::Reverted, "{number}");
        assert_eq!(script.table, ["   203.0.113.0/24\n"], "{number}");
        assert!(
            !script.calls.iter().any(|call| call.starts_with("-k")),
            "{number}"
        );
        assert!(
            failure
                .message(Direction::On)
                .contains("the change is undone")
        );
    }
    let mut script = was_on_for_some();
    script.failing.push(("-T show", 2, 0, ""));
    assert!(off(&mut script).is_ok());
}

#[test]
fn a_change_that_cannot_be_undone_is_reported() {
    let mut script = was_on_for_some();
    script.failing.push(("-T test", 1, 1, "pfctl: broken"));
    script.failing.push(("replace", 2, 1, "pfctl: broken too"));
    let failure = on(&mut script).unwrap_err();
    let message = failure.message(Direction::On);
    assert!(matches!(failure.outcome, FailureOutcome::Unknown(_)));
    assert!(message.starts_with("half switched on: "), "{message}");
    assert!(message.contains("broken too"), "{message}");
}

#[test]
fn old_connections_that_stay_are_reported() {
    let mut script = ScriptedHost::default();
    script.failing.push((
        "-k label",
        1,
        1,
        "pfctl: DIOCKILLSTATES: Operation not permitted",
    ));
    let failure = on(&mut script).unwrap_err();
    let message = failure.message(Direction::On);
    assert_eq!(failure.outcome, FailureOutcome::OldConnectionsStay);
    assert!(
        message.contains("new visitors get the page, old connections are still on the live site: the securelevel may forbid"),
        "{message}"
    );
    assert_eq!(script.table.len(), 3);
    let mut script = was_on_for_some();
    script.failing.push(("-k label", 1, 1, "pfctl: no"));
    let message = off(&mut script).unwrap_err().message(Direction::Off);
    assert!(message.contains("new visitors are on the live site, old connections still get the page: run \"maintd off\" again"));
    assert!(script.table.is_empty());
}

#[test]
fn connections_are_killed_until_none_is_left() {
    let mut script = ScriptedHost {
        stubborn: 3,
        ..ScriptedHost::default()
    };
    on(&mut script).unwrap();
    let kills = script
        .calls
        .iter()
        .filter(|call| call.starts_with("-k"))
        .count();
    assert_eq!((kills, script.sleeps), (4, 3));
    let mut script = ScriptedHost {
        stubborn: usize::MAX,
        ..ScriptedHost::default()
    };
    let failure = on(&mut script).unwrap_err();
    let message = failure.cause.to_string();
    assert_eq!(message, "1 connection does not end on the live site");
    assert_eq!(failure.outcome, FailureOutcome::OldConnectionsStay);
}

#[test]
fn connections_that_cannot_be_counted_are_a_warning() {
    let mut script = ScriptedHost::default();
    script.failing.push(("-s memory", 1, 1, "pfctl: no"));
    on(&mut script).unwrap();
    let mut script = ScriptedHost::default();
    script.failing.push(("-s states", 1, 1, "pfctl: no"));
    let report = on(&mut script).unwrap();
    assert_eq!(
        report.warnings,
        ["cannot check whether connections are left: \"pfctl: no\""]
    );
}

#[test]
fn a_nearly_full_state_table_is_a_warning() {
    for (states, is_warned) in [(79_999, false), (80_000, true), (100_000, true)] {
        let mut script = ScriptedHost {
            states,
            ..ScriptedHost::default()
        };
        let warnings = on(&mut script).unwrap().warnings;
        assert_eq!(warnings.len(), usize::from(is_warned), "{states}");
    }
    let warning = |used, limit| StateUsage { used, limit }.warning();
    assert_eq!(warning(None, Some(1)), None);
    assert_eq!(warning(Some(1), Some(0)), None);
    assert!(warning(Some(u64::MAX), Some(u64::MAX)).is_some());
}

#[test]
fn a_signal_before_the_change_changes_nothing() {
    for after in 0..=7 {
        let mut script = ScriptedHost {
            interrupted_after: Some(after),
            ..was_on_for_some()
        };
        let failure = on(&mut script).unwrap_err();
        assert_eq!(
            failure.message(Direction::On),
            "not switched on: interrupted",
            "{after}"
        );
        assert_eq!(script.table, [OLD]);
    }
    // After the change the plan is completed.
    let mut script = ScriptedHost {
        interrupted_after: Some(8),
        ..was_on_for_some()
    };
    on(&mut script).unwrap();
    assert!(script.calls.iter().any(|call| call.starts_with("-k")));
}
