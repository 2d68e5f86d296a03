//! pf(4): redirected clients are the members of a table; states are selected by the labels of the rules that made them.

mod interfaces;
mod output;
mod rules;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::config::network::Family;
use crate::config::switch::SwitchConfig;
use crate::switch::clients::ClientSet;
use crate::switch::command::{Call, CommandOutput};
use crate::switch::error::{LOAD_PF_RULES, SwitchError};
use crate::switch::filter::packet_filter::{Count, LoadedRedirects, PacketFilter, StateUsage};
use crate::switch::filter::pf::interfaces::DefaultInterface;
use crate::switch::filter::pf::output::{PfRule, PfState};
use crate::switch::host::Host;
use crate::switch::plan::Side;
use crate::switch::tools::Tools;

pub use crate::switch::filter::pf::rules::Syntax;

/// The exit status of `pfctl -T test` if not all addresses match.
const NO_MATCH: i32 = 2;
/// The exit status of `pfctl -T show` if there is no such table.
const NO_TABLE: i32 = 255;

/// The rules that the switch needs, with this host's interface and addresses on FreeBSD.
pub(crate) fn rules(settings: &SwitchConfig, syntax: Syntax, tools: &Tools) -> String {
    let default = tools
        .pf_of_freebsd
        .then(|| DefaultInterface::find(tools))
        .flatten();
    rules::rules(settings, syntax, tools.pf_of_freebsd, default)
}

/// pf with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Pf {
    settings: SwitchConfig,
    tools: Tools,
    /// This host's own addresses, used to exclude forwarded connections.
    own: Vec<IpAddr>,
}

impl PacketFilter for Pf {
    fn check_enabled(&self, host: &mut dyn Host) -> Result<StateUsage, SwitchError> {
        let info = query(host, &self.pfctl(&["-s", "info"]))?;
        match output::is_enabled(&info) {
            Some(true) => Ok(StateUsage {
                used: output::states_in_use(&info),
                limit: None,
            }),
            Some(false) => Err(SwitchError::PfDisabled {
                is_freebsd: self.tools.pf_of_freebsd,
            }),
            None => Err(SwitchError::PfStatusUnknown),
        }
    }

    fn check_rules(&self, host: &mut dyn Host, _: bool) -> Result<Option<String>, SwitchError> {
        let tables = query(host, &self.pfctl(&["-vs", "Tables"]))?;
        let table = self.settings.table().to_owned();
        match output::is_referenced(&tables, &table) {
            Some(true) => Ok(None),
            Some(false) => Err(SwitchError::UnusedPfTable { table }),
            None => Err(SwitchError::NoPfTable { table }),
        }
    }

    fn check_selectors(&self, host: &mut dyn Host) -> Result<(), SwitchError> {
        let counts = query(host, &self.list_labels())?;
        let mut labels = self.settings.labels().into_iter();
        match labels.find(|label| output::count_of(&counts, label).is_none()) {
            Some(label) => Err(SwitchError::NoPfLabel {
                label: label.clone(),
            }),
            None => Ok(()),
        }
    }

    fn state_usage(&self, host: &mut dyn Host) -> StateUsage {
        let memory = query(host, &self.pfctl(&["-s", "memory"])).ok();
        StateUsage {
            used: None,
            limit: memory.and_then(|memory| output::state_limit(&memory)),
        }
    }

    /// If the interfaces cannot be listed, adds a warning.
    fn redirects(
        &self,
        host: &mut dyn Host,
        is_required: bool,
    ) -> Result<LoadedRedirects, SwitchError> {
        let mut warnings = Vec::new();
        let mut text = String::new();
        let calls = self.list_rules();
        let outputs: Vec<CommandOutput> = calls
            .iter()
            .map(|call| host.run(call).unwrap_or_else(CommandOutput::not_run))
            .collect();
        for (call, output) in calls.iter().zip(outputs) {
            text.push_str(&output.stdout);
            if output.is_success() {
                continue;
            }
            let error = output.failure_of(call);
            if call.program != self.tools.ifconfig {
                return Err(error);
            }
            warnings.push(format!(
                "cannot check that the interfaces of the rules exist: {error}"
            ));
        }
        self.parse_redirects(&text, is_required, warnings)
    }

    fn clients(&self, host: &mut dyn Host) -> Result<Option<ClientSet>, SwitchError> {
        let call = self.table(&["show"]);
        let output = host.run(&call)?;
        if output.status == Some(NO_TABLE) {
            return Ok(None);
        }
        if !output.is_success() {
            return Err(output.failure_of(&call));
        }
        let unreadable = || SwitchError::UnreadableEntries {
            table: self.settings.table().to_owned(),
        };
        let clients = output::entries(&output.stdout);
        clients.map(Some).ok_or_else(unreadable)
    }

    fn replace_clients(&self, host: &mut dyn Host, clients: &ClientSet) -> Result<(), SwitchError> {
        let output = host.run(&self.replace(clients))?;
        if output.is_success() {
            Ok(())
        } else if self.tools.pf_of_freebsd && output::is_change_forbidden(&output.stderr) {
            Err(SwitchError::ChangeForbidden {
                table: self.settings.table().to_owned(),
                error_text: output.error_text(),
            })
        } else {
            Err(output.failure_to(format!("pfctl cannot change {}", self.table_name())))
        }
    }

    fn verify_redirected(
        &self,
        host: &mut dyn Host,
        clients: &ClientSet,
    ) -> Result<(), SwitchError> {
        let members = self.members_among(host, clients.redirected_samples())?;
        let mut samples = clients.redirected_samples();
        match samples.find(|address| !members.contains(address)) {
            Some(address) => Err(SwitchError::NotRedirected {
                address,
                set: self.table_name(),
            }),
            None => Ok(()),
        }
    }

    fn verify_excepted(&self, host: &mut dyn Host, clients: &ClientSet) -> Result<(), SwitchError> {
        let members = self.members_among(host, clients.excepted_samples())?;
        let mut samples = clients.excepted_samples();
        match samples.find(|address| members.contains(address)) {
            Some(address) => Err(SwitchError::NotExcepted {
                address,
                set: self.table_name(),
            }),
            None => Ok(()),
        }
    }

    fn verify_empty(&self, host: &mut dyn Host) -> Result<(), SwitchError> {
        let table = self.settings.table().to_owned();
        match output::entries(&query(host, &self.table(&["show"]))?) {
            None => Err(SwitchError::UnreadableEntries { table }),
            Some(clients) if clients.is_empty() => Ok(()),
            Some(_) => Err(SwitchError::NotEmpty {
                set: self.table_name(),
            }),
        }
    }

    fn kill(&self, host: &mut dyn Host, side: Side, _: &ClientSet) -> Result<(), SwitchError> {
        let output = host.run(&self.kill_label(side))?;
        let label = self.label(side).to_owned();
        if output.is_success() {
            Ok(())
        } else if output::is_kill_forbidden(&output.stderr) {
            Err(SwitchError::KillForbidden {
                label,
                error_text: output.error_text(),
            })
        } else {
            Err(output.failure_to(format!("pfctl cannot kill the states of label \"{label}\"")))
        }
    }

    fn misplaced_connections(
        &self,
        host: &mut dyn Host,
        side: Side,
        clients: &ClientSet,
    ) -> Result<u64, SwitchError> {
        let states = query(host, &self.list_states())?;
        let clients = clients.index();
        // This host's own connections do not pass the interface of the rules, so they are never redirected.
        let is_misplaced = |state: &PfState| match side {
            Side::Live => clients.has(state.peer.ip()) && !self.is_own(state.peer),
            Side::Maintenance => !clients.has(state.peer.ip()),
        };
        Ok(self.count(side, &states, is_misplaced))
    }

    fn connections(&self, host: &mut dyn Host, side: Side) -> Result<u64, SwitchError> {
        let states = query(host, &self.list_states())?;
        Ok(self.count(side, &states, |_| true))
    }

    fn counts(&self, host: &mut dyn Host) -> [Option<Count>; 2] {
        let counts = query(host, &self.list_labels()).unwrap_or_default();
        self.settings
            .labels()
            .map(|label| output::count_of(&counts, label))
    }
}

/// What a command prints.
///
/// # Errors
/// It fails.
fn query(host: &mut dyn Host, call: &Call) -> Result<String, SwitchError> {
    let output = host.run(call)?;
    if output.is_success() {
        Ok(output.stdout)
    } else {
        Err(output.failure_of(call))
    }
}

impl Pf {
    pub(crate) fn new(settings: SwitchConfig, tools: &Tools, own: Vec<IpAddr>) -> Self {
        Self {
            settings,
            tools: tools.clone(),
            own,
        }
    }

    fn pfctl(&self, arguments: &[&str]) -> Call {
        Call::new(&self.tools.pfctl, arguments.iter().copied())
    }

    fn table_name(&self) -> String {
        format!("table <{}>", self.settings.table())
    }

    /// A command for the table.
    fn table(&self, arguments: &[&str]) -> Call {
        self.pfctl(&[&["-t", self.settings.table(), "-T"], arguments].concat())
    }

    /// Makes exactly these the table's members.
    fn replace(&self, clients: &ClientSet) -> Call {
        if clients.is_empty() {
            return self.table(&["flush"]);
        }
        let entries = clients.entries.iter().map(|entry| format!("{entry}\n"));
        let except = clients.except.iter().map(|entry| format!("!{entry}\n"));
        // The addresses are not among the arguments, so that a rule of doas.conf(5) can name all arguments.
        self.pfctl(&[
            "-q",
            "-t",
            self.settings.table(),
            "-T",
            "replace",
            "-f",
            "-",
        ])
        .with_input(entries.chain(except).collect())
    }

    /// Lists, in one call, the addresses that are in the table (`-v` prints them).
    fn test(&self, addresses: impl Iterator<Item = IpAddr>) -> Option<Call> {
        let input: String = addresses.map(|address| format!("{address}\n")).collect();
        let call = self.pfctl(&["-v", "-t", self.settings.table(), "-T", "test", "-f", "-"]);
        (!input.is_empty()).then(|| call.with_input(input))
    }

    /// The addresses that are in the table.
    fn members_among(
        &self,
        host: &mut dyn Host,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Result<HashSet<IpAddr>, SwitchError> {
        let addresses: Vec<IpAddr> = addresses.collect();
        let Some(call) = self.test(addresses.iter().copied()) else {
            return Ok(HashSet::new());
        };
        let output = host.run(&call)?;
        match output.status {
            Some(0) => Ok(addresses.into_iter().collect()),
            Some(NO_MATCH) => Ok(output::matching(&output.stdout).collect()),
            Some(_) | None => {
                Err(output.failure_to(format!("pfctl cannot test {}", self.table_name())))
            }
        }
    }

    fn kill_label(&self, side: Side) -> Call {
        self.pfctl(&["-k", "label", "-k", self.label(side)])
    }

    fn list_labels(&self) -> Call {
        self.pfctl(&["-s", "labels"])
    }

    fn list_states(&self) -> Call {
        self.pfctl(&["-s", "states"])
    }

    /// Lists the rules, and the interfaces that they can name.
    fn list_rules(&self) -> Vec<Call> {
        let mut calls = vec![self.pfctl(&["-s", "rules"])];
        if self.tools.pf_of_freebsd {
            calls.push(self.pfctl(&["-s", "nat"]));
        }
        calls.push(interfaces::list(&self.tools));
        calls
    }

    fn label(&self, side: Side) -> &str {
        match side {
            Side::Live => &self.settings.label_normal,
            Side::Maintenance => &self.settings.label_maintenance,
        }
    }

    /// `-s rules`, on FreeBSD `-s nat`, and `ifconfig -a`: the table's rules redirect, and their interfaces exist. The flag
    /// `r` of `-vs Tables` does not show that: FreeBSD keeps it for up to 35 s after the rules were removed. pf accepts the
    /// name of a missing interface; such a rule matches nothing.
    fn parse_redirects(
        &self,
        text: &str,
        is_required: bool,
        mut warnings: Vec<String>,
    ) -> Result<LoadedRedirects, SwitchError> {
        let table = self.settings.table();
        let names = interfaces::names(text);
        let is_ours = |rule: &PfRule<'_>| {
            let mut labels = self.settings.labels().into_iter();
            rule.from == Some(table) || labels.any(|label| rule.labels.contains(&label.as_str()))
        };
        let rules: Vec<PfRule<'_>> = output::rules(text).filter(is_ours).collect();
        for rule in &rules {
            let Some(name) = rule.absent(&names) else {
                continue;
            };
            let mut present = rules.iter().filter(|rule| rule.absent(&names).is_none());
            let is_needed = !present.any(|other| other.replaces(rule));
            let error = SwitchError::NoPfInterface {
                name: name.to_owned(),
                is_needed,
            };
            if is_needed && is_required {
                return Err(error);
            }
            let warning = error.to_string();
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let redirects: Vec<&Vec<SocketAddr>> = rules
            .iter()
            .filter(|rule| rule.from == Some(table))
            .filter_map(|rule| rule.redirect.as_ref())
            .collect();
        if redirects.is_empty() {
            return Err(SwitchError::NoPfRedirect {
                table: table.to_owned(),
            });
        }
        let is_switched =
            |target: &&SocketAddr| self.settings.families.contains(&Family::of(target.ip()));
        let mut targets: Vec<SocketAddr> = redirects
            .iter()
            .copied()
            .flatten()
            .filter(is_switched)
            .copied()
            .collect();
        targets.sort_unstable();
        targets.dedup();
        // FreeBSD does not deliver packets from outside that are redirected to ::1.
        let is_ipv6_loopback = |target: &&SocketAddr| target.is_ipv6() && target.ip().is_loopback();
        if self.tools.pf_of_freebsd
            && let Some(target) = targets.iter().find(is_ipv6_loopback)
        {
            return Err(SwitchError::PfLoopbackTarget { target: *target });
        }
        if redirects.iter().any(|targets| targets.is_empty()) {
            warnings.push(
                "a rule redirects to a target that is not an address with a port, so the responder is not checked there".to_owned(),
            );
        } else {
            warnings.extend(self.missing_redirects(&targets));
        }
        Ok(LoadedRedirects { targets, warnings })
    }

    /// A warning unless each port of each family that this host has an address of is redirected to one of `targets`.
    fn missing_redirects(&self, targets: &[SocketAddr]) -> Option<String> {
        let has_address =
            |family: &&Family| self.own.iter().any(|own| Family::of(*own) == **family);
        let families = self.settings.families.iter().filter(has_address);
        let required = families.flat_map(|family| {
            let redirects = self.settings.redirects.iter();
            redirects.map(|redirect| (*family, redirect.to))
        });
        let is_loaded = |(family, port): &(Family, u16)| {
            let mut targets = targets.iter();
            targets.any(|target| Family::of(target.ip()) == *family && target.port() == *port)
        };
        let (loaded, required) = (required.clone().filter(is_loaded).count(), required.count());
        (loaded < required).then(|| {
            format!(
                "only {loaded} of {required} rules redirect visitors, one for each port of IPv4 and of IPv6, so some may stay on the live site; {LOAD_PF_RULES}"
            )
        })
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.own.contains(&address.ip()) || address.ip().is_loopback()
    }

    /// The number of open connections on a side that match `filter`.
    fn count(&self, side: Side, states: &str, filter: impl Fn(&PfState) -> bool) -> u64 {
        let redirects = || self.settings.redirects.iter();
        let is_on_side = |state: &PfState| match (side, state.redirected_from) {
            (Side::Live, None) => {
                self.is_own(state.to)
                    && redirects().any(|redirect| redirect.from == state.to.port())
            }
            (Side::Maintenance, Some(from)) => {
                self.is_own(from)
                    && redirects().any(|redirect| {
                        (redirect.from, redirect.to) == (from.port(), state.to.port())
                    })
            }
            (Side::Live, Some(_)) | (Side::Maintenance, None) => false,
        };
        let counted = output::states(states)
            .filter(|state| is_on_side(state) && !state.is_closed && filter(state));
        counted.count().try_into().unwrap_or(u64::MAX)
    }
}

/// Reads a text with every parser of pfctl's output, for fuzzing.
pub(crate) fn read_everything(text: &str) {
    interfaces::read_everything(text);
    output::is_enabled(text);
    output::states_in_use(text);
    output::state_limit(text);
    output::is_referenced(text, "maintenance");
    output::count_of(text, "www-normal");
    output::states(text).count();
    output::rules(text).count();
    // Entries that are printed as pfctl would must be read the same.
    let Some(clients) = output::entries(text) else {
        return;
    };
    let shown = clients.entries.iter().map(|entry| format!("   {entry}\n"));
    let shown: String = shown
        .chain(clients.except.iter().map(|entry| format!("  !{entry}\n")))
        .collect();
    assert_eq!(output::entries(&shown), Some(clients));
}
