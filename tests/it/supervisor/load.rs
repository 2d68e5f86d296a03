//! Reloads in the middle of a load.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::client::connect;
use crate::common::{Client, Port, free_address};
use crate::supervisor::{GET, GET_AND_CLOSE, Site, reloads, wait_until, with_configuration};
use tempfile::TempDir;

const RELOADS: usize = 20;
const VISITORS: usize = 4;
/// Longer than new workers need to take over, and much less than those have who are on their way.
const SILENCE: Duration = Duration::from_millis(100);

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
            crate::supervisor::wait_until(
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

fn assert_answers(mut client: Client) {
    client.send(GET_AND_CLOSE);
    let answer = client.last_answer();
    check(answer.status, &answer.body, "page");
}

/// Sets a flag when it is dropped.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The same port on the wildcard address and on a single one: Linux has it that one excludes the other.
fn assert_nobody_is_lost_between_one_and_all(workers: u32) {
    let directory = TempDir::new().unwrap();
    let address = free_address();
    let text = |place: &str| {
        format!("worker_processes {workers};\nserver {{ listen {place}; return 503 page; }}\n")
    };
    let (all, one) = (
        text(&address.port().to_string()),
        text(&address.to_string()),
    );
    let server = with_configuration(&directory, &all, 1);
    let file = directory.path().join("maintd.conf");
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // A failure here must end the visitors too: the scope waits for them.
        let _end = SetAtEnd(&done);
        for _ in 0..VISITORS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_answers(Client::tcp(address));
                }
            });
        }
        for (number, is_wide) in [false, true, false, true].into_iter().enumerate() {
            fs::write(&file, if is_wide { &all } else { &one }).unwrap();
            let silent: Vec<_> = (0..10).map(|_| Client::tcp(address)).collect();
            server.signal(libc::SIGHUP);
            // Their connections stand, but the system holds them back until they have sent something.
            thread::sleep(SILENCE);
            silent.into_iter().for_each(assert_answers);
            wait_until(|| reloads(&server) > number, "it has not reloaded");
            if is_wide {
                assert_answers(Client::tcp(elsewhere));
            } else {
                // The old workers have been told, but may not have heard yet.
                let refused = || std::net::TcpStream::connect(elsewhere).is_err();
                wait_until(refused, "it listens elsewhere still");
            }
        }
    });
    let stderr = server.stderr();
    let told = |place: &str| {
        let line = format!("maintd: listening on http://{place}:{}\n", address.port());
        stderr.matches(&line).count()
    };
    assert_eq!((told("0.0.0.0"), told("127.0.0.1")), (3, 2), "{stderr}");
}

#[test]
fn reloads_between_one_address_and_all_lose_nobody() {
    // Only the first time is the single address new.
    for _ in 0..3 {
        assert_nobody_is_lost_between_one_and_all(1);
    }
}

#[test]
fn reloads_between_one_address_and_all_lose_nobody_with_several_workers() {
    for _ in 0..3 {
        assert_nobody_is_lost_between_one_and_all(3);
    }
}

/// Another server's socket is not to be shoved aside, and costs nothing.
#[test]
fn reload_to_all_addresses_beside_another_server_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let address = free_address();
    let text = |place: &str| format!("server {{ listen {place}; return 503 page; }}");
    let server = with_configuration(&directory, &text(&address.to_string()), 1);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let _other = TcpListener::bind(elsewhere).unwrap();
    let file = directory.path().join("maintd.conf");
    fs::write(&file, text(&address.port().to_string())).unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr(&format!(
        "not reloaded: cannot listen on 0.0.0.0:{}: address already in use; stop the other server or change \"listen\"\n",
        address.port()
    ));
    assert_answers(Client::tcp(address));
    fs::write(&file, text(&address.to_string())).unwrap();
    server.signal(libc::SIGHUP);
    wait_until(|| reloads(&server) == 1, "it has not reloaded");
    assert_answers(Client::tcp(address));
}
