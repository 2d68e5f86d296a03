//! The block `switch { }`, which only maintd has.

use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{Directive, Quoted, Word};
use crate::config::nginx::value;
use crate::config::switch::{Backend, Redirect, SwitchConfig};

/// The longest table name of pf (`PF_TABLE_NAME_SIZE`).
const MAX_TABLE: usize = 31;
/// The longest label of pf (`PF_RULE_LABEL_SIZE`).
const MAX_LABEL: usize = 63;

/// The directives of a `switch` block.
const KNOWN: [&str; 8] = [
    "backend",
    "table",
    "label_maintenance",
    "label_normal",
    "redirect",
    "family",
    "except",
    "live",
];

/// Applies a block to the settings of the switch.
pub(crate) fn apply_block(
    switch: &mut SwitchConfig,
    block: &[Directive],
    diagnostics: &mut Diagnostics,
) {
    let mut redirects = Vec::new();
    for directive in block {
        match directive.name.text.as_str() {
            "backend" => match value::argument(directive, diagnostics) {
                Some("pf") => switch.backend = Backend::Pf,
                Some("nft") => switch.backend = Backend::Nft,
                Some(_) => diagnostics.wrong_value(directive, 0, "pf or nft"),
                None => {}
            },
            "table" => {
                if let Some(name) = parse_name(directive, MAX_TABLE, diagnostics) {
                    switch.table = Some(name);
                }
            }
            "label_maintenance" => {
                if let Some(name) = parse_name(directive, MAX_LABEL, diagnostics) {
                    switch.label_maintenance = name;
                }
            }
            "label_normal" => {
                if let Some(name) = parse_name(directive, MAX_LABEL, diagnostics) {
                    switch.label_normal = name;
                }
            }
            "redirect" => {
                redirects.extend(parse_redirect(directive, &redirects, diagnostics));
            }
            "family" => {
                let families = parse_families(directive, diagnostics);
                if !families.is_empty() {
                    switch.families = families;
                }
            }
            "except" => switch.except.extend(parse_networks(directive, diagnostics)),
            "live" => switch.live.extend(parse_addresses(directive, diagnostics)),
            name => diagnostics.error(
                directive.name.position,
                format!(
                    "unknown directive {} in switch; write one of {}",
                    Quoted(name),
                    KNOWN.join(", ")
                ),
            ),
        }
    }
    if !redirects.is_empty() {
        switch.redirects = redirects;
    }
    if switch.label_maintenance == switch.label_normal
        && let Some(directive) = block
            .iter()
            .find(|directive| directive.name.text.starts_with("label_"))
    {
        diagnostics.error(
            directive.name.position,
            "both labels are the same, so the rules of the switch cannot be identified; write another label",
        );
    }
}

/// A name that both packet filters accept without quotes.
fn parse_name(
    directive: &Directive,
    longest: usize,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let name = value::argument(directive, diagnostics)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if begins && name.len() <= longest && name.bytes().all(is_plain) {
        return Some(name.to_owned());
    }
    let expected = format!(
        "a name of at most {longest} letters, digits, dots, hyphens and underscores that begins with a letter"
    );
    diagnostics.wrong_value(directive, 0, &expected);
    None
}

fn parse_redirect(
    directive: &Directive,
    others: &[Redirect],
    diagnostics: &mut Diagnostics,
) -> Option<Redirect> {
    let [from_word, to_word] = directive.arguments.as_slice() else {
        diagnostics.error(
            directive.name.position,
            "redirect takes two ports; write redirect 80 8080;",
        );
        return None;
    };
    let mut port = |index: usize, word: &Word| {
        let port = word.text.parse().ok().filter(|port| *port != 0);
        if port.is_none() {
            diagnostics.wrong_value(directive, index, "a port from 1 to 65535");
        }
        port
    };
    let (from, to): (Option<u16>, Option<u16>) = (port(0, from_word), port(1, to_word));
    let (from, to) = from.zip(to)?;
    let error = if others.iter().any(|other| other.from == from) {
        format!("port {from} is redirected twice; delete one")
    } else if from == to {
        format!("port {to} cannot be redirected to itself; name the port that maintd listens on")
    } else {
        return Some(Redirect { from, to });
    };
    diagnostics.error(from_word.position, error);
    None
}

fn parse_families(directive: &Directive, diagnostics: &mut Diagnostics) -> Vec<Family> {
    let mut families = Vec::new();
    for (index, word) in directive.arguments.iter().enumerate() {
        match word.text.as_str() {
            "inet" => families.push(Family::Inet),
            "inet6" => families.push(Family::Inet6),
            _ => diagnostics.wrong_value(directive, index, "inet, inet6 or both"),
        }
    }
    if directive.arguments.is_empty() {
        diagnostics.error(
            directive.name.position,
            "family without a value; write family inet inet6;",
        );
    }
    families.sort_unstable();
    families.dedup();
    families
}

fn parse_addresses(directive: &Directive, diagnostics: &mut Diagnostics) -> Vec<IpAddr> {
    let networks = parse_networks(directive, diagnostics).into_iter();
    let (single, wide): (Vec<Network>, Vec<Network>) =
        networks.partition(|network| network.first() == network.last());
    if let Some(network) = wide.first() {
        diagnostics.error(
            directive.name.position,
            format!("{network} is a network; write live ADDR;"),
        );
    }
    single.iter().map(Network::first).collect()
}

fn parse_networks(directive: &Directive, diagnostics: &mut Diagnostics) -> Vec<Network> {
    if directive.arguments.is_empty() {
        let name = &directive.name.text;
        diagnostics.error(
            directive.name.position,
            format!("{name} without an address; write {name} ADDR;"),
        );
    }
    let mut networks = Vec::new();
    for word in &directive.arguments {
        match word.text.parse() {
            Ok(network) => networks.push(network),
            Err(what) => diagnostics.error(word.position, what),
        }
    }
    networks
}
