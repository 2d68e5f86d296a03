//! `maintd serve`: the supervisor reads, binds and checks everything; then its workers take over.

pub mod answer;
pub mod connection;
pub mod http1;
pub mod listeners;
pub(crate) mod logs;
pub mod metrics;
mod supervisor;
pub mod tls;
pub mod transport;
pub mod worker;

use crate::config::{Config, PageSource};
use crate::error::{Error, reason};
use crate::serve::supervisor::Supervisor;

/// Serves until a signal ends it; `reread` makes the configuration anew when it is to be reloaded.
///
/// # Errors
/// The first thing that stands in the way; then nothing has been begun.
pub fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, Error> + 'static,
) -> Result<(), Error> {
    Supervisor::new(config, Box::new(reread))?.run()
}

fn system(what: &str, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot {what}: {}", reason(error)))
}

/// Looks whether the logs could be opened, and returns the faults.
#[must_use]
pub fn look_at_logs(config: &Config) -> Vec<Error> {
    crate::serve::logs::collector::check(&config.logs)
}

/// Says what stands in for what was not given.
fn announce_stand_ins(config: &Config) {
    let throw_away = config.endpoints.iter().any(|endpoint| {
        let default = usize::from(endpoint.hosts.default_site());
        endpoint.secure && config.sites[default].certificates.is_empty()
    });
    let mut pages = config.sites.iter().map(|site| &site.page);
    match (throw_away, pages.all(|page| *page == PageSource::Embedded)) {
        (true, true) => log::warn!(
            "using the embedded page and a throw-away certificate for localhost; give --page, --cert and --key"
        ),
        (true, false) => {
            log::warn!("using a throw-away certificate for localhost; give --cert and --key")
        }
        (false, true) => log::info!("using the embedded page; give --page for another"),
        (false, false) => {}
    }
}
