//! What a worker gives up, from the configuration to the system.

use std::path::Path;

use crate::config::{BindAddr, Config, Identity};
use crate::error::{Error, reason};
use crate::serve::logs::collector;
use crate::sys;
use crate::sys::{Confinement, ConfinementError};

/// Makes ready what a worker is to give up. It is done before the fork, since it takes files and lists of users.
///
/// # Errors
/// There is no such user, or no directory to be locked in.
pub(crate) fn prepare(config: &Config) -> Result<Confinement, Error> {
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
            "cannot lock workers in: {}; give a directory with --chroot",
            reason(&error)
        ))
    })
}

/// Locks this process in: to be called in a worker, before it reads from the network. On a fault it must end.
///
/// # Errors
/// The system refuses a part of it.
pub(crate) fn enter(confinement: Confinement) -> Result<(), Error> {
    confinement.enter().map_err(|ConfinementError { step, cause }| {
        Error::Failed(format!(
            "cannot lock a worker in: it cannot {step}: {}; start as root with all of its capabilities, or as another user",
            reason(&cause)
        ))
    })
}

/// Locks the supervisor in as far as it can do its work still, once everything is bound.
///
/// # Errors
/// What the system says.
pub(crate) fn enter_supervisor(config: &Config) -> Result<(), Error> {
    sys::confine_supervisor(&written(config)).map_err(|error| {
        Error::Failed(format!("cannot lock the supervisor in: {}", reason(&error)))
    })
}

/// The files that the supervisor makes, writes and removes for as long as it lives.
fn written(config: &Config) -> Vec<&Path> {
    let sockets = config.endpoints.iter().map(|endpoint| &endpoint.address);
    let sockets = sockets.filter_map(|place| match place {
        BindAddr::Unix(path) => Some(path.as_path()),
        BindAddr::Tcp(_) => None,
    });
    sockets
        .chain(config.control.path())
        .chain(collector::written_paths(config))
        .collect()
}
