//! The command line of the switch: dry runs, verbose and quiet, root, names, announcements.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use serde_json::{Value, json};

use crate::common::Ended;
use crate::switch_pf::host::Host;
use crate::switch_pf::{
    ALL_CLIENTS, CHECKS, FLUSH, KILL_LIVE, KILL_PAGE, OUTSIDERS, SHOW, STATES, TEST,
};

/// The commands of `on` as a shell takes them.
fn commands_of_on(host: &Host) -> String {
    let pfctl = host.path("pfctl").display().to_string();
    let call = |call: &str| format!("{pfctl} {call}\n");
    let mut text = format!(
        "# \"off\" will require those of 127.0.0.1:{} that accept connections now\n",
        host.live.number
    );
    text.extend(CHECKS[..5].iter().map(|one| call(one)));
    text += &format!("{} -a\n", host.path("ifconfig").display());
    text += "# each address that these rules redirect to must answer with 503\n";
    text += &call(SHOW);
    text += &format!("{pfctl} -q -t maintenance -T replace -f - <<'END'\n0.0.0.0/0\n::/0\nEND\n");
    text += &format!("{pfctl} {TEST} <<'END'\n{OUTSIDERS}END\n");
    text + &[KILL_LIVE, STATES, STATES].map(call).concat()
}

fn commands_of_off(host: &Host, force: bool) -> String {
    let pfctl = host.path("pfctl").display().to_string();
    let call = |call: &str| format!("{pfctl} {call}\n");
    let live = format!("# 127.0.0.1:{} must accept connections\n", host.live.number);
    let live = if force { "" } else { &live };
    call(SHOW) + live + &[FLUSH, SHOW, KILL_PAGE, STATES].map(call).concat()
}

#[test]
fn a_dry_run_prints_the_commands_and_runs_none() {
    let host = Host::quiet();
    let before = host.pf();
    for (words, expected) in [
        (&["on", "--dry-run"][..], commands_of_on(&host)),
        (&["off", "--dry-run"], commands_of_off(&host, false)),
        (
            &["off", "--dry-run", "--force"],
            commands_of_off(&host, true),
        ),
        (
            &["run", "--dry-run", "--", "sh", "-c", "echo it's"],
            format!(
                "{}sh -c 'echo it'\\''s'\n{}",
                commands_of_on(&host),
                commands_of_off(&host, false)
            ),
        ),
        (
            &["on", "--resume", "--dry-run"],
            "# nothing to resume: it was not on\n".to_owned(),
        ),
    ] {
        let ended = host.done(words);
        assert_eq!(ended.stdout, expected, "{words:?}");
        assert_eq!(ended.stderr, "");
    }
    assert_eq!(host.calls(), [""; 0]);
    assert_eq!(host.pf(), before);
    assert!(!host.path("state").exists());
}

#[test]
fn the_commands_of_a_dry_run_do_what_on_does() {
    let host = Host::new();
    let script = host
        .done(&["on", "--dry-run", "--except", "192.0.2.10"])
        .stdout;
    let ran = Ended::of(
        std::process::Command::new("sh")
            .args(["-c", &script])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap(),
    );
    assert!(!ran.stderr.contains("sh:"), "{ran:?}");
    assert_eq!(host.table(), ["0.0.0.0/0", "!192.0.2.10", "::/0"]);
    let by_hand = host.calls_with_input();
    host.set_table(&[]);
    host.done(&["on", "--except", "192.0.2.10"]);
    assert_eq!(host.calls_with_input(), by_hand);
}

#[test]
fn a_dry_run_while_it_is_on_shows_what_the_first_on_has_saved() {
    let host = Host::new();
    host.configure("live ::1;");
    host.done(&["on"]);
    let live = host.live.number;
    let first_line = || {
        let ended = host.done(&["on", "--dry-run", "--except", "192.0.2.10"]);
        ended.stdout.lines().next().unwrap().to_owned()
    };
    assert_eq!(
        first_line(),
        format!(
            "# \"off\" will require 127.0.0.1:{live} and [::1]:{live}, which accepted connections before the first \"on\""
        )
    );
    let mut saved = host.saved().unwrap();
    saved["live"] = json!([]);
    fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    assert_eq!(
        first_line(),
        format!(
            "# \"off\" will require those of 127.0.0.1:{live} and [::1]:{live} that accept connections now"
        )
    );
}

#[test]
fn a_dry_run_of_a_resumption_shows_what_was_on() {
    let host = Host::new();
    host.done(&["on", "198.51.100.0/24"]);
    let ended = host.done(&["on", "--resume", "--dry-run"]);
    assert!(
        ended.stdout.contains("<<'END'\n198.51.100.0/24\nEND\n"),
        "{ended:?}"
    );
}

#[test]
fn a_dry_run_refuses_the_impossible() {
    let host = Host::quiet();
    let ended = host.maintd(&["on", "--dry-run", "--for", "soon"]);
    assert_eq!(ended.status, Some(2));
    assert_eq!(ended.stdout, "");
}

#[test]
fn verbose_prints_each_command_and_probe_before_it_runs() {
    let host = Host::new();
    let pfctl = host.path("pfctl").display().to_string();
    let ended = host.done(&["on", "-v"]);
    let call = |call: &str| format!("maintd: {pfctl} {call}\n");
    let live = format!(
        "maintd: connecting to the live site on 127.0.0.1:{}\n",
        host.live.number
    );
    let mut expected = live.clone();
    expected.extend(CHECKS[..5].iter().map(|one| call(one)));
    expected += &format!("maintd: {} -a\n", host.path("ifconfig").display());
    for address in ["127.0.0.1", "[::1]"] {
        expected += &format!(
            "maintd: requesting the page from http://{}/\n",
            host.page_at(address)
        );
    }
    expected += &call(SHOW);
    expected += &call("-q -t maintenance -T replace -f - <<'END'");
    expected += "maintd: 0.0.0.0/0\nmaintd: ::/0\nmaintd: END\n";
    expected += &call(&format!("{TEST} <<'END'"));
    expected += "maintd: 203.0.113.77\nmaintd: 2001:db8:ffff::77\nmaintd: END\n";
    expected += &[KILL_LIVE, STATES, STATES].map(call).concat();
    expected += "maintd: on: all visitors get the page\n";
    assert_eq!(ended.stderr, expected);

    let ended = host.done(&["off", "-v"]);
    let expected = [SHOW, SHOW].map(call).concat()
        + &live
        + &[FLUSH, SHOW, KILL_PAGE, STATES].map(call).concat()
        + "maintd: off: all visitors are on the live site\n";
    assert_eq!(ended.stderr, expected);
}

#[test]
fn quiet_is_silent_unless_something_fails() {
    let host = Host::new();
    host.set("used", 90_000.into());
    for words in [
        &["on", "-q"][..],
        &["on", "-q", "--resume"],
        &["run", "-q", "--", "true"],
        &["off", "-q"],
        &["off", "-q"],
    ] {
        let ended = host.done(words);
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("", ""),
            "{words:?}"
        );
    }
    host.set("enabled", false.into());
    host.assert_fault(
        &["on", "-q"],
        "not switched on: pf is disabled, so no visitor is redirected; run \"pfctl -e\"",
    );
}

/// maintd as another user, where root is required.
fn as_a_user(host: &Host, words: &[&str]) -> Ended {
    as_a_user_with("doas", host, words)
}

/// The same on a host where this is how to become root.
fn as_a_user_with(means: &str, host: &Host, words: &[&str]) -> Ended {
    let mut command = host.command(words);
    command.env("MAINTD_NEED_ROOT", means).env("LOGNAME", "op");
    // SAFETY: geteuid touches no memory.
    #[expect(unsafe_code, reason = "std has no geteuid")]
    let is_root = unsafe { libc::geteuid() } == 0;
    if is_root {
        fs::set_permissions(host.path("."), fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65534).gid(65534);
    }
    Ended::of(command.spawn().unwrap())
}

#[test]
fn the_advice_to_become_root_names_what_the_host_has() {
    let host = Host::new();
    let conf = host.path("maintd.conf").display().to_string();
    for (means, advice) in [
        ("sudo", "run \"sudo maintd off -c CONF\""),
        (
            "su",
            "become root with su(1) and run \"maintd off -c CONF\"",
        ),
    ] {
        let ended = as_a_user_with(means, &host, &["off"]);
        assert_eq!(ended.status, Some(1));
        let advice = advice.replace("CONF", &conf);
        assert_eq!(
            ended.stderr,
            format!("maintd: only root can switch; {advice}\n")
        );
    }
}

#[test]
fn a_caller_without_root_gets_the_command_to_become_root() {
    let host = Host::new();
    let conf = host.path("maintd.conf").display().to_string();
    for (words, shown) in [
        (
            &["on", "--except", "192.0.2.10"][..],
            format!("on -c {conf} --except 192.0.2.10"),
        ),
        (&["off"], format!("off -c {conf}")),
        (&["status"], format!("status -c {conf}")),
        (
            &["on", "--message", "it's"],
            format!("on -c {conf} --message 'it'\\''s'"),
        ),
    ] {
        // doas.conf(5) knows no single quotes.
        let permitted = shown.replace("'it'\\''s'", "\"it's\"");
        let ended = as_a_user(&host, words);
        assert_eq!(ended.status, Some(1));
        assert_eq!(
            ended.stderr,
            format!(
                "maintd: only root can switch; run \"doas maintd {shown}\", which /etc/doas.conf allows by: permit op as root cmd maintd args {permitted}\n"
            )
        );
        assert_eq!(ended.stdout, "");
    }
    let ended = as_a_user(&host, &["run", "--", "true"]);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended
            .stderr
            .starts_with("maintd: the command was not run: only root can switch; "),
        "{ended:?}"
    );
    assert_eq!(host.calls(), [""; 0]);
    // A dry run requires no root.
    assert_eq!(as_a_user(&host, &["on", "--dry-run"]).status, Some(0));
    assert_eq!(as_a_user(&host, &["rules"]).status, Some(0));
}

/// The command line is refused in one line, and nothing is done.
#[track_caller]
fn assert_usage(host: &Host, words: &[&str], line: &str) {
    let ended = host.maintd(words);
    assert_eq!(ended.stderr, format!("maintd: {line}\n"));
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
    assert_eq!(host.calls(), [""; 0]);
    assert!(!host.path("state").exists());
}

#[test]
fn names_are_refused() {
    let host = Host::new();
    for name in [
        "www.example.org",
        "localhost",
        "any",
        "192.0.2",
        "192.0.2.0/33",
        "::/129",
        "192.0.2.1-9",
    ] {
        for words in [&["on", name][..], &["on", "--except", name]] {
            let ended = host.maintd(words);
            assert_eq!(ended.status, Some(2), "{ended:?}");
            assert!(ended.stderr.contains(&format!("\"{name}\"")), "{ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        }
    }
    assert_eq!(host.calls(), [""; 0]);
}

#[test]
fn a_family_that_is_not_switched_is_refused() {
    let host = Host::new();
    host.configure("family inet;");
    assert_usage(
        &host,
        &["on", "2001:db8::/32"],
        "2001:db8::/32 cannot be redirected: \"family\" in \"switch\" leaves inet6 out; add it there, or name another address",
    );
}

#[test]
fn an_address_both_moved_and_excepted_is_refused() {
    let host = Host::new();
    let line = "192.0.2.7 is to get the page, but the exception 192.0.2.0/24 keeps it on the live site; give only one of them";
    assert_usage(
        &host,
        &["on", "192.0.2.7", "--except", "192.0.2.0/24"],
        line,
    );
    host.configure("except 192.0.2.0/24;");
    assert_usage(&host, &["on", "192.0.2.7"], line);
    assert_usage(
        &host,
        &["run", "--except", "0.0.0.0/0", "--", "true"],
        "0.0.0.0/0 is to get the page, but the exception 0.0.0.0/0 keeps it on the live site; give only one of them",
    );
}

#[test]
fn an_end_that_is_none_is_refused() {
    let host = Host::new();
    for (words, what) in [
        (
            ["on", "--for", "soon"],
            "wrong value for --for: \"soon\" is not a duration",
        ),
        (
            ["on", "--for", "31d"],
            "wrong value for --for: \"31d\" is more than 30 days ahead",
        ),
        (
            ["on", "--until", "tomorrow"],
            "wrong value for --until: \"tomorrow\" is not a time",
        ),
        (
            ["on", "--until", "2020-01-01 00:00"],
            "wrong value for --until: \"2020-01-01 00:00\" is in the past",
        ),
    ] {
        let ended = host.maintd(&words);
        assert_eq!(ended.status, Some(2));
        assert!(
            ended.stderr.starts_with(&format!("maintd: {what}; ")),
            "{ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1);
    }
    assert_eq!(host.calls(), [""; 0]);
    assert_eq!(host.table(), [""; 0]);
}

#[test]
fn an_announcement_is_saved_and_shown() {
    let host = Host::new();
    let ended = host.done(&["on", "--for", "2h", "--message", "back \u{7}soon\nor later"]);
    assert!(
        ended
            .stderr
            .starts_with("maintd: on: all visitors get the page; announced until "),
        "{ended:?}"
    );
    let saved = host.saved().unwrap();
    let (since, until) = (
        saved["since"].as_u64().unwrap(),
        saved["until"].as_u64().unwrap(),
    );
    assert!((7200..7220).contains(&(until - since)), "{saved}");
    let table = host.done(&["status"]).stdout;
    let announced = table
        .lines()
        .find(|row| row.starts_with("announced     until "))
        .unwrap();
    assert!(
        announced.ends_with("(in 1 h 59 min)") || announced.ends_with("(in 2 h 0 min)"),
        "{table}"
    );
    // Control characters are not printed.
    assert!(
        table.contains("\nmessage       back  soon or later\n"),
        "{table}"
    );
    let json: Value = serde_json::from_str(&host.done(&["status", "--json"]).stdout).unwrap();
    assert_eq!(json["message"], "back \u{7}soon\nor later");
    assert!(json["until"].as_str() > json["since"].as_str());
    // A repeated `on` without a message keeps it; with another one, it is replaced.
    host.done(&["on"]);
    assert_eq!(host.saved().unwrap()["until"], until);
    assert!(host.done(&["status"]).stdout.contains("\nannounced "));
    host.done(&["on", "--message", ""]);
    assert!(!host.done(&["status"]).stdout.contains("announced"));
}

#[test]
fn an_announced_end_that_is_past_switches_nothing() {
    let host = Host::new();
    host.done(&["on", "--until", "23:59"]);
    let mut saved = host.saved().unwrap();
    saved["until"] = 1_700_000_000.into();
    fs::write(host.path("state/state.json"), saved.to_string()).unwrap();
    let table = host.done(&["status"]).stdout;
    assert!(table.contains(" (in the past)\n"), "{table}");
    assert_eq!(host.table(), ALL_CLIENTS);
}

#[test]
fn a_faulty_configuration_switches_nothing() {
    let host = Host::new();
    host.configure("table;");
    for words in [&["on"][..], &["off"], &["status"], &["run", "--", "true"]] {
        let ended = host.maintd(words);
        assert_eq!(ended.status, Some(1));
        assert!(
            ended
                .stderr
                .lines()
                .all(|line| line.starts_with("maintd: ")),
            "{ended:?}"
        );
    }
    assert_eq!(host.calls(), [""; 0]);
}
