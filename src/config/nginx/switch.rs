//! The block `switch { }`, and where the switch keeps what it did: ours alone, nginx knows neither.

use std::net::IpAddr;
use std::str::FromStr;

use crate::config::network::{Family, Network};
use crate::config::nginx::Reader;
use crate::config::nginx::syntax::{Directive, Quoted, Word};
use crate::config::switch::{Backend, Redirect};

/// The longest name of a table that pf takes (`PF_TABLE_NAME_SIZE`).
const MAX_TABLE: usize = 31;
/// The longest label that pf takes (`PF_RULE_LABEL_SIZE`).
const MAX_LABEL: usize = 63;

/// What a `switch` block may say.
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

impl Reader {
    /// `state_dir PATH;` or `switch { ... }`.
    pub(crate) fn switch_directive(&mut self, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "state_dir" => {
                if let Some(path) = self.argument(directive) {
                    self.config.state_dir = self.directory.join(path);
                }
            }
            "switch" => self.in_block(directive, Self::switch),
            _ => return false,
        }
        true
    }

    fn switch(&mut self, block: &[Directive]) {
        let mut redirects = Vec::new();
        for directive in block {
            match directive.name.text.as_str() {
                "backend" => match self.argument(directive) {
                    Some("pf") => self.config.switch.backend = Backend::Pf,
                    Some("nft") => self.config.switch.backend = Backend::Nft,
                    Some(_) => self.wrong_value(directive, 0, "pf or nft"),
                    None => {}
                },
                "table" => {
                    if let Some(name) = self.name(directive, MAX_TABLE) {
                        self.config.switch.table = Some(name);
                    }
                }
                "label_maintenance" => {
                    if let Some(name) = self.name(directive, MAX_LABEL) {
                        self.config.switch.label_maintenance = name;
                    }
                }
                "label_normal" => {
                    if let Some(name) = self.name(directive, MAX_LABEL) {
                        self.config.switch.label_normal = name;
                    }
                }
                "redirect" => self.redirect(directive, &mut redirects),
                "family" => self.families(directive),
                "except" => {
                    let networks: Vec<Network> = self.values(directive);
                    self.config.switch.except.extend(networks);
                }
                "live" => {
                    let addresses = self.addresses(directive);
                    self.config.switch.live.extend(addresses);
                }
                name => self.fault(
                    directive.name.place,
                    format!(
                        "unknown directive {} in switch; write one of {}",
                        Quoted(name),
                        KNOWN.join(", ")
                    ),
                ),
            }
        }
        if !redirects.is_empty() {
            self.config.switch.redirects = redirects;
        }
        if self.config.switch.label_maintenance == self.config.switch.label_normal
            && let Some(directive) = block.iter().find(|one| one.name.text.starts_with("label_"))
        {
            self.fault(
                directive.name.place,
                "both labels are the same, so those who are moved could not be told from the others; name another",
            );
        }
    }

    /// A name that both packet filters take as it is, without quotes.
    fn name(&mut self, directive: &Directive, longest: usize) -> Option<String> {
        let name = self.argument(directive)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
        if begins && name.len() <= longest && name.bytes().all(is_plain) {
            return Some(name.to_owned());
        }
        let expected = format!(
            "a name of at most {longest} letters, digits, dots, hyphens and underscores that begins with a letter"
        );
        self.wrong_value(directive, 0, &expected);
        None
    }

    fn redirect(&mut self, directive: &Directive, redirects: &mut Vec<Redirect>) {
        let [from, to] = directive.arguments.as_slice() else {
            self.fault(
                directive.name.place,
                "redirect takes two ports; write redirect 80 8080;",
            );
            return;
        };
        let mut port = |number: usize, word: &Word| {
            let port = word.text.parse().ok().filter(|port| *port != 0);
            if port.is_none() {
                self.wrong_value(directive, number, "a port from 1 to 65535");
            }
            port
        };
        let (Some(from_port), Some(to)) = (port(0, from), port(1, to)) else {
            return;
        };
        if redirects.iter().any(|other| other.from == from_port) {
            self.fault(
                from.place,
                format!("port {from_port} is redirected twice; delete one"),
            );
        } else if from_port == to {
            self.fault(
                from.place,
                format!(
                    "port {to} cannot be redirected to itself; name the port that maintd listens on"
                ),
            );
        } else {
            redirects.push(Redirect {
                from: from_port,
                to,
            });
        }
    }

    fn families(&mut self, directive: &Directive) {
        let mut families = Vec::new();
        for (number, word) in directive.arguments.iter().enumerate() {
            match word.text.as_str() {
                "inet" => families.push(Family::Inet),
                "inet6" => families.push(Family::Inet6),
                _ => self.wrong_value(directive, number, "inet, inet6 or both"),
            }
        }
        if directive.arguments.is_empty() {
            self.fault(
                directive.name.place,
                "family without a value; write family inet inet6;",
            );
        }
        families.sort_unstable();
        families.dedup();
        if !families.is_empty() {
            self.config.switch.families = families;
        }
    }

    fn addresses(&mut self, directive: &Directive) -> Vec<IpAddr> {
        let networks: Vec<Network> = self.values(directive);
        let (single, wide): (Vec<Network>, Vec<Network>) = networks
            .into_iter()
            .partition(|network| network.first() == network.last());
        if let Some(network) = wide.first() {
            self.fault(
                directive.name.place,
                format!("{network} is a network; write live ADDR;"),
            );
        }
        single.iter().map(Network::first).collect()
    }

    /// All arguments as values; what is wrong with those that are none is told.
    fn values<T: FromStr<Err = String>>(&mut self, directive: &Directive) -> Vec<T> {
        if directive.arguments.is_empty() {
            let name = &directive.name.text;
            self.fault(
                directive.name.place,
                format!("{name} without an address; write {name} ADDR;"),
            );
        }
        let mut values = Vec::new();
        for word in &directive.arguments {
            match word.text.parse() {
                Ok(value) => values.push(value),
                Err(what) => self.fault(word.place, what),
            }
        }
        values
    }
}
