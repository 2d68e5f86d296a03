//! What a reload reads again, and what it keeps.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};

use tempfile::TempDir;

use crate::common::certificates;
use crate::common::client::{Tls, connect};
use crate::common::{Client, Port, Server, process, wait_until};
use crate::supervisor::{GET, GET_AND_CLOSE, Site, with_configuration};

fn page(site: &Site) -> String {
    let mut client = connect(&site.server, Port::Plaintext);
    client.send(GET_AND_CLOSE);
    client.last_answer().text()
}

/// Waits until only so many workers are left: old ones accept until they have read their order to retire.
fn wait_for_workers(server: &Server, count: usize) {
    wait_until(
        || process::children(server.pid()).len() == count,
        "old workers stay",
    );
}

#[test]
fn a_reload_reads_the_page_again() {
    let site = Site::start("one", &[]);
    site.write_page("two");
    assert_eq!(page(&site), "one");
    site.reload();
    wait_for_workers(&site.server, 1);
    assert_eq!(page(&site), "two");
}

#[test]
fn a_reload_reads_the_certificate_again() {
    let site = Site::start("page", &[]);
    let chain = || {
        let client = Client::tls(site.server.https, Tls::default());
        let session = client.session().unwrap();
        session.peer_certificates().unwrap()[0].to_vec()
    };
    let before = chain();
    let other = certificates::p256(&["localhost"]);
    fs::copy(&other.cert, &site.certificate.cert).unwrap();
    fs::copy(&other.key, &site.certificate.key).unwrap();
    assert_eq!(chain(), before);
    site.reload();
    wait_for_workers(&site.server, 1);
    assert_ne!(chain(), before);
}

/// A client that trusts the temporary certificate can continue to trust it.
#[test]
fn the_temporary_certificate_stays() {
    let server = Server::start(&[]);
    let chain = || {
        let client = Client::tls(server.https, Tls::default());
        let session = client.session().unwrap();
        session.peer_certificates().unwrap()[0].to_vec()
    };
    let before = chain();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded\n");
    assert_eq!(chain(), before);
}

#[test]
fn a_failed_reload_keeps_the_old_workers() {
    let site = Site::start("one", &[]);
    let workers = site.workers();
    let mut kept = connect(&site.server, Port::Tls);
    for (spoil, fault) in [
        (site.page.clone(), "not reloaded: page"),
        (
            site.certificate.key.clone(),
            "not reloaded: cannot read key",
        ),
    ] {
        let before = fs::read(&spoil).unwrap();
        fs::write(&spoil, "").unwrap();
        site.server.signal(libc::SIGHUP);
        site.server.wait_for_stderr(fault);
        fs::write(&spoil, before).unwrap();
    }
    assert_eq!(site.workers(), workers);
    kept.send(GET);
    let answer = kept.answer();
    assert_eq!(answer.text(), "one");
    assert!(!answer.says_close());
    site.reload();
    assert_ne!(site.workers(), workers);
}

/// No connection is cut off: its next answer has `Connection: close`.
#[test]
fn old_connections_are_answered_once_more() {
    for port in [Port::Plaintext, Port::Tls] {
        let site = Site::start("one", &[]);
        let mut kept = connect(&site.server, port);
        kept.send(GET);
        assert!(!kept.answer().says_close());
        let mut half = site.connect(port, &GET[..10]);
        site.write_page("two");
        site.reload();
        // The old worker may not have read its order yet.
        let old = site.workers()[0];
        wait_until(|| process::open_sockets(old) == 2, "the old worker listens");
        kept.send(GET);
        half.send(&GET[10..]);
        for mut client in [kept, half] {
            let answer = client.last_answer();
            assert_eq!(answer.text(), "one");
            assert!(answer.says_close());
        }
        wait_until(|| site.workers().len() == 1, "the old worker stays");
    }
}

#[test]
fn a_reload_reads_the_configuration_again() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (
        directory.path().join("first"),
        directory.path().join("second"),
    );
    let text = |path: &std::path::Path, retry_after: u32, workers: u32| {
        let path = path.display();
        format!(
            "worker_processes {workers};\n\
             server {{ listen 127.0.0.1:0; listen unix:{path}; return 503 page; retry_after {retry_after}; }}\n"
        )
    };
    let server = with_configuration(&directory, &text(&first, 60, 1), 2);
    let retry_after = |mut client: Client| {
        client.send(GET_AND_CLOSE);
        let answer = client.last_answer();
        answer.header("Retry-After").unwrap().to_owned()
    };
    assert_eq!(retry_after(Client::tcp(server.http)), "60");
    assert_eq!(retry_after(Client::unix(&first)), "60");

    let file = directory.path().join("maintd.conf");
    fs::write(&file, "server { listen 127.0.0.1:0; retrun 503; }").unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("not reloaded: ");
    assert!(server.stderr().contains("unknown directive \"retrun\""));
    assert_eq!(retry_after(Client::tcp(server.http)), "60");

    fs::write(&file, text(&second, 120, 3)).unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded\n");
    wait_for_workers(&server, 3);
    assert_eq!(retry_after(Client::tcp(server.http)), "120");
    assert_eq!(retry_after(Client::unix(&second)), "120");
    assert!(!first.exists());
    assert!(UnixStream::connect(&first).is_err());
}

/// The socket file was deleted, or replaced by another server that has ended: a reload creates it again.
#[test]
fn a_reload_restores_the_file_of_a_unix_socket() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let text = format!(
        "server {{ listen unix:{}; return 503 page; }}",
        path.display()
    );
    let mut server = with_configuration(&directory, &text, 1);
    let kept = Client::unix(&path);
    let left_behind = || drop(UnixListener::bind(&path).unwrap());
    for (number, replace) in [None, Some(left_behind)].into_iter().enumerate() {
        fs::remove_file(&path).unwrap();
        if let Some(replace) = replace {
            replace();
        }
        server.signal(libc::SIGHUP);
        wait_until(|| server.reloads() > number, "it has not reloaded");
        let mut client = Client::unix(&path);
        client.send(GET_AND_CLOSE);
        assert_eq!(client.last_answer().text(), "page");
    }
    // A connection through the first socket file is still served.
    let mut kept = kept;
    kept.send(GET_AND_CLOSE);
    assert_eq!(kept.last_answer().text(), "page");
    // Another server's is left alone, now and at the end.
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("not reloaded: cannot listen on unix:");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(path.exists());
}

/// As at the start: the message names the port that port 0 became, and by then it is served.
#[test]
fn only_new_addresses_are_announced_by_a_reload() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let text = |more: &str| format!("server {{ listen 127.0.0.1:0; {more} return 503 page; }}");
    let server = with_configuration(&directory, &text(""), 1);
    let file = directory.path().join("maintd.conf");
    let unix = format!("unix:{}", path.display());
    fs::write(&file, text(&format!("listen {unix}; listen 127.0.0.2:0;"))).unwrap();
    server.signal(libc::SIGHUP);
    let stderr = server.wait_for_stderr("maintd: reloaded\n");
    let announced: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("maintd: listening on "))
        .collect();
    assert_eq!(announced.len(), 3, "{stderr}");
    assert_eq!(announced[0], server.listening[0]);
    assert_eq!(announced[1], format!("http://{unix}"));
    let address = announced[2]
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    for mut client in [Client::unix(&path), Client::tcp(address)] {
        client.send(GET_AND_CLOSE);
        assert_eq!(client.last_answer().text(), "page");
    }
}

/// A client that reads forever does not block reloads forever, and the number of old workers is limited.
#[test]
fn a_fifth_old_generation_is_waited_for() {
    // A reload can take longer than the default timeout on a loaded machine, and must not cost a reader its connection.
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("maintd.conf");
    fs::write(
        &file,
        "control maintd.sock; server { return 503; send_timeout 600s; }",
    )
    .unwrap();
    let page = "page ".repeat(1_600_000);
    let site = Site::start(&page, &["-c", file.to_str().unwrap()]);
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(site.connect(Port::Plaintext, GET_AND_CLOSE));
        site.reload();
        // The next reader must not be accepted by a worker that is about to close its listeners.
        let has_retired = |worker: &u32| process::open_sockets(*worker) == 1;
        wait_until(
            || site.workers().iter().rev().skip(1).all(has_retired),
            "old workers listen",
        );
    }
    assert_eq!(site.workers().len(), 5);
    site.server.signal(libc::SIGHUP);
    site.server.wait_for_stderr("reload deferred");
    site.server.signal(libc::SIGHUP);
    assert_eq!(site.workers().len(), 5);
    let before = site.server.reloads();
    assert_eq!(readers.remove(0).last_answer().body.len(), 8_000_000);
    wait_until(
        || site.server.reloads() == before + 1,
        "the reload still waits",
    );
    for mut reader in readers {
        assert_eq!(reader.last_answer().body.len(), 8_000_000);
    }
    wait_until(|| site.workers().len() == 1, "old workers stay");
    assert_eq!(site.server.reloads(), before + 1);
}

/// The limit applies to workers: the supervisor keeps its own after each reload.
#[test]
fn a_low_descriptor_limit_is_refused_and_costs_nothing() {
    let directory = TempDir::new().unwrap();
    let text = |limit| {
        format!(
            "worker_rlimit_nofile {limit};\nserver {{ listen 127.0.0.1:0; return 503 page; }}\n"
        )
    };
    let server = with_configuration(&directory, &text(1000), 1);
    let file = directory.path().join("maintd.conf");
    fs::write(&file, text(1)).unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("not reloaded: the descriptor limit of 1 is too low");
    fs::write(&file, text(40)).unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded\n");
    fs::write(&file, text(1000)).unwrap();
    server.signal(libc::SIGHUP);
    wait_until(|| server.reloads() == 2, "it cannot reload any more");
    let mut client = Client::tcp(server.http);
    client.send(GET_AND_CLOSE);
    assert_eq!(client.last_answer().status, 503);
}

#[test]
fn a_thousand_reloads_leave_descriptors_and_memory_where_they_were() {
    let site = Site::start("page", &["--workers", "2"]);
    let pid = site.server.pid();
    let settle = || {
        wait_until(|| site.workers().len() == 2, "old workers stay");
        (
            process::open_descriptors(pid),
            process::resident_bytes(pid),
            site.workers()
                .iter()
                .map(|worker| process::open_descriptors(*worker))
                .collect::<Vec<_>>(),
        )
    };
    for _ in 0..50 {
        site.reload();
    }
    let (descriptors, memory, workers) = settle();
    for _ in 0..1000 {
        site.reload();
    }
    let (descriptors_after, memory_after, workers_after) = settle();
    assert_eq!(descriptors_after, descriptors);
    assert_eq!(workers_after, workers);
    // A KiB lost at each reload would be a MiB.
    assert!(
        memory_after < memory + 512 * 1024,
        "{memory} bytes before, {memory_after} after"
    );
}

/// Whatever the state of the first reload, the second one finds the socket.
#[test]
fn an_address_that_is_removed_and_added_again_at_once_is_bound() {
    let directory = TempDir::new().unwrap();
    let text = |more: &str| format!("server {{ listen 127.0.0.1:0; {more} return 503 page; }}");
    let probe = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let listen = format!("listen {address};");
    let server = with_configuration(&directory, &text(&listen), 2);
    let file = directory.path().join("maintd.conf");
    // The file may be read at any time, so it is replaced atomically.
    let write = |more: &str| {
        let beside = directory.path().join("beside");
        fs::write(&beside, text(more)).unwrap();
        fs::rename(&beside, &file).unwrap();
    };
    for pause in [0, 5, 10, 20, 40, 80, 160] {
        write("");
        server.signal(libc::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let before = server.reloads();
        write(&listen);
        server.signal(libc::SIGHUP);
        wait_until(|| server.reloads() > before, "it has not reloaded");
        wait_until(
            || std::net::TcpStream::connect(address).is_ok(),
            "no listener there",
        );
        let mut client = Client::tcp(address);
        client.send(GET_AND_CLOSE);
        assert_eq!(client.last_answer().text(), "page");
    }
    assert!(!server.stderr().contains("not reloaded"));
}
