//! Many connections at once. A crate of its own: it raises the descriptor limit of its process and measures, alone, the
//! memory and CPU time of the server. Linux only: it requires several loopback addresses and `/proc`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "clippy.toml allows them in test functions only, not in their helpers"
)]

#[allow(dead_code, unused_imports, reason = "only a part is used here")]
#[path = "../it/common/mod.rs"]
mod common;

mod client_hellos;
mod connection_limit;
mod exhausted;
mod fairness;
mod held;
mod limits;
mod memory;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{Tls, connect};
use common::{Port, Server, count_skipped};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";
const HALF_HEAD: &str = "GET / HTTP/1.1\r\nHost: exam";

/// The read timeout of a client; a failure limit only.
const IO_TIMEOUT: Duration = Duration::from_secs(9);

/// A connection is used again before it has been idle for so long: the server, with its keep-alive
/// timeout of 10 s, would close it.
const FRESH: Duration = Duration::from_secs(4);

/// The loopback addresses that connections come from, so that their ports do not run out.
const SOURCES: usize = 16;

/// Serializes the tests: they measure, and share this process's descriptors.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed before has left nothing behind.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process may have so many descriptors, and a child of it as well; counts the test as skipped if not.
fn descriptors_suffice(needed: u64) -> bool {
    let suffice = limits::raise_descriptor_limit(needed);
    if !suffice {
        count_skipped(&format!("the hard descriptor limit is under {needed}"));
    }
    suffice
}

/// A server whose page is short.
fn start() -> (Server, TempDir) {
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, "<p>Back at nine\n").unwrap();
    let server = Server::start(&["--page", page.to_str().unwrap()]);
    (server, directory)
}

/// A server with so few descriptors, soft and hard.
fn start_limited(descriptors: u64) -> Server {
    let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_maintd"), "serve"]);
    command.args(["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]);
    Server::start_command(command, 2)
}

/// A connection from the loopback address of this number.
fn try_tcp_from(number: usize, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let host = u8::try_from(number % SOURCES).unwrap() + 1;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
    socket.connect_timeout(&address.into(), IO_TIMEOUT)?;
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(IO_TIMEOUT))?;
    socket.set_write_timeout(Some(IO_TIMEOUT))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// As [`try_tcp_from`]; it must succeed.
fn tcp_from(number: usize, address: SocketAddr) -> TcpStream {
    try_tcp_from(number, address).unwrap()
}

/// Settings for many TLS connections, each with a handshake of its own.
fn tls_settings(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let tls = Tls {
        versions: versions.to_vec(),
        ..Tls::default()
    };
    let mut config = Arc::unwrap_or_clone(tls.config().unwrap());
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn tls_session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// A TLS connection; the handshake takes place with the first write.
fn tls_from(
    number: usize,
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    StreamOwned::new(tls_session(config), tcp_from(number, address))
}

/// One request on a connection of its own, answered in full.
#[track_caller]
fn assert_answers(server: &Server, port: Port) {
    let mut client = connect(server, port);
    client.send(GET_AND_CLOSE);
    assert_eq!(client.last_answer().status, 503, "{port:?}");
}

/// Whether the server has closed a connection without a pending answer.
fn is_closed(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false).unwrap();
    match peeked {
        Ok(0) => true,
        Ok(_) => panic!("unexpected bytes"),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// The CPU time of an idle worker, in percent of one processor.
fn idle_percent(server: &Server) -> u64 {
    let before = limits::cpu_ticks(server.worker());
    thread::sleep(Duration::from_secs(1));
    let ticks = limits::cpu_ticks(server.worker()) - before;
    ticks * 100 / limits::ticks_a_second()
}

/// Connections that have been answered and are kept alive.
struct Crowd<S> {
    open: Box<dyn Fn(usize) -> S>,
    opened: usize,
    answer: Vec<u8>,
    /// With the time of their last answer, which is also their order.
    held: VecDeque<(S, Instant)>,
}

impl<S: Read + Write> Crowd<S> {
    /// Without connections; `open` makes the connection of a number.
    fn new(open: impl Fn(usize) -> S + 'static) -> Self {
        let mut first = open(0);
        first.write_all(GET_AND_CLOSE.as_bytes()).unwrap();
        let mut answer = Vec::new();
        first.read_to_end(&mut answer).unwrap();
        // The answer on kept connections is the same but for this line.
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let answer = answer.replace("Connection: close\r\n", "").into_bytes();
        Self {
            open: Box::new(open),
            opened: 0,
            answer,
            held: VecDeque::new(),
        }
    }

    /// Lets in `count` more, each of which is answered once, and keeps the others from being idle
    /// for too long.
    fn grow(&mut self, count: usize) {
        let target = self.held.len() + count;
        while self.held.len() < target {
            let size = 100.min(target - self.held.len());
            let batch = (self.opened..self.opened + size).map(|number| (self.open)(number));
            let batch = batch.collect();
            self.opened += size;
            self.ask(batch);
            self.refresh();
        }
    }

    /// Sends a request on the connections that have been idle for long.
    fn refresh(&mut self) {
        while let Some((_, last)) = self.held.front()
            && last.elapsed() > FRESH
        {
            let size = 100.min(self.held.len());
            let batch = self.held.drain(..size).map(|(client, _)| client).collect();
            self.ask(batch);
        }
    }

    /// Sends a request on every connection: none has been closed.
    fn assert_all_held(&mut self) {
        for _ in 0..self.held.len().div_ceil(100) {
            let size = 100.min(self.held.len());
            let batch = self.held.drain(..size).map(|(client, _)| client).collect();
            self.ask(batch);
        }
    }

    /// One request each, and one answer each, which must be the same for all.
    fn ask(&mut self, mut batch: Vec<S>) {
        for client in &mut batch {
            client.write_all(GET.as_bytes()).unwrap();
            client.flush().unwrap();
        }
        let mut answer = vec![0; self.answer.len()];
        for mut client in batch {
            client.read_exact(&mut answer).unwrap();
            assert!(answer == self.answer, "{}", answer.escape_ascii());
            self.held.push_back((client, Instant::now()));
        }
    }
}
