//! Reloads under load.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::client::connect;
use crate::common::{Client, Port, free_address, wait_until};
use crate::supervisor::{GET, GET_AND_CLOSE, Site, with_configuration};
use tempfile::TempDir;

const RELOADS: usize = 20;
const VISITORS: usize = 4;

/// Every answer is a whole one: the client of the tests fails at a refused connection, a reset, a half answer and an end
/// without `close_notify`.
fn check(status: u16, body: &[u8], page: &str) {
    assert_eq!(status, 503);
    assert_eq!(body, page.as_bytes());
}

/// A client that opens a connection for each request.
fn request_on_new_connections(site: &Site, port: Port, page: &str) {
    let mut client = connect(&site.server, port);
    client.send(GET_AND_CLOSE);
    let answer = client.last_answer();
    check(answer.status, &answer.body, page);
}

/// A client that keeps its connection until the server sends `Connection: close`.
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

fn assert_none_lost(workers: &str) {
    // Long enough for several TLS records, and for a plaintext answer that exceeds the send buffer.
    let page = "maintenance ".repeat(5_000);
    let site = Site::start(&page, &["--workers", workers]);
    let done = AtomicBool::new(false);
    let answers = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..VISITORS {
            for port in [Port::Plaintext, Port::Tls] {
                let (site, page, done, answers) = (&site, &page, &done, &answers);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        request_on_new_connections(site, port, page);
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
            crate::common::wait_until(
                || answers.load(Ordering::Relaxed) > before + 4 * VISITORS,
                "no answers after a reload",
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn reloads_under_load_lose_no_request() {
    assert_none_lost("1");
}

#[test]
fn reloads_under_load_lose_no_request_with_several_workers() {
    assert_none_lost("3");
}

fn assert_answers(mut client: Client) {
    client.send(GET_AND_CLOSE);
    let answer = client.last_answer();
    check(answer.status, &answer.body, "page");
}

/// A reload cannot change between one address and all addresses of its port; the old generation stays.
#[test]
fn reload_between_one_address_and_all_is_refused() {
    let port = free_address().port();
    let one = SocketAddr::from(([127, 0, 0, 1], port));
    let all = SocketAddr::from(([0, 0, 0, 0], port));
    for (old, new) in [(one, all), (all, one)] {
        let directory = TempDir::new().unwrap();
        let text = |address: SocketAddr| format!("server {{ listen {address}; return 503 page; }}");
        let server = with_configuration(&directory, &text(old), 1);
        let file = directory.path().join("maintd.conf");
        fs::write(&file, text(new)).unwrap();
        server.signal(libc::SIGHUP);
        server.wait_for_stderr(&format!(
            "not reloaded: cannot listen on {new}: maintd listens on {old}, \
             and a reload cannot change between one address and all addresses of a port; restart maintd\n"
        ));
        assert_answers(Client::tcp(one));
        fs::write(&file, text(old)).unwrap();
        server.signal(libc::SIGHUP);
        wait_until(|| server.reloads() == 1, "it has not reloaded");
        assert_answers(Client::tcp(one));
    }
}
