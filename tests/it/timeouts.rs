//! Connection timeouts: a worker in this process with short timeouts. The tests assert the end of each wait and its reason,
//! never its duration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::client::Tls;
use crate::common::{Client, wait_until};
use maintd::announcement::Announcement;
use maintd::config::{BindAddr, Config, Endpoint, Timeouts};
use maintd::serve::answer::Answers;
use maintd::serve::answer::sites;
use maintd::serve::listeners::listener::Listener;
use maintd::serve::metrics::counters::{CloseReason, Counters};
use maintd::serve::tls::SharedTls;
use maintd::serve::worker::Worker;
use mio::unix::pipe;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SHORT: Duration = Duration::from_millis(100);
/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(600);

/// All timeouts long, so that a test shortens the one that it is about.
const PATIENT: Timeouts = Timeouts {
    handshake: LONG,
    head: LONG,
    keep_alive: LONG,
    write: LONG,
    body: LONG,
    linger: LONG,
    linger_total: LONG,
};

/// A worker in a thread of this process.
struct InProcess {
    plaintext: SocketAddr,
    secure: SocketAddr,
    counters: Counters,
    orders: Option<pipe::Sender>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl InProcess {
    fn start(timeouts: Timeouts, page: &[u8]) -> Self {
        let at = |secure| Endpoint::new(BindAddr::Tcp("127.0.0.1:0".parse().unwrap()), secure);
        let config = Config {
            endpoints: vec![at(false), at(true)],
            ..Config::default()
        };
        let mut listeners: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| Listener::bind(endpoint, false).unwrap())
            .collect();
        listeners[1].assign(1, &config.endpoints[1], &[]);
        let address = |number: usize| {
            let url = listeners[number].to_string();
            url.split("://").nth(1).unwrap().parse().unwrap()
        };
        let (plaintext, secure) = (address(0), address(1));
        let counters = Counters::private();
        let answers = Answers::new(page, "text/html", Duration::from_secs(300)).unwrap();
        let mut services = sites::load(
            &config,
            &config.endpoints,
            &Announcement::default(),
            &SharedTls::new().unwrap(),
        )
        .unwrap();
        let answers = Arc::new(answers);
        for service in &mut services {
            service.sites.answers = Arc::clone(&answers);
        }
        let (orders, receiver) = pipe::new().unwrap();
        let worker = Worker {
            host_indices: Vec::new(),
            admin: None,
            listeners,
            services,
            timeouts,
            max_connections: 100,
            access_log: false,
            counters,
        };
        let thread = std::thread::spawn(move || worker.run(receiver, || Ok(())));
        Self {
            plaintext,
            secure,
            counters,
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Waits until a connection was closed for `reason`, and for no other.
    fn wait_for(&self, reason: CloseReason) {
        wait_until(
            || self.counters.closed(reason).get() != 0,
            &format!("no {reason:?}"),
        );
        for other in CloseReason::ALL {
            let expected = u64::from(other == reason);
            assert_eq!(self.counters.closed(other).get(), expected, "{other:?}");
        }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        drop(self.orders.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

#[test]
fn a_silent_client() {
    let worker = InProcess::start(
        Timeouts {
            head: SHORT,
            ..PATIENT
        },
        b"page",
    );
    Client::tcp(worker.plaintext).assert_closed();
    worker.wait_for(CloseReason::HeadTimeout);
}

#[test]
fn a_silent_tls_client() {
    let worker = InProcess::start(
        Timeouts {
            head: SHORT,
            ..PATIENT
        },
        b"page",
    );
    Client::tls(worker.secure, Tls::default()).assert_closed();
    worker.wait_for(CloseReason::HeadTimeout);
}

#[test]
fn a_client_that_does_not_shake_hands() {
    let worker = InProcess::start(
        Timeouts {
            handshake: SHORT,
            ..PATIENT
        },
        b"page",
    );
    let mut client = Client::tcp(worker.secure);
    client.send(b"\x16\x03\x01\x02\x00\x01");
    client.assert_closed();
    worker.wait_for(CloseReason::HandshakeTimeout);
}

#[test]
fn a_client_that_drips_its_head() {
    let worker = InProcess::start(
        Timeouts {
            head: 4 * SHORT,
            ..PATIENT
        },
        b"page",
    );
    let mut client = Client::tcp(worker.plaintext);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    // Far more drops than the head has time for; the first one after the close fails.
    for drop in 0.. {
        assert!(drop < 1000, "the drip has prolonged the head's time");
        std::thread::sleep(SHORT / 5);
        if client.try_send("X: y\r\n").is_err() {
            break;
        }
    }
    worker.wait_for(CloseReason::HeadTimeout);
}

#[test]
fn a_client_that_keeps_its_connection_for_nothing() {
    for secure in [false, true] {
        let worker = InProcess::start(
            Timeouts {
                keep_alive: SHORT,
                ..PATIENT
            },
            b"page",
        );
        let mut client = if secure {
            Client::tls(worker.secure, Tls::default())
        } else {
            Client::tcp(worker.plaintext)
        };
        client.send(GET);
        assert_eq!(client.answer().status, 503);
        // Over TLS this asserts a `close_notify` too.
        client.assert_closed();
        worker.wait_for(CloseReason::KeepAliveTimeout);
    }
}

#[test]
fn a_second_head_has_its_own_time() {
    let worker = InProcess::start(
        Timeouts {
            head: SHORT,
            ..PATIENT
        },
        b"page",
    );
    let mut client = Client::tcp(worker.plaintext);
    client.send([GET, "GET /"].concat());
    assert_eq!(client.answer().status, 503);
    client.assert_closed();
    worker.wait_for(CloseReason::HeadTimeout);
}

#[test]
fn a_client_that_does_not_send_its_body() {
    for fields in [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let worker = InProcess::start(
            Timeouts {
                body: SHORT,
                ..PATIENT
            },
            b"page",
        );
        let mut client = Client::tcp(worker.plaintext);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}"));
        assert_eq!(client.answer().status, 503);
        client.assert_closed();
        // Our half is closed; the connection lives on until the client's is too.
        assert_eq!(worker.counters.closed(CloseReason::BodyTimeout).get(), 0);
        client.send("still sending, and not reset");
        drop(client);
        worker.wait_for(CloseReason::BodyTimeout);
    }
}

#[test]
fn a_client_that_does_not_close() {
    let worker = InProcess::start(
        Timeouts {
            linger: SHORT,
            ..PATIENT
        },
        b"page",
    );
    let mut client = Client::tcp(worker.plaintext);
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.last_answer().status, 400);
    worker.wait_for(CloseReason::Refused);
}

#[test]
fn a_client_that_sends_on_and_on_after_its_answer() {
    let worker = InProcess::start(
        Timeouts {
            linger_total: 4 * SHORT,
            ..PATIENT
        },
        b"page",
    );
    let mut client = Client::tcp(worker.plaintext);
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.last_answer().status, 400);
    // Far more drops than there is time for; the first one after the close fails.
    for drop in 0.. {
        assert!(drop < 1000, "the drip has prolonged the time in all");
        std::thread::sleep(SHORT / 5);
        if client.try_send("x").is_err() {
            break;
        }
    }
    worker.wait_for(CloseReason::Refused);
}

#[test]
fn a_client_that_does_not_read() {
    let page = vec![b'x'; 16 << 20];
    for secure in [false, true] {
        let worker = InProcess::start(
            Timeouts {
                write: SHORT,
                ..PATIENT
            },
            &page,
        );
        let mut client = if secure {
            Client::tls(worker.secure, Tls::default())
        } else {
            Client::tcp(worker.plaintext)
        };
        client.send(GET);
        worker.wait_for(CloseReason::WriteTimeout);
        drop(client);
    }
}

/// A client that reads much more slowly than the system's send buffer makes room again, yet all the time.
#[cfg(target_os = "linux")]
#[test]
fn a_slow_reader_does_not_time_out() {
    use std::io::{Read as _, Write as _};
    let page = vec![b'x'; 6 << 20];
    let worker = InProcess::start(
        Timeouts {
            write: 5 * SHORT,
            ..PATIENT
        },
        &page,
    );
    let mut client = std::net::TcpStream::connect(worker.plaintext).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    let mut piece = vec![0; 64 * 1024];
    let mut length = 0;
    // Over several times the timeout.
    for _ in 0..60 {
        length += client.read(&mut piece).unwrap();
        std::thread::sleep(SHORT / 2);
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    length += client.read_to_end(&mut Vec::new()).unwrap();
    assert!(length > page.len(), "{length} bytes: cut short");
    worker.wait_for(CloseReason::ClientClosed);
}
