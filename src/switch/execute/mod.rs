//! Executes a plan step by step. An error contains the state after it, and what to do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::switch::clients::ClientSet;
use crate::switch::error::SwitchError;
use crate::switch::filter::packet_filter::{FirewallCheck, PacketFilter, StateUsage};
use crate::switch::host::Host;
use crate::switch::plan::{Direction, Plan, PlanPhase, PlanStep, Side};
use crate::switch::text;

/// How often connections are killed until none is left: one that is opened meanwhile escapes the first time.
const KILL_ROUNDS: u32 = 10;
/// The time between two rounds.
const KILL_INTERVAL: Duration = Duration::from_millis(100);

/// The result of an executed plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecutionReport {
    /// The clients that were redirected before.
    pub(crate) before: Option<ClientSet>,
    pub(crate) warnings: Vec<String>,
    /// A firewall is known to block some redirected clients from the page.
    pub(crate) has_obstacle: bool,
}

impl ExecutionReport {
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// A step that failed, and what is true now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanError {
    pub(crate) cause: SwitchError,
    pub(crate) outcome: FailureOutcome,
}

/// What is true after a failed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FailureOutcome {
    /// Nothing has changed.
    Unchanged,
    /// The change was undone.
    Reverted,
    /// The change could not be undone, for this reason.
    Unknown(String),
    /// New connections are switched; old ones may not be.
    OldConnectionsStay,
}

/// Executes a plan.
///
/// # Errors
/// The first step that failed; those after it were not run.
pub(crate) fn execute(
    plan: &Plan,
    filter: &dyn PacketFilter,
    host: &mut dyn Host,
) -> Result<ExecutionReport, PlanError> {
    let mut runner = StepRunner::default();
    for step in &plan.0 {
        // A signal stops the plan up to the change. After that it is completed.
        let may_stop =
            step.phase() == PlanPhase::Check || matches!(step, PlanStep::ReplaceClients(_));
        if may_stop && host.is_interrupted() {
            return Err(PlanError {
                cause: SwitchError::Interrupted,
                outcome: FailureOutcome::Unchanged,
            });
        }
        if let Err(cause) = runner.run(step, filter, host) {
            let outcome = match step.phase() {
                PlanPhase::Check => FailureOutcome::Unchanged,
                PlanPhase::Change => revert(step, runner.report.before.as_ref(), filter, host),
                PlanPhase::Kill => FailureOutcome::OldConnectionsStay,
            };
            // The errors of checks say what to do already.
            let cause = match (step, &outcome) {
                (PlanStep::ReplaceClients(_), FailureOutcome::Unchanged) => {
                    SwitchError::ChangeRefused(Box::new(cause))
                }
                _ => cause,
            };
            return Err(PlanError { cause, outcome });
        }
    }
    let StepRunner { mut report, usage } = runner;
    report.warnings.extend(usage.warning());
    Ok(report)
}

/// Runs steps and collects their results.
#[derive(Debug, Default)]
pub(crate) struct StepRunner {
    report: ExecutionReport,
    usage: StateUsage,
}

impl StepRunner {
    pub(crate) fn run(
        &mut self,
        step: &PlanStep,
        filter: &dyn PacketFilter,
        host: &mut dyn Host,
    ) -> Result<(), SwitchError> {
        match step {
            PlanStep::CheckEnabled => self.usage = filter.check_enabled(host)?.or(self.usage),
            PlanStep::CheckRules { is_required } => {
                let outdated = filter.check_rules(host, *is_required)?;
                self.report.warnings.extend(outdated);
            }
            PlanStep::CheckSelectors => filter.check_selectors(host)?,
            PlanStep::CheckCapacity => self.usage = filter.state_usage(host).or(self.usage),
            PlanStep::CheckRedirects { is_required } => {
                let redirects = filter.redirects(host, *is_required)?;
                for target in redirects.targets {
                    if host.is_interrupted() {
                        return Err(SwitchError::Interrupted);
                    }
                    self.check_page(target, *is_required, host)?;
                }
                self.report.warnings.extend(redirects.warnings);
            }
            PlanStep::CheckFirewalls {
                families,
                is_required,
            } => match filter.check_firewalls(host, families, *is_required)? {
                FirewallCheck::Open => {}
                FirewallCheck::Blocked(warning) => {
                    self.report.warn(warning);
                    self.report.has_obstacle = true;
                }
                FirewallCheck::Unknown(warning) => self.report.warn(warning),
            },
            PlanStep::CheckResponder {
                server,
                is_required,
            } => self.check_page(*server, *is_required, host)?,
            PlanStep::CheckLive(server) => host
                .connect(*server)
                .map_err(|error| SwitchError::LiveRequired(Box::new(error)))?,
            PlanStep::CheckAnyLive {
                servers,
                is_required,
            } => {
                if host.accepting(servers).is_empty() {
                    let servers = text::list(servers);
                    if *is_required {
                        let error = SwitchError::LiveRefusesAll { servers };
                        return Err(SwitchError::LiveRequired(Box::new(error)));
                    }
                    self.report.warn(format!(
                        "no server accepts connections on {servers}, as before \"on\"; check that visitors reach the live site"
                    ));
                }
            }
            PlanStep::ReadClients => self.report.before = filter.clients(host)?,
            PlanStep::ReplaceClients(clients) => filter.replace_clients(host, clients)?,
            PlanStep::VerifyRedirected(clients) => filter.verify_redirected(host, clients)?,
            PlanStep::VerifyExcepted(clients) => filter.verify_excepted(host, clients)?,
            PlanStep::VerifyEmpty => filter.verify_empty(host)?,
            PlanStep::KillConnections(side, clients) => filter.kill(host, *side, clients)?,
            PlanStep::VerifyKilled(side, clients) => {
                self.verify_killed(*side, clients, filter, host)?
            }
        }
        Ok(())
    }

    /// Requests the page from a server. No answer in time is a warning unless `is_required`.
    fn check_page(
        &mut self,
        server: SocketAddr,
        is_required: bool,
        host: &mut dyn Host,
    ) -> Result<(), SwitchError> {
        match host.check_page(server) {
            Err(error @ SwitchError::ResponderTimeout { .. }) if !is_required => {
                self.report.warn(error.to_string());
                Ok(())
            }
            checked => checked,
        }
    }

    /// Checks that connections were ended, and kills the rest. That they cannot be listed is a warning: they were killed.
    fn verify_killed(
        &mut self,
        side: Side,
        clients: &ClientSet,
        filter: &dyn PacketFilter,
        host: &mut dyn Host,
    ) -> Result<(), SwitchError> {
        let mut left = 0;
        for round in 0..KILL_ROUNDS {
            if round > 0 {
                host.sleep(KILL_INTERVAL);
                filter.kill(host, side, clients)?;
            }
            left = match filter.misplaced_connections(host, side, clients) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(SwitchError::CommandFailed { error_text, .. }) => {
                    self.report.warn(format!(
                        "cannot check whether connections are left: {error_text}"
                    ));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        }
        Err(SwitchError::ConnectionsLeft {
            count: left,
            server: match side {
                Side::Live => "the live site",
                Side::Maintenance => "the page",
            },
        })
    }
}

/// Redirects the clients of before again, unless they still are: a change that was refused has changed nothing.
fn revert(
    step: &PlanStep,
    before: Option<&ClientSet>,
    filter: &dyn PacketFilter,
    host: &mut dyn Host,
) -> FailureOutcome {
    let Some(before) = before else {
        return FailureOutcome::Unknown(
            "it is not known which visitors were redirected before".to_owned(),
        );
    };
    let may_be_unchanged = matches!(step, PlanStep::ReplaceClients(_) | PlanStep::VerifyEmpty);
    if may_be_unchanged
        && filter
            .clients(host)
            .is_ok_and(|now| now.as_ref() == Some(before))
    {
        return FailureOutcome::Unchanged;
    }
    match filter.replace_clients(host, before) {
        Ok(()) => FailureOutcome::Reverted,
        Err(error) => FailureOutcome::Unknown(error.to_string()),
    }
}

impl PlanError {
    /// One line: what is wrong, what is true now, what to do.
    pub(crate) fn message(&self, direction: Direction) -> String {
        let cause = &self.cause;
        let verb = match direction {
            Direction::On => "switched on",
            Direction::Off => "switched off",
        };
        match (&self.outcome, direction) {
            (FailureOutcome::Unchanged, _) => format!("not {verb}: {cause}"),
            (FailureOutcome::Reverted, _) => format!(
                "not {verb}: {cause}; the change is undone, and all visitors are where they were: see \"maintd status\""
            ),
            (FailureOutcome::Unknown(why), Direction::On) => format!(
                "half {verb}: {cause}; the change cannot be undone ({why}); some visitors may get the page: run \"maintd off\", or \"maintd on --resume\" to try again"
            ),
            (FailureOutcome::Unknown(why), Direction::Off) => format!(
                "half {verb}: {cause}; the change cannot be undone ({why}); some visitors may still get the page: run \"maintd off\" again"
            ),
            (FailureOutcome::OldConnectionsStay, Direction::On) => format!(
                "half {verb}: {cause}; new visitors get the page, old connections are still on the live site: {}",
                self.advice(
                    "run \"maintd on --resume\" to try again",
                    "stop the live server to end them"
                )
            ),
            (FailureOutcome::OldConnectionsStay, Direction::Off) => format!(
                "half {verb}: {cause}; new visitors are on the live site, old connections still get the page: {}",
                self.advice(
                    "run \"maintd off\" again",
                    "they end by themselves when they are idle"
                )
            ),
        }
    }

    /// What to do about old connections. Where the securelevel forbids to kill states, trying again does not help.
    fn advice(&self, command: &str, alternative: &str) -> String {
        if matches!(self.cause, SwitchError::KillForbidden { .. }) {
            format!("the securelevel may forbid to kill states; {alternative}")
        } else {
            format!("{command}, or {alternative}")
        }
    }
}

#[cfg(test)]
mod tests;
