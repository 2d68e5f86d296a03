//! Two hundred switches under load: no request is refused, times out, or gets an answer of the wrong side.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::visitors::can_run;
use crate::visitors::site::Site;
use crate::visitors::site_client::{Outcome, SiteClient};

const CYCLES: u64 = 200;
/// The limit for a client on the wrong side after the command.
const MOVED_WITHIN: Duration = Duration::from_secs(2);
/// The pause of a client between an answer and the next request.
const PACE: Duration = Duration::from_millis(50);

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
enum Manner {
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
    faults: BTreeMap<String, u64>,
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
struct Regular<'a> {
    visitor: SiteClient<'a>,
    manner: Manner,
    is_excepted: bool,
    number: usize,
}

impl Regular<'_> {
    fn come(mut self, clock: &Clock, tally: &Mutex<Tally>, changed: &Condvar) {
        // The clock at which the kept connection was opened.
        let mut opened = 0;
        loop {
            let began = clock.0.load(Ordering::SeqCst);
            if self.manner == Manner::New || !self.visitor.is_connected() {
                opened = began;
            }
            let outcome = match self.manner {
                Manner::Kept => self.visitor.ask(),
                Manner::New => self.visitor.ask_once(),
            };
            let ended = clock.0.load(Ordering::SeqCst);
            let mut tally = tally.lock().unwrap();
            tally.count(&outcome);
            self.judge(&outcome, began, ended, opened, &mut tally);
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

    fn judge(&self, outcome: &Outcome, began: u64, ended: u64, opened: u64, tally: &mut Tally) {
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
            let to = self.visitor.to;
            let what = format!(
                "{outcome:?} while {phase:?}: {:?} to {to}{excepted}",
                self.manner
            );
            *tally.faults.entry(what).or_default() += 1;
        }
    }
}

#[test]
fn two_hundred_maintenances_lose_no_request() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let regulars = regulars(&site);
    let all = regulars.len();
    let clock = Clock::default();
    let changed = Condvar::new();
    let tally = Mutex::new(Tally {
        seen: vec![0; all],
        ..Tally::default()
    });
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    thread::scope(|scope| {
        for regular in regulars {
            let (clock, tally, changed) = (&clock, &tally, &changed);
            scope.spawn(move || regular.come(clock, tally, changed));
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
        let done = (0..CYCLES).try_for_each(|_| cycle());
        // Before anything can fail: the clients must end.
        tally.lock().unwrap().is_over = true;
        done.unwrap();
    });
    let tally = tally.into_inner().unwrap();
    let line = format!(
        "{CYCLES} cycles: {} requests by {all} visitors, live {}, page {}, resets {}, refused {}, timeouts {}, odd {}, lost {}, wrong side {}; all moved within {} ms; {} s\n",
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
    assert_eq!(tally.faults, BTreeMap::new());
    assert!(longest < MOVED_WITHIN);
    // Each switch resets the kept connections: the test fails if nothing happens.
    assert!(tally.resets >= CYCLES && tally.page >= CYCLES && tally.live >= CYCLES);
}

/// Over each family, plaintext and TLS, on kept connections and on new ones; and excepted clients.
fn regulars(site: &Site) -> Vec<Regular<'_>> {
    let groups = [
        (7, Manner::Kept, false),
        (8, Manner::New, false),
        (9, Manner::Kept, true),
        (9, Manner::New, true),
        (10, Manner::Kept, false),
        (11, Manner::New, false),
    ];
    let visitors = groups
        .into_iter()
        .flat_map(|(number, manner, is_excepted)| {
            let visitors = site.visitors(number).into_iter();
            visitors.map(move |visitor| (visitor, manner, is_excepted))
        });
    (0..)
        .zip(visitors)
        .map(|(number, (visitor, manner, is_excepted))| Regular {
            visitor,
            manner,
            is_excepted,
            number,
        })
        .collect()
}
