//! A path with a smaller MTU than both ends know: the page is sent in segments that a router drops,
//! and the router's messages about them must reach the right connection (RFC 1191, RFC 8201).

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::visitors::can_run;
use crate::visitors::namespaces::Namespace;
use crate::visitors::site::{SERVER, Site};
use crate::visitors::site_client::{Outcome, SiteClient};

/// Hosts behind the router, for each family: addresses, the router's own, and the network.
const NEAR: [&str; 2] = ["203.0.113.1", "2001:db8:1::1"];
const NETWORKS: [&str; 2] = ["203.0.113.0/24", "2001:db8:1::/64"];
/// The clients' side of the router.
const ROUTER: [&str; 2] = ["198.51.100.2", "2001:db8::2"];

#[test]
fn the_page_comes_through_a_narrow_path() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let far = Namespace::new("far");
    // The clients' namespace is the router.
    site.client_side.connect(
        &["203.0.113.1/24", "2001:db8:1::1/64"],
        &far,
        &[
            "203.0.113.2/24",
            "203.0.113.3/24",
            "203.0.113.4/24",
            "2001:db8:1::2/64",
            "2001:db8:1::3/64",
            "2001:db8:1::4/64",
        ],
    );
    site.client_side
        .ip(&["link", "set", "to-far", "mtu", "1300"]);
    for (setting, near) in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
        .into_iter()
        .zip(NEAR)
    {
        let path = format!("/proc/sys/net/{setting}");
        site.client_side.inside(|| fs::write(path, "1")).unwrap();
        far.ip(&["route", "add", "default", "via", near]);
    }
    for (network, router) in NETWORKS.into_iter().zip(ROUTER) {
        site.server.ip(&["route", "add", network, "via", router]);
    }
    let all_get = |number: u8, expected: Outcome| {
        let from = [
            format!("203.0.113.{number}"),
            format!("2001:db8:1::{number}"),
        ];
        for (from, to) in from.iter().zip(SERVER) {
            for port in [80, 443] {
                let from: IpAddr = from.parse().unwrap();
                let to = SocketAddr::new(to.parse().unwrap(), port);
                let mut client = SiteClient::new(&far, from, to);
                client.io_timeout = Duration::from_secs(5);
                assert_eq!(client.ask_once(), expected, "{from} to {to}");
            }
        }
    };
    all_get(2, Outcome::Live);
    // In networks of a length that is no multiple of 8, too.
    site.switch(&["on", "203.0.113.2/31", "2001:db8:1::2/127"]);
    all_get(2, Outcome::Page);
    all_get(4, Outcome::Live);
    let forget = || {
        site.server.run("ip", &["route", "flush", "cache"]);
        site.server.run("ip", &["-6", "route", "flush", "cache"]);
    };
    // Several of one length are tested by one rule.
    for [ours, other, ours6, other6] in [
        [
            "203.0.113.2/31",
            "203.0.113.8/31",
            "2001:db8:1::2/127",
            "2001:db8:1::8/127",
        ],
        [
            "203.0.113.2",
            "203.0.113.9",
            "2001:db8:1::2",
            "2001:db8:1::9",
        ],
    ] {
        forget();
        site.switch(&["on", ours, other, ours6, other6]);
        all_get(2, Outcome::Page);
        all_get(4, Outcome::Live);
    }
    forget();
    site.switch(&["on", "--except", "203.0.113.4", "--except", "2001:db8:1::4"]);
    all_get(3, Outcome::Page);
    all_get(4, Outcome::Live);
}
