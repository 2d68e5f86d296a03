//! Workers that die.

use std::collections::HashMap;

use crate::common::client::connect;
use crate::common::{Client, Port, process, send_signal, wait_until};
use crate::supervisor::{GET, GET_AND_CLOSE, Site};

/// Connections, by the worker that has them.
fn by_worker(site: &Site) -> HashMap<u32, Vec<Client>> {
    let workers = site.workers();
    let count = |worker: &u32| process::open_descriptors(*worker);
    let mut found: HashMap<u32, Vec<Client>> = HashMap::new();
    while found.len() < workers.len() {
        let before: Vec<usize> = workers.iter().map(count).collect();
        let mut client = connect(&site.server, Port::Tls);
        client.send(GET);
        assert_eq!(client.answer().status, 503);
        let grown = workers
            .iter()
            .zip(before)
            .find(|(worker, before)| count(worker) > *before);
        found.entry(*grown.unwrap().0).or_default().push(client);
    }
    found
}

#[test]
fn a_worker_that_dies_costs_only_its_own_connections() {
    let site = Site::start("page", &["--workers", "3"]);
    let mut connections = by_worker(&site);
    let victim = *connections.keys().next().unwrap();
    let lost = connections.remove(&victim).unwrap();
    send_signal(victim, libc::SIGKILL);
    site.server.wait_for_stderr(&format!(
        "worker {victim} died: killed by signal 9; starting another one"
    ));
    wait_until(|| site.workers().len() == 3, "it is not replaced");
    for mut client in connections.into_values().flatten() {
        client.send(GET);
        let answer = client.answer();
        assert_eq!(answer.status, 503);
        assert!(!answer.says_close());
    }
    drop(lost);
    // A connection made meanwhile waits for the next worker at worst.
    for port in [Port::Plaintext, Port::Tls] {
        for _ in 0..20 {
            let mut client = connect(&site.server, port);
            client.send(GET_AND_CLOSE);
            assert_eq!(client.last_answer().status, 503);
        }
    }
}

/// The supervisor holds the backlog: no connection is refused while no worker runs.
#[test]
fn a_connection_made_while_no_worker_runs_is_answered_by_the_next() {
    let site = Site::start("page", &[]);
    for round in 0..5 {
        let victim = site.server.worker();
        send_signal(victim, libc::SIGSTOP);
        process::wait_until_stopped(victim);
        let mut clients: Vec<_> = (0..10).map(|_| Client::tcp(site.server.http)).collect();
        for client in &mut clients {
            client.send(GET_AND_CLOSE);
        }
        send_signal(victim, libc::SIGKILL);
        for mut client in clients {
            assert_eq!(client.last_answer().status, 503, "round {round}");
        }
    }
}

/// rc.d's kill and a terminal's Ctrl-C reach the whole group, and the supervisor decides.
#[test]
fn workers_leave_signals_to_the_supervisor() {
    let site = Site::start("page", &[]);
    let worker = site.server.worker();
    for signal in [
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGUSR1,
    ] {
        send_signal(worker, signal);
    }
    let mut client = connect(&site.server, Port::Plaintext);
    client.send(GET_AND_CLOSE);
    assert_eq!(client.last_answer().status, 503);
    assert_eq!(site.server.worker(), worker);
}
