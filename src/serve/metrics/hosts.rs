//! The hosts with counters of their own, each with an index that it keeps across reloads.

use crate::config::SiteConfig;
use crate::serve::metrics::counters::HOSTS;

/// The name of index 0, which all hosts past the limit share.
const OTHERS: &str = "other";
/// The name of a site without a name.
const NAMELESS: &str = "_";

/// The names of the hosts, by index.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Default for Hosts {
    fn default() -> Self {
        Self(vec![OTHERS.to_owned()])
    }
}

impl Hosts {
    /// The index of each site; its first name is the host's.
    pub(crate) fn indices(&mut self, sites: &[SiteConfig]) -> Vec<usize> {
        let name = |site: &SiteConfig| match site.names.first().map(ToString::to_string) {
            // The trailing dot of the DNS root keeps the name apart from `OTHERS`.
            Some(name) if name == OTHERS => format!("{name}."),
            Some(name) if !name.is_empty() => name,
            Some(_) | None => NAMELESS.to_owned(),
        };
        sites.iter().map(|site| self.index(name(site))).collect()
    }

    fn index(&mut self, name: String) -> usize {
        if let Some(index) = self.0.iter().position(|known| *known == name) {
            return index;
        }
        if self.0.len() == HOSTS {
            return 0;
        }
        self.0.push(name);
        self.0.len() - 1
    }

    /// The hosts, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().map(String::as_str).enumerate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteConfig {
        SiteConfig {
            names: vec![name.parse().unwrap()],
            ..SiteConfig::default()
        }
    }

    #[test]
    fn a_host_keeps_its_index_and_hosts_past_the_limit_share_one() {
        let mut hosts = Hosts::default();
        let first = [site("b"), SiteConfig::default(), site("*.a")];
        assert_eq!(hosts.indices(&first), [1, 2, 3]);
        assert_eq!(
            hosts.indices(&[site("*.a"), site("c"), site("b")]),
            [3, 4, 1]
        );
        let many: Vec<SiteConfig> = (0..HOSTS)
            .map(|number| site(&format!("n{number}")))
            .collect();
        let indices = hosts.indices(&many);
        assert_eq!(indices.iter().filter(|index| **index == 0).count(), 5);
        let names: Vec<&str> = hosts.iter().map(|(_, name)| name).take(5).collect();
        assert_eq!(names, ["other", "b", "_", "*.a", "c"]);
    }

    #[test]
    fn a_site_named_other_has_an_index_of_its_own() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.indices(&[site("other"), site("b")]), [1, 2]);
        let names: Vec<&str> = hosts.iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["other", "other.", "b"]);
    }
}
