//! pf(4): visitors are the members of a table, their connections are told apart by the labels of the rules.

mod output;
mod rules;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::command::{Call, Output};
use super::means::{Finding, Means, Tools};
use super::plan::{Moved, Side, Step};
use crate::config::switch::SwitchConfig;
use output::State;

pub use rules::Syntax;
pub(super) use rules::rules;

/// `-T test`: not all addresses match.
const NO_MATCH: i32 = 2;
/// `-T show`: there is no such table.
const NO_TABLE: i32 = 255;

/// pf with its settings.
#[derive(Clone, Debug)]
pub(super) struct Pf {
    settings: SwitchConfig,
    pfctl: PathBuf,
    /// This host's own addresses: what only passes through it is no visitor of its site.
    own: Vec<IpAddr>,
}

impl Pf {
    pub(super) fn new(settings: SwitchConfig, tools: &Tools, own: Vec<IpAddr>) -> Self {
        Self {
            settings,
            pfctl: tools.pfctl.clone(),
            own,
        }
    }

    fn call(&self, arguments: &[&str]) -> Call {
        Call::new(&self.pfctl, arguments.iter().copied())
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

    pub(super) fn means(&self, step: &Step) -> Means {
        Means::Call(match step {
            Step::FilterRuns => self.call(&["-s", "info"]),
            Step::RulesLoaded => self.call(&["-vs", "Tables"]),
            Step::LabelsLoaded | Step::Counts => self.call(&["-s", "labels"]),
            Step::HasRoom => self.call(&["-s", "memory"]),
            Step::Remember | Step::NobodyIsMoved => self.table(&["show"]),
            Step::Change(moved) => self.change(moved),
            Step::AreMoved(moved) => return self.test(moved.witnesses()),
            Step::AreNotMoved(moved) => return self.test(moved.excepted()),
            Step::Kill(side, _) => self.call(&["-k", "label", "-k", self.label(*side)]),
            Step::AreGone(..) | Step::Connected(_) => self.call(&["-s", "states"]),
            Step::Responder(server) => return Means::AskForPage(*server),
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

    pub(super) fn judge(&self, step: &Step, output: &Output) -> Result<Finding, String> {
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
            | Means::AskForPage(_)
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
            Step::Change(_) => Err(format!("pfctl cannot change table <{table}>: {complaint}")),
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
        let labels = [
            &self.settings.label_maintenance,
            &self.settings.label_normal,
        ];
        match step {
            Step::FilterRuns => match output::is_enabled(text) {
                Some(true) => Ok(Finding::Room {
                    used: output::states_in_use(text),
                    limit: None,
                }),
                Some(false) => {
                    Err("pf is disabled, so nobody is moved; run \"pfctl -e\"".to_owned())
                }
                None => Err(
                    "pfctl does not tell whether pf is enabled; run \"pfctl -s info\" to see why"
                        .to_owned(),
                ),
            },
            Step::RulesLoaded => match output::is_referenced(text, table) {
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
                let belongs_elsewhere =
                    |state: &State| moved.has(state.peer.ip()) == (*side == Side::Live);
                Ok(self.count(*side, text, belongs_elsewhere))
            }
            Step::Connected(side) => Ok(self.count(*side, text, |_| true)),
            Step::Counts => Ok(Finding::Counts(
                labels.map(|label| output::count_of(text, label)),
            )),
            Step::Change(_)
            | Step::Kill(..)
            | Step::AreMoved(_)
            | Step::AreNotMoved(_)
            | Step::PathIsOpen { .. }
            | Step::Responder(_)
            | Step::Live(_)
            | Step::AnyLive { .. } => Ok(Finding::Right),
        }
    }

    /// `-s labels`: both labels are there, and as many rules move visitors as there are families and ports.
    fn labels_loaded(&self, text: &str) -> Result<Finding, String> {
        let SwitchConfig {
            label_maintenance,
            label_normal,
            families,
            redirects,
            ..
        } = &self.settings;
        for label in [label_maintenance, label_normal] {
            if output::count_of(text, label).is_none() {
                return Err(format!(
                    "no rule has the label \"{label}\", so connections could not be told apart; {LOAD_RULES}"
                ));
            }
        }
        let (rules, wanted) = (
            output::rules_of(text, label_maintenance),
            families.len() * redirects.len(),
        );
        if rules < wanted {
            return Ok(Finding::Warning(format!(
                "only {rules} of {wanted} rules move visitors, one for each port of IPv4 and of IPv6, so some may stay on the live site; {LOAD_RULES}"
            )));
        }
        Ok(Finding::Right)
    }

    /// The connections on a side that are `wanted`, among all states.
    fn count(&self, side: Side, states: &str, wanted: impl Fn(&State) -> bool) -> Finding {
        let is_own =
            |address: SocketAddr| self.own.contains(&address.ip()) || address.ip().is_loopback();
        let redirects = || self.settings.redirects.iter();
        let is_on_side = |state: &State| match (side, state.redirected_from) {
            (Side::Live, None) => {
                is_own(state.to) && redirects().any(|redirect| redirect.from == state.to.port())
            }
            (Side::Maintenance, Some(from)) => {
                is_own(from)
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
pub(super) fn read_everything(text: &str) {
    output::is_enabled(text);
    output::states_in_use(text);
    output::state_limit(text);
    output::is_referenced(text, "maintenance");
    output::count_of(text, "www-normal");
    output::states(text).count();
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
