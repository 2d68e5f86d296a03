//! What workers serve with: everything that comes from files, read and checked before anything is changed.

use super::confinement;
use super::sites::{self, Service};
use super::tls::Lasting;
use crate::config::Config;
use crate::fault::Fault;
use crate::sys::Confinement;

/// What a generation of workers serves with.
pub(super) struct Material {
    pub(super) config: Config,
    /// By the endpoints' numbers.
    pub(super) services: Vec<Service>,
    /// What a worker gives up before it serves.
    pub(super) confinement: Confinement,
}

impl Material {
    /// Reads the pages, certificates and keys.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(super) fn load(config: Config, lasting: &Lasting) -> Result<Self, Fault> {
        let services = sites::load(&config, lasting)?;
        let confinement = confinement::prepare(&config)?;
        Ok(Self {
            config,
            services,
            confinement,
        })
    }
}
