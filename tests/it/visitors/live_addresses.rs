//! Live sites that do not listen on every address and port: after `run` their clients are back on them.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::visitors::can_run;
use crate::visitors::namespaces::Namespace;
use crate::visitors::site::{SERVER, Site};
use crate::visitors::site_client::Outcome;

/// `run` and then `off` by hand return clients to these addresses; the commands print no error.
fn clients_return(site: &Site, addresses: &[(usize, u16)]) {
    let from = ["198.51.100.7", "2001:db8::7"];
    let all_get = |expected: Outcome| {
        for (family, port) in addresses {
            let mut client = site.client(from[*family], SERVER[*family], *port);
            assert_eq!(client.ask_once(), expected, "{}", client.to);
        }
    };
    all_get(Outcome::Live);
    let ended = site.maintd(&["run", "--", "true"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    all_get(Outcome::Live);
    assert_eq!(site.status().0, 3);

    site.switch(&["on"]);
    all_get(Outcome::Page);
    // A second `on` changes nothing about the addresses that `off` requires.
    site.switch(&["on", "--except", "198.51.100.9"]);
    site.switch(&["off"]);
    all_get(Outcome::Live);
}

#[test]
fn a_site_on_ipv4_alone_has_its_clients_again() {
    if can_run() {
        let site = Site::with_live("listen 80; listen 443 ssl;");
        clients_return(&site, &[(0, 80), (0, 443)]);
    }
}

#[test]
fn a_site_on_https_alone_has_its_clients_again() {
    if can_run() {
        let site = Site::with_live("listen 443 ssl; listen [::]:443 ssl;");
        clients_return(&site, &[(0, 443), (1, 443)]);
    }
}

#[test]
fn a_site_on_one_of_two_addresses_has_its_clients_again() {
    if can_run() {
        let site = Site::with_live(
            "listen 198.51.100.1:80; listen 198.51.100.1:443 ssl;\n\
             listen [2001:db8::1]:80; listen [2001:db8::1]:443 ssl;",
        );
        for (address, nodad) in [("198.51.100.3/24", None), ("2001:db8::3/64", Some("nodad"))] {
            let words = ["addr", "add", address, "dev", "to-clients"];
            site.server
                .ip(&words.into_iter().chain(nodad).collect::<Vec<_>>());
        }
        clients_return(&site, &[(0, 80), (0, 443), (1, 80), (1, 443)]);
    }
}

/// Connections of the host to itself do not pass prerouting, so ports 80 and 443 are closed to them.
#[test]
fn a_site_behind_a_redirect_has_its_clients_again() {
    if can_run() {
        let site = Site::with_live(
            "listen 3000; listen [::]:3000; listen 3443 ssl; listen [::]:3443 ssl;",
        );
        site.load_nat(
            "published",
            "tcp dport 80 redirect to :3000\ntcp dport 443 redirect to :3443",
        );
        clients_return(&site, &[(0, 80), (0, 443), (1, 80), (1, 443)]);
    }
}

#[test]
fn a_site_in_a_container_has_its_clients_again() {
    if !can_run() {
        return;
    }
    let container = Namespace::new("box");
    let site = Site::with_live_in(&container, "listen 8000; listen 8043 ssl;");
    site.server
        .connect(&["172.17.0.1/24"], &container, &["172.17.0.2/24"]);
    container.ip(&["route", "add", "default", "via", "172.17.0.1"]);
    site.server
        .inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
        .unwrap();
    site.load_nat(
        "published",
        "ip daddr 198.51.100.1 tcp dport 80 dnat ip to 172.17.0.2:8000\n\
         ip daddr 198.51.100.1 tcp dport 443 dnat ip to 172.17.0.2:8043",
    );
    clients_return(&site, &[(0, 80), (0, 443)]);
}

/// The rows of the table of `status` about the live site's addresses.
fn live_rows(site: &Site) -> Vec<String> {
    let (_, table) = site.status();
    let rows = table
        .lines()
        .filter_map(|row| row.strip_prefix("live server   "));
    rows.map(str::to_owned).collect()
}

#[test]
fn a_site_on_https_only_is_required_only_there() {
    if !can_run() {
        return;
    }
    let mut site = Site::with_live("listen 443 ssl; listen [::]:443 ssl;");
    let accepting = ["accepts on 198.51.100.1:443, [2001:db8::1]:443"];
    assert_eq!(live_rows(&site), accepting);
    site.switch(&["on"]);
    assert_eq!(live_rows(&site), accepting);
    site.stop_nginx();
    let refused =
        |address: &str| format!("no server accepts connections on {address}: connection refused");
    let addresses = ["198.51.100.1:443", "[2001:db8::1]:443"];
    assert_eq!(live_rows(&site), addresses.map(refused));
    let off = site.maintd(&["off"]);
    assert_eq!(off.status, Some(1), "{}", off.stderr);
    let expected = format!(
        "not switched off: {}; start the live site",
        refused(addresses[0])
    );
    assert!(off.stderr.contains(&expected), "{}", off.stderr);
    assert_eq!(site.status().0, 0);
}

#[test]
fn a_site_that_was_stopped_before_on_is_not_required_and_both_commands_say_so() {
    if !can_run() {
        return;
    }
    let mut site = Site::new();
    site.stop_nginx();
    let addresses = "198.51.100.1:80, 198.51.100.1:443, [2001:db8::1]:80 and [2001:db8::1]:443";
    let check = |command: &str, line: &str| {
        let ended = site.maintd(&[command]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().next(), Some(line));
    };
    let before = format!(
        "maintd: warning: no server accepts connections on {addresses}, so \"off\" will not require it; check that the live site is back before \"off\""
    );
    check("on", &before);
    assert_eq!(
        live_rows(&site),
        [format!("accepts on none of {addresses}")]
    );
    check(
        "off",
        &format!(
            "maintd: warning: no server accepts connections on {addresses}, as before \"on\"; check that visitors reach the live site"
        ),
    );
    assert_eq!(site.status().0, 3);

    check("on", &before);
    let started = site
        .server
        .inside(|| TcpListener::bind((SERVER[1], 443)))
        .unwrap();
    assert_eq!(live_rows(&site), ["accepts on [2001:db8::1]:443"]);
    check("off", "maintd: off: all visitors are on the live site");
    drop(started);
}

#[test]
fn a_stopped_site_that_the_configuration_names_is_required_at_one_address() {
    if !can_run() {
        return;
    }
    let mut site = Site::new();
    site.configure("live 198.51.100.1;");
    site.stop_nginx();
    let addresses = "198.51.100.1:80 and 198.51.100.1:443";
    let warning = format!(
        "maintd: warning: no server accepts connections on {addresses}, and \"off\" will require one of them to accept; start the live site before \"off\""
    );
    let run = site.maintd(&["run", "--", "true"]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert_eq!(run.stderr.lines().next(), Some(warning.as_str()));
    let end = format!(
        "maintd: VISITORS STILL GET THE PAGE: not switched off: no server accepts connections on any of {addresses}; "
    );
    let last = run.stderr.lines().last().unwrap();
    assert!(last.starts_with(&end), "{}", run.stderr);
    assert_eq!(site.status().0, 0);

    let started = site
        .server
        .inside(|| TcpListener::bind((SERVER[0], 80)))
        .unwrap();
    site.switch(&["off"]);
    drop(started);
}

#[test]
fn a_repeated_on_keeps_the_requirement_if_the_saved_state_lacks_it() {
    if !can_run() {
        return;
    }
    let without_addresses = |file: &Path| {
        let mut saved: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        saved.as_object_mut().unwrap().remove("live").unwrap();
        fs::write(file, saved.to_string()).unwrap();
    };
    let damaged = |file: &Path| fs::write(file, "{").unwrap();
    let missing = |file: &Path| fs::remove_file(file).unwrap();
    for make_unknown in [&without_addresses as &dyn Fn(&Path), &damaged, &missing] {
        let mut site = Site::new();
        site.switch(&["on"]);
        make_unknown(&site.state_file());
        site.stop_nginx();
        site.switch(&["on", "--except", "198.51.100.9"]);
        let off = site.maintd(&["off"]);
        assert_eq!(off.status, Some(1), "{}", off.stderr);
        assert!(
            off.stderr
                .contains("no server accepts connections on any of"),
            "{}",
            off.stderr
        );
        assert_eq!(site.status().0, 0);
    }
}
