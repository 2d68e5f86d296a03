//! The supervisor: reads configuration, keys and pages, owns the listening sockets, spawns workers, handles signals and serves
//! the control socket. It parses no byte from the network.

pub(crate) mod control;
pub(crate) mod fd_limit;
pub(crate) mod generation;
pub(crate) mod phase;
pub(crate) mod pid_file;
pub(crate) mod reload;
pub(crate) mod sandbox;
pub(crate) mod sd_notify;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod workers;

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::announcement::Announcement;
use crate::clock;
use crate::config::{Config, Endpoint, MAX_WORKERS, PageSource, Purpose};
use crate::control::{ControlRequest, Reply};
use crate::error::{Error, reason};
use crate::logger;
use crate::serve::listeners::activation::Inherited;
use crate::serve::listeners::listener_set::ListenerSet;
use crate::serve::logs::collector::{Logs, NewLogs};
use crate::serve::metrics::counters::Board;
use crate::serve::metrics::hosts::Hosts;
use crate::serve::metrics::report::DaemonReport;
use crate::serve::metrics::samples::Samples;
use crate::serve::supervisor::control::ControlServer;
use crate::serve::supervisor::fd_limit::FdLimit;
use crate::serve::supervisor::generation::Generation;
use crate::serve::supervisor::phase::SupervisorPhase;
use crate::serve::supervisor::pid_file::PidFile;
use crate::serve::supervisor::reload::{ReloadOutcome, Replacement, Reread, Running};
use crate::serve::supervisor::signals::{Signal, Signals};
use crate::serve::supervisor::spawn::{Fork, Inheritance, WorkerPipes};
use crate::serve::supervisor::workers::WorkerPool;
use crate::serve::tls::SharedTls;
use crate::serve::worker::admin::AdminEndpoint;
use crate::sys;
use crate::sys::{ChildChange, Source};

/// The maximum number of old generations, without the newest.
const MAX_OLD: usize = 4;
/// How long a reload waits for one of too many old generations to drain. Then the oldest is terminated: a slow
/// client must not delay a renewed certificate.
const MAX_DEFERRAL: Duration = Duration::from_mins(1);
/// How long terminated workers may take before they are killed.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(2);
const UNKILLABLE: &str =
    "a worker still runs, because it cannot be killed; as root, start with CAP_KILL";

/// How long TCP handshakes in progress may take after new connections are refused: some round trips, but less than the second
/// after which a refused client sends its SYN again (RFC 6298 2.1).
const HANDSHAKE_GRACE: Duration = Duration::from_millis(500);

/// Serves until a signal ends it. `reread` reads the configuration again for a reload.
///
/// # Errors
/// The first problem at start; then nothing was served.
pub fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, Error> + 'static,
) -> Result<(), Error> {
    Supervisor::new(config, Box::new(reread))?.run()
}

/// The supervisor, with everything that its workers inherit.
struct Supervisor {
    reread: Reread,
    fd_limit: FdLimit,
    tls: SharedTls,
    generation: Generation,
    listeners: ListenerSet,
    board: Board,
    logs: Logs,
    pid_file: Option<PidFile>,
    control: Option<ControlServer>,
    samples: Samples,
    /// The hosts whose requests are counted, and the numbers of the sites' hosts.
    hosts: Hosts,
    host_indices: Vec<usize>,
    started: Instant,
    signals: Signals,
    workers: WorkerPool,
    phase: SupervisorPhase,
    /// Since when a reload is deferred, or since the last termination of an old generation for it.
    deferred: Option<Instant>,
}

impl Supervisor {
    fn new(config: Config, reread: Reread) -> Result<Self, Error> {
        let fd_limit = FdLimit::raise(config.max_descriptors)?;
        // First, so that a descriptor limit that is too low is reported before anything is opened.
        fd_limit.connections(config.endpoints.len())?;
        // Before anything that takes long, so that no signal is lost.
        let signals = Signals::new().map_err(|error| Error::system("wait for signals", &error))?;
        let inherited = Inherited::take()?;
        let board = Board::new(MAX_WORKERS * (MAX_OLD + 2))
            .map_err(|error| Error::system("share memory", &error))?;
        let logs = Logs::start(NewLogs::open(&config.logs)?, board.supervisor().lost());
        let tls = SharedTls::new()?;
        let generation = Generation::load(config, &inherited, Announcement::default(), &tls)?;
        let config = &generation.config;
        let listeners = ListenerSet::open(inherited, &generation.endpoints, config.workers)?;
        fd_limit.connections(listeners.max_sockets(config.workers))?;
        let pid_file = config.pid.as_deref().map(PidFile::write).transpose()?;
        let control = ControlServer::open(&config.control)?;
        let mut hosts = Hosts::default();
        let host_indices = hosts.indices(&config.sites);
        let samples = Samples::new(&board, Instant::now());
        Ok(Self {
            reread,
            fd_limit,
            tls,
            generation,
            listeners,
            board,
            logs,
            pid_file,
            control,
            samples,
            hosts,
            host_indices,
            started: Instant::now(),
            signals,
            workers: WorkerPool::default(),
            phase: SupervisorPhase::Starting,
            deferred: None,
        })
    }

    /// # Errors
    /// A worker cannot start. Later problems are logged, and tried again.
    fn run(mut self) -> Result<(), Error> {
        sandbox::enter_supervisor(&self.generation.config, &self.generation.endpoints)?;
        self.workers
            .begin_generation(self.generation.config.workers, Instant::now());
        loop {
            while let Some(slot) = self.workers.due_slot(Instant::now()) {
                match self.spawn(slot) {
                    Ok(Some((row, pipes))) => self.run_worker(slot, row, pipes),
                    Ok(None) => {}
                    Err(error) if self.phase == SupervisorPhase::Starting => {
                        return Err(Error::system("start a worker", &error));
                    }
                    Err(error) => {
                        log::error!("cannot start a worker: {}; trying again", reason(&error));
                        self.workers.back_off(slot, Instant::now());
                    }
                }
            }
            for signal in self.wait()? {
                match signal {
                    Signal::Reload => drop(self.reload()),
                    Signal::Quit => self.quit(),
                    Signal::Terminate => return self.terminate(),
                    Signal::ReopenLogs => self.logs.reopen(),
                    Signal::ChildChanged => self.note_child_changes()?,
                }
            }
            self.samples.take(&self.board, Instant::now());
            self.serve_control_clients();
            self.kill_overdue();
            self.advance_phase();
            self.advance_deferred_reload();
            if self.phase == SupervisorPhase::Draining && self.workers.is_drained() {
                self.logs.close();
                return if self.workers.is_empty() {
                    Ok(())
                } else {
                    Err(Error::Failed(UNKILLABLE.to_owned()))
                };
            }
        }
    }

    /// Waits until something is due or arrives; returns the signals that have arrived.
    fn wait(&mut self) -> Result<Vec<Signal>, Error> {
        let control = self.control.as_ref();
        let next = [
            self.workers.next_due(),
            self.deferred.map(|since| since + MAX_DEFERRAL),
            self.phase.end(),
            control.and_then(ControlServer::next_deadline),
            // Without the socket no client can request rates.
            control.map(|_| self.samples.next()),
        ];
        let next = next.into_iter().flatten().min();
        self.poll(next.map(|next| next.saturating_duration_since(Instant::now())))
    }

    /// Waits for input, but no longer than `limit`. Reads log pipes, and returns the signals that have arrived.
    fn poll(&mut self, limit: Option<Duration>) -> Result<Vec<Signal>, Error> {
        let (pids, mut sources): (Vec<_>, Vec<_>) = self
            .workers
            .log_pipes()
            .map(|(pid, pipe)| (pid, Source::Input(pipe)))
            .unzip();
        sources.insert(0, Source::Input(self.signals.source()));
        sources.extend(self.control.iter().flat_map(ControlServer::sources));
        let ready = sys::wait_for(&sources, limit)
            .map_err(|error| Error::system("wait for workers", &error))?;
        let mut ready = ready.into_iter();
        let is_signalled = ready.next().unwrap_or(false);
        for (pid, _) in pids.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            self.workers.read_log_pipe(pid, &mut self.logs);
        }
        Ok(if is_signalled {
            self.signals.take()
        } else {
            Vec::new()
        })
    }

    /// Spawns a worker. In its own process, returns its row of counters and its pipes.
    fn spawn(&mut self, slot: usize) -> io::Result<Option<(usize, WorkerPipes)>> {
        let row = self
            .board
            .take()
            .ok_or_else(|| io::Error::other("too many workers"))?;
        match spawn::fork() {
            Ok(Fork::Supervisor(pid, pipes)) => {
                self.workers.add(pid, (slot, row), pipes, Instant::now());
                Ok(None)
            }
            Ok(Fork::Worker(pipes)) => Ok(Some((row, pipes))),
            Err(error) => {
                self.board.give_back(row);
                Err(error)
            }
        }
    }

    fn run_worker(self, slot: usize, row: usize, pipes: WorkerPipes) -> ! {
        let admin = self.admin_endpoint();
        if let Some(control) = self.control {
            control.close_copy();
        }
        // Closes the pipes of other workers, which must exit when the supervisor does.
        drop((self.workers, self.signals, self.logs));
        let inheritance = Inheritance {
            slot,
            generation: self.generation,
            listeners: self.listeners,
            fd_limit: self.fd_limit,
            counters: self.board.row(row),
            host_indices: self.host_indices,
            admin,
        };
        spawn::run_worker(inheritance, pipes)
    }

    /// What a worker needs for the metrics and health listener, if there is one.
    fn admin_endpoint(&self) -> Option<AdminEndpoint> {
        let metrics = self.generation.config.metrics.as_ref()?;
        let mut endpoints = self.generation.endpoints.iter();
        let endpoint = endpoints.position(|one| one.purpose == Purpose::Metrics)?;
        Some(AdminEndpoint {
            endpoint,
            health: metrics.health.clone(),
            board: self.board.clone(),
            hosts: self.hosts.clone(),
            started: clock::seconds().saturating_sub(self.started.elapsed().as_secs()),
            until: self.generation.announcement.until,
        })
    }

    /// Notes workers that have exited, were stopped or continue.
    fn note_child_changes(&mut self) -> Result<(), Error> {
        while let Some((pid, change)) = sys::child_change() {
            let now = Instant::now();
            let status = match change {
                ChildChange::Ended(status) => status,
                ChildChange::Stopped => {
                    self.workers.set_stopped(pid, Some(now));
                    continue;
                }
                ChildChange::Continued => {
                    self.workers.set_stopped(pid, None);
                    continue;
                }
            };
            let Some((mut worker, expected)) = self.workers.remove(pid, now) else {
                continue;
            };
            worker.read_log_pipe(&mut self.logs);
            self.board.give_back(worker.row);
            if expected {
                log::debug!("worker {pid} has exited");
                continue;
            }
            self.board.supervisor().died().add(1);
            let cause = describe(status);
            if self.phase == SupervisorPhase::Starting {
                self.workers.terminate(Instant::now() + TERMINATION_TIMEOUT);
                return Err(Error::Failed(format!("a worker could not start: {cause}")));
            }
            log::error!("worker {pid} died: {cause}; starting another one");
        }
        Ok(())
    }

    /// Serves the requests of control clients.
    fn serve_control_clients(&mut self) {
        let Some(control) = &mut self.control else {
            return;
        };
        for (client, request) in control.receive(Instant::now()) {
            let error = |what: &str| Some(Reply::Error(what.to_owned()));
            let reply = match request {
                ControlRequest::Status => Some(Reply::Done(self.report())),
                ControlRequest::Reload => match self.reload() {
                    ReloadOutcome::Started => None,
                    ReloadOutcome::Deferred => error(
                        "older workers still have connections; the reload is deferred by up to about a minute",
                    ),
                    ReloadOutcome::Failed(cause) => error(&format!(
                        "the daemon did not reload its configuration: {cause}"
                    )),
                    ReloadOutcome::ShuttingDown => error("the daemon is shutting down"),
                },
            };
            // A reload may have closed it.
            if let Some(control) = &mut self.control {
                match reply {
                    Some(reply) => control.reply(client, reply, Instant::now()),
                    None => control.wait_for_reload(client, Instant::now()),
                }
            }
        }
    }

    /// The reply to a status request.
    fn report(&self) -> Value {
        DaemonReport {
            figures: self.board.figures(),
            samples: &self.samples,
            hosts: &self.hosts,
            announcement: &self.generation.announcement,
            workers: self.workers.serving(),
            uptime: self.started.elapsed().as_secs(),
        }
        .json()
    }

    /// Begins the next phase if the present one is complete.
    fn advance_phase(&mut self) {
        let is_over = self.phase.end().is_some_and(|end| end <= Instant::now());
        match self.phase {
            SupervisorPhase::RefusingConnections(_) if is_over => self.drain(),
            SupervisorPhase::ClosingListeners(_) if is_over => self.begin_serving(),
            SupervisorPhase::Starting if self.workers.is_complete() => self.begin_serving(),
            SupervisorPhase::Reloading if self.workers.is_complete() => {
                if self.listeners.block_removed() {
                    let end = Instant::now() + HANDSHAKE_GRACE;
                    self.phase = SupervisorPhase::ClosingListeners(end);
                } else {
                    self.begin_serving();
                }
            }
            SupervisorPhase::Starting
            | SupervisorPhase::Reloading
            | SupervisorPhase::Serving
            | SupervisorPhase::ClosingListeners(_)
            | SupervisorPhase::RefusingConnections(_)
            | SupervisorPhase::Draining => {}
        }
    }

    /// The newest workers serve, and the old ones retire: the end of the start or of a reload.
    fn begin_serving(&mut self) {
        let is_start = self.phase == SupervisorPhase::Starting;
        self.listeners.close_removed();
        self.workers.retire_old();
        if is_start {
            report_defaults(&self.generation.config, &self.generation.endpoints);
        }
        self.listeners.log_urls();
        if is_start {
            logger::startup_complete();
        } else {
            log::info!("reloaded");
        }
        sd_notify::ready();
        self.phase = SupervisorPhase::Serving;
        if let Some(control) = &mut self.control {
            let announced = self.generation.announcement.json();
            let reply = Reply::Done(json!({ "announced": announced }));
            control.reply_to_waiting(&reply, Instant::now());
        }
    }

    /// Loads everything again and spawns new workers. After an error the old ones stay.
    fn reload(&mut self) -> ReloadOutcome {
        if self.phase.is_shutting_down() {
            return ReloadOutcome::ShuttingDown;
        }
        if self.workers.generations() > MAX_OLD {
            if self.deferred.is_none() {
                log::info!("reload deferred: {MAX_OLD} older generations still have connections");
                self.deferred = Some(Instant::now());
            }
            return ReloadOutcome::Deferred;
        }
        self.deferred = None;
        if self.phase != SupervisorPhase::Starting {
            sd_notify::reloading();
        }
        match self.load_next_generation() {
            Ok(()) => {
                if self.phase != SupervisorPhase::Starting {
                    self.phase = SupervisorPhase::Reloading;
                }
                ReloadOutcome::Started
            }
            Err(error) => {
                log::error!("not reloaded: {error}");
                if self.phase == SupervisorPhase::Serving {
                    sd_notify::ready();
                }
                ReloadOutcome::Failed(error)
            }
        }
    }

    fn load_next_generation(&mut self) -> Result<(), Error> {
        let running = Running {
            generation: &self.generation,
            fd_limit: self.fd_limit,
            pid_file: self.pid_file.as_ref(),
            control: self.control.as_ref(),
        };
        let next = Replacement::load(
            &self.reread,
            self.listeners.inherited(),
            &self.tls,
            &running,
        )?;
        let config = &next.generation.config;
        let workers = config.workers;
        self.listeners.change(&next.generation.endpoints, workers)?;
        // Nothing below can fail.
        self.host_indices = self.hosts.indices(&config.sites);
        self.fd_limit = next.fd_limit;
        self.logs.replace(next.logs);
        if let Some(pid_file) = next.pid_file {
            self.pid_file = pid_file;
        }
        if let Some(control) = next.control {
            self.control = control;
        }
        if next.generation.announcement != self.generation.announcement {
            log::info!(
                "{}",
                if next.generation.announcement.is_empty() {
                    "nothing is announced any more"
                } else {
                    "a maintenance is announced"
                }
            );
        }
        self.generation = next.generation;
        self.workers.begin_generation(workers, Instant::now());
        Ok(())
    }

    /// Starts a deferred reload once there are few enough generations, or terminates the oldest.
    fn advance_deferred_reload(&mut self) {
        let Some(since) = self.deferred else {
            return;
        };
        if self.workers.generations() <= MAX_OLD {
            drop(self.reload());
        } else if since.elapsed() >= MAX_DEFERRAL {
            let now = Instant::now();
            self.deferred = Some(now);
            if self.workers.terminate_oldest(now + TERMINATION_TIMEOUT) {
                log::warn!(
                    "ending the oldest workers with their connections: a reload has waited for a minute"
                );
            }
        }
    }

    /// Refuses new connections, and exits when all open requests are answered.
    fn quit(&mut self) {
        if self.phase.is_shutting_down() {
            return;
        }
        self.deferred = None;
        sd_notify::stopping();
        if self.listeners.block_new_connections() {
            self.phase = SupervisorPhase::RefusingConnections(Instant::now() + HANDSHAKE_GRACE);
        } else {
            self.drain();
        }
    }

    /// Makes the workers answer open requests and exit.
    fn drain(&mut self) {
        self.phase = SupervisorPhase::Draining;
        self.workers.quit(Instant::now());
        // The workers still have the sockets, for the connections in their backlogs.
        self.listeners = ListenerSet::default();
    }

    fn kill_overdue(&mut self) {
        for pid in self.workers.take_overdue(Instant::now()) {
            log::warn!("worker {pid} did not exit in time; killing it");
            if sys::kill(pid).is_err() {
                self.workers.set_unkillable(pid);
            }
        }
    }

    /// Terminates all workers, and exits.
    fn terminate(mut self) -> Result<(), Error> {
        sd_notify::stopping();
        // Its clients get no reply any more.
        self.control = None;
        let limit = Instant::now() + TERMINATION_TIMEOUT;
        self.workers.terminate(limit);
        while !self.workers.is_empty() {
            self.kill_overdue();
            let left = limit.saturating_duration_since(Instant::now());
            if limit.elapsed() >= TERMINATION_TIMEOUT {
                return Err(Error::Failed(UNKILLABLE.to_owned()));
            }
            // Reads the last log lines, for which workers wait. Further signals change nothing.
            self.poll(Some(left.max(Duration::from_millis(10))))?;
            while let Some((pid, change)) = sys::child_change() {
                if matches!(change, ChildChange::Ended(_))
                    && let Some((mut worker, _)) = self.workers.remove(pid, Instant::now())
                {
                    worker.read_log_pipe(&mut self.logs);
                }
            }
        }
        self.logs.close();
        Ok(())
    }
}

/// Logs which defaults replace a page and a certificate that are not configured.
fn report_defaults(config: &Config, endpoints: &[Endpoint]) {
    let is_temporary = endpoints.iter().any(|endpoint| {
        let default = usize::from(endpoint.hosts.default_site());
        endpoint.secure && config.sites[default].certificates.is_empty()
    });
    let mut pages = config.sites.iter().map(|site| &site.page);
    let is_embedded = pages.all(|page| *page == PageSource::Embedded);
    match (is_temporary, is_embedded) {
        (true, true) => log::warn!(
            "using the embedded page and a temporary self-signed certificate for localhost; give --page, --cert and --key"
        ),
        (true, false) => log::warn!(
            "using a temporary self-signed certificate for localhost; give --cert and --key"
        ),
        (false, true) => log::info!("using the embedded page; give --page for another"),
        (false, false) => {}
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => "unknown cause".to_owned(),
    }
}
