//! New workers: what the supervisor does to have one, and what that does in its own process.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use mio::unix::pipe;

use crate::error::Error;
use crate::serve::logs::log_pipe;
use crate::serve::supervisor::Supervisor;
use crate::serve::supervisor::sandbox;
use crate::serve::supervisor::signals::SUPERVISORS;
use crate::serve::system;
use crate::serve::worker::Worker;
use crate::serve::worker::admin::AdminEndpoint;
use crate::sys;

/// What a new worker is handed in its own process.
pub(crate) struct Post {
    slot: usize,
    row: usize,
    orders: pipe::Receiver,
    reports: pipe::Sender,
}

impl Supervisor {
    /// Makes a new worker. In its own process it returns what that has to do.
    pub(crate) fn hire(&mut self, slot: usize) -> io::Result<Option<Post>> {
        let row = self
            .board
            .take()
            .ok_or_else(|| io::Error::other("too many workers"))?;
        let hired = pipe::new()
            .and_then(|orders| Ok((orders, pipe::new()?)))
            .and_then(|pipes| Ok((pipes, sys::fork()?)));
        match hired {
            Ok((((orders, _), (_, reports)), Some(pid))) => {
                let now = Instant::now();
                self.staff.add(pid, (slot, row), (orders, reports), now);
                Ok(None)
            }
            Ok((((_, orders), (reports, _)), None)) => Ok(Some(Post {
                slot,
                row,
                orders,
                reports,
            })),
            Err(error) => {
                self.board.give_back(row);
                Err(error)
            }
        }
    }

    /// What a worker does, in its own process, from its first breath to its last.
    pub(crate) fn work(self, post: Post) -> ! {
        sys::ignore_signals(&SUPERVISORS);
        let inspection = self.inspection();
        let Self {
            descriptors,
            material,
            gates,
            board,
            signals,
            staff,
            logs,
            control,
            host_places,
            ..
        } = self;
        if let Some(control) = control {
            control.forget();
        }
        // The other workers' pipes are closed with this: theirs must end when the supervisor does. The logs are its own.
        drop((staff, signals, logs));
        log_pipe::start(post.reports);
        let run = || -> Result<(), Error> {
            let listeners = gates.lend(post.slot, material.config.workers);
            let inspectors = inspection
                .as_ref()
                .map_or(0, |_| AdminEndpoint::DESCRIPTORS);
            let possible = descriptors.connections(listeners.len() + inspectors)?;
            let wanted = material.config.max_connections.unwrap_or(u32::MAX);
            let max_connections = possible.min(usize::try_from(wanted).unwrap_or(usize::MAX));
            descriptors.hold()?;
            sandbox::enter(material.confinement)?;
            let worker = Worker {
                listeners,
                services: material.services,
                timeouts: material.config.timeouts,
                max_connections,
                access_log: material.config.logs.access.is_some(),
                counters: board.row(post.row),
                host_places,
                admin: inspection,
            };
            worker
                .run(post.orders, log_pipe::send_ready)
                .map_err(|error| system("serve", &error))
        };
        // A panic must not run on through what is the supervisor's.
        let status = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => 0,
            Ok(Err(fault)) => {
                log::error!("{fault}");
                1
            }
            Err(_) => 101,
        };
        log_pipe::finish();
        sys::exit(status)
    }
}
