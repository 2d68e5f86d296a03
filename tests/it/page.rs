//! The page: unaffected by changes to its file, complete at slow clients, and of the type of its file name.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::{Tls, connect};
use crate::common::{Answer, Port, Server};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: example.org\r\n\r\n";
const MIB: usize = 1024 * 1024;

/// The read timeout of a client; a failure limit only.
const IO_TIMEOUT: Duration = Duration::from_secs(9);

/// A page in a file of its own.
struct Page {
    directory: TempDir,
    bytes: Vec<u8>,
}

impl Page {
    fn new(bytes: Vec<u8>) -> Self {
        let page = Self {
            directory: TempDir::new().unwrap(),
            bytes,
        };
        fs::write(page.path(), &page.bytes).unwrap();
        page
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("page.html")
    }

    fn server(&self) -> Server {
        Server::start(&["--page", self.path().to_str().unwrap()])
    }

    /// Not `assert_eq`, which would print it all.
    #[track_caller]
    fn assert_is_body(&self, answer: &Answer) {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body.len(), self.bytes.len());
        let differs = (answer.body.iter().zip(&self.bytes)).position(|(one, other)| one != other);
        assert_eq!(differs, None, "the first byte that is another");
    }
}

/// Bytes without a pattern (xorshift64*), the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// While clients on both ports request the page, its file is changed in several ways, without effect on them. The page is
/// longer than a page of memory and than one write.
fn mistreat_under_load(steps: &[fn(&Page)]) {
    let page = Page::new(noise(256 * 1024));
    let mut server = page.server();
    let ended = AtomicBool::new(false);
    let answered: [AtomicUsize; 4] = Default::default();
    thread::scope(|scope| {
        let ports = [Port::Plaintext, Port::Tls, Port::Plaintext, Port::Tls];
        for (count, port) in answered.iter().zip(ports) {
            let (page, server, ended) = (&page, &server, &ended);
            scope.spawn(move || {
                // The others must not wait for a client that has failed.
                let _end = SetOnDrop(ended);
                let mut client = connect(server, port);
                for number in 1.. {
                    client.send(GET);
                    page.assert_is_body(&client.answer());
                    count.store(number, Ordering::SeqCst);
                    if number % 100 == 0 {
                        client = connect(server, port);
                    }
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        let _end = SetOnDrop(&ended);
        wait_for_answers(&answered, &ended);
        for step in steps {
            step(&page);
            wait_for_answers(&answered, &ended);
        }
    });
    assert!(server.is_running());
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Until every client has had five more answers.
fn wait_for_answers(answered: &[AtomicUsize], ended: &AtomicBool) {
    let limit = Instant::now() + Duration::from_secs(30);
    for count in answered {
        let before = count.load(Ordering::SeqCst);
        while count.load(Ordering::SeqCst) < before + 5 {
            assert!(!ended.load(Ordering::SeqCst), "a client has failed");
            assert!(Instant::now() < limit, "no answers");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn page_truncated_under_load() {
    mistreat_under_load(&[
        |page| {
            let file = File::options().write(true).open(page.path()).unwrap();
            file.set_len(0).unwrap();
        },
        // As `echo ... > page.html` has it: the same file, other bytes.
        |page| fs::write(page.path(), "half a pa").unwrap(),
        |page| fs::write(page.path(), vec![b'!'; 300 * 1024]).unwrap(),
    ]);
}

#[test]
fn page_deleted_under_load() {
    mistreat_under_load(&[
        |page| fs::remove_file(page.path()).unwrap(),
        |page| fs::create_dir(page.path()).unwrap(),
        |page| fs::remove_dir_all(page.directory.path()).unwrap(),
    ]);
}

#[test]
fn page_replaced_under_load() {
    mistreat_under_load(&[
        // As editors do it: another file, renamed.
        |page| {
            let other = page.directory.path().join("page.html~");
            fs::write(&other, "another page").unwrap();
            fs::rename(other, page.path()).unwrap();
        },
        |page| {
            let file = File::options().write(true).open(page.path()).unwrap();
            file.set_len(0).unwrap();
        },
    ]);
}

/// A client with a small window that reads little at once and pauses at times.
struct Dawdler<S> {
    stream: S,
    reads: usize,
}

impl<S: Read + Write> Dawdler<S> {
    fn new(stream: S) -> Self {
        Self { stream, reads: 0 }
    }

    /// Reads to the end of the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 7000];
        loop {
            let length = self.stream.read(&mut buffer).unwrap();
            if length == 0 {
                return all;
            }
            all.extend_from_slice(&buffer[..length]);
            self.reads += 1;
            if self.reads.is_multiple_of(100) {
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn narrow_socket(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    // Before connect(2), so that the window is small from the beginning.
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(IO_TIMEOUT)).unwrap();
    socket.set_write_timeout(Some(IO_TIMEOUT)).unwrap();
    socket
}

/// Sends `request`, all of it, and only then reads, slowly, until the server closes.
fn slow_exchange(server: &Server, port: Port, request: &[u8]) -> Answer {
    let socket = narrow_socket(server.address(port));
    let all = match port {
        Port::Plaintext => {
            let mut client = Dawdler::new(socket);
            client.stream.write_all(request).unwrap();
            client.rest()
        }
        Port::Tls => {
            let name = ServerName::try_from("localhost").unwrap();
            let session = ClientConnection::new(Tls::default().config().unwrap(), name).unwrap();
            let mut client = Dawdler::new(StreamOwned::new(session, socket));
            client.stream.write_all(request).unwrap();
            client.stream.flush().unwrap();
            // Without close_notify the end would be an error.
            client.rest()
        }
    };
    let split = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut answer = crate::common::client::parse_head(std::str::from_utf8(&all[..split]).unwrap());
    answer.body = all[split..].to_vec();
    let length = answer.header("Content-Length").unwrap();
    assert_eq!(length, answer.body.len().to_string());
    answer
}

#[track_caller]
fn assert_whole_at_a_slow_client(length: usize, port: Port) {
    let page = Page::new(noise(length));
    let server = page.server();
    let closing = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";
    page.assert_is_body(&slow_exchange(&server, port, closing.as_bytes()));

    let mut client = connect(&server, port);
    client.send(HEAD);
    let answer = client.answer_to_head();
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.header("Content-Length"),
        Some(&*length.to_string()),
        "{answer:#?}"
    );
    // No body came: what follows is an answer.
    client.send(GET);
    page.assert_is_body(&client.answer());
}

#[test]
fn page_of_1_byte_whole_at_a_slow_client_plaintext() {
    assert_whole_at_a_slow_client(1, Port::Plaintext);
}

#[test]
fn page_of_1_byte_whole_at_a_slow_client_tls() {
    assert_whole_at_a_slow_client(1, Port::Tls);
}

#[test]
fn page_of_10_mib_whole_at_a_slow_client_plaintext() {
    assert_whole_at_a_slow_client(10 * MIB, Port::Plaintext);
}

#[test]
fn page_of_10_mib_whole_at_a_slow_client_tls() {
    assert_whole_at_a_slow_client(10 * MIB, Port::Tls);
}

/// The server writes and the client writes, and neither reads: a deadlock, unless one stops. 2 MiB may
/// find room in the buffers of the system; 24 MiB do not.
#[track_caller]
fn assert_no_deadlock(port: Port) {
    let page = Page::new(noise(10 * MIB));
    let server = page.server();
    for length in [2 * MIB, 24 * MIB] {
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes();
        request.resize(request.len() + length, b'x');
        page.assert_is_body(&slow_exchange(&server, port, &request));
    }
}

#[test]
fn long_body_sent_before_reading_a_long_page_plaintext() {
    assert_no_deadlock(Port::Plaintext);
}

#[test]
fn long_body_sent_before_reading_a_long_page_tls() {
    assert_no_deadlock(Port::Tls);
}

/// The same with many requests instead of one: they are answered, all of them, in order.
#[test]
fn many_requests_sent_before_reading_long_pages() {
    let page = Page::new(noise(MIB));
    let server = page.server();
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(&server, port);
        client.send(GET.repeat(30));
        for _ in 0..30 {
            page.assert_is_body(&client.answer());
        }
    }
}

#[test]
fn content_type_by_the_ending_of_the_file() {
    let directory = TempDir::new().unwrap();
    for (name, content_type) in [
        ("page.html", "text/html; charset=utf-8"),
        ("page.htm", "text/html; charset=utf-8"),
        ("page", "text/html; charset=utf-8"),
        ("page.txt", "text/plain; charset=utf-8"),
        ("page.json", "application/json"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, name).unwrap();
        let server = Server::start(&["--page", path.to_str().unwrap()]);
        for port in [Port::Plaintext, Port::Tls] {
            let mut client = connect(&server, port);
            client.send(GET);
            let answer = client.answer();
            assert_eq!(answer.header("Content-Type"), Some(content_type), "{name}");
            assert_eq!(answer.text(), name);
        }
    }
}

/// Without an announcement its parts are left out, and the rest equals the file in www/.
#[test]
fn embedded_page_is_that_of_www() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/www/maintenance.html");
    let embedded = fs::read_to_string(source).unwrap();
    assert!(embedded.len() < 8 * 1024);
    let (start, rest) = embedded.split_once("{{^until}}").unwrap();
    let (shortly, rest) = rest.split_once("{{/until}}").unwrap();
    let (_, end) = rest.split_once("{{/message}}").unwrap();
    let server = Server::start(&[]);
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(&server, port);
        client.send(GET);
        let answer = client.answer();
        assert_eq!(answer.text(), format!("{start}{shortly}\n{end}"));
        let content_type = answer.header("Content-Type");
        assert_eq!(content_type, Some("text/html; charset=utf-8"));
    }
}
