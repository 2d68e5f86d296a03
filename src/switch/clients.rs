//! Sets of clients: networks that are redirected to the page, and exceptions that stay on the live site.

use std::net::IpAddr;

use crate::config::network::{Family, Network};
use crate::switch::error::SwitchError;

/// The clients that are redirected to the page. Without entries no client is redirected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientSet {
    /// Networks that are redirected.
    pub(crate) entries: Vec<Network>,
    /// Networks within them that are not.
    pub(crate) except: Vec<Network>,
}

impl ClientSet {
    /// Leaves out networks that another one covers: a packet filter may refuse to have both.
    ///
    /// # Errors
    /// An exception covers an entry.
    pub(crate) fn new(entries: Vec<Network>, except: Vec<Network>) -> Result<Self, SwitchError> {
        let (entries, except) = (without_covered(entries), without_covered(except));
        for entry in &entries {
            if let Some(exception) = covering(&except, entry) {
                return Err(SwitchError::EntryIsExcepted {
                    entry: *entry,
                    exception: *exception,
                });
            }
        }
        Ok(Self { entries, except })
    }

    /// No client is redirected.
    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The families of the entries.
    pub(crate) fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = self.entries.iter().map(Network::family).collect();
        families.sort_unstable();
        families.dedup();
        families
    }

    /// The set sorted for many lookups.
    pub(crate) fn index(&self) -> ClientIndex {
        ClientIndex {
            entries: without_covered(self.entries.clone()),
            except: without_covered(self.except.clone()),
        }
    }

    /// The same entries without exceptions.
    pub(crate) fn without_exceptions(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            except: Vec::new(),
        }
    }

    /// For each entry one address that is redirected by it, as far as one is easily found.
    pub(crate) fn redirected_samples(&self) -> impl Iterator<Item = IpAddr> {
        let index = self.index();
        self.entries.iter().filter_map(move |entry| {
            let candidates = [
                documentation_addresses(entry.family()),
                vec![entry.last(), entry.first()],
            ];
            let mut candidates = candidates.concat().into_iter();
            candidates.find(|address| entry.has(*address) && index.has(*address))
        })
    }

    /// For each exception one address that is not redirected.
    pub(crate) fn excepted_samples(&self) -> impl Iterator<Item = IpAddr> {
        self.except.iter().map(Network::first)
    }
}

/// A [`ClientSet`] for binary search: there may be ten thousand exceptions, and as many connections.
pub(crate) struct ClientIndex {
    entries: Vec<Network>,
    except: Vec<Network>,
}

impl ClientIndex {
    /// This address is redirected. No exception covers an entry, so every exception is the more precise one.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = Network::single(address);
        covering(&self.entries, &address).is_some() && covering(&self.except, &address).is_none()
    }
}

/// Sorted, without networks that others cover.
pub(crate) fn without_covered(mut networks: Vec<Network>) -> Vec<Network> {
    networks.sort_unstable();
    let mut kept: Vec<Network> = Vec::new();
    for network in networks {
        // The networks that cover it come before it, and the last one kept covers all that were left out since.
        if !kept.last().is_some_and(|last| last.covers(&network)) {
            kept.push(network);
        }
    }
    kept
}

/// The one of these networks that covers `one`. They are sorted, and none covers another.
fn covering<'a>(networks: &'a [Network], one: &Network) -> Option<&'a Network> {
    // Only the last network that is not greater can: the ones before it end before it begins.
    let greater = networks.partition_point(|network| network <= one);
    networks[..greater]
        .last()
        .filter(|network| network.covers(one))
}

/// Addresses that no host has: for documentation (RFC 5737 3, RFC 3849 2).
fn documentation_addresses(family: Family) -> Vec<IpAddr> {
    let texts: &[&str] = match family {
        Family::Inet => &["203.0.113.77", "198.51.100.77", "192.0.2.77"],
        Family::Inet6 => &["2001:db8:ffff::77", "2001:db8::77"],
    };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn set(entries: &[&str], except: &[&str]) -> ClientSet {
        ClientSet::new(networks(entries), networks(except)).unwrap()
    }

    #[test]
    fn redirected_samples_avoid_exceptions() {
        for (entries, except) in [
            (
                &["0.0.0.0/0", "::/0"][..],
                &["203.0.113.0/24", "198.51.100.0/24"][..],
            ),
            (
                &["203.0.113.0/24", "2001:db8::/64"],
                &["203.0.113.255", "2001:db8::"],
            ),
            (&["192.0.2.1"], &[]),
        ] {
            let clients = set(entries, except);
            let samples: Vec<IpAddr> = clients.redirected_samples().collect();
            assert_eq!(samples.len(), entries.len());
            assert!(
                samples.iter().all(|sample| clients.index().has(*sample)),
                "{samples:?}"
            );
        }
    }

    #[test]
    fn an_exception_must_not_cover_an_entry() {
        let error = ClientSet::new(networks(&["192.0.2.7"]), networks(&["192.0.2.0/24"]));
        let message = error.unwrap_err().to_string();
        assert!(
            message.starts_with("192.0.2.7 is to get the page, but the exception 192.0.2.0/24"),
            "{message}"
        );
        assert!(ClientSet::new(networks(&["::/0"]), networks(&["::/0"])).is_err());
        let clients = set(&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"], &["10.2.0.1"]);
        assert_eq!(clients.entries, networks(&["10.0.0.0/8"]));
        assert!(clients.index().has("10.1.0.1".parse().unwrap()));
        assert!(!clients.index().has("10.2.0.1".parse().unwrap()));
    }

    #[test]
    fn covered_networks_are_found_and_left_out() {
        let all = networks(&[
            "10.0.0.0/8",
            "10.0.0.0/9",
            "10.255.255.255",
            "11.0.0.0",
            "10.0.0.0/8",
            "9.255.255.0/24",
            "::/0",
            "::/1",
            "ffff::1",
            "0.0.0.0",
        ]);
        let kept = networks(&[
            "0.0.0.0",
            "9.255.255.0/24",
            "10.0.0.0/8",
            "11.0.0.0",
            "::/0",
        ]);
        assert_eq!(without_covered(all.clone()), kept);
        for one in all {
            let linear = kept.iter().find(|other| other.covers(&one));
            assert_eq!(covering(&kept, &one), linear, "{one}");
        }
        assert_eq!(covering(&kept[..4], &networks(&["10.0.0.0/7"])[0]), None);
        assert_eq!(covering(&kept[..4], &networks(&["11.0.0.1"])[0]), None);
    }
}
