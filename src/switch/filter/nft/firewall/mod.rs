//! Other firewalls of this host: checks that their rules let redirected packets reach the responder.
//!
//! A redirected packet arrives at the input hook with the responder's port, 8080 instead of 80, and a chain that accepts
//! only 80 drops it. An `accept` in our own table does not override that: each base chain of a hook has to accept.
//!
//! maintd's own requests, which check that the responder answers, have to pass too: over the loopback interface, to an
//! address of this host. They are only reported if they are dropped under every assumption (see `evaluate`).
//!
//! ```text
//! obstacle -> evaluate -> ruleset -> { nft_json, iptables_save } -> chain -> condition
//! ```

mod chain;
mod condition;
mod evaluate;
mod iptables_save;
mod nft_json;
mod obstacle;
mod ruleset;

use std::net::IpAddr;

use crate::config::network::Family;
use crate::config::switch::Redirect;

pub(crate) use crate::switch::filter::nft::firewall::obstacle::{FirewallProblem, find_problem};
pub(crate) use crate::switch::filter::nft::firewall::ruleset::{Listings, Ruleset};

/// Reads a text as the output of each program that lists rules, and evaluates them. For fuzzing.
pub(crate) fn read_everything(text: &str) {
    let own = [IpAddr::from([192, 0, 2, 1])];
    let listings = [
        Listings {
            nft: text,
            ..Listings::default()
        },
        Listings {
            nft: r#"{"nftables": []}"#,
            iptables_legacy: [text, text],
            ..Listings::default()
        },
    ];
    for listings in &listings {
        if let Some(ruleset) = Ruleset::read(listings, "maintd", &own) {
            let redirects = [Redirect { from: 80, to: 8080 }];
            find_problem(&ruleset, &redirects, &[Family::Inet, Family::Inet6]);
        }
    }
}

#[cfg(test)]
mod tests;
