//! The drop of privileges: user, root directory and system calls of workers, pledge and unveil of the supervisor.

use std::path::Path;

use crate::config::{BindAddr, Config, Endpoint, Identity};
use crate::error::{Error, reason};
use crate::serve::logs::collector;
use crate::sys;
use crate::sys::{Confinement, ConfinementError};

/// Prepares the drop of privileges of workers, before the fork: it reads files and the list of users.
///
/// # Errors
/// There is no such user, or no directory for chroot(2).
pub(crate) fn prepare_worker(config: &Config) -> Result<Confinement, Error> {
    if let Some(reason) = sys::missing_syscall_filter() {
        log::warn!("workers run without a filter of their system calls: {reason}");
    }
    if !sys::is_root() {
        return Ok(Confinement::unprivileged());
    }
    let Identity { uid, gid } = match config.identity {
        Some(identity) => identity,
        None => Identity::unprivileged().map_err(|what| {
            Error::Failed(format!(
                "cannot run workers as \"{}\": {what}, or give another with --user",
                sys::DEFAULT_USER
            ))
        })?,
    };
    Confinement::new(uid, gid, config.chroot.as_deref()).map_err(|error| {
        Error::Failed(format!(
            "cannot confine workers: {}; give a directory with --chroot",
            reason(&error)
        ))
    })
}

/// Drops the privileges of this process, a worker, before it reads from the network. After an error it must exit.
///
/// # Errors
/// The step that the system refuses.
pub(crate) fn enter_worker(confinement: Confinement) -> Result<(), Error> {
    confinement.enter().map_err(|ConfinementError { step, cause }| {
        Error::Failed(format!(
            "cannot confine a worker: it cannot {step}: {}; start as root with all of its capabilities, or as another user",
            reason(&cause)
        ))
    })
}

/// Drops what the supervisor does not need once everything is bound.
///
/// # Errors
/// The system refuses it.
pub(crate) fn enter_supervisor(config: &Config, endpoints: &[Endpoint]) -> Result<(), Error> {
    sys::confine_supervisor(&written(config, endpoints))
        .map_err(|error| Error::system("confine the supervisor", &error))
}

/// The files that the supervisor creates, writes and removes after the start.
fn written<'a>(config: &'a Config, endpoints: &'a [Endpoint]) -> Vec<&'a Path> {
    let sockets = endpoints.iter().map(|endpoint| &endpoint.address);
    let sockets = sockets.filter_map(|address| match address {
        BindAddr::Unix(path) => Some(path.as_path()),
        BindAddr::Tcp(_) => None,
    });
    sockets
        .chain(config.control.path())
        .chain(collector::written_paths(config))
        .collect()
}
