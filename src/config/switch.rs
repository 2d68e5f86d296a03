//! What `maintd on` and its companions work with: the block `switch { }`.

use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::sys;

/// The packet filter that moves visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// pf(4) of OpenBSD and FreeBSD.
    Pf,
    /// nftables of Linux.
    Nft,
}

impl Backend {
    /// Its name, as configuration and command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pf => "pf",
            Self::Nft => "nft",
        }
    }
}

/// A port of the live site, and the one that answers with the page in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Visitors' port.
    pub from: u16,
    /// The responder's.
    pub to: u16,
}

/// The switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    /// The packet filter, the system's own unless another is named.
    pub backend: Backend,
    /// pf's table, or nft's, where it is named; see [`Self::table`].
    pub table: Option<String>,
    /// The label of the rules for those who are moved.
    pub label_maintenance: String,
    /// The label of the rules for the live site.
    pub label_normal: String,
    /// The ports; one at least, each only once.
    pub redirects: Vec<Redirect>,
    /// The families that are moved; one at least, IPv4 first.
    pub families: Vec<Family>,
    /// Who stays on the live site.
    pub except: Vec<Network>,
    /// Where the live site is looked for before visitors are sent back; on each of this host's addresses without one.
    pub live: Vec<IpAddr>,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            backend: if sys::HAS_PF {
                Backend::Pf
            } else {
                Backend::Nft
            },
            table: None,
            label_maintenance: "www-maintenance".to_owned(),
            label_normal: "www-normal".to_owned(),
            redirects: vec![
                Redirect { from: 80, to: 8080 },
                Redirect {
                    from: 443,
                    to: 8443,
                },
            ],
            families: vec![Family::Inet, Family::Inet6],
            except: Vec::new(),
            live: Vec::new(),
        }
    }
}

impl SwitchConfig {
    /// The name of the table: pf's holds visitors, nft's holds sets and rules.
    #[must_use]
    pub fn table(&self) -> &str {
        let default = match self.backend {
            Backend::Pf => "maintenance",
            Backend::Nft => "maintd",
        };
        self.table.as_deref().unwrap_or(default)
    }
}
