//! Moves a site's visitors to the page and back: a plan of steps that a packet filter carries out.
//!
//! ```text
//! mod, run, status -> carry_out -> filter -> { pf, nft } -> { means, plan, command }; and probe, state, window
//! ```
//!
//! It knows nothing of the server but where that is to listen, which the configuration says, and its control socket.

mod announce;
mod command;
mod end_time;
pub(crate) mod execute;
mod filter;
pub(crate) mod live;
mod plan;
mod probe;
mod run;
mod state;
pub mod status;
pub(crate) mod system;
mod text;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::switch::execute::{
    Extent, Failure, Report, Truth, Unfinished, World as _, carry_out, take,
};
use crate::switch::filter::Filter;
use crate::switch::filter::means::Finding;
pub use crate::switch::filter::means::{BecomeRoot, Tools};
pub use crate::switch::filter::pf::Syntax;
use crate::switch::plan::{Direction, Moved, Plan, Required, Side, Step};
pub use crate::switch::run::Ending;
use crate::switch::state::{Saved, StateDir};
use crate::switch::system::System;

use crate::clock;
use crate::config::Config;
use crate::config::network::Network;
use crate::config::switch::{Backend, SwitchConfig};
use crate::error::{Error, reason};
use crate::sys;
use crate::window::{MAX_MESSAGE, Window};

/// What `maintd on` was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Who is to be moved; everybody where there is nobody.
    pub only: Vec<Network>,
    /// Who is not to be, beside those of the configuration.
    pub except: Vec<Network>,
    /// For how long, as it was typed.
    pub for_: Option<String>,
    /// Until when, as it was typed.
    pub until: Option<String>,
    /// What visitors are told.
    pub message: Option<String>,
    /// What was on before a reboot is to be on again.
    pub resume: bool,
    /// Another firewall that keeps visitors from the page is only a warning.
    pub force: bool,
}

impl Wish {
    /// It says what is to be announced.
    const fn announces(&self) -> bool {
        self.for_.is_some() || self.until.is_some() || self.message.is_some()
    }
}

/// The switch, ready to be used.
#[derive(Debug)]
pub struct Switch {
    settings: SwitchConfig,
    filter: Filter,
    store: StateDir,
    world: System,
    /// This host's own addresses.
    own: Vec<IpAddr>,
    /// Where the live site accepted connections before `on`, for an `off` of the same process that finds no state file.
    accepted: Option<Vec<SocketAddr>>,
    become_root: Option<BecomeRoot>,
    /// The daemon's control socket.
    control: PathBuf,
}

/// The rules that the packet filter needs, for `syntax` where it is pf. FreeBSD's name this host's interface and addresses.
#[must_use]
pub fn rules(settings: &SwitchConfig, syntax: Syntax, tools: &Tools) -> String {
    match settings.backend {
        Backend::Pf => crate::switch::filter::pf::rules(settings, syntax, tools),
        Backend::Nft => crate::switch::filter::nft::rules(settings),
    }
}

/// Reads a text as each of the things that are read of others, for fuzzing.
#[doc(hidden)]
pub fn read_everything(text: &str) {
    crate::switch::filter::pf::read_everything(text);
    crate::switch::filter::nft::read_everything(text);
    state::read_everything(text);
}

impl Switch {
    /// The switch of a configuration, with the system's commands.
    ///
    /// # Errors
    /// This system cannot do it, or does not tell its addresses.
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
            filter: Filter::new(config.switch.clone(), tools, own.clone()),
            store: StateDir::new(config.state_dir.clone()),
            world: System::new(config),
            settings: config.switch.clone(),
            own,
            accepted: None,
            become_root: tools.become_root,
            control: crate::switch::status::daemon::socket(config, tools),
        })
    }

    /// From here on no signal ends this process half-way; what has changed nothing yet stops all the same.
    fn hold_signals() -> Result<(), Error> {
        sys::hold_signals()
            .map_err(|error| Error::Failed(format!("cannot hold signals: {}", reason(&error))))
    }

    /// Moves visitors to the page.
    ///
    /// # Errors
    /// What went wrong, what is true then, and what to do.
    pub fn on(&mut self, wish: &Wish) -> Result<(), Error> {
        self.switch_on(wish).map_err(|unfinished| unfinished.fault)
    }

    fn switch_on(&mut self, wish: &Wish) -> Result<(), Unfinished> {
        let mut moved = self.moved(wish)?;
        let mut window = self.window(wish)?;
        self.require_root()?;
        Self::hold_signals()?;
        let _lock = self.store.lock(Duration::ZERO).map_err(Error::Failed)?;
        let loaded = self.store.load();
        let was_saved = !matches!(loaded, Ok(None));
        let earlier = Self::earlier(loaded, wish)?;
        match &earlier {
            Some(saved) if wish.resume => {
                (moved, window) = (saved.moved.clone(), saved.window.clone());
            }
            None if wish.resume => {
                log::info!("nothing to resume: it was not on");
                return Ok(());
            }
            // Who excepts one address more does not end what visitors are told.
            Some(saved) if !wish.announces() => window = saved.window.clone(),
            Some(_) | None => {}
        }
        // After a reboot the maintenance goes on: a warning is better than visitors on a site that is under work.
        let force = wish.force || wish.resume;
        let plan = Plan::on(&moved, &self.responders(), force);
        let now = clock::seconds();
        let accepting = (!wish.resume).then(|| self.world.accepting(&self.live()));
        let known = earlier.as_ref().and_then(|earlier| earlier.live.clone());
        let is_unknown = known.is_none();
        let is_silent = accepting.as_ref().is_some_and(Vec::is_empty);
        // While it is on, the live site may be stopped: what was found before counts. Where that is not known, a stopped
        // site does not say that it was stopped before.
        let is_known = wish.resume
            || known.as_ref().is_some_and(|known| !known.is_empty())
            || (was_saved && is_unknown && is_silent);
        let mut saved = Saved {
            since: earlier.as_ref().map_or(now, |earlier| earlier.since),
            window,
            moved,
            live: if is_known { known } else { accepting.clone() },
        };
        // Before the change: a host that loses its power in between is to come back with the page.
        let mut is_saved = self.save(&saved);
        match carry_out(&plan, &self.filter, &mut self.world) {
            Ok(report) => {
                // Somebody has switched off by hand since: that was another maintenance.
                let was_on = report.before.as_ref().is_some_and(Moved::is_anybody);
                if !was_on && !wish.resume && earlier.is_some() {
                    saved.since = now;
                    if accepting.as_ref().is_some_and(|places| !places.is_empty()) {
                        saved.live = accepting;
                    }
                    if !wish.announces() {
                        saved.window = Window::default();
                    }
                    is_saved = self.save(&saved);
                } else if is_unknown && is_silent {
                    // Only a site that is stopped before anybody is moved is known to accept nowhere.
                    saved.live = accepting.filter(|_| !was_on);
                    is_saved = self.save(&saved);
                }
                tell(&report);
                if is_silent || (wish.resume && saved.live.as_ref().is_some_and(Vec::is_empty)) {
                    self.warn_of_silence(&saved);
                }
                self.accepted.clone_from(&saved.live);
                log::info!("on: {}", text::summary(&saved, report.has_obstacle));
                // Visitors are moved whatever comes of it.
                self.announce(&saved.window, is_saved);
                Ok(())
            }
            Err(failure) => {
                if failure.truth == Truth::OldConnectionsStay {
                    // New visitors are moved.
                    self.accepted.clone_from(&saved.live);
                    self.announce(&saved.window, is_saved);
                }
                self.put_back(&failure, earlier.as_ref());
                Err(Unfinished::new(&failure, Direction::On))
            }
        }
    }

    /// Warns where the live site accepts no connections, and says what `off` will require then.
    fn warn_of_silence(&self, saved: &Saved) {
        if saved.live.as_ref().is_some_and(|known| !known.is_empty()) {
            return;
        }
        let (places, consequence) = match self.required(Some(saved)) {
            Required::Unknowable(places) => (
                places,
                "so \"off\" will not require it; check that the live site is back before \"off\"",
            ),
            Required::Each(places) if places.is_empty() => return,
            Required::Each(places) => (
                places,
                "and \"off\" will require it to accept; start the live site before \"off\"",
            ),
            Required::Any(places) => (
                places,
                "and \"off\" will require one of them to accept; start the live site before \"off\"",
            ),
        };
        log::warn!(
            "nothing accepts connections on {}, {consequence}",
            text::places(&places)
        );
    }

    /// What was switched on before, as far as that is known.
    fn earlier(loaded: Result<Option<Saved>, String>, wish: &Wish) -> Result<Option<Saved>, Error> {
        match loaded {
            Err(what) if !wish.resume => {
                log::warn!("{what}");
                Ok(None)
            }
            loaded => loaded.map_err(Error::Failed),
        }
    }

    /// Moves visitors back, once the live site accepts connections; without looking for it where `force` says so.
    ///
    /// # Errors
    /// What went wrong, what is true then, and what to do.
    pub fn off(&mut self, force: bool) -> Result<(), Error> {
        self.switch_off(force, Duration::ZERO)
            .map_err(|unfinished| unfinished.fault)
    }

    /// `patience` is for another switch that is under way.
    fn switch_off(&mut self, force: bool, patience: Duration) -> Result<(), Unfinished> {
        self.require_root()?;
        Self::hold_signals()?;
        let _lock = self.store.lock(patience).map_err(Error::Failed)?;
        let now = self
            .look()
            .map_err(|what| Error::Failed(format!("not switched off: {what}")))?;
        let is_on = matches!(&now, Finding::Moved(moved) if moved.is_anybody());
        let plan = if is_on {
            Plan::off(&self.required_unless(force))
        } else if matches!(now, Finding::NoTable(_)) {
            // The rules are gone, and with them everything that moved anybody.
            Plan::nothing()
        } else {
            // What an earlier try has left.
            Plan::end_connections()
        };
        let mut done = carry_out(&plan, &self.filter, &mut self.world);
        if !is_on && let Err(failure) = &done {
            let on_the_page = Step::Connected(Side::Maintenance);
            match take(&on_the_page, &self.filter, &mut self.world) {
                // Where nobody is on the page it is no matter that the system forbids to kill.
                Ok(Finding::Connections(0)) => done = Ok(Report::default()),
                // There is no sign that anybody ever was.
                Err(_) if self.store.load() == Ok(None) => {
                    let warning = format!(
                        "{}; connections with the page, if there are any, have not ended",
                        failure.what
                    );
                    done = Ok(Report {
                        warnings: vec![warning],
                        ..Report::default()
                    });
                }
                Ok(_) | Err(_) => {}
            }
        }
        let is_off = match &done {
            Ok(_) => true,
            Err(failure) => failure.truth == Truth::OldConnectionsStay,
        };
        if is_off && let Err(what) = self.store.clear() {
            return Err(Unfinished {
                fault: Error::Failed(format!(
                    "switched off, but {what}; delete it by hand, or a reboot will switch on again"
                )),
                extent: Extent::Visitors,
            });
        }
        if is_off {
            self.end_announcement();
        }
        let report = done.map_err(|failure| Unfinished::new(&failure, Direction::Off))?;
        tell(&report);
        if is_on {
            log::info!("off: everybody is on the live site");
        } else {
            log::info!("off already: nobody was moved");
        }
        Ok(())
    }

    /// Who is moved now. That a table cannot be read does not say that there is none, so its rules are asked too.
    fn look(&mut self) -> Result<Finding, String> {
        let found = take(&Step::Remember, &self.filter, &mut self.world)?;
        if matches!(found, Finding::NoTable(_))
            && take(
                &Step::RulesLoaded { is_required: false },
                &self.filter,
                &mut self.world,
            )
            .is_ok()
        {
            let table = self.settings.table();
            return Err(format!(
                "table \"{table}\" cannot be read, though rules use it; try again"
            ));
        }
        Ok(found)
    }

    /// What `on` would run, as text.
    ///
    /// # Errors
    /// What was asked for cannot be done.
    pub fn dry_on(&self, wish: &Wish) -> Result<String, Error> {
        let mut moved = self.moved(wish)?;
        self.window(wish)?;
        if wish.resume {
            match self.store.load().map_err(Error::Failed)? {
                Some(saved) => moved = saved.moved,
                None => return Ok("# nothing to resume: it was not on\n".to_owned()),
            }
        }
        let commands = text::commands(
            &Plan::on(&moved, &self.responders(), wish.force),
            &self.filter,
        );
        if wish.resume {
            return Ok(commands);
        }
        // What the first `on` has saved counts.
        let saved = self.store.load().ok().flatten();
        let known = saved.filter(|saved| saved.live.as_ref().is_some_and(|live| !live.is_empty()));
        let required = known.map(|saved| self.required(Some(&saved)));
        let line = if let Some(Required::Each(places)) = required {
            let places = text::places(&places);
            format!("{places}, which accepted connections before the first \"on\"")
        } else {
            let places = text::places(&self.live());
            format!("those of {places} that accept connections now")
        };
        Ok(format!("# \"off\" will require {line}\n{commands}"))
    }

    /// What `off` would run where it is on, as text.
    #[must_use]
    pub fn dry_off(&self, force: bool) -> String {
        text::commands(&Plan::off(&self.required_unless(force)), &self.filter)
    }

    /// Where the live site must accept connections, by what is saved.
    fn required_unless(&self, force: bool) -> Required {
        if force {
            return Required::Each(Vec::new());
        }
        // A file that cannot be read says nothing, and is no reason to leave visitors on the page.
        self.required(self.store.load().ok().flatten().as_ref())
    }

    /// Who is to be moved.
    fn moved(&self, wish: &Wish) -> Result<Moved, Error> {
        let switched = |network: &&Network| self.settings.families.contains(&network.family());
        let entries = if wish.only.is_empty() {
            let families = self.settings.families.iter();
            families.map(|family| family.everybody()).collect()
        } else {
            if let Some(other) = wish.only.iter().find(|network| !switched(network)) {
                let family = other.family().name();
                return Err(Error::Usage(format!(
                    "{other} cannot be moved: \"family\" in \"switch\" leaves {family} out; add it there, or name another address"
                )));
            }
            wish.only.clone()
        };
        let except = self.settings.except.iter().chain(&wish.except);
        for exception in except
            .clone()
            .filter(|exception| self.is_host_itself(exception))
        {
            log::warn!(
                "the exception {exception} has no effect: what this host sends to itself is never redirected"
            );
        }
        Moved::new(entries, except.filter(switched).copied().collect()).map_err(Error::Usage)
    }

    /// Only this host itself uses these addresses.
    fn is_host_itself(&self, network: &Network) -> bool {
        network.family().loopback().covers(network)
            || self.own.iter().any(|own| *network == Network::single(*own))
    }

    /// What is announced.
    #[expect(
        clippy::unused_self,
        reason = "it is the switch's, whatever it needs for it"
    )]
    fn window(&self, wish: &Wish) -> Result<Window, Error> {
        let now = clock::seconds();
        let until = match (&wish.for_, &wish.until) {
            (Some(text), _) => Some(end_time::parse_for(text, now).map_err(wrong("--for"))?),
            (None, Some(text)) => Some(end_time::parse_until(text, now).map_err(wrong("--until"))?),
            (None, None) => None,
        };
        if wish
            .message
            .as_ref()
            .is_some_and(|text| text.len() > MAX_MESSAGE)
        {
            return Err(wrong("--message")(format!(
                "it is over {MAX_MESSAGE} bytes; say it in fewer words"
            )));
        }
        Ok(Window {
            until,
            message: wish.message.clone().filter(|text| !text.is_empty()),
        })
    }

    fn require_root(&self) -> Result<(), Error> {
        match self.become_root {
            Some(means) if !sys::is_root() => Err(Error::Failed(text::needs_root(means))),
            Some(_) | None => Ok(()),
        }
    }

    /// Saves what is on, and returns whether it is. That it cannot be is no reason to leave visitors where they are: a full
    /// disk may be why the site must go down.
    fn save(&self, saved: &Saved) -> bool {
        let done = self.store.save(saved);
        if let Err(what) = &done {
            log::warn!(
                "{what}; a reboot would end the maintenance: free some space, and switch on again"
            );
        }
        done.is_ok()
    }

    /// What is saved is what is true, also after a failure.
    fn put_back(&self, failure: &Failure, earlier: Option<&Saved>) {
        match (&failure.truth, earlier) {
            (Truth::AsBefore | Truth::Undone, Some(earlier)) => {
                self.save(earlier);
            }
            (Truth::AsBefore | Truth::Undone, None) => {
                if let Err(what) = self.store.clear() {
                    log::warn!("{what}; delete it by hand, or a reboot will switch on");
                }
            }
            (Truth::Unknown(_) | Truth::OldConnectionsStay, _) => {}
        }
    }
}

fn wrong(flag: &'static str) -> impl Fn(String) -> Error {
    move |what| Error::Usage(format!("wrong value for {flag}: {what}"))
}

fn tell(report: &Report) {
    for warning in &report.warnings {
        log::warn!("{warning}");
    }
}
