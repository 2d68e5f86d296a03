//! What workers serve with: everything that comes from files, read and checked before anything is changed.

use crate::config::Config;
use crate::error::Error;
use crate::serve::answer::sites;
use crate::serve::answer::sites::Service;
use crate::serve::supervisor::sandbox;
use crate::serve::tls::SharedTls;
use crate::sys::Confinement;

/// What a generation of workers serves with.
pub(crate) struct Generation {
    pub(crate) config: Config,
    /// By the endpoints' numbers.
    pub(crate) services: Vec<Service>,
    /// What a worker gives up before it serves.
    pub(crate) confinement: Confinement,
}

impl Generation {
    /// Reads the pages, certificates and keys.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(crate) fn load(config: Config, lasting: &SharedTls) -> Result<Self, Error> {
        let services = sites::load(&config, &config.window, lasting)?;
        let confinement = sandbox::prepare(&config)?;
        Ok(Self {
            config,
            services,
            confinement,
        })
    }
}
