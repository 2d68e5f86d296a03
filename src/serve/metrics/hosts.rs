//! The hosts whose requests are counted apart: a place for each, which it keeps across reloads.

use crate::config::SiteConfig;
use crate::serve::metrics::counters::HOSTS;

/// The name of the place that all share for whom there is no other.
const OTHERS: &str = "other";
/// The name of a site that has none.
const NAMELESS: &str = "_";

/// The names of the places, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Default for Hosts {
    fn default() -> Self {
        Self(vec![OTHERS.to_owned()])
    }
}

impl Hosts {
    /// The place of each of these sites, of which the first name is the host's.
    pub(crate) fn places(&mut self, sites: &[SiteConfig]) -> Vec<usize> {
        let name = |site: &SiteConfig| match site.names.first().map(ToString::to_string) {
            // With the dot of the root it is the same name, and none of all others.
            Some(name) if name == OTHERS => format!("{name}."),
            Some(name) if !name.is_empty() => name,
            Some(_) | None => NAMELESS.to_owned(),
        };
        sites.iter().map(|site| self.place(name(site))).collect()
    }

    fn place(&mut self, name: String) -> usize {
        if let Some(place) = self.0.iter().position(|known| *known == name) {
            return place;
        }
        if self.0.len() == HOSTS {
            return 0;
        }
        self.0.push(name);
        self.0.len() - 1
    }

    /// The places with their names.
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
    fn a_host_keeps_its_place_and_the_last_share_one() {
        let mut hosts = Hosts::default();
        let first = [site("b"), SiteConfig::default(), site("*.a")];
        assert_eq!(hosts.places(&first), [1, 2, 3]);
        assert_eq!(
            hosts.places(&[site("*.a"), site("c"), site("b")]),
            [3, 4, 1]
        );
        let many: Vec<SiteConfig> = (0..HOSTS)
            .map(|number| site(&format!("n{number}")))
            .collect();
        let places = hosts.places(&many);
        assert_eq!(places.iter().filter(|place| **place == 0).count(), 5);
        let names: Vec<&str> = hosts.iter().map(|(_, name)| name).take(5).collect();
        assert_eq!(names, ["other", "b", "_", "*.a", "c"]);
    }

    #[test]
    fn a_site_that_is_named_other_is_none_of_the_others() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.places(&[site("other"), site("b")]), [1, 2]);
        let names: Vec<&str> = hosts.iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["other", "other.", "b"]);
    }
}
