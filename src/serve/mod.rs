//! `maintd serve`: everything is read, bound and checked; then the worker takes over.

pub mod answer;
pub mod connection;
pub mod counters;
pub mod deadlines;
mod event_loop;
pub mod http1;
pub mod listener;
pub mod page;
pub mod tls;
pub mod transport;
pub mod worker;

use std::sync::Arc;

use mio::unix::pipe;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};

use crate::config::{Config, PageSource};
use crate::fault::{Fault, reason};
use crate::sys;
use connection::Site;
use counters::Counters;
use listener::Listener;
use worker::Worker;

/// The descriptors that a worker needs beside its listeners' and connections': the poll, a pipe for orders and its copies
/// for signals, one for the connection that is about to take another's place, and one to spare.
const OTHER_DESCRIPTORS: u64 = 8;
/// The fewest connections with which it makes sense to start.
const MIN_CONNECTIONS: u64 = 16;

/// Serves until a signal ends it.
///
/// # Errors
/// The first thing that stands in the way; then nothing has been begun.
pub fn run(config: &Config) -> Result<(), Fault> {
    let mut max_connections = max_connections(config.endpoints.len())?;
    if let Some(most) = config.max_connections {
        max_connections = max_connections.min(usize::try_from(most).unwrap_or(usize::MAX));
    }
    let site = load_site(config)?;
    let tls = config
        .speaks_tls()
        .then(|| tls::settings(&config.certificates))
        .transpose()?;
    let listeners = listener::bind_all(&config.endpoints)?;
    let (signals, orders) = pipe::new().map_err(|error| system("make a pipe", &error))?;
    end_on_signals(&signals).map_err(|error| system("wait for signals", &error))?;
    announce(config, &listeners);
    let worker = Worker {
        listeners,
        site,
        tls,
        timeouts: config.timeouts,
        max_connections,
        counters: Arc::new(Counters::default()),
    };
    worker.run(orders).map_err(|error| system("poll", &error))
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
    })
}

/// The connections for which there are descriptors, beside those of `listeners` and of what is open already.
fn max_connections(listeners: usize) -> Result<usize, Fault> {
    let limit = sys::raise_descriptor_limit()
        .map_err(|error| system("read the descriptor limit", &error))?;
    let used = sys::next_descriptor().unwrap_or(limit);
    let needed = used + listeners as u64 + OTHER_DESCRIPTORS;
    match limit.checked_sub(needed) {
        Some(left) if left >= MIN_CONNECTIONS => Ok(usize::try_from(left).unwrap_or(usize::MAX)),
        Some(_) | None => Err(Fault::Failed(format!(
            "the descriptor limit of {limit} is too low: {} are needed at least; \
             raise it with \"ulimit -n\" or openfiles in login.conf",
            needed + MIN_CONNECTIONS
        ))),
    }
}

/// Has each of the signals that end a daemon write into the worker's pipe.
fn end_on_signals(orders: &pipe::Sender) -> std::io::Result<()> {
    use std::os::fd::AsFd as _;
    for signal in [SIGTERM, SIGINT, SIGQUIT] {
        signal_hook::low_level::pipe::register(signal, orders.as_fd().try_clone_to_owned()?)?;
    }
    Ok(())
}

/// Says where it answers, and what stands in for what was not given.
fn announce(config: &Config, listeners: &[Listener]) {
    let throw_away =
        config.certificates.is_empty() && listeners.iter().any(|listener| listener.secure);
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
    for listener in listeners {
        log::info!("listening on {listener}");
    }
}
