//! Many maintenances under load: no request is refused, times out, or gets an answer of the wrong side.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::visitors::can_run;
use crate::visitors::site::Site;
use crate::visitors::site_client::{Outcome, SiteClient};

/// The limit for a client on the wrong side after the command.
const MOVED_WITHIN: Duration = Duration::from_secs(2);
/// The pause of a client between an answer and the next request.
const PACE: Duration = Duration::from_millis(50);

/// The number of maintenances: 200 in CI, 50 elsewhere.
fn cycle_count() -> u64 {
    let ci = env::var("CI").as_deref() == Ok("true");
    if ci { 200 } else { 50 }
}

/// Counts the changes of the [`Phase`]; the phase is this number modulo four.
#[derive(Default)]
struct Clock(AtomicU64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    SwitchingOn,
    On,
    SwitchingOff,
}

impl Phase {
    fn of(time: u64) -> Self {
        [Self::Off, Self::SwitchingOn, Self::On, Self::SwitchingOff]
            [usize::try_from(time % 4).unwrap()]
    }

    /// What moved clients get, where that is certain.
    const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Off => Some(Outcome::Live),
            Self::On => Some(Outcome::Page),
            Self::SwitchingOn | Self::SwitchingOff => None,
        }
    }
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionUse {
    /// On a connection that is kept.
    Kept,
    /// On a new one for each request.
    New,
}

/// The outcomes of all requests, and the errors among them.
#[derive(Default)]
struct Tally {
    live: u64,
    page: u64,
    resets: u64,
    refused: u64,
    timeouts: u64,
    odd: u64,
    wrong_side: u64,
    /// Connections that were reset though nothing was switched since they were opened, or that are excepted.
    lost: u64,
    /// What is wrong, and how often.
    errors: BTreeMap<String, u64>,
    /// The clock at which each client has last begun and ended a request.
    seen: Vec<u64>,
    is_over: bool,
}

impl Tally {
    const fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Live => &mut self.live,
            Outcome::Page => &mut self.page,
            Outcome::Reset => &mut self.resets,
            Outcome::Refused => &mut self.refused,
            Outcome::Timeout => &mut self.timeouts,
            Outcome::Odd(_) => &mut self.odd,
        };
        *counter += 1;
    }

    fn requests(&self) -> u64 {
        self.live + self.page + self.resets + self.refused + self.timeouts + self.odd
    }
}

/// A client that sends requests until the test is over.
struct LoadClient<'a> {
    client: SiteClient<'a>,
    connection_use: ConnectionUse,
    is_excepted: bool,
    number: usize,
}

impl LoadClient<'_> {
    fn run(mut self, clock: &Clock, tally: &Mutex<Tally>, changed: &Condvar) {
        // The clock at which the kept connection was opened.
        let mut opened = 0;
        loop {
            let began = clock.0.load(Ordering::SeqCst);
            if self.connection_use == ConnectionUse::New || !self.client.is_connected() {
                opened = began;
            }
            let outcome = match self.connection_use {
                ConnectionUse::Kept => self.client.ask(),
                ConnectionUse::New => self.client.ask_once(),
            };
            let ended = clock.0.load(Ordering::SeqCst);
            let mut tally = tally.lock().unwrap();
            tally.count(&outcome);
            self.record(&outcome, began, ended, opened, &mut tally);
            // A reset is not yet an answer from the right side.
            if began == ended && outcome != Outcome::Reset {
                tally.seen[self.number] = ended;
                changed.notify_all();
            }
            if tally.is_over {
                return;
            }
            drop(tally);
            thread::sleep(PACE);
        }
    }

    fn record(&self, outcome: &Outcome, began: u64, ended: u64, opened: u64, tally: &mut Tally) {
        let phase = Phase::of(began);
        let right = match outcome {
            Outcome::Live | Outcome::Page => {
                let due = if self.is_excepted {
                    Some(Outcome::Live)
                } else {
                    phase.outcome().filter(|_| began == ended)
                };
                let right = due.is_none_or(|due| due == *outcome);
                tally.wrong_side += u64::from(!right);
                right
            }
            Outcome::Reset => {
                // Something has been switched since it was opened, or was being switched then.
                let was_switched = opened != ended || phase.outcome().is_none();
                let right = was_switched && !self.is_excepted;
                tally.lost += u64::from(!right);
                right
            }
            Outcome::Refused | Outcome::Timeout | Outcome::Odd(_) => false,
        };
        if !right {
            let excepted = if self.is_excepted { ", excepted" } else { "" };
            let to = self.client.to;
            let what = format!(
                "{outcome:?} while {phase:?}: {:?} to {to}{excepted}",
                self.connection_use
            );
            *tally.errors.entry(what).or_default() += 1;
        }
    }
}

#[test]
fn many_maintenances_lose_no_request() {
    if !can_run() {
        return;
    }
    let cycles = cycle_count();
    let site = Site::new();
    let load_clients = load_clients(&site);
    let all = load_clients.len();
    let clock = Clock::default();
    let changed = Condvar::new();
    let tally = Mutex::new(Tally {
        seen: vec![0; all],
        ..Tally::default()
    });
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    thread::scope(|scope| {
        for client in load_clients {
            let (clock, tally, changed) = (&clock, &tally, &changed);
            scope.spawn(move || client.run(clock, tally, changed));
        }
        let mut cycle = || {
            for arguments in [
                &["on", "--except", "198.51.100.9", "--except", "2001:db8::9"][..],
                &["off"],
            ] {
                clock.0.fetch_add(1, Ordering::SeqCst);
                let ended = site.maintd(arguments);
                let now = 1 + clock.0.fetch_add(1, Ordering::SeqCst);
                if ended.status != Some(0) {
                    return Err(format!("maintd {arguments:?}: {}", ended.stderr));
                }
                let switched = Instant::now();
                let (seen, _) = changed
                    .wait_timeout_while(tally.lock().unwrap(), 5 * MOVED_WITHIN, |tally| {
                        tally.seen.iter().any(|seen| *seen < now)
                    })
                    .unwrap();
                drop(seen);
                longest = longest.max(switched.elapsed());
            }
            Ok(())
        };
        let done = (0..cycles).try_for_each(|_| cycle());
        // Before anything can fail: the clients must end.
        tally.lock().unwrap().is_over = true;
        done.unwrap();
    });
    let tally = tally.into_inner().unwrap();
    let line = format!(
        "{cycles} cycles: {} requests by {all} clients, live {}, page {}, resets {}, refused {}, timeouts {}, odd {}, lost {}, wrong side {}; all moved within {} ms; {} s\n",
        tally.requests(),
        tally.live,
        tally.page,
        tally.resets,
        tally.refused,
        tally.timeouts,
        tally.odd,
        tally.lost,
        tally.wrong_side,
        longest.as_millis(),
        began.elapsed().as_secs()
    );
    // Not captured by libtest, unlike eprintln!.
    io::stderr().write_all(line.as_bytes()).unwrap();
    assert_eq!(tally.errors, BTreeMap::new());
    assert!(longest < MOVED_WITHIN);
    // Each switch resets the kept connections: the test fails if nothing happens.
    assert!(tally.resets >= cycles && tally.page >= cycles && tally.live >= cycles);
}

/// Over each family, plaintext and TLS, on kept connections and on new ones; and excepted clients.
fn load_clients(site: &Site) -> Vec<LoadClient<'_>> {
    let groups = [
        (7, ConnectionUse::Kept, false),
        (8, ConnectionUse::New, false),
        (9, ConnectionUse::Kept, true),
        (9, ConnectionUse::New, true),
        (10, ConnectionUse::Kept, false),
        (11, ConnectionUse::New, false),
    ];
    let clients = groups
        .into_iter()
        .flat_map(|(number, connection_use, is_excepted)| {
            let clients = site.clients(number).into_iter();
            clients.map(move |client| (client, connection_use, is_excepted))
        });
    (0..)
        .zip(clients)
        .map(
            |(number, (client, connection_use, is_excepted))| LoadClient {
                client,
                connection_use,
                is_excepted,
                number,
            },
        )
        .collect()
}
