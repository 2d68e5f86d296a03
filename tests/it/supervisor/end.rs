//! The ways to end: at once, after the requests in progress, and by the supervisor's death.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::client::connect;
use crate::common::{Client, Port, process, send_signal, wait_until};
use crate::supervisor::{GET, GET_AND_CLOSE, Site};

/// The sockets through which the supervisor receives signals.
const SIGNAL_SOCKETS: usize = 2;

#[test]
fn quit_answers_requests_in_progress_and_closes_the_rest() {
    for port in [Port::Plaintext, Port::Tls] {
        let mut site = Site::start(&"page ".repeat(500_000), &["--workers", "2"]);
        let mut idle = connect(&site.server, port);
        idle.send(GET);
        assert_eq!(idle.answer().status, 503);
        let mut half = site.connect(port, &GET[..10]);
        let reading = site.connect(port, GET);
        site.server.signal(libc::SIGQUIT);
        idle.assert_closed();
        drop(idle);
        wait_until(
            || TcpStream::connect(site.server.http).is_err(),
            "it still accepts",
        );
        half.send(&GET[10..]);
        for mut client in [half, reading] {
            let answer = client.last_answer();
            assert_eq!(answer.status, 503);
            assert_eq!(answer.body.len(), 2_500_000);
        }
        assert_eq!(site.server.wait().code(), Some(0));
    }
}

/// Connections in the backlog are answered.
#[test]
fn quit_answers_connections_in_the_backlog() {
    let mut site = Site::start("page", &[]);
    let worker = site.server.worker();
    send_signal(worker, libc::SIGSTOP);
    process::wait_until_stopped(worker);
    let mut waiting: Vec<_> = (0..50).map(|_| Client::tcp(site.server.http)).collect();
    for client in &mut waiting {
        client.send(GET_AND_CLOSE);
    }
    site.server.signal(libc::SIGQUIT);
    // The supervisor has closed its sockets, and the worker has not begun to read its order.
    wait_until(
        || process::open_sockets(site.server.pid()) <= SIGNAL_SOCKETS,
        "the supervisor still has its sockets",
    );
    send_signal(worker, libc::SIGCONT);
    for mut client in waiting {
        assert_eq!(client.last_answer().status, 503);
    }
    assert_eq!(site.server.wait().code(), Some(0));
}

/// Connections without a byte yet are not reset either: the kernel defers their accept.
#[test]
fn quit_answers_connections_without_a_request_yet() {
    for workers in ["1", "3"] {
        let mut site = Site::start("page", &["--workers", workers]);
        let mut silent: Vec<_> = (0..50).map(|_| Client::tcp(site.server.http)).collect();
        site.server.signal(libc::SIGQUIT);
        let probe = || TcpStream::connect_timeout(&site.server.http, Duration::from_millis(20));
        wait_until(|| probe().is_err(), "it still lets newcomers in");
        for client in &mut silent {
            client.send(GET_AND_CLOSE);
        }
        for mut client in silent {
            assert_eq!(client.last_answer().status, 503);
        }
        assert_eq!(site.server.wait().code(), Some(0));
    }
}

/// Under a load of new connections each one is answered or refused, and none is reset.
#[test]
fn quit_under_load_resets_no_connection() {
    let mut site = Site::start("page", &["--workers", "2"]);
    let (address, answers) = (site.server.http, AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            let answers = &answers;
            scope.spawn(move || {
                loop {
                    match TcpStream::connect(address) {
                        Ok(mut stream) => {
                            // Long enough that some connections always wait for their first bytes (TCP_DEFER_ACCEPT).
                            thread::sleep(Duration::from_millis(3));
                            let mut answer = String::new();
                            stream.write_all(GET_AND_CLOSE.as_bytes()).unwrap();
                            stream.read_to_string(&mut answer).unwrap();
                            assert!(answer.starts_with("HTTP/1.1 503 "));
                            assert!(answer.ends_with("\r\n\r\npage"));
                            answers.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                            return;
                        }
                    }
                }
            });
        }
        wait_until(|| answers.load(Ordering::Relaxed) > 500, "no answers");
        site.server.signal(libc::SIGQUIT);
        assert_eq!(site.server.wait().code(), Some(0));
    });
}

#[test]
fn a_second_signal_ends_a_slow_quit() {
    let mut site = Site::start(&"page ".repeat(3_000_000), &[]);
    let _reading = site.connect(Port::Plaintext, GET);
    site.server.signal(libc::SIGQUIT);
    wait_until(
        || TcpStream::connect(site.server.http).is_err(),
        "it still accepts",
    );
    assert!(site.server.is_running());
    site.server.signal(libc::SIGTERM);
    assert_eq!(site.server.wait().code(), Some(0));
}

/// A stopped process reacts only to SIGKILL.
#[test]
fn a_worker_that_does_not_end_is_killed() {
    let mut site = Site::start("page", &["--workers", "2"]);
    let worker = site.workers()[0];
    send_signal(worker, libc::SIGSTOP);
    process::wait_until_stopped(worker);
    site.server.signal(libc::SIGTERM);
    let message = format!("worker {worker} did not exit in time; killing it");
    site.server.wait_for_stderr(&message);
    assert_eq!(site.server.wait().code(), Some(0));
    assert!(!Path::new(&format!("/proc/{worker}")).exists());
}

/// The other workers still answer their requests.
#[test]
fn a_stopped_worker_does_not_block_quit_forever() {
    let mut site = Site::start("page", &["--workers", "2"]);
    let workers = site.workers();
    send_signal(workers[0], libc::SIGSTOP);
    process::wait_until_stopped(workers[0]);
    site.server.signal(libc::SIGQUIT);
    let killed = format!("worker {} did not exit in time; killing it", workers[0]);
    site.server.wait_for_stderr(&killed);
    assert_eq!(site.server.wait().code(), Some(0));
    assert!(workers.iter().all(|worker| is_dead(*worker)));
}

#[test]
fn workers_do_not_outlive_their_supervisor() {
    let mut site = Site::start("page", &["--workers", "2"]);
    let workers = site.workers();
    assert_eq!(workers.len(), 2);
    let mut kept = connect(&site.server, Port::Plaintext);
    kept.send(GET);
    assert_eq!(kept.answer().status, 503);
    site.server.signal(libc::SIGKILL);
    site.server.wait();
    for worker in workers {
        let gone = || !Path::new(&format!("/proc/{worker}/exe")).exists() || is_dead(worker);
        wait_until(gone, "a worker lives on");
    }
}

/// The process has ended, and its new parent has not reaped it yet.
fn is_dead(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |text| {
        text.rsplit_once(") ").unwrap().1.starts_with('Z')
    })
}
