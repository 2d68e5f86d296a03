//! A switch without its prerequisites changes nothing, and its message says what to do.

use crate::common::Ended;
use crate::visitors::can_run;
use crate::visitors::site::{Responder, Site};
use crate::visitors::site_client::Outcome;

/// `maintd on` fails with this text; none is moved, and no connection has ended.
fn is_refused(site: &Site, expected: &str) {
    let mut clients = site.clients(7);
    for client in &mut clients {
        assert_eq!(client.ask(), Outcome::Live);
    }
    let ended = site.maintd(&["on"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("not switched on: "),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    for client in &mut clients {
        assert_eq!(client.ask(), Outcome::Live);
        assert_eq!(client.another().ask_once(), Outcome::Live);
    }
    assert_eq!(site.status().0, 3);
}

#[test]
fn a_responder_on_loopback_alone_is_not_switched_to() {
    if can_run() {
        let site = Site::without_rules(Responder::OnLoopback);
        site.load_rules();
        is_refused(&site, "listen on 0.0.0.0:8080 and [::]:8080");
    }
}

#[test]
fn on_without_rules_is_refused() {
    if can_run() {
        let site = Site::without_rules(Responder::Everywhere);
        is_refused(&site, "load its rules: \"maintd rules --backend nft | ");
    }
}

#[test]
fn rules_of_an_older_maintd_are_to_be_loaded_again() {
    if !can_run() {
        return;
    }
    let site = Site::without_rules(Responder::Everywhere);
    let load_older = || {
        site.load_rules();
        let handle = "nft delete rule inet maintd raw handle $(nft -a list chain inet maintd raw | sed -n 's/.*iif \"lo\" accept # handle //p')";
        site.server.run("sh", &["-ec", handle]);
    };
    load_older();
    is_refused(
        &site,
        "has the rules of an older maintd, without \"iif lo accept\" in chain \"raw\"; load its rules: \"maintd rules --backend nft | ",
    );
    // If clients are on the page already, that is a warning, and they return.
    site.load_rules();
    site.switch(&["on"]);
    load_older();
    let (status, table) = site.status();
    assert_eq!(status, 0, "{table}");
    assert!(
        table.contains("has the rules of an older maintd"),
        "{table}"
    );
    site.switch(&["off"]);
    site.load_rules();
    site.switch(&["on"]);
    site.switch(&["off"]);
}

#[test]
fn off_is_refused_while_the_site_is_down() {
    if !can_run() {
        return;
    }
    let mut site = Site::new();
    site.switch(&["on"]);
    site.stop_nginx();
    let off = site.maintd(&["off"]);
    assert_eq!(off.status, Some(1), "{}", off.stderr);
    assert!(off.stderr.contains("start the live site"), "{}", off.stderr);
    assert_eq!(site.status().0, 0);
    for client in &mut site.clients(7) {
        assert_eq!(client.ask(), Outcome::Page);
    }
    site.switch(&["off", "--force"]);
    assert_eq!(site.status().0, 3);
    for client in &mut site.clients(7) {
        assert_eq!(client.ask(), Outcome::Refused);
    }
}

#[test]
fn off_without_ss_succeeds_if_none_was_moved() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let off = || {
        let mut command = site.logged_command(&["off"]);
        Ended::of(command.env("MAINTD_SS", "/nowhere/ss").spawn().unwrap())
    };
    let missing = "cannot run /nowhere/ss: no such file or directory; install the package iproute2";
    let ended = off();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let mut lines = ended.stderr.lines();
    let warning = lines.next().unwrap();
    assert!(
        warning.starts_with(&format!("maintd: warning: {missing}")),
        "{warning}"
    );
    assert_eq!(
        lines.collect::<Vec<_>>(),
        ["maintd: already off: no visitor was redirected"]
    );

    site.switch(&["on"]);
    let ended = off();
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let line = format!("maintd: half switched off: {missing}");
    assert!(ended.stderr.starts_with(&line), "{}", ended.stderr);
}
