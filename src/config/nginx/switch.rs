//! The block `switch { }`, which only maintd has.

use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive, Word};
use crate::config::nginx::value::{argument, wrong_value};
use crate::config::switch::{Backend, Redirect, SwitchConfig};
use crate::quote::Quoted;

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
) -> Result<(), ConfigError> {
    let mut redirects = Vec::new();
    for directive in block {
        let applied = apply(switch, &mut redirects, directive, diagnostics);
        diagnostics.ok(applied);
    }
    if !redirects.is_empty() {
        switch.redirects = redirects;
    }
    let mut names = block.iter().map(|directive| &directive.name);
    match names.find(|name| name.text.starts_with("label_")) {
        Some(name) if switch.label_maintenance == switch.label_normal => Err(name.message(
            "both labels are the same, so the rules of the switch cannot be identified; write another label",
        )),
        Some(_) | None => Ok(()),
    }
}

fn apply(
    switch: &mut SwitchConfig,
    redirects: &mut Vec<Redirect>,
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<(), ConfigError> {
    match directive.name.text.as_str() {
        "backend" => {
            switch.backend = match argument(directive)? {
                "pf" => Backend::Pf,
                "nft" => Backend::Nft,
                _ => return Err(wrong_value(directive, 0, "pf or nft")),
            }
        }
        "table" => switch.table = Some(parse_name(directive, MAX_TABLE)?),
        "label_maintenance" => switch.label_maintenance = parse_name(directive, MAX_LABEL)?,
        "label_normal" => switch.label_normal = parse_name(directive, MAX_LABEL)?,
        "redirect" => redirects.push(parse_redirect(directive, redirects, diagnostics)?),
        "family" => {
            let families = parse_families(directive, diagnostics)?;
            if !families.is_empty() {
                switch.families = families;
            }
        }
        "except" => switch
            .except
            .extend(parse_networks(directive, diagnostics)?),
        "live" => switch.live.extend(parse_addresses(directive, diagnostics)?),
        name => {
            let (name, known) = (Quoted(name), KNOWN.join(", "));
            let what = format!("unknown directive {name} in switch; write one of {known}");
            return Err(directive.name.message(what));
        }
    }
    Ok(())
}

/// A name that both packet filters accept without quotes.
fn parse_name(directive: &Directive, longest: usize) -> Result<String, ConfigError> {
    let name = argument(directive)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if begins && name.len() <= longest && name.bytes().all(is_plain) {
        return Ok(name.to_owned());
    }
    let expected = format!(
        "a name of at most {longest} letters, digits, dots, hyphens and underscores that begins with a letter"
    );
    Err(wrong_value(directive, 0, &expected))
}

fn parse_redirect(
    directive: &Directive,
    others: &[Redirect],
    diagnostics: &mut Diagnostics,
) -> Result<Redirect, ConfigError> {
    let [from, to] = directive.arguments.as_slice() else {
        let what = "redirect takes two ports; write redirect 80 8080;";
        return Err(directive.name.message(what));
    };
    let port = |index: usize, word: &Word| {
        let port = word.text.parse().ok().filter(|port| *port != 0);
        port.ok_or_else(|| wrong_value(directive, index, "a port from 1 to 65535"))
    };
    let word = from;
    let (from, to): (_, Result<u16, _>) = (port(0, from), port(1, to));
    let (from, to) = match (from, to) {
        (Err(error), Err(other)) => {
            diagnostics.error(other);
            return Err(error);
        }
        (from, to) => (from?, to?),
    };
    if others.iter().any(|other| other.from == from) {
        let what = format!("port {from} is redirected twice; delete one");
        return Err(word.message(what));
    }
    if from == to {
        return Err(word.message(format!(
            "port {to} cannot be redirected to itself; name the port that maintd listens on"
        )));
    }
    Ok(Redirect { from, to })
}

fn parse_families(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Vec<Family>, ConfigError> {
    if directive.arguments.is_empty() {
        let what = "family without a value; write family inet inet6;";
        return Err(directive.name.message(what));
    }
    let mut families = Vec::new();
    for (index, word) in directive.arguments.iter().enumerate() {
        match word.text.as_str() {
            "inet" => families.push(Family::Inet),
            "inet6" => families.push(Family::Inet6),
            _ => diagnostics.error(wrong_value(directive, index, "inet, inet6 or both")),
        }
    }
    families.sort_unstable();
    families.dedup();
    Ok(families)
}

fn parse_addresses(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Vec<IpAddr>, ConfigError> {
    let networks = parse_networks(directive, diagnostics)?;
    match networks.iter().find(|it| it.first() != it.last()) {
        Some(network) => {
            let what = format!("{network} is a network; write live ADDR;");
            Err(directive.name.message(what))
        }
        None => Ok(networks.iter().map(Network::first).collect()),
    }
}

fn parse_networks(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Vec<Network>, ConfigError> {
    if directive.arguments.is_empty() {
        let name = &directive.name;
        let what = format!("{0} without an address; write {0} ADDR;", name.text);
        return Err(name.message(what));
    }
    let networks = directive.arguments.iter().filter_map(|word| {
        let network = word.text.parse().map_err(|what: String| word.message(what));
        diagnostics.ok(network)
    });
    Ok(networks.collect())
}
