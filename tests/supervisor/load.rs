//! Reloads in the middle of a load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::client::connect;
use crate::common::{Client, Port};
use crate::{GET, GET_AND_CLOSE, Site};

const RELOADS: usize = 20;
const VISITORS: usize = 4;

/// Every answer is a whole one: the client of the tests fails at a refused connection, a reset, a half answer and an end
/// without `close_notify`.
fn check(status: u16, body: &[u8], page: &str) {
    assert_eq!(status, 503);
    assert_eq!(body, page.as_bytes());
}

/// A visitor who opens a connection for each request.
fn visit_anew(site: &Site, port: Port, page: &str) {
    let mut client = connect(&site.server, port);
    client.send(GET_AND_CLOSE);
    let answer = client.last_answer();
    check(answer.status, &answer.body, page);
}

/// A visitor who keeps the connection for as long as the server does not say that it closes it.
fn visit_again(site: &Site, port: Port, page: &str, kept: &mut Option<Client>) {
    let mut client = kept.take().unwrap_or_else(|| connect(&site.server, port));
    client.send(GET);
    let answer = client.answer();
    check(answer.status, &answer.body, page);
    if answer.says_close() {
        client.assert_closed();
    } else {
        *kept = Some(client);
    }
}

fn assert_nobody_is_lost(workers: &str) {
    // Long enough for several TLS records, and for a clear answer that the socket does not take at once.
    let page = "maintenance ".repeat(5_000);
    let site = Site::start(&page, &["--workers", workers]);
    let done = AtomicBool::new(false);
    let answers = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..VISITORS {
            for port in [Port::Clear, Port::Tls] {
                let (site, page, done, answers) = (&site, &page, &done, &answers);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        visit_anew(site, port, page);
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                });
                scope.spawn(move || {
                    let mut kept = None;
                    while !done.load(Ordering::Relaxed) {
                        visit_again(site, port, page, &mut kept);
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        for _ in 0..RELOADS {
            let before = answers.load(Ordering::Relaxed);
            site.reload();
            crate::wait_until(
                || answers.load(Ordering::Relaxed) > before + 4 * VISITORS,
                "no answers after a reload",
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn reloads_under_load_lose_nobody() {
    assert_nobody_is_lost("1");
}

#[test]
fn reloads_under_load_lose_nobody_with_several_workers() {
    assert_nobody_is_lost("3");
}
