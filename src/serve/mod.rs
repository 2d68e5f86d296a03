//! `maintd serve`: the supervisor reads, binds and checks everything; then its workers take over.

mod activation;
pub mod answer;
mod confinement;
pub mod connection;
pub mod counters;
pub mod deadlines;
mod descriptors;
mod event_loop;
mod gates;
pub mod http1;
pub mod listener;
mod material;
mod notify;
pub mod orders;
pub mod page;
mod supervisor;
pub mod tls;
pub mod transport;
pub mod worker;

use crate::config::{Config, PageSource};
use crate::fault::{Fault, reason};
use connection::Site;
use gates::Gates;
use supervisor::Supervisor;

/// Serves until a signal ends it; `reread` makes the configuration anew when it is to be reloaded.
///
/// # Errors
/// The first thing that stands in the way; then nothing has been begun.
pub fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, Fault> + 'static,
) -> Result<(), Fault> {
    Supervisor::new(config, Box::new(reread))?.run()
}

fn system(what: &str, error: &std::io::Error) -> Fault {
    Fault::Failed(format!("cannot {what}: {}", reason(error)))
}

/// Reads the page and renders the answers.
///
/// # Errors
/// The page cannot be read, or there is no memory for it.
pub fn load_site(config: &Config) -> Result<Site, Fault> {
    let read;
    let (page, media_type) = match &config.page {
        PageSource::Embedded => (page::EMBEDDED, "text/html"),
        PageSource::File(path) => {
            read = page::read(path)?;
            let other = config.default_type.as_deref().unwrap_or("text/html");
            (read.as_slice(), answer::media_type(path).unwrap_or(other))
        }
        PageSource::Text(text) => (
            text.as_bytes(),
            config.default_type.as_deref().unwrap_or("text/plain"),
        ),
    };
    let charset = config
        .charset
        .as_deref()
        .filter(|charset| *charset != "off");
    let content_type = answer::content_type(media_type, charset.unwrap_or("utf-8"));
    let answers =
        answer::Answers::with_fields(page, &content_type, config.retry_after, &config.headers)
            .map_err(|error| system("keep the page in memory", &error))?;
    Ok(Site {
        answers,
        max_requests: config.max_requests,
        draining: false,
    })
}

/// Says where it answers, and what stands in for what was not given.
fn announce(config: &Config, gates: &Gates) {
    let throw_away = config.certificates.is_empty() && config.speaks_tls();
    match (throw_away, config.page == PageSource::Embedded) {
        (true, true) => log::warn!(
            "using the embedded page and a throw-away certificate for localhost; give --page, --cert and --key"
        ),
        (true, false) => {
            log::warn!("using a throw-away certificate for localhost; give --cert and --key")
        }
        (false, true) => log::info!("using the embedded page; give --page for another"),
        (false, false) => {}
    }
    for url in gates.urls() {
        log::info!("listening on {url}");
    }
}
