//! The supervisor: it reads what there is to read, keeps the listening sockets, has workers, and takes signals. It parses no
//! byte from the network.

mod control;
pub(crate) mod control_socket;
pub(crate) mod fd_limit;
pub(crate) mod generation;
pub(crate) mod pid_file;
pub(crate) mod reload;
pub(crate) mod sandbox;
pub(crate) mod sd_notify;
mod signals;
pub(crate) mod spawn;
pub(crate) mod workers;

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::serve::listeners::activation::Inherited;
use crate::serve::listeners::listener_set::ListenerSet;
use crate::serve::logs::collector::{Logs, NewLogs};
use crate::serve::metrics::counters::Board;
use crate::serve::metrics::hosts::Hosts;
use crate::serve::supervisor::control_socket::Control;
use crate::serve::supervisor::fd_limit::Descriptors;
use crate::serve::supervisor::generation::Generation;

use crate::config::{Config, MAX_WORKERS};
use crate::error::{Error, reason};
use crate::logger;
use crate::serve::metrics::samples::Samples;
use crate::serve::supervisor::control::{add_metrics, saved_window};
use crate::serve::supervisor::pid_file::PidFile;
use crate::serve::supervisor::reload::{Phase, Reloading};
use crate::serve::supervisor::signals::{Signal, Signals};
use crate::serve::supervisor::workers::WorkerPool;
use crate::serve::tls::SharedTls;
use crate::serve::{announce_stand_ins, system};
use crate::sys;
use crate::sys::{ChildChange, Source};
use crate::window::Window;

/// The old generations that there may be beside the newest one.
const MAX_OLD: usize = 4;
/// How long a reload waits for one of too many old generations to go by itself: a client that reads forever must not
/// keep a renewed certificate out.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long workers may take that were told to end at once. Then they are killed.
const END_LIMIT: Duration = Duration::from_secs(2);
/// The message about a worker that could not be killed.
const LEFT_BEHIND: &str =
    "a worker is left behind, for it cannot be killed; as root, start with CAP_KILL";

/// How long those may take who are on their way into a queue when nobody else is let in: some round trips, and less than
/// the second after which whoever was turned away tries again (RFC 6298 2.1), to find the next server or none.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Reads the configuration anew.
pub(crate) type Reread = Box<dyn Fn() -> Result<Config, Error>>;

/// The supervisor, with all that its workers inherit.
pub(crate) struct Supervisor {
    reread: Reread,
    descriptors: Descriptors,
    tls: SharedTls,
    material: Generation,
    gates: ListenerSet,
    board: Board,
    logs: Logs,
    pid_file: Option<PidFile>,
    control: Option<Control>,
    /// What is to be announced from the next reload on, as a client has told.
    told: Option<Window>,
    /// What a client has told last, where it is not in the state: reloads find it here alone.
    pinned: Option<Window>,
    samples: Samples,
    /// The hosts whose requests are counted apart, and the places of those of the sites.
    hosts: Hosts,
    host_places: Vec<usize>,
    started: Instant,
    signals: Signals,
    staff: WorkerPool,
    phase: Phase,
    /// Since when a reload waits for an old generation to go.
    pending: Option<Instant>,
}

impl Supervisor {
    /// Reads and binds all that is needed.
    ///
    /// # Errors
    /// The first thing that stands in the way; then nothing has been begun.
    pub(crate) fn new(mut config: Config, reread: Reread) -> Result<Self, Error> {
        let descriptors = Descriptors::count(config.max_descriptors)?;
        // Before anything is opened for which there might be none.
        descriptors.connections(config.endpoints.len())?;
        // Before anything that takes long: a signal must find somebody.
        let signals = Signals::new().map_err(|error| system("wait for signals", &error))?;
        let inherited = Inherited::take()?;
        inherited.replace_defaults(&mut config);
        add_metrics(&mut config);
        config.window = saved_window(&config.state_dir).unwrap_or_default();
        let board = Board::new(MAX_WORKERS * (MAX_OLD + 2))
            .map_err(|error| system("share memory", &error))?;
        let logs = Logs::start(NewLogs::open(&config.logs)?, board.supervisor().lost());
        let tls = SharedTls::new()?;
        let material = Generation::load(config, &tls)?;
        let workers = material.config.workers;
        let gates = ListenerSet::open(inherited, &material.config.endpoints, workers)?;
        descriptors.connections(gates.max_sockets(workers))?;
        let pid_file = material.config.pid.as_deref().map(PidFile::write);
        let control = Control::open(&material.config.control)?;
        let mut hosts = Hosts::default();
        let host_places = hosts.indices(&material.config.sites);
        let samples = Samples::new(&board, Instant::now());
        Ok(Self {
            reread,
            descriptors,
            tls,
            material,
            gates,
            board,
            logs,
            pid_file: pid_file.transpose()?,
            control,
            told: None,
            pinned: None,
            samples,
            hosts,
            host_places,
            started: Instant::now(),
            signals,
            staff: WorkerPool::default(),
            phase: Phase::Starting,
            pending: None,
        })
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// A worker that cannot even begin. What goes wrong later is told, and tried again.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        sandbox::enter_supervisor(&self.material.config)?;
        self.staff
            .begin_generation(self.material.config.workers, Instant::now());
        loop {
            while let Some(slot) = self.staff.vacancy(Instant::now()) {
                match self.hire(slot) {
                    Ok(Some(post)) => self.work(post),
                    Ok(None) => {}
                    Err(error) if self.phase == Phase::Starting => {
                        return Err(system("start a worker", &error));
                    }
                    Err(error) => {
                        log::error!("cannot start a worker: {}; trying again", reason(&error));
                        self.staff.postpone(slot, Instant::now());
                    }
                }
            }
            for signal in self.wait()? {
                match signal {
                    Signal::Reload => drop(self.reload()),
                    Signal::Quit => self.quit(),
                    Signal::End => return self.end(),
                    Signal::Reopen => self.logs.reopen(),
                    Signal::Child => self.note_changes()?,
                }
            }
            self.samples.take(&self.board, Instant::now());
            self.serve_clients();
            self.settle();
            if self.phase == Phase::Leaving && self.staff.is_over() {
                self.logs.close();
                return if self.staff.is_empty() {
                    Ok(())
                } else {
                    Err(Error::Failed(LEFT_BEHIND.to_owned()))
                };
            }
        }
    }

    /// Waits for something to happen; returns the signals that have come.
    fn wait(&mut self) -> Result<Vec<Signal>, Error> {
        let pending = self.pending.map(|since| since + PATIENCE);
        let clients = self.control.as_ref().and_then(Control::next_due);
        // Nobody could ask for rates without the socket.
        let sample = self.control.as_ref().map(|_| self.samples.next());
        let next = [
            self.staff.next_due(),
            pending,
            self.phase.end(),
            clients,
            sample,
        ];
        let next = next.into_iter().flatten().min();
        self.wait_for(next.map(|next| next.saturating_duration_since(Instant::now())))
    }

    /// Waits for something to happen, but no longer than that; takes what workers tell, and returns the signals.
    fn wait_for(&mut self, limit: Option<Duration>) -> Result<Vec<Signal>, Error> {
        let (pids, mut sources): (Vec<_>, Vec<_>) = self
            .staff
            .reports()
            .map(|(pid, pipe)| (pid, Source::Input(pipe)))
            .unzip();
        sources.insert(0, Source::Input(self.signals.source()));
        sources.extend(self.control.iter().flat_map(Control::sources));
        let told =
            sys::wait_for(&sources, limit).map_err(|error| system("wait for workers", &error))?;
        let mut told = told.into_iter();
        let signalled = told.next().unwrap_or(false);
        for (pid, _) in pids.into_iter().zip(told).filter(|(_, told)| *told) {
            self.staff.listen(pid, &mut self.logs);
        }
        Ok(if signalled {
            self.signals.take()
        } else {
            Vec::new()
        })
    }

    /// Takes note of workers that have ended, were stopped or go on.
    fn note_changes(&mut self) -> Result<(), Error> {
        while let Some((pid, change)) = sys::child_change() {
            let now = Instant::now();
            let status = match change {
                ChildChange::Ended(status) => status,
                ChildChange::Stopped => {
                    self.staff.note_stopped(pid, Some(now));
                    continue;
                }
                ChildChange::Continued => {
                    self.staff.note_stopped(pid, None);
                    continue;
                }
            };
            let Some((mut member, expected)) = self.staff.remove(pid, now) else {
                continue;
            };
            member.listen(&mut self.logs);
            self.board.give_back(member.row);
            if expected {
                log::debug!("worker {pid} has ended");
                continue;
            }
            self.board.supervisor().died().add(1);
            let end = describe(status);
            if self.phase == Phase::Starting {
                self.staff.end(Instant::now() + END_LIMIT);
                return Err(Error::Failed(format!("a worker could not begin: {end}")));
            }
            log::error!("worker {pid} died: {end}; another one takes its place");
        }
        Ok(())
    }

    /// Does what has become possible.
    fn settle(&mut self) {
        self.kill_late();
        let is_over = self.phase.end().is_some_and(|end| end <= Instant::now());
        match self.phase {
            Phase::LastCall(_) if is_over => self.leave(),
            Phase::Closing(_) if is_over => self.end_reload(),
            Phase::Starting | Phase::Reloading if self.staff.is_complete() => {
                self.hand_over();
            }
            Phase::Starting
            | Phase::Reloading
            | Phase::Serving
            | Phase::Closing(_)
            | Phase::LastCall(_)
            | Phase::Leaving => {}
        }
        if let Some(since) = self.pending {
            if self.staff.generations() <= MAX_OLD {
                drop(self.reload());
            } else if since.elapsed() >= PATIENCE {
                let now = Instant::now();
                self.pending = Some(now);
                if self.staff.end_oldest(now + END_LIMIT) {
                    log::warn!(
                        "ending the oldest workers with their connections: a reload has waited for a minute"
                    );
                }
            }
        }
    }

    /// Has the newest workers, all of which accept, take over.
    fn hand_over(&mut self) {
        match self.phase {
            Phase::Starting => {
                announce_stand_ins(&self.material.config);
                self.gates.announce();
                logger::end_start();
                sd_notify::ready();
                self.gates.close_removed();
                self.staff.retire_old();
                self.phase = Phase::Serving;
                self.tell_waiting();
            }
            Phase::Reloading if self.gates.block_removed() => {
                self.phase = Phase::Closing(Instant::now() + LAST_CALL);
            }
            Phase::Reloading => self.end_reload(),
            Phase::Serving | Phase::Closing(_) | Phase::LastCall(_) | Phase::Leaving => {}
        }
    }

    /// Has the old workers retire.
    fn end_reload(&mut self) {
        self.gates.close_removed();
        self.staff.retire_old();
        self.gates.announce();
        log::info!("reloaded");
        sd_notify::ready();
        self.phase = Phase::Serving;
        self.tell_waiting();
    }

    /// Reads everything anew and has new workers take over; where something is faulty, the old ones stay.
    fn reload(&mut self) -> Reloading {
        if self.phase.is_ending() {
            return Reloading::Ending;
        }
        if self.staff.generations() > MAX_OLD {
            if self.pending.is_none() {
                log::info!("the reload waits: {MAX_OLD} older ones still have connections");
                self.pending = Some(Instant::now());
            }
            return Reloading::Waits;
        }
        self.pending = None;
        if self.phase != Phase::Starting {
            sd_notify::reloading();
        }
        match self.renew() {
            Ok(()) => {
                if self.phase != Phase::Starting {
                    self.phase = Phase::Reloading;
                }
                Reloading::Begun
            }
            Err(fault) => {
                log::error!("not reloaded: {fault}");
                if self.phase == Phase::Serving {
                    sd_notify::ready();
                }
                Reloading::Faulty(fault)
            }
        }
    }

    fn renew(&mut self) -> Result<(), Error> {
        let mut config = (self.reread)()?;
        self.gates.inherited().replace_defaults(&mut config);
        add_metrics(&mut config);
        config.window = self.window(&config.state_dir);
        let material = Generation::load(config, &self.tls)?;
        let logs = NewLogs::open(&material.config.logs)?;
        let pid_file = self.new_pid_file(&material.config)?;
        let control = self.new_control(&material.config.control)?;
        let workers = material.config.workers;
        let descriptors = self
            .descriptors
            .limited_to(material.config.max_descriptors)?;
        descriptors.connections(material.config.endpoints.len())?;
        self.gates.change(&material.config.endpoints, workers)?;
        self.descriptors = descriptors;
        self.logs.replace(logs);
        if let Some(pid_file) = pid_file {
            self.pid_file = pid_file;
        }
        if let Some(control) = control {
            self.control = control;
        }
        self.told = None;
        self.host_places = self.hosts.indices(&material.config.sites);
        self.material = material;
        self.staff.begin_generation(workers, Instant::now());
        Ok(())
    }

    /// Writes the pid file if it is to be another one from now on.
    fn new_pid_file(&self, config: &Config) -> Result<Option<Option<PidFile>>, Error> {
        let path = config.pid.as_deref();
        if path == self.pid_file.as_ref().map(PidFile::path) {
            return Ok(None);
        }
        path.map(PidFile::write).transpose().map(Some)
    }

    /// Lets nobody else in; ends when all that has begun is answered.
    fn quit(&mut self) {
        if self.phase.is_ending() {
            return;
        }
        self.pending = None;
        sd_notify::stopping();
        if self.gates.block_new_connections() {
            self.phase = Phase::LastCall(Instant::now() + LAST_CALL);
        } else {
            self.leave();
        }
    }

    /// Has the workers answer what has begun, and go.
    fn leave(&mut self) {
        self.phase = Phase::Leaving;
        self.staff.quit(Instant::now());
        // The workers have the sockets still, for those who stand in their queues.
        self.gates = ListenerSet::default();
    }

    /// Kills those who have been told to end and have not.
    fn kill_late(&mut self) {
        for pid in self.staff.take_late(Instant::now()) {
            log::warn!("worker {pid} does not end by itself; killing it");
            if sys::kill(pid).is_err() {
                self.staff.note_left_behind(pid);
            }
        }
    }

    /// Ends at once.
    fn end(mut self) -> Result<(), Error> {
        sd_notify::stopping();
        // Nobody is to wait for an answer.
        self.control = None;
        let limit = Instant::now() + END_LIMIT;
        self.staff.end(limit);
        while !self.staff.is_empty() {
            self.kill_late();
            let left = limit.saturating_duration_since(Instant::now());
            if limit.elapsed() >= END_LIMIT {
                return Err(Error::Failed(LEFT_BEHIND.to_owned()));
            }
            // What they say at the last is still to be written, and they wait for it. No signal says more than this one.
            self.wait_for(Some(left.max(Duration::from_millis(10))))?;
            while let Some((pid, change)) = sys::child_change() {
                if matches!(change, ChildChange::Ended(_))
                    && let Some((mut member, _)) = self.staff.remove(pid, Instant::now())
                {
                    member.listen(&mut self.logs);
                }
            }
        }
        self.logs.close();
        Ok(())
    }
}

/// How a process has ended.
fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}
