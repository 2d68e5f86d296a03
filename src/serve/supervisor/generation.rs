//! A generation of workers: everything that they inherit and that comes from files, read and checked before anything is changed.

use crate::announcement;
use crate::announcement::Announcement;
use crate::clock;
use crate::config::{BindAddr, Config, Endpoint, EndpointSource, Purpose};
use crate::error::Error;
use crate::serve::answer::sites;
use crate::serve::answer::sites::Service;
use crate::serve::listeners::activation::Inherited;
use crate::serve::supervisor::sandbox;
use crate::serve::tls::SharedTls;
use crate::sys::Confinement;

/// What all workers of a generation inherit.
pub(crate) struct Generation {
    pub(crate) config: Config,
    /// The addresses to listen on: those of the configuration, or of the service manager's sockets; then that of the metrics.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What the pages announce.
    pub(crate) announcement: Announcement,
    /// By the numbers of the endpoints.
    pub(crate) services: Vec<Service>,
    /// The rights that a worker drops before it serves.
    pub(crate) confinement: Confinement,
}

impl Generation {
    /// Reads the state file, the pages, certificates and keys. If the state file cannot be used, logs a warning and
    /// announces `fallback`.
    ///
    /// # Errors
    /// The first page, certificate or key that cannot be used.
    pub(crate) fn load(
        config: Config,
        inherited: &Inherited,
        fallback: Announcement,
        tls: &SharedTls,
    ) -> Result<Self, Error> {
        let endpoints = endpoints(&config, inherited);
        let announcement =
            announcement::saved(&config.state_dir, clock::seconds()).unwrap_or_else(|what| {
                log::warn!("{what}");
                fallback
            });
        let services = sites::load(&config, &endpoints, &announcement, tls)?;
        let confinement = sandbox::prepare_worker(&config)?;
        Ok(Self {
            config,
            endpoints,
            announcement,
            services,
            confinement,
        })
    }
}

fn endpoints(config: &Config, inherited: &Inherited) -> Vec<Endpoint> {
    let pages = inherited.default_endpoints(&config.endpoints);
    let mut endpoints = pages.unwrap_or_else(|| config.endpoints.clone());
    endpoints.extend(config.metrics.as_ref().map(|metrics| Endpoint {
        source: EndpointSource::File,
        purpose: Purpose::Metrics,
        ..Endpoint::new(BindAddr::Tcp(metrics.address), false)
    }));
    endpoints
}
