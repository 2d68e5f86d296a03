//! What a reload reads anew, and what it leaves alone.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};

use tempfile::TempDir;

use crate::common::certificates;
use crate::common::client::{Tls, connect};
use crate::common::{Client, Port, Server, process};
use crate::supervisor::{GET, GET_AND_CLOSE, Site, wait_until, with_configuration};

fn page(site: &Site) -> String {
    let mut client = connect(&site.server, Port::Clear);
    client.send(GET_AND_CLOSE);
    client.last_answer().text()
}

/// Waits until there are no more workers than these: old ones have been told to leave, but accept until they hear of it.
fn wait_for_workers(server: &Server, count: usize) {
    wait_until(
        || process::children(server.pid()).len() == count,
        "old workers stay",
    );
}

#[test]
fn the_page_is_read_anew() {
    let site = Site::start("one", &[]);
    site.write_page("two");
    assert_eq!(page(&site), "one");
    site.reload();
    wait_for_workers(&site.server, 1);
    assert_eq!(page(&site), "two");
}

#[test]
fn the_certificate_is_read_anew() {
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

/// Whoever has trusted the throw-away certificate by hand need not do so again.
#[test]
fn the_throw_away_certificate_stays() {
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
fn where_something_is_faulty_the_old_workers_stay() {
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

/// Nobody is cut off: who has a connection is told with the next answer that it ends.
#[test]
fn old_connections_are_answered_once_more() {
    for port in [Port::Clear, Port::Tls] {
        let site = Site::start("one", &[]);
        let mut kept = connect(&site.server, port);
        kept.send(GET);
        assert!(!kept.answer().says_close());
        let mut half = site.connect(port, &GET[..10]);
        site.write_page("two");
        site.reload();
        // It has been told, but may not have heard yet.
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
fn the_configuration_is_read_anew() {
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

/// Somebody cleans up a directory of sockets, or starts another server there that ends again: nobody finds the way to us
/// any more, and a reload mends it.
#[test]
fn the_file_of_a_unix_socket_comes_back_with_a_reload() {
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
        wait_until(
            || crate::supervisor::reloads(&server) > number,
            "it has not reloaded",
        );
        let mut client = Client::unix(&path);
        client.send(GET_AND_CLOSE);
        assert_eq!(client.last_answer().text(), "page");
    }
    // Whoever had come by the first one is not forgotten.
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

/// As at the start: whoever has asked for a free port learns here which one it is, and by then it is answered there.
#[test]
fn new_places_are_told_and_old_ones_are_not_told_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let text = |more: &str| format!("server {{ listen 127.0.0.1:0; {more} return 503 page; }}");
    let server = with_configuration(&directory, &text(""), 1);
    let file = directory.path().join("maintd.conf");
    let unix = format!("unix:{}", path.display());
    fs::write(&file, text(&format!("listen {unix}; listen 127.0.0.2:0;"))).unwrap();
    server.signal(libc::SIGHUP);
    let stderr = server.wait_for_stderr("maintd: reloaded\n");
    let told: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("maintd: listening on "))
        .collect();
    assert_eq!(told.len(), 3, "{stderr}");
    assert_eq!(told[0], server.listening[0]);
    assert_eq!(told[1], format!("http://{unix}"));
    let address = told[2].strip_prefix("http://").unwrap().parse().unwrap();
    for mut client in [Client::unix(&path), Client::tcp(address)] {
        client.send(GET_AND_CLOSE);
        assert_eq!(client.last_answer().text(), "page");
    }
}

/// A visitor who reads on and on cannot keep what was renewed from the others for ever, nor is there a crowd of old workers.
#[test]
fn a_fifth_old_generation_is_waited_for() {
    // However long the reloads take, the readers that wait for them are not closed.
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("maintd.conf");
    fs::write(
        &file,
        "control maintd.sock; server { return 503; send_timeout 600s; }",
    )
    .unwrap();
    let page = "page ".repeat(3_000_000);
    let site = Site::start(&page, &["-c", file.to_str().unwrap()]);
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(site.connect(Port::Clear, GET_AND_CLOSE));
        site.reload();
        // The next reader must not be taken in by a worker that is about to close its listeners.
        let has_retired = |worker: &u32| process::open_sockets(*worker) == 1;
        wait_until(
            || site.workers().iter().rev().skip(1).all(has_retired),
            "old workers listen",
        );
    }
    assert_eq!(site.workers().len(), 5);
    site.server.signal(libc::SIGHUP);
    site.server.wait_for_stderr("the reload waits");
    site.server.signal(libc::SIGHUP);
    assert_eq!(site.workers().len(), 5);
    let before = crate::supervisor::reloads(&site.server);
    assert_eq!(readers.remove(0).last_answer().body.len(), 15_000_000);
    wait_until(
        || crate::supervisor::reloads(&site.server) == before + 1,
        "the reload still waits",
    );
    for mut reader in readers {
        assert_eq!(reader.last_answer().body.len(), 15_000_000);
    }
    wait_until(|| site.workers().len() == 1, "old workers stay");
    assert_eq!(crate::supervisor::reloads(&site.server), before + 1);
}

/// It is the workers' limit: the supervisor goes on, whatever a reload says.
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
    wait_until(
        || crate::supervisor::reloads(&server) == 2,
        "it cannot reload any more",
    );
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

/// However far the first reload has come: the second one finds the socket.
#[test]
fn a_place_that_is_dropped_and_wanted_again_at_once_is_there() {
    let directory = TempDir::new().unwrap();
    let text = |more: &str| format!("server {{ listen 127.0.0.1:0; {more} return 503 page; }}");
    let probe = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let place = format!("listen {address};");
    let server = with_configuration(&directory, &text(&place), 2);
    let file = directory.path().join("maintd.conf");
    // It may be read at any moment, so it is never half there.
    let write = |more: &str| {
        let beside = directory.path().join("beside");
        fs::write(&beside, text(more)).unwrap();
        fs::rename(&beside, &file).unwrap();
    };
    for pause in [0, 5, 10, 20, 40, 80, 160] {
        write("");
        server.signal(libc::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let before = crate::supervisor::reloads(&server);
        write(&place);
        server.signal(libc::SIGHUP);
        wait_until(
            || crate::supervisor::reloads(&server) > before,
            "it has not reloaded",
        );
        wait_until(
            || std::net::TcpStream::connect(address).is_ok(),
            "nobody listens there",
        );
        let mut client = Client::tcp(address);
        client.send(GET_AND_CLOSE);
        assert_eq!(client.last_answer().text(), "page");
    }
    assert!(!server.stderr().contains("not reloaded"));
}
