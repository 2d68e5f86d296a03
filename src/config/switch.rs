//! The settings of the switch (`maintd on`, `off`, `run`, `status`): the block `switch { }` and `state_dir`.

use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::sys;

/// The default directory of the switch's state file.
pub const STATE_DIR: &str = "/var/db/maintd";

/// A packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// pf(4) of OpenBSD and FreeBSD.
    Pf,
    /// nftables of Linux.
    Nft,
}

impl Backend {
    /// The name in the configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pf => "pf",
            Self::Nft => "nft",
        }
    }
}

/// A port of the live site, and the port that serves the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The port of the live site.
    pub from: u16,
    /// The port of the page.
    pub to: u16,
}

/// The settings of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    /// The packet filter; the default is that of the system.
    pub backend: Backend,
    /// The configured name of the table; see [`Self::table`].
    pub table: Option<String>,
    /// The label of the rules for redirected connections.
    pub label_maintenance: String,
    /// The label of the rules for the live site.
    pub label_normal: String,
    /// The ports, at least one, each only once.
    pub redirects: Vec<Redirect>,
    /// The redirected address families, at least one, IPv4 first.
    pub families: Vec<Family>,
    /// The networks that stay on the live site.
    pub except: Vec<Network>,
    /// The addresses of the live site that are probed before switching off; without any, all addresses of this host.
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
    /// The name of the table: the address table of pf, or the nftables table with the sets and rules.
    #[must_use]
    pub fn table(&self) -> &str {
        let default = match self.backend {
            Backend::Pf => "maintenance",
            Backend::Nft => "maintd",
        };
        self.table.as_deref().unwrap_or(default)
    }

    /// The labels of the rules: those for the page, then those for the live site.
    pub(crate) const fn labels(&self) -> [&String; 2] {
        [&self.label_maintenance, &self.label_normal]
    }
}
