//! Queries the packet filter, the servers and the daemon.

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::clock;
use crate::config::switch::Backend;
use crate::control::ControlError;
use crate::error::Error;
use crate::switch::clients::ClientSet;
use crate::switch::error::SwitchError;
use crate::switch::filter::packet_filter::{Count, FirewallCheck, StateUsage};
use crate::switch::host::Host as _;
use crate::switch::on_off::Switch;
use crate::switch::plan::{LiveRequirement, Side};
use crate::switch::state::Saved;
use crate::switch::status::daemon::DaemonStatus;

/// Which clients are redirected to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SwitchState {
    /// All clients of the configured families, except exceptions.
    On,
    /// None.
    Off,
    /// Some.
    Partly,
    /// Cannot be determined.
    Unknown,
}

impl SwitchState {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Partly => "partly",
            Self::Unknown => "unknown",
        }
    }
}

/// A server, with the error if its check failed.
pub(super) type ServerCheck = (SocketAddr, Result<(), String>);

/// The traffic of one side: the page or the live site.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    /// The label of its rules.
    pub(super) label: String,
    /// What these rules have counted, if known.
    pub(super) count: Option<Count>,
    /// The open connections, if known.
    pub(super) connections: Option<u64>,
}

/// The state of the switch at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    pub(super) state: SwitchState,
    pub(super) backend: &'static str,
    pub(super) table: String,
    pub(super) clients: ClientSet,
    /// A firewall is known to block some visitors from the page.
    pub(super) has_obstacle: bool,
    pub(super) saved: Option<Saved>,
    pub(super) page: Traffic,
    pub(super) live: Traffic,
    pub(super) responders: Vec<ServerCheck>,
    pub(super) live_servers: Vec<ServerCheck>,
    /// All servers of the live site, if none accepts connections and none is required to.
    pub(super) not_accepting: Vec<SocketAddr>,
    /// The used entries of the packet filter's state table, and its limit, if known.
    pub(super) state_usage: StateUsage,
    /// The first says why the state is unknown, if it is.
    pub(super) warnings: Vec<String>,
    pub(super) daemon: Option<DaemonStatus>,
    /// In seconds since 1970.
    pub(super) now: u64,
}

/// Queries the state of the switch.
///
/// # Errors
/// The user is not root.
pub fn query(switch: &mut Switch) -> Result<Status, Error> {
    switch.require_root()?;
    let mut warnings = Vec::new();
    let mut state_usage = StateUsage::default();
    let mut responders = switch.servers().responders();
    let is_effective = is_effective(switch, &mut state_usage, &mut responders, &mut warnings);
    if responders.is_empty() {
        responders = switch.servers().usual_responders();
    }
    let clients = match switch.redirected_clients() {
        Ok(clients) => Some(clients.unwrap_or_default()),
        Err(error) => {
            warnings.push(error.to_string());
            None
        }
    };
    let state = match &clients {
        None => SwitchState::Unknown,
        Some(clients) if clients.is_empty() => SwitchState::Off,
        Some(_) if !is_effective => SwitchState::Unknown,
        Some(clients) if is_on_for_all(switch, clients) => SwitchState::On,
        Some(_) => SwitchState::Partly,
    };
    let saved = saved(switch, state, &mut warnings);
    let [page_count, live_count] = switch.filter.counts(&mut switch.system);
    let page_label = switch.settings.label_maintenance.clone();
    let page = traffic(switch, Side::Maintenance, page_label, page_count);
    let live_label = switch.settings.label_normal.clone();
    let live = traffic(switch, Side::Live, live_label, live_count);
    warnings.extend(state_usage.warning());
    let is_on = matches!(state, SwitchState::On | SwitchState::Partly);
    let mut has_obstacle = false;
    if is_on {
        let families = clients
            .as_ref()
            .map(ClientSet::families)
            .unwrap_or_default();
        match (switch.filter).check_firewalls(&mut switch.system, &families, false) {
            Ok(FirewallCheck::Blocked(warning)) => {
                has_obstacle = true;
                warnings.push(warning);
            }
            Ok(FirewallCheck::Unknown(warning)) => warnings.push(warning),
            Err(error) => warnings.push(error.to_string()),
            Ok(FirewallCheck::Open) => {}
        }
    }
    if is_on && switch.settings.backend == Backend::Pf {
        warnings.extend(still_live(switch, clients.as_ref(), &page));
    }
    let daemon = daemon(switch, &mut warnings);
    // Several commands may fail for one reason.
    let mut seen = HashSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    let (live_servers, not_accepting) = live_servers(switch, saved.as_ref());
    Ok(Status {
        state,
        backend: switch.settings.backend.name(),
        table: switch.settings.table().to_owned(),
        clients: clients.unwrap_or_default(),
        saved,
        page,
        live,
        has_obstacle,
        responders: checked(responders, |server| switch.system.check_page(server)),
        live_servers,
        not_accepting,
        state_usage,
        warnings,
        daemon,
        now: clock::seconds(),
    })
}

fn traffic(switch: &mut Switch, side: Side, label: String, count: Option<Count>) -> Traffic {
    let connections = switch.filter.connections(&mut switch.system, side).ok();
    Traffic {
        label,
        count,
        connections,
    }
}

/// The live site's servers that are required to accept connections. If they are not known, those that accept or, if none
/// does, all of them as the second value.
fn live_servers(switch: &mut Switch, saved: Option<&Saved>) -> (Vec<ServerCheck>, Vec<SocketAddr>) {
    match switch.live_requirement(saved) {
        LiveRequirement::Each(servers) => {
            let checks = checked(servers, |server| switch.system.connect(server));
            (checks, Vec::new())
        }
        LiveRequirement::Any(servers) | LiveRequirement::Unknown(servers) => {
            let accepting = switch.system.accepting(&servers);
            if accepting.is_empty() {
                (Vec::new(), servers)
            } else {
                (checked(accepting, |_| Ok(())), Vec::new())
            }
        }
    }
}

/// A warning about redirected visitors with connections to the live site, as they have if the rules are for another
/// interface.
fn still_live(switch: &mut Switch, clients: Option<&ClientSet>, page: &Traffic) -> Option<String> {
    let filter = &switch.filter;
    let count = filter.misplaced_connections(&mut switch.system, Side::Live, clients?);
    let count = count.ok().filter(|count| *count > 0)?;
    let connections = if count == 1 {
        "1 connection of a redirected visitor is".to_owned()
    } else {
        format!("{count} connections of redirected visitors are")
    };
    let packets = match page.count {
        Some(Count { packets: 0, .. }) => {
            format!(", and the rules \"{}\" have matched no packet", page.label)
        }
        Some(_) | None => String::new(),
    };
    Some(format!(
        "{connections} on the live site{packets}; check that the rules match the interface and the addresses of visitors, and run \"maintd on\" again to end these connections"
    ))
}

fn daemon(switch: &Switch, warnings: &mut Vec<String>) -> Option<DaemonStatus> {
    let daemon = match DaemonStatus::query(&switch.control) {
        Ok(daemon) => daemon,
        Err(ControlError::NoDaemon(_)) => return None,
        Err(ControlError::Failed(cause)) => {
            warnings.push(format!("cannot query the daemon: {cause}"));
            return None;
        }
    };
    // A state file that cannot be read has its own warning.
    if let Ok(saved) = switch.state_dir.load()
        && let Some(announcement) = daemon.announcement()
        && announcement != saved.map(|saved| saved.announcement).unwrap_or_default()
    {
        warnings.push(format!(
            "the daemon's announcement differs from \"{}\"; switch on again, or off",
            switch.state_dir.file().display()
        ));
    }
    Some(daemon)
}

/// The packet filter is enabled, and its rules use the table.
fn is_effective(
    switch: &mut Switch,
    state_usage: &mut StateUsage,
    responders: &mut Vec<SocketAddr>,
    warnings: &mut Vec<String>,
) -> bool {
    let (filter, host) = (&switch.filter, &mut switch.system);
    let mut errors = 0;
    let mut fail = |warnings: &mut Vec<String>, error: SwitchError| {
        errors += 1;
        warnings.push(error.to_string());
    };
    match filter.check_enabled(host) {
        Ok(usage) => *state_usage = usage,
        Err(error) => fail(warnings, error),
    }
    *state_usage = state_usage.or(filter.state_usage(host));
    match filter.check_rules(host, false) {
        Ok(outdated) => warnings.extend(outdated),
        Err(error) => fail(warnings, error),
    }
    match filter.redirects(host, true) {
        Ok(redirects) => {
            responders.extend(redirects.targets);
            warnings.extend(redirects.warnings);
        }
        Err(error) => fail(warnings, error),
    }
    errors == 0
}

/// All clients of the configured families are redirected, except exceptions.
fn is_on_for_all(switch: &Switch, clients: &ClientSet) -> bool {
    let mut families = switch.settings.families.iter();
    families.all(|family| clients.entries.contains(&family.all_addresses()))
}

/// The saved state, if it belongs to what is on now.
fn saved(switch: &Switch, state: SwitchState, warnings: &mut Vec<String>) -> Option<Saved> {
    match (switch.state_dir.load(), state) {
        (Ok(saved), SwitchState::On | SwitchState::Partly) => {
            if saved.is_none() {
                warnings.push(
                    "maintd did not switch this on, and a reboot ends it; run \"maintd on\" for the same addresses to keep it".to_owned(),
                );
            }
            saved
        }
        (Ok(None), SwitchState::Off | SwitchState::Unknown) => None,
        (Ok(Some(_)), SwitchState::Off) => {
            warnings.push(
                "it was on, and maintd did not switch it off; run \"maintd on --resume\" or \"maintd off\"".to_owned(),
            );
            None
        }
        (Ok(saved @ Some(_)), SwitchState::Unknown) => saved,
        (Err(error), _) => {
            warnings.push(error.to_string());
            None
        }
    }
}

fn checked(
    servers: Vec<SocketAddr>,
    mut check: impl FnMut(SocketAddr) -> Result<(), SwitchError>,
) -> Vec<ServerCheck> {
    let check = |server| (server, check(server).map_err(|error| error.to_string()));
    servers.into_iter().map(check).collect()
}

impl Status {
    /// 0 on, 3 off, 4 partly, 1 unknown.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self.state {
            SwitchState::On => 0,
            SwitchState::Off => 3,
            SwitchState::Partly => 4,
            SwitchState::Unknown => 1,
        }
    }

    /// Why the state is unknown, if it is.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let cause = self.warnings.first().map_or("", String::as_str);
        let what = if !self.clients.is_empty() {
            "visitors should get the page but do not"
        } else {
            "cannot determine whether visitors get the page"
        };
        (self.state == SwitchState::Unknown).then(|| Error::Failed(format!("{what}: {cause}")))
    }
}
