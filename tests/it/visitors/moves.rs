//! One maintenance: which clients are moved and moved back, which connections end, and the output of the commands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::Ended;
use crate::visitors::can_run;
use crate::visitors::site::Site;
use crate::visitors::site_client::{Outcome, SiteClient};

/// The limit for a client on the wrong side after the command.
const MOVED_WITHIN: Duration = Duration::from_secs(2);

/// Each asks on its kept connection, and on a new one.
fn all_get(clients: &mut [SiteClient<'_>], expected: &Outcome) {
    for client in clients {
        let (from, to) = (client.from.ip(), client.to);
        assert_eq!(client.ask(), *expected, "{from} kept to {to}");
        let mut other = client.another();
        assert_eq!(
            other.ask_once(),
            *expected,
            "{from} to {to}, new connection"
        );
    }
}

/// Each has a connection from the other side: it has been reset, and then they get this.
fn all_are_moved(clients: &mut [SiteClient<'_>], expected: &Outcome) {
    let end = Instant::now() + MOVED_WITHIN;
    for client in &mut *clients {
        let (from, to) = (client.from.ip(), client.to);
        assert!(client.is_connected());
        assert_eq!(client.ask(), Outcome::Reset, "{from} kept to {to}");
    }
    all_get(clients, expected);
    assert!(Instant::now() < end, "more than {MOVED_WITHIN:?}");
}

#[test]
fn all_but_the_excepted_are_moved_and_moved_back() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let mut moved = site.clients(7);
    moved.extend(site.clients(8));
    let mut excepted = site.clients(9);
    all_get(&mut moved, &Outcome::Live);
    all_get(&mut excepted, &Outcome::Live);
    assert_eq!(site.status().0, 3);

    let except = ["--except", "198.51.100.9", "--except", "2001:db8::9"];
    site.switch(&[&["on"], &except[..]].concat());
    // By ss(8), before any rule has refused a packet: only connections of the excepted are left.
    let left = connections(&site);
    let is_excepted = |line: &str| {
        [".9:", ".9]:", "::9]:"]
            .iter()
            .any(|end| line.contains(end))
    };
    assert_eq!(left.lines().count(), excepted.len(), "{left}");
    assert!(left.lines().all(is_excepted), "{left}");
    all_are_moved(&mut moved, &Outcome::Page);
    all_get(&mut excepted, &Outcome::Live);
    let (status, table) = site.status();
    assert_eq!(status, 0, "{table}");
    assert!(
        table.contains("excepted      198.51.100.9 and 2001:db8::9"),
        "{table}"
    );

    // A repeated `on` leaves connections to the page alone.
    site.switch(&[&["on"], &except[..]].concat());
    all_get(&mut moved, &Outcome::Page);
    all_get(&mut excepted, &Outcome::Live);

    site.switch(&["off"]);
    all_are_moved(&mut moved, &Outcome::Live);
    all_get(&mut excepted, &Outcome::Live);
    assert_eq!(site.status().0, 3);
}

/// The connections of the live site, as ss(8) lists them.
fn connections(site: &Site) -> String {
    let filter = "( sport = :80 or sport = :443 )";
    let arguments = ["-Htn", "state", "established", filter];
    site.server.run("ss", &arguments)
}

/// To ss(8) 32.1.13.184 is in 2001:db8::/32, and c633:6400::/24 holds 198.51.100.7: the bits are the same.
#[test]
fn an_exception_of_one_family_keeps_no_connection_of_the_other() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let mut clients = site.clients(7);
    all_get(&mut clients, &Outcome::Live);
    let except = ["--except", "32.1.13.184", "--except", "c633:6400::/24"];
    site.switch(&[&["on"], &except[..]].concat());
    // Before any rule has refused a packet.
    assert_eq!(connections(&site), "");
    all_are_moved(&mut clients, &Outcome::Page);
}

/// The addresses of the clients of number 9, and others that no client has.
fn exceptions(number: u32) -> Vec<String> {
    let first = ["198.51.100.9", "2001:db8::9"].map(str::to_owned);
    let others = (0..number).map(|number| match number % 2 {
        0 => format!("10.{}.{}.7", number / 256 % 256, number % 256),
        _ => format!("2001:db8:1:{number:x}::7"),
    });
    first.into_iter().chain(others).collect()
}

#[test]
fn ten_thousand_exceptions_make_no_more_calls_of_nft_than_two() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let mut excepted = site.clients(9);
    all_get(&mut excepted, &Outcome::Live);
    let mut calls = Vec::new();
    for except in [exceptions(0), exceptions(9_998)] {
        let mut moved = site.clients(7);
        all_get(&mut moved, &Outcome::Live);
        let mut words = vec!["on"];
        words.extend(except.iter().flat_map(|network| ["--except", network]));
        let ended = Ended::of(site.logged_command(&words).spawn().unwrap());
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        calls.push(site.calls("nft"));
        all_are_moved(&mut moved, &Outcome::Page);
        // Their connections are the first ones still.
        assert!(excepted.iter().all(SiteClient::is_connected));
        all_get(&mut excepted, &Outcome::Live);
        let (status, table) = site.status();
        assert_eq!(status, 0, "{table}");
        let ended = Ended::of(site.logged_command(&["off"]).spawn().unwrap());
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        calls.push(site.calls("nft"));
        all_are_moved(&mut moved, &Outcome::Live);
        all_get(&mut excepted, &Outcome::Live);
    }
    assert_eq!(calls[..2], calls[2..]);
}

#[test]
fn a_single_client_is_moved() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let (mut v4, mut v6): (Vec<_>, Vec<_>) = site
        .clients(7)
        .into_iter()
        .partition(|client| client.from.is_ipv4());
    let mut others = site.clients(8);
    for clients in [&mut v4, &mut v6, &mut others] {
        all_get(clients, &Outcome::Live);
    }
    site.switch(&["on", "198.51.100.7"]);
    all_are_moved(&mut v4, &Outcome::Page);
    all_get(&mut v6, &Outcome::Live);
    all_get(&mut others, &Outcome::Live);
    assert_eq!(site.status().0, 4);

    // Another in its place; the first is back.
    site.switch(&["on", "2001:db8::/125"]);
    all_are_moved(&mut v4, &Outcome::Live);
    all_are_moved(&mut v6, &Outcome::Page);
    all_get(&mut others, &Outcome::Live);

    site.switch(&["off"]);
    all_get(&mut v4, &Outcome::Live);
    all_are_moved(&mut v6, &Outcome::Live);
    all_get(&mut others, &Outcome::Live);
}

#[test]
fn a_later_exception_moves_its_client_back() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let (mut first, mut second) = (site.clients(7), site.clients(8));
    site.switch(&["on"]);
    all_get(&mut first, &Outcome::Page);
    all_get(&mut second, &Outcome::Page);
    site.switch(&["on", "--except", "198.51.100.7", "--except", "2001:db8::7"]);
    all_are_moved(&mut first, &Outcome::Live);
    all_get(&mut second, &Outcome::Page);
}

#[test]
fn run_moves_for_as_long_as_its_command_runs() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let mut clients = site.clients(7);
    all_get(&mut clients, &Outcome::Live);
    let mut command = site.command(&["run", "--", "sh", "-c", "echo started; read line; exit 7"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");

    all_are_moved(&mut clients, &Outcome::Page);
    assert_eq!(site.status().0, 0);

    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let ended = Ended::of(child);
    assert_eq!(ended.status, Some(7), "{}", ended.stderr);
    all_are_moved(&mut clients, &Outcome::Live);
    assert_eq!(site.status().0, 3);
}

#[test]
fn rules_that_are_loaded_again_end_no_maintenance() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let mut clients = site.clients(7);
    let mut excepted = site.clients(8);
    all_get(&mut clients, &Outcome::Live);
    all_get(&mut excepted, &Outcome::Live);
    site.switch(&["on", "--except", "198.51.100.8", "--except", "2001:db8::8"]);
    all_are_moved(&mut clients, &Outcome::Page);
    site.load_rules();
    all_get(&mut clients, &Outcome::Page);
    all_get(&mut excepted, &Outcome::Live);
    assert_eq!(site.status().0, 0);
    let rules = site.server.run("nft", &["list", "table", "inet", "maintd"]);
    assert_eq!(rules.matches("redirect to").count(), 4, "{rules}");
    site.switch(&["off"]);
    all_are_moved(&mut clients, &Outcome::Live);
}

/// A client may use its port again, while the kernel still knows where it went before.
#[test]
fn a_port_that_is_used_again_goes_to_the_right_side() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let mut clients = site.clients(7);
    for (number, client) in (0..).zip(&mut clients) {
        client.from.set_port(40_000 + number);
        assert_eq!(client.ask(), Outcome::Live);
    }
    for _ in 0..3 {
        for (command, expected) in [("on", Outcome::Page), ("off", Outcome::Live)] {
            site.switch(&[command]);
            for client in &mut clients {
                let from = client.from;
                assert_eq!(client.ask(), Outcome::Reset, "{from} after {command}");
                assert_eq!(client.ask(), expected, "{from} after {command}");
            }
        }
    }
}
