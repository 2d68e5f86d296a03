//! The interface of the packet filters: one method for each query and each change.

use std::fmt;
use std::net::SocketAddr;

use crate::config::network::Family;
use crate::switch::clients::ClientSet;
use crate::switch::error::SwitchError;
use crate::switch::host::Host;
use crate::switch::plan::Side;

/// Of a hundred states: the number from which on a full state table is a warning.
const NEARLY_FULL: u64 = 80;

/// What the rules of one label have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// How full the packet filter's state table is, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateUsage {
    pub(crate) used: Option<u64>,
    pub(crate) limit: Option<u64>,
}

impl StateUsage {
    /// With the other's numbers where this one has none.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            used: self.used.or(other.used),
            limit: self.limit.or(other.limit),
        }
    }

    /// A warning if the table is nearly full.
    pub(crate) fn warning(self) -> Option<String> {
        let (used, limit) = (self.used?, self.limit.filter(|limit| *limit > 0)?);
        (used >= limit / 100 * NEARLY_FULL + limit % 100 * NEARLY_FULL / 100).then(|| {
            format!(
                "the packet filter's table of connections is full to {}% ({used} of {limit}), and new visitors are dropped when it is full; raise its limit",
                u128::from(used) * 100 / u128::from(limit)
            )
        })
    }
}

/// Where the loaded rules redirect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoadedRedirects {
    pub(crate) targets: Vec<SocketAddr>,
    /// What is wrong with the rules, but no error.
    pub(crate) warnings: Vec<String>,
}

/// What other firewalls do with packets to the responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FirewallCheck {
    /// They accept them.
    Open,
    /// They drop some of them; a warning.
    Blocked(String),
    /// That is not known, or only the host's own packets are dropped; a warning.
    Unknown(String),
}

/// A packet filter with its settings. A method is an error if the packet filter is not as checked, or a command fails. The
/// defaults are for backends where there is nothing to check.
pub(crate) trait PacketFilter: fmt::Debug {
    /// Checks that the packet filter is enabled. Returns the used states where the same command prints them.
    fn check_enabled(&self, _: &mut dyn Host) -> Result<StateUsage, SwitchError> {
        Ok(StateUsage::default())
    }

    /// Checks that the rules are loaded. Rules of an older maintd are a warning unless `is_required`.
    fn check_rules(
        &self,
        host: &mut dyn Host,
        is_required: bool,
    ) -> Result<Option<String>, SwitchError>;

    /// Checks that the connections of one side can be selected.
    fn check_selectors(&self, host: &mut dyn Host) -> Result<(), SwitchError>;

    /// How full the state table is. A command that fails is no error: then it is not known.
    fn state_usage(&self, host: &mut dyn Host) -> StateUsage;

    /// Reads where the loaded rules redirect to. A missing interface is a warning unless `is_required`.
    fn redirects(
        &self,
        _: &mut dyn Host,
        _is_required: bool,
    ) -> Result<LoadedRedirects, SwitchError> {
        Ok(LoadedRedirects::default())
    }

    /// Checks that other firewalls accept packets of these families to the responder.
    fn check_firewalls(
        &self,
        _: &mut dyn Host,
        _families: &[Family],
        _is_required: bool,
    ) -> Result<FirewallCheck, SwitchError> {
        Ok(FirewallCheck::Open)
    }

    /// The redirected clients; `None` without a table.
    fn clients(&self, host: &mut dyn Host) -> Result<Option<ClientSet>, SwitchError>;

    /// Redirects exactly these clients, in one atomic change.
    fn replace_clients(&self, host: &mut dyn Host, clients: &ClientSet) -> Result<(), SwitchError>;

    /// Checks one address of each entry.
    fn verify_redirected(
        &self,
        host: &mut dyn Host,
        clients: &ClientSet,
    ) -> Result<(), SwitchError>;

    /// Checks one address of each exception, unless [`Self::verify_redirected`] has.
    fn verify_excepted(&self, _: &mut dyn Host, _: &ClientSet) -> Result<(), SwitchError> {
        Ok(())
    }

    /// Checks that no client is redirected.
    fn verify_empty(&self, host: &mut dyn Host) -> Result<(), SwitchError>;

    /// Ends the connections on this side of clients that belong on the other one.
    fn kill(&self, host: &mut dyn Host, side: Side, clients: &ClientSet)
    -> Result<(), SwitchError>;

    /// The number of open connections on this side of clients that belong on the other one.
    fn misplaced_connections(
        &self,
        host: &mut dyn Host,
        side: Side,
        clients: &ClientSet,
    ) -> Result<u64, SwitchError>;

    /// The number of open connections on this side.
    fn connections(&self, host: &mut dyn Host, side: Side) -> Result<u64, SwitchError>;

    /// What the rules of the page and of the live site have counted, as far as that is known.
    fn counts(&self, host: &mut dyn Host) -> [Option<Count>; 2];
}
