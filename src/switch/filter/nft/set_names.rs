//! The names of the sets in nft's table.

use crate::config::network::Family;

/// The sets of redirected clients, and of exceptions.
pub(crate) const CLIENTS: [&str; 2] = ["clients4", "clients6"];
pub(crate) const EXCEPT: [&str; 2] = ["except4", "except6"];

/// The index of a family's set.
pub(crate) const fn index(family: Family) -> usize {
    match family {
        Family::Inet => 0,
        Family::Inet6 => 1,
    }
}
