//! The reload: reads and opens everything of a new configuration before the supervisor changes anything. The supervisor applies
//! it (`Supervisor::reload`).

use crate::config::Config;
use crate::error::Error;
use crate::serve::listeners::activation::Inherited;
use crate::serve::logs::collector::NewLogs;
use crate::serve::supervisor::control::ControlServer;
use crate::serve::supervisor::fd_limit::FdLimit;
use crate::serve::supervisor::generation::Generation;
use crate::serve::supervisor::pid_file::PidFile;
use crate::serve::tls::SharedTls;

/// Reads the configuration again.
pub(crate) type Reread = Box<dyn Fn() -> Result<Config, Error>>;

/// What a request to reload leads to.
#[derive(Debug)]
pub(crate) enum ReloadOutcome {
    /// New workers are started.
    Started,
    /// There are too many old generations: the reload starts when one has ended.
    Deferred,
    /// Nothing has changed: the old workers stay.
    Failed(Error),
    /// The daemon shuts down.
    ShuttingDown,
}

/// What runs now, and stays where the new configuration does not change it.
pub(crate) struct Running<'a> {
    pub(crate) generation: &'a Generation,
    pub(crate) fd_limit: FdLimit,
    pub(crate) pid_file: Option<&'a PidFile>,
    pub(crate) control: Option<&'a ControlServer>,
}

/// What is to replace it, except for the listeners.
pub(crate) struct Replacement {
    pub(crate) generation: Generation,
    pub(crate) fd_limit: FdLimit,
    pub(crate) logs: NewLogs,
    /// `None` if it does not change.
    pub(crate) pid_file: Option<Option<PidFile>>,
    /// `None` if it does not change.
    pub(crate) control: Option<Option<ControlServer>>,
}

impl Replacement {
    /// Reads the configuration and everything that it names, and opens logs, pid file and control socket.
    ///
    /// # Errors
    /// The first thing that cannot be used.
    pub(crate) fn load(
        reread: &Reread,
        inherited: &Inherited,
        tls: &SharedTls,
        running: &Running<'_>,
    ) -> Result<Self, Error> {
        let old = running.generation;
        let generation = Generation::load(reread()?, inherited, old.announcement.clone(), tls)?;
        let config = &generation.config;
        let logs = NewLogs::open(&config.logs)?;
        let path = config.pid.as_deref();
        let pid_file = if path == running.pid_file.map(PidFile::path) {
            None
        } else {
            Some(path.map(PidFile::write).transpose()?)
        };
        let control = match running.control {
            Some(control) if control.is_at(config.control.path()) => None,
            // Where the default socket could not be opened, that has been logged.
            None if config.control == old.config.control => None,
            Some(_) | None => Some(ControlServer::open(&config.control)?),
        };
        let fd_limit = running.fd_limit.with_limit(config.max_descriptors)?;
        fd_limit.connections(generation.endpoints.len())?;
        Ok(Self {
            generation,
            fd_limit,
            logs,
            pid_file,
            control,
        })
    }
}
