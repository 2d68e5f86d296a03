//! Spawns a worker: forks, and runs the worker in the new process. `workers` decides when.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mio::unix::pipe;

use crate::error::Error;
use crate::serve::listeners::listener_set::ListenerSet;
use crate::serve::logs::log_pipe;
use crate::serve::metrics::counters::Counters;
use crate::serve::supervisor::fd_limit::FdLimit;
use crate::serve::supervisor::generation::Generation;
use crate::serve::supervisor::sandbox;
use crate::serve::supervisor::signals::SUPERVISOR_SIGNALS;
use crate::serve::worker::Worker;
use crate::serve::worker::admin::AdminEndpoint;
use crate::sys;
use crate::sys::Pid;

/// The process after a fork.
pub(crate) enum Fork {
    /// The supervisor: the worker's process, and the supervisor's ends of its pipes.
    Supervisor(Pid, SupervisorPipes),
    /// The worker.
    Worker(WorkerPipes),
}

/// The supervisor's ends of a worker's pipes.
#[derive(Debug)]
pub(crate) struct SupervisorPipes {
    /// Closed, it makes the worker exit at once.
    pub(crate) orders: pipe::Sender,
    /// Log lines, and that the worker accepts.
    pub(crate) log: pipe::Receiver,
}

/// A worker's ends of its pipes.
#[derive(Debug)]
pub(crate) struct WorkerPipes {
    orders: pipe::Receiver,
    log: pipe::Sender,
}

/// What a worker inherits.
pub(crate) struct Inheritance {
    pub(crate) slot: usize,
    pub(crate) generation: Generation,
    pub(crate) listeners: ListenerSet,
    pub(crate) fd_limit: FdLimit,
    pub(crate) counters: Counters,
    pub(crate) host_indices: Vec<usize>,
    pub(crate) admin: Option<AdminEndpoint>,
}

/// Creates the pipes, and forks.
///
/// # Errors
/// Those of pipe(2) and fork(2).
pub(crate) fn fork() -> io::Result<Fork> {
    let ((order_sender, order_receiver), (log_sender, log_receiver)) = (pipe::new()?, pipe::new()?);
    Ok(match sys::fork()? {
        Some(pid) => Fork::Supervisor(
            pid,
            SupervisorPipes {
                orders: order_sender,
                log: log_receiver,
            },
        ),
        None => {
            sys::ignore_signals(&SUPERVISOR_SIGNALS);
            Fork::Worker(WorkerPipes {
                orders: order_receiver,
                log: log_sender,
            })
        }
    })
}

/// Runs the worker in its own process.
pub(crate) fn run_worker(inheritance: Inheritance, pipes: WorkerPipes) -> ! {
    log_pipe::start(pipes.log);
    // A panic must not unwind into the supervisor's code.
    let status = match catch_unwind(AssertUnwindSafe(|| serve(inheritance, pipes.orders))) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            log::error!("{error}");
            1
        }
        Err(_) => 101,
    };
    log_pipe::finish();
    sys::exit(status)
}

fn serve(inheritance: Inheritance, orders: pipe::Receiver) -> Result<(), Error> {
    let Inheritance {
        slot,
        generation,
        listeners,
        fd_limit,
        counters,
        host_indices,
        admin,
    } = inheritance;
    let config = generation.config;
    let listeners = listeners.into_worker_listeners(slot, config.workers);
    let others = admin.as_ref().map_or(0, |_| AdminEndpoint::DESCRIPTORS);
    let possible = fd_limit.connections(listeners.len() + others)?;
    let configured = config.max_connections.unwrap_or(u32::MAX);
    let max_connections = possible.min(usize::try_from(configured).unwrap_or(usize::MAX));
    fd_limit.apply()?;
    sandbox::enter_worker(generation.confinement)?;
    let worker = Worker {
        listeners,
        services: generation.services,
        timeouts: config.timeouts,
        max_connections,
        access_log: config.logs.access.is_some(),
        counters,
        host_indices,
        admin,
    };
    worker
        .run(orders, log_pipe::send_ready)
        .map_err(|error| Error::system("serve", &error))
}
