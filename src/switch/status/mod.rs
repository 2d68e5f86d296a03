//! `maintd status`: what is true now, for people and for programs.

pub(crate) mod daemon;
pub(crate) mod watch;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::clock;
use crate::config::network::Network;
use crate::config::switch::Backend;
use crate::control::Failure;
use crate::error::Error;
use crate::switch::execute::{World as _, crowding, take};
use crate::switch::filter::means::{Count, Finding};
use crate::switch::plan::{Moved, Required, Side, Step};
use crate::switch::state::Saved;
use crate::switch::status::daemon::Daemon;
use crate::switch::{Switch, text};

/// Who is moved, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everybody of the families that are switched, but for exceptions.
    On,
    /// Nobody.
    Off,
    /// Some.
    Partly,
    /// It cannot be told.
    Unknown,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Partly => "partly",
            Self::Unknown => "unknown",
        }
    }
}

/// A server, and what is wrong with it.
type Probed = (SocketAddr, Result<(), String>);

/// One side: its label, what its rules have counted, and the connections that are open now, as far as that is known.
#[derive(Clone, Debug)]
struct Traffic {
    label: String,
    count: Option<Count>,
    connections: Option<u64>,
}

/// What is true now.
#[derive(Clone, Debug)]
pub struct Status {
    state: State,
    backend: &'static str,
    table: String,
    moved: Moved,
    /// Something is known to keep some of those who are moved from the page.
    has_obstacle: bool,
    saved: Option<Saved>,
    page: Traffic,
    live: Traffic,
    responders: Vec<Probed>,
    live_servers: Vec<Probed>,
    /// Where the live site accepts no connections, and need not; all places, or nothing.
    silent: Vec<SocketAddr>,
    room: (Option<u64>, Option<u64>),
    /// Why the state is unknown, and what else is not as it should be.
    warnings: Vec<String>,
    daemon: Option<Daemon>,
    now: u64,
}

impl Switch {
    /// Looks what is true now.
    ///
    /// # Errors
    /// Only root can look.
    pub fn status(&mut self) -> Result<Status, Error> {
        self.require_root()?;
        let mut warnings = Vec::new();
        let mut room = (None, None);
        let mut responders = self.responders();
        let is_effective = self.is_effective(&mut room, &mut responders, &mut warnings);
        if responders.is_empty() {
            responders = self.usual_responders();
        }
        let moved = match self.look() {
            Ok(Finding::Moved(moved)) => Some(moved),
            Ok(Finding::NoTable(_)) => Some(Moved::default()),
            Ok(_) => None,
            Err(what) => {
                warnings.push(what);
                None
            }
        };
        let state = match &moved {
            None => State::Unknown,
            Some(moved) if !moved.is_anybody() => State::Off,
            Some(_) if !is_effective => State::Unknown,
            Some(moved) if self.is_everybody(moved) => State::On,
            Some(_) => State::Partly,
        };
        let saved = self.saved(state, &mut warnings);
        let counts = self.counts();
        let labels = [
            &self.settings.label_maintenance,
            &self.settings.label_normal,
        ];
        let [page, live] =
            [(Side::Maintenance, 0), (Side::Live, 1)].map(|(side, number)| Traffic {
                label: labels[number].clone(),
                count: counts[number],
                connections: match take(&Step::Connected(side), &self.filter, &mut self.world) {
                    Ok(Finding::Connections(count)) => Some(count),
                    Ok(_) | Err(_) => None,
                },
            });
        warnings.extend(crowding(room));
        let is_on = matches!(state, State::On | State::Partly);
        let mut has_obstacle = false;
        if is_on {
            let step = Step::PathIsOpen {
                families: moved.as_ref().map(Moved::families).unwrap_or_default(),
                is_required: false,
            };
            match take(&step, &self.filter, &mut self.world) {
                Ok(Finding::Obstacle(what)) => {
                    has_obstacle = true;
                    warnings.push(what);
                }
                Ok(Finding::Warning(what)) | Err(what) => warnings.push(what),
                Ok(_) => {}
            }
        }
        if is_on && self.settings.backend == Backend::Pf {
            warnings.extend(self.unmoved(moved.as_ref(), &page));
        }
        let daemon = self.daemon(&mut warnings);
        // What keeps one command from its work may keep the next from its.
        let mut seen = HashSet::new();
        warnings.retain(|warning| seen.insert(warning.clone()));
        let (live_servers, silent) = self.live_servers(saved.as_ref());
        Ok(Status {
            state,
            backend: self.settings.backend.name(),
            table: self.settings.table().to_owned(),
            moved: moved.unwrap_or_default(),
            saved,
            page,
            live,
            has_obstacle,
            responders: probed(responders, |server| {
                self.world.ask_for_page(server).map_err(|no| no.what)
            }),
            live_servers,
            silent,
            room,
            warnings,
            daemon,
            now: clock::seconds(),
        })
    }

    /// The live site where it must accept connections; where that is not known, the places at which it does, or all of
    /// them where there are none.
    fn live_servers(&mut self, saved: Option<&Saved>) -> (Vec<Probed>, Vec<SocketAddr>) {
        match self.required(saved) {
            Required::Each(places) => (
                probed(places, |server| self.world.connect(server)),
                Vec::new(),
            ),
            Required::Any(places) | Required::Unknowable(places) => {
                let accepting = self.world.accepting(&places);
                if accepting.is_empty() {
                    (Vec::new(), places)
                } else {
                    (probed(accepting, |_| Ok(())), Vec::new())
                }
            }
        }
    }

    /// A warning where visitors who are to get the page have connections with the live site all the same, as they have
    /// where the rules are for another interface than theirs.
    fn unmoved(&mut self, moved: Option<&Moved>, page: &Traffic) -> Option<String> {
        let step = Step::AreGone(Side::Live, moved?.clone());
        let Ok(Finding::Connections(count @ 1..)) = take(&step, &self.filter, &mut self.world)
        else {
            return None;
        };
        let connections = if count == 1 {
            "1 connection of a visitor who is to get the page is".to_owned()
        } else {
            format!("{count} connections of visitors who are to get the page are")
        };
        let packets = match page.count {
            Some(Count { packets: 0, .. }) => {
                format!(", and the rules \"{}\" have matched no packet", page.label)
            }
            Some(_) | None => String::new(),
        };
        Some(format!(
            "{connections} on the live site{packets}; check that the rules are for the interface and the addresses that visitors come in by, and run \"maintd on\" again to end these connections"
        ))
    }

    /// What the daemon tells, where there is one.
    fn daemon(&self, warnings: &mut Vec<String>) -> Option<Daemon> {
        let daemon = match Daemon::ask(&self.control) {
            Ok(daemon) => daemon,
            Err(Failure::Nobody(_)) => return None,
            Err(Failure::Failed(cause)) => {
                warnings.push(format!("the daemon does not tell what it does: {cause}"));
                return None;
            }
        };
        // That the state cannot be read is told already.
        if let Ok(saved) = self.store.load()
            && let Some(window) = daemon.window()
            && window != saved.map(|saved| saved.window).unwrap_or_default()
        {
            warnings.push(format!(
                "the daemon announces something else than \"{}\" has; switch on again, or off",
                self.store.file().display()
            ));
        }
        Some(daemon)
    }

    /// What is in the table has an effect: the packet filter runs, and its rules use the table.
    fn is_effective(
        &mut self,
        room: &mut (Option<u64>, Option<u64>),
        responders: &mut Vec<SocketAddr>,
        warnings: &mut Vec<String>,
    ) -> bool {
        let mut is_effective = true;
        for step in [
            Step::FilterRuns,
            Step::HasRoom,
            Step::RulesLoaded { is_required: false },
            Step::Redirects { is_required: true },
        ] {
            match take(&step, &self.filter, &mut self.world) {
                Ok(Finding::Room { used, limit }) => *room = (used.or(room.0), limit.or(room.1)),
                Ok(Finding::Redirects {
                    targets,
                    warnings: more,
                }) => {
                    responders.extend(targets);
                    warnings.extend(more);
                }
                Ok(Finding::Warning(what)) => warnings.push(what),
                Ok(_) => {}
                // What it is too full for is not to be told where that cannot be told.
                Err(_) if step == Step::HasRoom => {}
                Err(what) => {
                    warnings.push(what);
                    is_effective = false;
                }
            }
        }
        is_effective
    }

    /// Everybody of all families that are switched gets the page, but for exceptions.
    fn is_everybody(&self, moved: &Moved) -> bool {
        let mut families = self.settings.families.iter();
        families.all(|family| moved.entries.contains(&family.everybody()))
    }

    /// What is saved of a maintenance that is under way.
    fn saved(&self, state: State, warnings: &mut Vec<String>) -> Option<Saved> {
        match (self.store.load(), state) {
            (Ok(saved), State::On | State::Partly) => {
                if saved.is_none() {
                    warnings.push(
                        "this was not switched on by maintd, and a reboot ends it; switch on by maintd, for the same addresses, to keep it".to_owned(),
                    );
                }
                saved
            }
            (Ok(None), State::Off | State::Unknown) => None,
            (Ok(Some(_)), State::Off) => {
                warnings.push(
                    "it was on, and was not switched off by maintd; run \"maintd on --resume\" or \"maintd off\"".to_owned(),
                );
                None
            }
            (Ok(saved @ Some(_)), State::Unknown) => saved,
            (Err(what), _) => {
                warnings.push(what);
                None
            }
        }
    }

    /// What the rules of both labels have counted: of those who are moved, and of the live site.
    fn counts(&mut self) -> [Option<Count>; 2] {
        match take(&Step::Counts, &self.filter, &mut self.world) {
            Ok(Finding::Counts(counts)) => counts,
            Ok(_) | Err(_) => [None; 2],
        }
    }
}

fn probed(
    servers: Vec<SocketAddr>,
    mut probe: impl FnMut(SocketAddr) -> Result<(), String>,
) -> Vec<Probed> {
    let probe = |server| (server, probe(server));
    servers.into_iter().map(probe).collect()
}

impl Status {
    /// 0 on, 3 off, 4 partly, 1 unknown.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self.state {
            State::On => 0,
            State::Off => 3,
            State::Partly => 4,
            State::Unknown => 1,
        }
    }

    /// Why the state is unknown, where it is.
    #[must_use]
    pub fn fault(&self) -> Option<Error> {
        let cause = self.warnings.first().map_or("", String::as_str);
        let what = if self.moved.is_anybody() {
            "visitors are to get the page, and do not"
        } else {
            "cannot tell whether visitors get the page"
        };
        (self.state == State::Unknown).then(|| Error::Failed(format!("{what}: {cause}")))
    }

    /// As JSON; maintd(8) describes it.
    #[must_use]
    pub fn json(&self) -> String {
        let texts =
            |networks: &[Network]| networks.iter().map(Network::to_string).collect::<Vec<_>>();
        let time = |seconds: Option<u64>| seconds.map(clock::rfc3339);
        let saved = self.saved.as_ref();
        let traffic = |traffic: &Traffic| {
            json!({
                "label": traffic.label,
                "packets": traffic.count.map(|count| count.packets),
                "bytes": traffic.count.map(|count| count.bytes),
                "connections": traffic.connections,
            })
        };
        let servers = |probed: &[Probed]| -> Vec<Value> {
            let server = |(server, done): &Probed| json!({ "address": server.to_string(), "answers": done.is_ok(), "error": done.as_ref().err() });
            probed.iter().map(server).collect()
        };
        let silent = |place: &SocketAddr| {
            (
                *place,
                Err(format!("nobody accepts connections on {place}")),
            )
        };
        let silent: Vec<Probed> = self.silent.iter().map(silent).collect();
        let value = json!({
            "state": self.state.name(),
            "backend": self.backend,
            "table": self.table,
            "since": time(saved.map(|saved| saved.since)),
            "until": time(saved.and_then(|saved| saved.window.until)),
            "message": saved.and_then(|saved| saved.window.message.clone()),
            "entries": texts(&self.moved.entries),
            "except": texts(&self.moved.except),
            "maintenance": traffic(&self.page),
            "normal": traffic(&self.live),
            "responder": servers(&self.responders),
            "live": servers(&[&self.live_servers[..], &silent].concat()),
            "states": { "used": self.room.0, "limit": self.room.1 },
            "warnings": self.warnings,
            "daemon": self.daemon.as_ref().map(Daemon::json),
        });
        format!("{value:#}\n")
    }

    /// As a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(table, "{name:<13} {value}");
        };
        let saved = self.saved.as_ref();
        let since = saved.map_or_else(String::new, |saved| {
            let passed = text::length(self.now.saturating_sub(saved.since));
            format!(", since {} ({passed})", clock::terminal(saved.since))
        });
        row("maintenance", &format!("{}{since}", self.state.name()));
        if let Some(until) = saved.and_then(|saved| saved.window.until) {
            let left = match until.checked_sub(self.now) {
                Some(left) if left > 0 => format!("in {}", text::length(left)),
                Some(_) | None => "that is past".to_owned(),
            };
            row(
                "announced",
                &format!("until {} ({left})", clock::terminal(until)),
            );
        }
        if let Some(message) = saved.and_then(|saved| saved.window.message.as_deref()) {
            row("message", &text::on_one_line(message));
        }
        if self.moved.is_anybody() {
            let moved = text::who(&self.moved, self.has_obstacle);
            row("moved", &format!("{moved} the page"));
        }
        if self.moved.is_anybody() && !self.moved.except.is_empty() {
            row("excepted", &text::list(&self.moved.except));
        }
        row("on the page", &self.page.in_words());
        row("on the site", &self.live.in_words());
        servers(&mut row, "responder", "answers", &self.responders);
        servers(&mut row, "live server", "accepts", &self.live_servers);
        if !self.silent.is_empty() {
            let places = text::places(&self.silent);
            row("live server", &format!("accepts on none of {places}"));
        }
        if let (Some(used), Some(limit)) = self.room {
            row("states", &format!("{used} of {limit}"));
        }
        if let Some(daemon) = &self.daemon {
            daemon.rows(&mut row);
        }
        for warning in &self.warnings {
            row("warning", warning);
        }
        table
    }
}

impl Traffic {
    fn in_words(&self) -> String {
        let connections = match self.connections {
            Some(1) => "1 connection".to_owned(),
            Some(connections) => format!("{connections} connections"),
            None => "an unknown number of connections".to_owned(),
        };
        match self.count {
            Some(Count { packets, bytes }) => {
                format!(
                    "{connections} now; {packets} packets, {bytes} bytes ({})",
                    self.label
                )
            }
            None => format!("{connections} now"),
        }
    }
}

/// A row for each server that does not answer, and one for all that do.
fn servers(row: &mut impl FnMut(&str, &str), name: &str, verb: &str, probed: &[Probed]) {
    let well: Vec<String> = probed
        .iter()
        .filter(|(_, done)| done.is_ok())
        .map(|(server, _)| server.to_string())
        .collect();
    if !well.is_empty() {
        row(name, &format!("{verb} on {}", well.join(", ")));
    }
    for (_, done) in probed {
        if let Err(what) = done {
            row(name, what);
        }
    }
}
