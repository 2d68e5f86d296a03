//! Server names: parsing of `server_name`, and the lookup of the site for a requested host name.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// The index of a site in the configuration.
pub type SiteNumber = u16;

/// The longest name that is looked up: no host name is longer (RFC 1035 2.3.4).
const MAX_NAME: usize = 255;

/// A name of `server_name`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// This name. The empty name is that of requests without one.
    Exact(String),
    /// `*.NAME`: every name that ends with a dot and this.
    Below(String),
    /// `.NAME`: the name, and every name that ends with a dot and it.
    AndBelow(String),
    /// `NAME.*`: every name that begins with this and a dot.
    Begins(String),
}

impl FromStr for ServerName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let text = text.to_lowercase();
        if text.starts_with('~') {
            return Err("a server_name by regular expression is not possible here; list the names");
        }
        let (variant, name): (fn(String) -> Self, &str) =
            if let Some(rest) = text.strip_prefix("*.") {
                (Self::Below, rest)
            } else if let Some(rest) = text.strip_prefix('.') {
                (Self::AndBelow, rest)
            } else if let Some(rest) = text.strip_suffix(".*") {
                (Self::Begins, rest)
            } else {
                return if text.contains('*') || text.contains("..") {
                    Err(INVALID)
                } else {
                    Ok(Self::Exact(text))
                };
            };
        if name.is_empty() || name.contains('*') || name.contains("..") || name.starts_with('.') {
            Err(INVALID)
        } else {
            Ok(variant(name.to_owned()))
        }
    }
}

const INVALID: &str = "not a server_name; write NAME, *.NAME, .NAME or NAME.*";

impl fmt::Display for ServerName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => to.write_str(name),
            Self::Below(name) => write!(to, "*.{name}"),
            Self::AndBelow(name) => write!(to, ".{name}"),
            Self::Begins(name) => write!(to, "{name}.*"),
        }
    }
}

/// The sites of one endpoint, found by host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualHosts {
    /// In the order of the configuration.
    sites: Vec<SiteNumber>,
    default: SiteNumber,
    exact: NameTable,
    below: NameTable,
    begins: NameTable,
}

/// Names in lower case, with their sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NameTable {
    sites: HashMap<Box<[u8]>, SiteNumber>,
    /// The length of the longest name: longer ones are not looked up.
    longest: usize,
}

impl NameTable {
    fn has(&self, name: &str) -> bool {
        self.sites.contains_key(name.as_bytes())
    }

    fn add(&mut self, name: &str, site: SiteNumber) {
        self.longest = self.longest.max(name.len());
        self.sites.insert(name.as_bytes().into(), site);
    }

    fn find(&self, name: &[u8]) -> Option<SiteNumber> {
        (name.len() <= self.longest)
            .then(|| self.sites.get(name).copied())
            .flatten()
    }
}

impl VirtualHosts {
    /// The first site alone, for every name.
    #[must_use]
    pub fn one() -> Self {
        Self {
            sites: vec![0],
            ..Self::default()
        }
    }

    /// These sites, numbered in their order. The first is the default; a name belongs to the first site that has it.
    #[must_use]
    pub fn all<'a>(sites: impl Iterator<Item = &'a [ServerName]>) -> Self {
        let mut hosts = Self::default();
        for (site, names) in (0..).zip(sites) {
            hosts.add(site);
            for name in names {
                hosts.add_name(name, site);
            }
        }
        hosts
    }

    /// Adds a site. The first is the default until [`Self::set_default`] changes it.
    pub fn add(&mut self, site: SiteNumber) {
        if self.sites.is_empty() {
            self.default = site;
        }
        if !self.sites.contains(&site) {
            self.sites.push(site);
        }
    }

    /// Makes this site the default for names that no site has.
    pub const fn set_default(&mut self, site: SiteNumber) {
        self.default = site;
    }

    /// Adds a name of a site, unless another site has it: then returns that site. As in nginx, `.NAME` is a single name, which
    /// is taken if one of its halves is.
    pub fn add_name(&mut self, name: &ServerName, site: SiteNumber) -> Option<SiteNumber> {
        let (table, name, both) = match name {
            ServerName::Exact(name) => (&mut self.exact, name, false),
            ServerName::Below(name) => (&mut self.below, name, false),
            ServerName::Begins(name) => (&mut self.begins, name, false),
            ServerName::AndBelow(name) => (&mut self.below, name, true),
        };
        let owner = table.find(name.as_bytes());
        if owner.is_some() {
            return owner;
        }
        if both {
            if self.exact.has(name) {
                return self.exact.find(name.as_bytes());
            }
            self.below.add(name, site);
            self.exact.add(name, site);
        } else {
            table.add(name, site);
        }
        None
    }

    /// The sites, in their order.
    #[must_use]
    pub fn sites(&self) -> &[SiteNumber] {
        &self.sites
    }

    /// The site for names that no site has.
    #[must_use]
    pub const fn default_site(&self) -> SiteNumber {
        self.default
    }

    /// There is only one site, which answers every name.
    #[must_use]
    pub const fn is_one(&self) -> bool {
        self.sites.len() <= 1
    }

    /// The site for a name: by the exact name, the longest `*.NAME`, the longest `NAME.*`. Case and a trailing dot are ignored.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<SiteNumber> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut lower = [0; MAX_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let dots = || (0..lower.len()).filter(|at| lower[*at] == b'.');
        let below = |at: usize| self.below.find(&lower[at + 1..]);
        let begins = |at: usize| self.begins.find(&lower[..at]);
        self.exact
            .find(lower)
            .or_else(|| dots().find_map(below))
            .or_else(|| dots().rev().find_map(begins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site for each of these lists of names.
    fn hosts(sites: &[&str]) -> VirtualHosts {
        let sites: Vec<Vec<ServerName>> = sites
            .iter()
            .map(|names| names.split(' ').map(|name| name.parse().unwrap()).collect())
            .collect();
        VirtualHosts::all(sites.iter().map(Vec::as_slice))
    }

    #[test]
    fn names_are_parsed_and_printed() {
        for name in [
            "a.example",
            "_",
            "",
            "*.a.example",
            ".a.example",
            "www.*",
            "[::1]",
        ] {
            let read: ServerName = name.parse().unwrap();
            assert_eq!(read.to_string(), name);
        }
        assert_eq!(
            "A.Example".parse(),
            Ok(ServerName::Exact("a.example".into()))
        );
        for wrong in [
            "*", "*.", ".", "..a", "a.*.b", "*a.b", "a..b", "*.a.*", "*..a", ".*",
        ] {
            assert_eq!(wrong.parse::<ServerName>(), Err(INVALID), "{wrong}");
        }
        assert!("~^a$".parse::<ServerName>().is_err());
    }

    #[test]
    fn the_exact_name_takes_precedence_over_the_longest_wildcard() {
        let hosts = hosts(&[
            "_",
            "a.example",
            "*.example",
            "*.b.example",
            "www.*",
            "www.b.*",
            ".c.example",
            "",
            "[::1] 192.0.2.1",
        ]);
        for (name, site) in [
            ("a.example", Some(1)),
            ("A.EXAMPLE", Some(1)),
            ("a.example.", Some(1)),
            ("b.example", Some(2)),
            ("x.a.example", Some(2)),
            ("x.b.example", Some(3)),
            ("y.x.b.example", Some(3)),
            ("www.b.example", Some(3)),
            ("www.test", Some(4)),
            ("www.x.test", Some(4)),
            ("www.b.test", Some(5)),
            ("c.example", Some(6)),
            ("x.c.example", Some(6)),
            ("", Some(7)),
            ("[::1]", Some(8)),
            ("192.0.2.1", Some(8)),
            ("_", Some(0)),
            ("example", None),
            ("www", None),
            ("aexample", None),
            ("a.example..", None),
            ("other.test", None),
        ] {
            assert_eq!(hosts.find(name.as_bytes()), site, "{name}");
        }
        assert_eq!(hosts.default_site(), 0);
    }

    #[test]
    fn a_name_longer_than_any_host_name_is_not_found() {
        let hosts = hosts(&["_", "*.example"]);
        let long = |length: usize| "x".repeat(length - 8) + ".example";
        assert_eq!(hosts.find(long(MAX_NAME).as_bytes()), Some(1));
        assert_eq!(hosts.find(long(MAX_NAME + 1).as_bytes()), None);
        assert_eq!(hosts.find(&[b'.'; 255]), None);
    }

    #[test]
    fn a_name_belongs_to_the_first_site() {
        let mut hosts = hosts(&["a.example *.b.example", "c.example"]);
        for (name, owner) in [
            ("a.example", Some(0)),
            (".a.example", Some(0)),
            (".b.example", Some(0)),
            ("b.example", None),
            (".c.example", Some(1)),
            ("www.*", None),
        ] {
            assert_eq!(hosts.add_name(&name.parse().unwrap(), 2), owner, "{name}");
        }
        assert_eq!(hosts.find(b"x.a.example"), None);
    }

    #[test]
    fn a_single_site_is_known_as_such() {
        assert!(VirtualHosts::one().is_one());
        let mut hosts = hosts(&["a", "b"]);
        assert!(!hosts.is_one());
        hosts.add(1);
        assert_eq!(hosts.sites(), [0, 1]);
        hosts.set_default(1);
        assert_eq!(hosts.default_site(), 1);
    }
}
