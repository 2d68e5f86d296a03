//! All settings of the daemon and of the switch.

use std::path::PathBuf;

use crate::config::control::{ControlSocket, Metrics};
use crate::config::limits::Timeouts;
use crate::config::listen;
use crate::config::listen::Endpoint;
use crate::config::logs::LogSettings;
use crate::config::server_name::VirtualHosts;
use crate::config::site::SiteConfig;
use crate::config::switch::{STATE_DIR, SwitchConfig};
use crate::config::user::Identity;

/// All settings; each has its default where the file and the flags do not set it.
#[derive(Debug)]
pub struct Config {
    /// The addresses to listen on, at least one.
    pub endpoints: Vec<Endpoint>,
    /// The sites, at least one. Endpoints refer to them by index.
    pub sites: Vec<SiteConfig>,
    /// The timeouts of a connection.
    pub timeouts: Timeouts,
    /// The requests after which a connection is closed.
    pub max_requests: u32,
    /// The connections of each worker; `None` derives the limit from the descriptors.
    pub max_connections: Option<u32>,
    /// The number of worker processes, from 1 to [`MAX_WORKERS`](crate::config::MAX_WORKERS).
    pub workers: usize,
    /// The limit of open descriptors; `None` is as many as the system allows.
    pub max_descriptors: Option<u32>,
    /// The user of the workers; `None` is the system's unprivileged user. Only root can change it.
    pub identity: Option<Identity>,
    /// The root directory of the workers; `None` is an empty directory.
    pub chroot: Option<PathBuf>,
    /// The targets of the logs.
    pub logs: LogSettings,
    /// The pid file of the supervisor.
    pub pid: Option<PathBuf>,
    /// The settings of the switch.
    pub switch: SwitchConfig,
    /// The directory of the switch's state file.
    pub state_dir: PathBuf,
    /// Placeholders in pages are filled.
    pub placeholders: bool,
    /// The control socket.
    pub control: ControlSocket,
    /// The listener for metrics and health checks.
    pub metrics: Option<Metrics>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: listen::default_endpoints(),
            sites: vec![SiteConfig::default()],
            timeouts: Timeouts::default(),
            max_requests: 1000,
            max_connections: None,
            workers: 1,
            max_descriptors: None,
            identity: None,
            chroot: None,
            logs: LogSettings::default(),
            pid: None,
            switch: SwitchConfig::default(),
            state_dir: STATE_DIR.into(),
            placeholders: true,
            control: ControlSocket::default(),
            metrics: None,
        }
    }
}

impl Config {
    /// At least one endpoint is TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.secure)
    }

    /// All sites with their names, for an endpoint that serves all of them.
    #[must_use]
    pub fn hosts(&self) -> VirtualHosts {
        VirtualHosts::all(self.sites.iter().map(|site| site.names.as_slice()))
    }
}
