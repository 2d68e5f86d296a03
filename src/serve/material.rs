//! What workers serve with: everything that comes from files, read and checked before anything is changed.

use std::sync::Arc;

use rustls::ServerConfig;

use super::confinement;
use super::connection::Site;
use super::load_site;
use super::tls::{self, Tickets};
use crate::config::Config;
use crate::fault::Fault;
use crate::sys::Confinement;

/// What a generation of workers serves with.
pub(super) struct Material {
    pub(super) config: Config,
    pub(super) site: Site,
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// What a worker gives up before it serves.
    pub(super) confinement: Confinement,
}

impl Material {
    /// Reads the page, certificates and keys.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(super) fn load(config: Config, tickets: &Tickets) -> Result<Self, Fault> {
        let site = load_site(&config)?;
        let tls = config
            .speaks_tls()
            .then(|| tls::settings(&config.certificates, tickets))
            .transpose()?;
        let confinement = confinement::prepare(&config)?;
        Ok(Self {
            config,
            site,
            tls,
            confinement,
        })
    }
}
