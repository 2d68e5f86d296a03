//! `maintd on` and `maintd off`. The steps are in `plan`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::announcement::{Announcement, MAX_MESSAGE};
use crate::clock;
use crate::config::Config;
use crate::config::network::Network;
use crate::config::switch::{Backend, SwitchConfig};
use crate::error::{Error, reason};
use crate::switch::clients::ClientSet;
use crate::switch::error::SwitchError;
use crate::switch::execute::{ExecutionReport, FailureOutcome, PlanError, execute};
use crate::switch::filter::packet_filter::PacketFilter;
use crate::switch::host::Host as _;
use crate::switch::plan::{Direction, LiveRequirement, Plan, Side};
use crate::switch::reload_daemon::reload_daemon;
use crate::switch::servers::Servers;
use crate::switch::state::{Saved, StateDir};
use crate::switch::system::{System, hold_signals};
use crate::switch::tools::{BecomeRoot, Tools};
use crate::switch::{dry_run, end_time, filter, text};
use crate::sys;

/// The arguments of `maintd on`.
#[derive(Clone, Debug, Default)]
pub struct OnRequest {
    /// The clients to redirect; all if empty.
    pub only: Vec<Network>,
    /// The clients to leave on the live site, in addition to those of the configuration.
    pub except: Vec<Network>,
    /// The announced duration, unparsed.
    pub for_: Option<String>,
    /// The announced end, unparsed.
    pub until: Option<String>,
    /// The announced message.
    pub message: Option<String>,
    /// Switch on again what was on before a reboot.
    pub resume: bool,
    /// A firewall that keeps visitors from the page is only a warning.
    pub force: bool,
}

impl OnRequest {
    const fn has_announcement(&self) -> bool {
        self.for_.is_some() || self.until.is_some() || self.message.is_some()
    }

    /// What is announced.
    fn announcement(&self) -> Result<Announcement, Error> {
        let now = clock::seconds();
        let until = match (&self.for_, &self.until) {
            (Some(text), _) => Some(end_time::parse_for(text, now).map_err(wrong("--for"))?),
            (None, Some(text)) => Some(end_time::parse_until(text, now).map_err(wrong("--until"))?),
            (None, None) => None,
        };
        let message = self.message.as_ref();
        if message.is_some_and(|text| text.len() > MAX_MESSAGE) {
            return Err(wrong("--message")(format!(
                "it is over {MAX_MESSAGE} bytes; write fewer words"
            )));
        }
        Ok(Announcement {
            until,
            message: message.filter(|text| !text.is_empty()).cloned(),
        })
    }
}

fn wrong(flag: &'static str) -> impl Fn(String) -> Error {
    move |what| Error::Usage(format!("wrong value for {flag}: {what}"))
}

/// A switch that failed.
#[derive(Debug)]
pub(crate) struct SwitchFailure {
    pub(crate) error: Error,
    pub(crate) completion: Completion,
}

/// How much of a failed switch is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// All clients are where they were.
    Nothing,
    Unknown,
    /// New connections are switched.
    NewConnections,
}

impl SwitchFailure {
    fn new(failure: &PlanError, direction: Direction) -> Self {
        Self {
            error: Error::Failed(failure.message(direction)),
            completion: match failure.outcome {
                FailureOutcome::Unchanged | FailureOutcome::Reverted => Completion::Nothing,
                FailureOutcome::Unknown(_) => Completion::Unknown,
                FailureOutcome::OldConnectionsStay => Completion::NewConnections,
            },
        }
    }
}

/// An error before the first step.
impl From<Error> for SwitchFailure {
    fn from(error: Error) -> Self {
        Self {
            error,
            completion: Completion::Nothing,
        }
    }
}

/// The switch of a configuration.
#[derive(Debug)]
pub struct Switch {
    pub(crate) settings: SwitchConfig,
    pub(crate) filter: Box<dyn PacketFilter>,
    pub(crate) state_dir: StateDir,
    pub(crate) system: System,
    /// This host's own addresses.
    own: Vec<IpAddr>,
    /// Where the live site accepted connections before `on`, for an `off` of the same process if the state cannot be saved.
    accepted: Option<Vec<SocketAddr>>,
    become_root: Option<BecomeRoot>,
    /// The daemon's control socket.
    pub(crate) control: PathBuf,
}

impl Switch {
    /// # Errors
    /// This system cannot switch, or its addresses cannot be listed.
    pub fn new(config: &Config, tools: &Tools) -> Result<Self, Error> {
        if config.switch.backend == Backend::Pf && !sys::PF_KILLS_BY_LABEL {
            return Err(Error::Failed(
                "pf of macOS cannot end connections by their rule's label, so visitors would stay on the live site; use OpenBSD, FreeBSD or Linux".to_owned(),
            ));
        }
        let own = tools.own.clone().map_or_else(sys::own_addresses, Ok);
        let own = own.map_err(|error| {
            Error::Failed(format!(
                "cannot list this host's addresses: {}",
                reason(&error)
            ))
        })?;
        Ok(Self {
            filter: filter::open(config.switch.clone(), tools, own.clone()),
            state_dir: StateDir::new(config.state_dir.clone()),
            system: System::new(config),
            settings: config.switch.clone(),
            own,
            accepted: None,
            become_root: tools.become_root,
            control: tools.control_socket(config),
        })
    }

    pub(crate) fn servers(&self) -> Servers<'_> {
        Servers {
            settings: &self.settings,
            own: &self.own,
        }
    }

    /// Redirects clients to the page.
    ///
    /// # Errors
    /// What is wrong, what is true now, and what to do.
    pub fn on(&mut self, request: &OnRequest) -> Result<(), Error> {
        self.switch_on(request).map_err(|failure| failure.error)
    }

    pub(crate) fn switch_on(&mut self, request: &OnRequest) -> Result<(), SwitchFailure> {
        let mut clients = self.requested_clients(request)?;
        let mut announcement = request.announcement()?;
        self.require_root()?;
        hold_signals()?;
        let _lock = self.state_dir.lock(Duration::ZERO).map_err(Error::from)?;
        let loaded = self.state_dir.load();
        let was_saved = !matches!(loaded, Ok(None));
        let earlier = match loaded {
            Err(error) if !request.resume => {
                log::warn!("{error}");
                None
            }
            loaded => loaded.map_err(Error::from)?,
        };
        match &earlier {
            Some(saved) if request.resume => {
                (clients, announcement) = (saved.clients.clone(), saved.announcement.clone());
            }
            None if request.resume => {
                log::info!("nothing to resume: it was not on");
                return Ok(());
            }
            // A second `on`, as with one more exception, keeps the announcement.
            Some(saved) if !request.has_announcement() => announcement = saved.announcement.clone(),
            Some(_) | None => {}
        }
        // After a reboot a warning is better than visitors on a site that is under work.
        let force = request.force || request.resume;
        let plan = Plan::on(&clients, &self.servers().responders(), force);
        let now = clock::seconds();
        let live = self.servers().live();
        let accepting = (!request.resume).then(|| self.system.accepting(&live));
        let known = earlier.as_ref().and_then(|earlier| earlier.live.clone());
        let is_unknown = known.is_none();
        let is_silent = accepting.as_ref().is_some_and(Vec::is_empty);
        // While it is on, the live site may be stopped, so the addresses found before the first `on` are kept. If they are not
        // known, a live site that is stopped now may have accepted then.
        let keeps_known = request.resume
            || known.as_ref().is_some_and(|known| !known.is_empty())
            || (was_saved && is_unknown && is_silent);
        let mut saved = Saved {
            since: earlier.as_ref().map_or(now, |earlier| earlier.since),
            announcement,
            clients,
            live: if keeps_known {
                known
            } else {
                accepting.clone()
            },
        };
        // Saved before the change, so that a host that loses power in between redirects again.
        let mut is_saved = self.save(&saved);
        let report = match execute(&plan, &*self.filter, &mut self.system) {
            Ok(report) => report,
            Err(failure) => {
                if failure.outcome == FailureOutcome::OldConnectionsStay {
                    self.accepted.clone_from(&saved.live);
                    reload_daemon(&self.control, &saved.announcement, is_saved);
                }
                self.restore_state(&failure.outcome, earlier.as_ref());
                return Err(SwitchFailure::new(&failure, Direction::On));
            }
        };
        let was_on = report.before.as_ref().is_some_and(|set| !set.is_empty());
        if !was_on && !request.resume && earlier.is_some() {
            // It was switched off by hand since: the saved state is of an earlier maintenance.
            saved.since = now;
            if accepting
                .as_ref()
                .is_some_and(|servers| !servers.is_empty())
            {
                saved.live = accepting;
            }
            if !request.has_announcement() {
                saved.announcement = Announcement::default();
            }
            is_saved = self.save(&saved);
        } else if is_unknown && is_silent {
            // Only if no client was redirected before is it known that the live site accepted nowhere.
            saved.live = accepting.filter(|_| !was_on);
            is_saved = self.save(&saved);
        }
        log_warnings(&report);
        if is_silent || (request.resume && saved.live.as_ref().is_some_and(Vec::is_empty)) {
            self.warn_of_silent_live_site(&saved);
        }
        self.accepted.clone_from(&saved.live);
        log::info!(
            "on: {}",
            text::summary(&saved, is_saved, report.has_obstacle)
        );
        reload_daemon(&self.control, &saved.announcement, is_saved);
        Ok(())
    }

    /// Warns that the live site accepts no connections, and says what `off` will require.
    fn warn_of_silent_live_site(&self, saved: &Saved) {
        if saved.live.as_ref().is_some_and(|known| !known.is_empty()) {
            return;
        }
        let (servers, consequence) = match self.live_requirement(Some(saved)) {
            LiveRequirement::Unknown(servers) => (
                servers,
                "so \"off\" will not require it; check that the live site is back before \"off\"",
            ),
            LiveRequirement::Each(servers) if servers.is_empty() => return,
            LiveRequirement::Each(servers) => (
                servers,
                "and \"off\" will require it to accept; start the live site before \"off\"",
            ),
            LiveRequirement::Any(servers) => (
                servers,
                "and \"off\" will require one of them to accept; start the live site before \"off\"",
            ),
        };
        log::warn!(
            "no server accepts connections on {}, {consequence}",
            text::list(&servers)
        );
    }

    /// Returns clients to the live site, if it accepts connections. `force` skips that check.
    ///
    /// # Errors
    /// What is wrong, what is true now, and what to do.
    pub fn off(&mut self, force: bool) -> Result<(), Error> {
        self.switch_off(force, Duration::ZERO)
            .map_err(|failure| failure.error)
    }

    /// Waits up to `lock_timeout` for another switch.
    pub(crate) fn switch_off(
        &mut self,
        force: bool,
        lock_timeout: Duration,
    ) -> Result<(), SwitchFailure> {
        self.require_root()?;
        hold_signals()?;
        let _lock = self.state_dir.lock(lock_timeout).map_err(Error::from)?;
        let now = self
            .redirected_clients()
            .map_err(|error| Error::Failed(format!("not switched off: {error}")))?;
        let is_on = now.as_ref().is_some_and(|clients| !clients.is_empty());
        let plan = match now {
            Some(_) if is_on => Plan::off(&self.live_requirement_unless(force)),
            // An earlier `off` may have left connections.
            Some(_) => Plan::end_connections(),
            // Without rules no client is redirected.
            None => Plan::nothing(),
        };
        let mut executed = execute(&plan, &*self.filter, &mut self.system);
        if !is_on && let Err(failure) = &executed {
            match self.filter.connections(&mut self.system, Side::Maintenance) {
                // Without connections it does not matter that they cannot be killed.
                Ok(0) => executed = Ok(ExecutionReport::default()),
                // It was never on.
                Err(_) if matches!(self.state_dir.load(), Ok(None)) => {
                    let warning = format!(
                        "{}; connections with the page, if there are any, have not ended",
                        failure.cause
                    );
                    executed = Ok(ExecutionReport {
                        warnings: vec![warning],
                        ..ExecutionReport::default()
                    });
                }
                Ok(_) | Err(_) => {}
            }
        }
        let is_off = match &executed {
            Ok(_) => true,
            Err(failure) => failure.outcome == FailureOutcome::OldConnectionsStay,
        };
        if is_off && let Err(what) = self.state_dir.clear() {
            return Err(SwitchFailure {
                error: Error::Failed(format!(
                    "switched off, but {what}; delete it by hand, or a reboot will switch on again"
                )),
                completion: Completion::NewConnections,
            });
        }
        if is_off {
            reload_daemon(&self.control, &Announcement::default(), true);
        }
        let report = executed.map_err(|failure| SwitchFailure::new(&failure, Direction::Off))?;
        log_warnings(&report);
        if is_on {
            log::info!("off: all visitors are on the live site");
        } else {
            log::info!("already off: no visitor was redirected");
        }
        Ok(())
    }

    /// The clients that are redirected now; `None` without a table. If the table cannot be read although rules use it, that
    /// is an error.
    pub(crate) fn redirected_clients(&mut self) -> Result<Option<ClientSet>, SwitchError> {
        let clients = self.filter.clients(&mut self.system)?;
        if clients.is_none() && self.filter.check_rules(&mut self.system, false).is_ok() {
            return Err(SwitchError::UnreadableTable {
                table: self.settings.table().to_owned(),
            });
        }
        Ok(clients)
    }

    /// What `on` would run, as text.
    ///
    /// # Errors
    /// The request is invalid.
    pub fn dry_on(&self, request: &OnRequest) -> Result<String, Error> {
        let mut clients = self.requested_clients(request)?;
        request.announcement()?;
        if request.resume {
            match self.state_dir.load().map_err(Error::from)? {
                Some(saved) => clients = saved.clients,
                None => return Ok("# nothing to resume: it was not on\n".to_owned()),
            }
        }
        let plan = Plan::on(&clients, &self.servers().responders(), request.force);
        let commands = dry_run::print(&plan, &*self.filter);
        if request.resume {
            return Ok(commands);
        }
        // The addresses that the first `on` has saved are kept.
        let saved = self.state_dir.load().ok().flatten();
        let known = saved.filter(|saved| saved.live.as_ref().is_some_and(|live| !live.is_empty()));
        let required = known.map(|saved| self.live_requirement(Some(&saved)));
        let line = if let Some(LiveRequirement::Each(servers)) = required {
            let servers = text::list(&servers);
            format!("{servers}, which accepted connections before the first \"on\"")
        } else {
            let servers = text::list(&self.servers().live());
            format!("those of {servers} that accept connections now")
        };
        Ok(format!("# \"off\" will require {line}\n{commands}"))
    }

    /// What `off` would run if it is on, as text.
    #[must_use]
    pub fn dry_off(&self, force: bool) -> String {
        dry_run::print(
            &Plan::off(&self.live_requirement_unless(force)),
            &*self.filter,
        )
    }

    /// Where the live site must accept connections before `off`.
    pub(crate) fn live_requirement(&self, saved: Option<&Saved>) -> LiveRequirement {
        let accepted = saved.map_or(self.accepted.as_deref(), |saved| saved.live.as_deref());
        self.servers().live_requirement(accepted)
    }

    fn live_requirement_unless(&self, force: bool) -> LiveRequirement {
        if force {
            return LiveRequirement::Each(Vec::new());
        }
        // A state file that cannot be read is no reason to leave visitors on the page.
        self.live_requirement(self.state_dir.load().ok().flatten().as_ref())
    }

    /// The clients that a request redirects.
    fn requested_clients(&self, request: &OnRequest) -> Result<ClientSet, Error> {
        let is_switched = |network: &&Network| self.settings.families.contains(&network.family());
        let entries = if request.only.is_empty() {
            let families = self.settings.families.iter();
            families.map(|family| family.all_addresses()).collect()
        } else {
            if let Some(other) = request.only.iter().find(|network| !is_switched(network)) {
                let family = other.family().name();
                return Err(Error::Usage(format!(
                    "{other} cannot be redirected: \"family\" in \"switch\" leaves {family} out; add it there, or name another address"
                )));
            }
            request.only.clone()
        };
        let except = self.settings.except.iter().chain(&request.except);
        for exception in except.clone().filter(|exception| self.is_own(exception)) {
            log::warn!(
                "the exception {exception} has no effect: packets of this host to itself are never redirected"
            );
        }
        let except = except.filter(is_switched).copied().collect();
        ClientSet::new(entries, except).map_err(|error| Error::Usage(error.to_string()))
    }

    /// All of these addresses are this host's own.
    fn is_own(&self, network: &Network) -> bool {
        network.family().loopback().covers(network)
            || self.own.iter().any(|own| *network == Network::single(*own))
    }

    pub(crate) fn require_root(&self) -> Result<(), Error> {
        match self.become_root {
            Some(program) if !sys::is_root() => Err(Error::Failed(text::needs_root(program))),
            Some(_) | None => Ok(()),
        }
    }

    /// Saves what is on; returns false and warns if that fails. It is no reason not to switch: a full disk may be why the site
    /// must go down.
    fn save(&self, saved: &Saved) -> bool {
        let done = self.state_dir.save(saved);
        if let Err(what) = &done {
            log::warn!(
                "{what}; a reboot would end the maintenance: free some space, and switch on again"
            );
        }
        done.is_ok()
    }

    /// After a failure that changed nothing, restores the state file.
    fn restore_state(&self, outcome: &FailureOutcome, earlier: Option<&Saved>) {
        match (outcome, earlier) {
            (FailureOutcome::Unchanged | FailureOutcome::Reverted, Some(earlier)) => {
                self.save(earlier);
            }
            (FailureOutcome::Unchanged | FailureOutcome::Reverted, None) => {
                if let Err(what) = self.state_dir.clear() {
                    log::warn!("{what}; delete it by hand, or a reboot will switch on");
                }
            }
            (FailureOutcome::Unknown(_) | FailureOutcome::OldConnectionsStay, _) => {}
        }
    }
}

fn log_warnings(report: &ExecutionReport) {
    for warning in &report.warnings {
        log::warn!("{warning}");
    }
}
