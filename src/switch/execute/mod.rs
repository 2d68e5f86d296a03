//! A plan is carried out step by step. Whatever goes wrong, what is told is what is true then and what to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::switch::command::{Call, Output};
use crate::switch::filter::Filter;
use crate::switch::filter::means::{Finding, Means};
use crate::switch::plan::{Direction, Moved, Phase, Plan, Side, Step};
use crate::switch::text;

/// How often connections are killed until none is left: one that was being made meanwhile escapes the first time.
const ROUNDS: u32 = 10;
/// The time between two of those.
const ROUND: Duration = Duration::from_millis(100);
/// Of a hundred connections that the packet filter can keep account of: when to tell that it is too full.
const CROWDED: u64 = 80;

/// The world outside, for tests a scripted one.
pub(crate) trait World {
    /// Runs a command.
    ///
    /// # Errors
    /// It cannot be run.
    fn run(&mut self, call: &Call) -> Result<Output, String>;

    /// Reads a small file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self, path: &Path) -> Result<String, String>;

    /// Asks a server for the page.
    ///
    /// # Errors
    /// It does not answer, or not with 503.
    fn ask_for_page(&mut self, server: SocketAddr) -> Result<(), NoPage>;

    /// Connects to a server.
    ///
    /// # Errors
    /// It does not accept.
    fn connect(&mut self, server: SocketAddr) -> Result<(), String>;

    /// Which of these servers accept connections; all are asked at once.
    fn accepting(&mut self, servers: &[SocketAddr]) -> Vec<SocketAddr>;

    /// Somebody wants this to end.
    fn is_interrupted(&mut self) -> bool;

    /// Lets time pass.
    fn pause(&mut self, time: Duration);
}

/// Why a server does not answer with the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPage {
    pub(crate) what: String,
    /// It gave no answer in time, so it is not known to be wrong.
    pub(crate) is_timeout: bool,
}

/// What has been done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Who was moved before.
    pub(crate) before: Option<Moved>,
    /// What is to be told.
    pub(crate) warnings: Vec<String>,
    /// Something is known to keep some of those who are redirected from the page.
    pub(crate) has_obstacle: bool,
}

/// Why not all is as it was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What went wrong, and what to do about it.
    pub(crate) what: String,
    /// What is true now.
    pub(crate) truth: Truth,
}

/// What is true after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Nothing has changed.
    AsBefore,
    /// Something has changed, and was put back.
    Undone,
    /// Something has changed, and could not be put back, for this reason.
    Unknown(String),
    /// New visitors are moved; old connections may be where they were.
    OldConnectionsStay,
}

/// Carries a plan out.
///
/// # Errors
/// The first step that failed; those after it have not been done.
pub(crate) fn carry_out(
    plan: &Plan,
    filter: &Filter,
    world: &mut impl World,
) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut room = (None, None);
    for step in &plan.steps {
        // As long as nothing has changed; from then on all of it is done.
        let may_stop = step.phase() == Phase::Check || matches!(step, Step::Change(_));
        if may_stop && world.is_interrupted() {
            return Err(interrupted());
        }
        let done = if let Step::AreGone(side, moved) = step {
            until_gone(step, *side, moved, filter, world)
        } else {
            take(step, filter, world)
        };
        match done {
            Ok(
                Finding::Right | Finding::Connections(_) | Finding::NoTable(_) | Finding::Counts(_),
            ) => {}
            Ok(Finding::Warning(warning)) if report.warnings.contains(&warning) => {}
            Ok(Finding::Warning(warning)) => report.warnings.push(warning),
            Ok(Finding::Obstacle(warning)) => {
                report.warnings.push(warning);
                report.has_obstacle = true;
            }
            Ok(Finding::Moved(before)) => report.before = Some(before),
            Ok(Finding::Room { used, limit }) => room = (used.or(room.0), limit.or(room.1)),
            Ok(Finding::Redirects { targets, warnings }) => {
                for target in targets {
                    if world.is_interrupted() {
                        return Err(interrupted());
                    }
                    let is_required = *step != Step::Redirects { is_required: false };
                    let found = ask_for_page(target, is_required, world);
                    let found = found.map_err(|what| Failure {
                        what,
                        truth: Truth::AsBefore,
                    })?;
                    if let Finding::Warning(warning) = found
                        && !report.warnings.contains(&warning)
                    {
                        report.warnings.push(warning);
                    }
                }
                report.warnings.extend(warnings);
            }
            Err(what) => {
                let truth = match step.phase() {
                    Phase::Check => Truth::AsBefore,
                    Phase::Change => restore(step, report.before.as_ref(), filter, world),
                    Phase::Kill => Truth::OldConnectionsStay,
                };
                // What was looked at has told what to do; a change that was refused has not.
                let what = match (step, &truth) {
                    (Step::Change(_), Truth::AsBefore) => {
                        format!(
                            "{what}; nothing has changed: see the command with -v, and run it by hand"
                        )
                    }
                    _ => what,
                };
                return Err(Failure { what, truth });
            }
        }
    }
    report.warnings.extend(crowding(room));
    Ok(report)
}

/// The end of what has changed nothing yet.
fn interrupted() -> Failure {
    Failure {
        what: "interrupted".to_owned(),
        truth: Truth::AsBefore,
    }
}

/// Takes one step.
///
/// # Errors
/// It did not go well: what is wrong, and what to do.
pub(crate) fn take(
    step: &Step,
    filter: &Filter,
    world: &mut impl World,
) -> Result<Finding, String> {
    match filter.means(step) {
        Means::Call(call) => filter.judge(step, &world.run(&call)?),
        Means::Calls(calls) => {
            let outputs: Vec<Result<Output, String>> =
                calls.iter().map(|call| world.run(call)).collect();
            let outputs: Vec<Output> = if matches!(step, Step::Kill(..)) {
                outputs.into_iter().collect::<Result<_, _>>()?
            } else {
                // That one cannot be run is for the filter to judge.
                let failed = |what| Output {
                    stderr: what,
                    ..Output::default()
                };
                let output = |output: Result<Output, String>| output.unwrap_or_else(failed);
                outputs.into_iter().map(output).collect()
            };
            filter.judge_several(step, &outputs)
        }
        Means::AskForPage {
            server,
            is_required,
        } => ask_for_page(server, is_required, world),
        Means::Connect(server) => world.connect(server).map(|()| Finding::Right).map_err(|what| {
            format!("{what}; start the live site, name its address by \"live\" in \"switch\", or use --force")
        }),
        Means::ConnectToAny {
            servers,
            is_required,
        } => {
            let places = text::places(&servers);
            match (world.accepting(&servers).is_empty(), is_required) {
                (false, _) => Ok(Finding::Right),
                (true, true) => Err(format!(
                    "nothing accepts connections on any of {places}; start the live site, name its address by \"live\" in \"switch\", or use --force"
                )),
                (true, false) => Ok(Finding::Warning(format!(
                    "nothing accepts connections on {places}, as before \"on\"; check that visitors reach the live site"
                ))),
            }
        }
        Means::Files(paths) => {
            // A file that is not there is a line without a word, and for the filter to judge.
            let text = |path: &PathBuf| world.read(path).unwrap_or_default();
            let lines: Vec<String> = paths.iter().map(text).collect();
            let output = Output {
                status: Some(0),
                stdout: lines
                    .iter()
                    .flat_map(|line| [line.trim_end(), "\n"])
                    .collect(),
                ..Output::default()
            };
            filter.judge(step, &output)
        }
        Means::Nothing => Ok(Finding::Right),
    }
}

/// Asks a server for the page; where it is not required, that it gives no answer in time is a warning.
fn ask_for_page(
    server: SocketAddr,
    is_required: bool,
    world: &mut impl World,
) -> Result<Finding, String> {
    match world.ask_for_page(server) {
        Ok(()) => Ok(Finding::Right),
        Err(NoPage {
            what,
            is_timeout: true,
        }) if !is_required => Ok(Finding::Warning(what)),
        Err(NoPage { what, .. }) => Err(what),
    }
}

/// Looks whether connections are gone, and kills what is left.
fn until_gone(
    look: &Step,
    side: Side,
    moved: &Moved,
    filter: &Filter,
    world: &mut impl World,
) -> Result<Finding, String> {
    let mut left = 0;
    for round in 0..ROUNDS {
        if round > 0 {
            world.pause(ROUND);
            take(&Step::Kill(side, moved.clone()), filter, world)?;
        }
        match take(look, filter, world)? {
            Finding::Connections(0) => return Ok(Finding::Right),
            Finding::Connections(count) => left = count,
            other @ (Finding::Right
            | Finding::Warning(_)
            | Finding::Obstacle(_)
            | Finding::Moved(_)
            | Finding::NoTable(_)
            | Finding::Counts(_)
            | Finding::Redirects { .. }
            | Finding::Room { .. }) => {
                return Ok(other);
            }
        }
    }
    let place = match side {
        Side::Live => "the live site",
        Side::Maintenance => "the page",
    };
    let connections = if left == 1 {
        "1 connection does"
    } else {
        &format!("{left} connections do")
    };
    Err(format!("{connections} not end on {place}"))
}

/// Puts back who was moved before, unless that is so still: a change that was refused or had no effect has changed nothing.
fn restore(step: &Step, before: Option<&Moved>, filter: &Filter, world: &mut impl World) -> Truth {
    if let (Step::Change(_) | Step::NobodyIsMoved, Some(before)) = (step, before)
        && take(&Step::Remember, filter, world) == Ok(Finding::Moved(before.clone()))
    {
        return Truth::AsBefore;
    }
    undo(before, filter, world)
}

/// Puts back who was moved before.
fn undo(before: Option<&Moved>, filter: &Filter, world: &mut impl World) -> Truth {
    let Some(before) = before else {
        return Truth::Unknown("it is not known who was moved before".to_owned());
    };
    match take(&Step::Change(before.clone()), filter, world) {
        Ok(_) => Truth::Undone,
        Err(what) => Truth::Unknown(what),
    }
}

/// What to tell of a packet filter that has little room left.
pub(crate) fn crowding((used, limit): (Option<u64>, Option<u64>)) -> Option<String> {
    let (used, limit) = (used?, limit.filter(|limit| *limit > 0)?);
    (used >= limit / 100 * CROWDED + limit % 100 * CROWDED / 100).then(|| {
        format!(
            "the packet filter's table of connections is full to {}% ({used} of {limit}), and new visitors are dropped when it is full; raise its limit",
            u128::from(used) * 100 / u128::from(limit)
        )
    })
}

impl Failure {
    /// One line: what is wrong, what is true now, what to do.
    pub(crate) fn message(&self, direction: Direction) -> String {
        let what = &self.what;
        match (direction, &self.truth) {
            (Direction::On, Truth::AsBefore) => format!("not switched on: {what}"),
            (Direction::Off, Truth::AsBefore) => format!("not switched off: {what}"),
            (Direction::On, Truth::Undone) => format!(
                "not switched on: {what}; the change is undone, and everybody is where they were: see \"maintd status\""
            ),
            (Direction::Off, Truth::Undone) => format!(
                "not switched off: {what}; the change is undone, and everybody is where they were: see \"maintd status\""
            ),
            (Direction::On, Truth::Unknown(why)) => format!(
                "half switched on: {what}; the change cannot be undone ({why}); some visitors may get the page: run \"maintd off\", or \"maintd on --resume\" to try again"
            ),
            (Direction::Off, Truth::Unknown(why)) => format!(
                "half switched off: {what}; the change cannot be undone ({why}); some visitors may still get the page: run \"maintd off\" again"
            ),
            (Direction::On, Truth::OldConnectionsStay) => format!(
                "half switched on: {what}; new visitors get the page, old connections are still on the live site: {}",
                self.advice(
                    "run \"maintd on --resume\" to try again",
                    "stop the live server to end them"
                )
            ),
            (Direction::Off, Truth::OldConnectionsStay) => format!(
                "half switched off: {what}; new visitors are on the live site, old connections still get the page: {}",
                self.advice(
                    "run \"maintd off\" again",
                    "they end by themselves when they are idle"
                )
            ),
        }
    }

    /// What to do about old connections: where the system forbids to kill (securelevel(7)), trying again is of no use.
    /// FreeBSD's pfctl gives no reason at all then.
    fn advice(&self, command: &str, otherwise: &str) -> String {
        let refusals = ["Operation not permitted", "\"pfctl: DIOCKILLSTATES\""];
        if refusals.iter().any(|text| self.what.contains(text)) {
            format!("the securelevel may forbid to kill states; {otherwise}")
        } else {
            format!("{command}, or {otherwise}")
        }
    }
}

/// A switch that went wrong.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) fault: Error,
    pub(crate) extent: Extent,
}

/// How much of a switch that went wrong is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everybody is where they were.
    Nothing,
    /// That is not known.
    Unknown,
    /// New visitors are where they were to be.
    Visitors,
}

impl Unfinished {
    pub(crate) fn new(failure: &Failure, direction: Direction) -> Self {
        Self {
            fault: Error::Failed(failure.message(direction)),
            extent: match failure.truth {
                Truth::AsBefore | Truth::Undone => Extent::Nothing,
                Truth::Unknown(_) => Extent::Unknown,
                Truth::OldConnectionsStay => Extent::Visitors,
            },
        }
    }
}

/// What goes wrong before the first step.
impl From<Error> for Unfinished {
    fn from(fault: Error) -> Self {
        Self {
            fault,
            extent: Extent::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
