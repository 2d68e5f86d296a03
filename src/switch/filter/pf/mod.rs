//! pf(4): visitors are the members of a table, their connections are told apart by the labels of the rules.

mod interfaces;
mod output;
mod rules;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::config::network::Family;
use crate::config::switch::SwitchConfig;
use crate::switch::command::{Call, Output};
use crate::switch::filter::means::{Finding, Means, Tools};
use crate::switch::filter::pf::interfaces::DefaultInterface;
use crate::switch::filter::pf::output::{Rule, State};
use crate::switch::plan::{Moved, Side, Step};

pub use crate::switch::filter::pf::rules::Syntax;

/// `-T test`: not all addresses match.
const NO_MATCH: i32 = 2;
/// `-T show`: there is no such table.
const NO_TABLE: i32 = 255;

/// The rules that the switch needs, with this host's interface and addresses where pf has no other names for them.
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
    /// This host's own addresses: what only passes through it is no visitor of its site.
    own: Vec<IpAddr>,
}

impl Pf {
    pub(crate) fn new(settings: SwitchConfig, tools: &Tools, own: Vec<IpAddr>) -> Self {
        Self {
            settings,
            tools: tools.clone(),
            own,
        }
    }

    fn call(&self, arguments: &[&str]) -> Call {
        Call::new(&self.tools.pfctl, arguments.iter().copied())
    }

    /// A command for the table.
    fn table(&self, arguments: &[&str]) -> Call {
        self.call(&[&["-t", self.settings.table(), "-T"], arguments].concat())
    }

    /// What makes exactly these the table's members.
    fn change(&self, moved: &Moved) -> Call {
        if !moved.is_anybody() {
            return self.table(&["flush"]);
        }
        let entries = moved.entries.iter().map(|entry| format!("{entry}\n"));
        let except = moved.except.iter().map(|entry| format!("!{entry}\n"));
        // A rule of doas.conf(5) can name these arguments, for who is moved is not among them.
        self.call(&[
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

    fn label(&self, side: Side) -> &str {
        match side {
            Side::Live => &self.settings.label_normal,
            Side::Maintenance => &self.settings.label_maintenance,
        }
    }

    /// What lists the rules, and the interfaces that they can name.
    fn list_rules(&self) -> Vec<Call> {
        let mut calls = vec![self.call(&["-s", "rules"])];
        if self.tools.pf_of_freebsd {
            calls.push(self.call(&["-s", "nat"]));
        }
        calls.push(interfaces::list(&self.tools));
        calls
    }

    pub(crate) fn means(&self, step: &Step) -> Means {
        Means::Call(match step {
            Step::FilterRuns => self.call(&["-s", "info"]),
            Step::RulesLoaded { .. } => self.call(&["-vs", "Tables"]),
            Step::LabelsLoaded | Step::Counts => self.call(&["-s", "labels"]),
            Step::HasRoom => self.call(&["-s", "memory"]),
            Step::Remember | Step::NobodyIsMoved => self.table(&["show"]),
            Step::Redirects { .. } => return Means::Calls(self.list_rules()),
            Step::Change(moved) => self.change(moved),
            Step::AreMoved(moved) => return self.test(moved.witnesses()),
            Step::AreNotMoved(moved) => return self.test(moved.excepted()),
            Step::Kill(side, _) => self.call(&["-k", "label", "-k", self.label(*side)]),
            Step::AreGone(..) | Step::Connected(_) => self.call(&["-s", "states"]),
            Step::Responder {
                server,
                is_required,
            } => {
                return Means::AskForPage {
                    server: *server,
                    is_required: *is_required,
                };
            }
            Step::Live(server) => return Means::Connect(*server),
            // Its rules are in one list with all others.
            Step::PathIsOpen { .. } => return Means::Nothing,
            Step::AnyLive {
                places,
                is_required,
            } => {
                return Means::ConnectToAny {
                    servers: places.clone(),
                    is_required: *is_required,
                };
            }
        })
    }

    pub(crate) fn judge(&self, step: &Step, output: &Output) -> Result<Finding, String> {
        let table = self.settings.table();
        if let Step::AreMoved(moved) = step {
            let found = self.tested(output, moved.witnesses())?;
            return match moved.witnesses().find(|address| !found.contains(address)) {
                Some(address) => Err(format!(
                    "{address} is not in table <{table}>, where it was just put"
                )),
                None => Ok(Finding::Right),
            };
        }
        if let Step::AreNotMoved(moved) = step {
            let found = self.tested(output, moved.excepted())?;
            return match moved.excepted().find(|address| found.contains(address)) {
                Some(address) => Err(format!(
                    "{address} is in table <{table}>, and was not to be"
                )),
                None => Ok(Finding::Right),
            };
        }
        if output.status == Some(0) {
            self.read(step, &output.stdout)
        } else {
            self.failed(step, output)
        }
    }

    /// Judges the loaded rules by the interfaces of this host. Where these cannot be listed, that is a warning.
    pub(crate) fn judge_several(&self, step: &Step, outputs: &[Output]) -> Result<Finding, String> {
        let mut warnings = Vec::new();
        for (call, output) in self.list_rules().into_iter().zip(outputs) {
            if output.status == Some(0) {
                continue;
            }
            let what = output.failure_of(&call);
            if call.program != self.tools.ifconfig {
                return Err(what);
            }
            warnings.push(format!(
                "cannot check that the interfaces of the rules exist: {what}"
            ));
        }
        let texts: Vec<&str> = outputs
            .iter()
            .map(|output| output.stdout.as_str())
            .collect();
        let is_required = !matches!(step, Step::Redirects { is_required: false });
        self.redirects(&texts.concat(), is_required, warnings)
    }

    /// Which of these addresses are in the table: all in one call, and listed because of `-v`.
    fn test(&self, addresses: impl Iterator<Item = IpAddr>) -> Means {
        let input: String = addresses.map(|address| format!("{address}\n")).collect();
        if input.is_empty() {
            return Means::Nothing;
        }
        let call = self.call(&["-v", "-t", self.settings.table(), "-T", "test", "-f", "-"]);
        Means::Call(call.with_input(input))
    }

    /// `-v -T test`: those of these addresses that are in the table.
    fn tested(
        &self,
        output: &Output,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Result<HashSet<IpAddr>, String> {
        match output.status {
            Some(0) => Ok(addresses.collect()),
            Some(NO_MATCH) => Ok(output::matching(&output.stdout).collect()),
            _ => Err(format!(
                "pfctl cannot test table <{}>: {}",
                self.settings.table(),
                output.complaint()
            )),
        }
    }

    /// The command of a step, for a message.
    fn shown(&self, step: &Step) -> String {
        match self.means(step) {
            Means::Call(call) => format!("pfctl {}", call.arguments.join(" ")),
            Means::Calls(_)
            | Means::AskForPage { .. }
            | Means::Connect(_)
            | Means::ConnectToAny { .. }
            | Means::Files(_)
            | Means::Nothing => "pfctl".to_owned(),
        }
    }

    /// What a command means that has failed.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest fail alike")]
    fn failed(&self, step: &Step, output: &Output) -> Result<Finding, String> {
        let complaint = output.complaint();
        let table = self.settings.table();
        match step {
            Step::Remember if output.status == Some(NO_TABLE) => Ok(Finding::NoTable(format!(
                "pf has no table <{table}>; {LOAD_RULES}"
            ))),
            // That it is full is no reason to stop, so neither is that nobody knows.
            Step::HasRoom => Ok(Finding::Room {
                used: None,
                limit: None,
            }),
            // The kill itself was carried out; only the proof is missing.
            Step::AreGone(..) => Ok(Finding::Warning(format!(
                "cannot see whether connections are left: {complaint}"
            ))),
            Step::Change(_) => {
                // What FreeBSD's pfctl says at securelevel 2, where it may not.
                let refusals = ["Anchor does not exist", "Operation not supported by device"];
                let is_secure = self.tools.pf_of_freebsd
                    && refusals.iter().any(|text| complaint.contains(text));
                let why = if is_secure {
                    ", which a securelevel of 2 or more forbids (see \"sysctl kern.securelevel\")"
                } else {
                    ""
                };
                Err(format!(
                    "pfctl cannot change table <{table}>: {complaint}{why}"
                ))
            }
            Step::Kill(side, _) => Err(format!(
                "pfctl cannot kill the states of label \"{}\": {complaint}",
                self.label(*side)
            )),
            _ => Err(format!(
                "pfctl fails: {complaint}; run \"{}\" by hand to see why",
                self.shown(step)
            )),
        }
    }

    /// What a command means that has succeeded.
    fn read(&self, step: &Step, text: &str) -> Result<Finding, String> {
        let table = self.settings.table();
        match step {
            Step::FilterRuns => match output::is_enabled(text) {
                Some(true) => Ok(Finding::Room {
                    used: output::states_in_use(text),
                    limit: None,
                }),
                Some(false) => {
                    let more = if self.tools.pf_of_freebsd {
                        " (at securelevel 3 pfctl says so of a pf that is enabled too)"
                    } else {
                        ""
                    };
                    Err(format!(
                        "pf is disabled, so nobody is moved; run \"pfctl -e\"{more}"
                    ))
                }
                None => Err(
                    "pfctl does not tell whether pf is enabled; run \"pfctl -s info\" to see why"
                        .to_owned(),
                ),
            },
            Step::RulesLoaded { .. } => match output::is_referenced(text, table) {
                Some(true) => Ok(Finding::Right),
                Some(false) => Err(format!(
                    "no rule uses table <{table}>, so nobody is moved; {LOAD_RULES}"
                )),
                None => Err(format!("pf has no table <{table}>; {LOAD_RULES}")),
            },
            Step::LabelsLoaded => self.labels_loaded(text),
            Step::HasRoom => Ok(Finding::Room {
                used: None,
                limit: output::state_limit(text),
            }),
            Step::Remember | Step::NobodyIsMoved => match output::entries(text) {
                None => Err(format!(
                    "table <{table}> has entries that are not understood; look at \"pfctl -t {table} -T show\""
                )),
                Some(moved) if *step == Step::NobodyIsMoved && moved.is_anybody() => {
                    Err(format!("table <{table}> is not empty after it was emptied"))
                }
                Some(_) if *step == Step::NobodyIsMoved => Ok(Finding::Right),
                Some(moved) => Ok(Finding::Moved(moved)),
            },
            Step::AreGone(side, moved) => {
                let moved = moved.index();
                // What this host asks of itself does not come in by the interface of the rules, and so is not moved.
                let belongs_elsewhere = |state: &State| match side {
                    Side::Live => moved.has(state.peer.ip()) && !self.is_own(state.peer),
                    Side::Maintenance => !moved.has(state.peer.ip()),
                };
                Ok(self.count(*side, text, belongs_elsewhere))
            }
            Step::Connected(side) => Ok(self.count(*side, text, |_| true)),
            Step::Counts => Ok(Finding::Counts(
                self.labels().map(|label| output::count_of(text, label)),
            )),
            Step::Change(_)
            | Step::Kill(..)
            | Step::AreMoved(_)
            | Step::AreNotMoved(_)
            | Step::PathIsOpen { .. }
            | Step::Redirects { .. }
            | Step::Responder { .. }
            | Step::Live(_)
            | Step::AnyLive { .. } => Ok(Finding::Right),
        }
    }

    /// `-s labels`: both labels are there.
    fn labels_loaded(&self, text: &str) -> Result<Finding, String> {
        for label in self.labels() {
            if output::count_of(text, label).is_none() {
                return Err(format!(
                    "no rule has the label \"{label}\", so connections could not be told apart; {LOAD_RULES}"
                ));
            }
        }
        Ok(Finding::Right)
    }

    const fn labels(&self) -> [&String; 2] {
        [
            &self.settings.label_maintenance,
            &self.settings.label_normal,
        ]
    }

    /// `-s rules`, on FreeBSD `-s nat`, and `ifconfig -a`: the rules of the table redirect, and their interfaces exist. The
    /// flag of `-s Tables` is not enough: FreeBSD shows it for up to 35 s after the rules have gone. Nor does pf itself
    /// mind a name that no interface has: such a rule matches nothing.
    fn redirects(
        &self,
        text: &str,
        is_required: bool,
        mut warnings: Vec<String>,
    ) -> Result<Finding, String> {
        let table = self.settings.table();
        let names = interfaces::names(text);
        let is_ours = |rule: &Rule<'_>| {
            let mut labels = self.labels().into_iter();
            rule.from == Some(table) || labels.any(|label| rule.labels.contains(&label.as_str()))
        };
        let rules = || output::rules(text).filter(is_ours);
        let here: Vec<Rule<'_>> = rules()
            .filter(|rule| rule.absent(&names).is_none())
            .collect();
        for rule in rules() {
            let Some(name) = rule.absent(&names) else {
                continue;
            };
            let mut what = format!(
                "the rules are for the interface \"{name}\", which this host does not have"
            );
            let is_needed = !here.iter().any(|other| other.stands_for(&rule));
            if is_needed {
                what += ", so visitors stay on the live site; put the interface that they come in by into /etc/pf.conf, and run \"pfctl -f /etc/pf.conf\"";
            }
            if is_needed && is_required {
                return Err(what);
            }
            if !warnings.contains(&what) {
                warnings.push(what);
            }
        }
        let loaded: Vec<Rule<'_>> = rules().collect();
        let moving = || {
            let of_table = loaded.iter().filter(|rule| rule.from == Some(table));
            of_table.filter_map(|rule| rule.redirect.as_ref())
        };
        if moving().next().is_none() {
            return Err(format!(
                "no rule redirects the addresses of table <{table}>, so nobody is moved; {LOAD_RULES}"
            ));
        }
        let is_switched =
            |target: &&SocketAddr| self.settings.families.contains(&Family::of(target.ip()));
        let targets = moving().flatten().filter(is_switched);
        let mut targets: Vec<SocketAddr> = targets.copied().collect();
        targets.sort_unstable();
        targets.dedup();
        let is_lost = |target: &&SocketAddr| target.is_ipv6() && target.ip().is_loopback();
        if self.tools.pf_of_freebsd
            && let Some(target) = targets.iter().find(is_lost)
        {
            return Err(format!(
                "the rules redirect to {target}, where visitors never arrive on FreeBSD; redirect to an address of the interface, as \"maintd rules\" prints it"
            ));
        }
        if moving().any(Vec::is_empty) {
            warnings.push(
                "rules redirect to what is not an address with a port, so the responder is not asked there".to_owned(),
            );
        } else {
            warnings.extend(self.left_out(&targets));
        }
        Ok(Finding::Redirects { targets, warnings })
    }

    /// A warning where not each port of each family that visitors can come by is redirected to one of these.
    fn left_out(&self, targets: &[SocketAddr]) -> Option<String> {
        let has_address =
            |family: &&Family| self.own.iter().any(|own| Family::of(*own) == **family);
        let families = self.settings.families.iter().filter(has_address);
        let wanted = families.flat_map(|family| {
            let redirects = self.settings.redirects.iter();
            redirects.map(|redirect| (*family, redirect.to))
        });
        let is_there = |(family, port): &(Family, u16)| {
            let mut targets = targets.iter();
            targets.any(|target| Family::of(target.ip()) == *family && target.port() == *port)
        };
        let (there, wanted) = (wanted.clone().filter(is_there).count(), wanted.count());
        (there < wanted).then(|| {
            format!(
                "only {there} of {wanted} rules move visitors, one for each port of IPv4 and of IPv6, so some may stay on the live site; {LOAD_RULES}"
            )
        })
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.own.contains(&address.ip()) || address.ip().is_loopback()
    }

    /// The connections on a side that are `wanted`, among all states.
    fn count(&self, side: Side, states: &str, wanted: impl Fn(&State) -> bool) -> Finding {
        let redirects = || self.settings.redirects.iter();
        let is_on_side = |state: &State| match (side, state.redirected_from) {
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
            .filter(|state| is_on_side(state) && !state.is_over && wanted(state));
        Finding::Connections(counted.count().try_into().unwrap_or(u64::MAX))
    }
}

/// Reads a text as everything that pfctl prints.
pub(crate) fn read_everything(text: &str) {
    interfaces::read_everything(text);
    output::is_enabled(text);
    output::states_in_use(text);
    output::state_limit(text);
    output::is_referenced(text, "maintenance");
    output::count_of(text, "www-normal");
    output::states(text).count();
    output::rules(text).count();
    // What has been read is written as pfctl would, and reads the same.
    let Some(moved) = output::entries(text) else {
        return;
    };
    let shown = moved.entries.iter().map(|entry| format!("   {entry}\n"));
    let shown: String = shown
        .chain(moved.except.iter().map(|entry| format!("  !{entry}\n")))
        .collect();
    assert_eq!(output::entries(&shown), Some(moved));
}

/// What to do where the rules are missing.
const LOAD_RULES: &str =
    "put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\"";
