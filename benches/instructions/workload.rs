//! The workloads: connections over memory.

use std::hint::black_box;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use maintd::config::Config;
use maintd::serve::answer::Answers;
use maintd::serve::answer::page;
use maintd::serve::answer::select::Sites;
use maintd::serve::connection::{Connection, Next};
use maintd::serve::tls::{self, SharedTls};
use maintd::serve::transport::{Buffers, Plain, Socket, Tls, TlsStream};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ServerConfig, version};

use crate::trusting::Trusting;

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";
const KEEP: &[u8] = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
const BROWSER: &[u8] = b"GET /shop/cart?item=42 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.org/shop\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n";

/// A kind of connection or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// A connection with one small request.
    ClearNew,
    /// A connection with a browser's request.
    ClearBrowser,
    /// A request on a persistent connection.
    ClearKeep,
    /// A full TLS 1.3 handshake, P-256 and X25519, with one request and the close.
    TlsFull,
    /// A resumed TLS 1.3 handshake, with one request and the close.
    TlsResumed,
    /// A request on a persistent TLS connection.
    TlsKeep,
}

impl Workload {
    pub(crate) const ALL: [Self; 6] = [
        Self::ClearNew,
        Self::ClearBrowser,
        Self::ClearKeep,
        Self::TlsFull,
        Self::TlsResumed,
        Self::TlsKeep,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClearNew => "clear-new",
            Self::ClearBrowser => "clear-browser",
            Self::ClearKeep => "clear-keepalive",
            Self::TlsFull => "tls-full",
            Self::TlsResumed => "tls-resumed",
            Self::TlsKeep => "tls-keepalive",
        }
    }

    /// The repetitions for one number.
    pub(crate) const fn times(self) -> u32 {
        match self {
            Self::ClearNew | Self::ClearBrowser | Self::ClearKeep => 1000,
            Self::TlsFull | Self::TlsResumed => 50,
            Self::TlsKeep => 100,
        }
    }

    pub(crate) fn repeat(self, times: u32) -> io::Result<()> {
        let answers = Answers::new(
            page::EMBEDDED,
            "text/html; charset=utf-8",
            Duration::from_secs(300),
        )?;
        let sites = Sites::one(answers, u32::MAX);
        match self {
            Self::ClearNew => clear(CLOSE, times, false, &sites),
            Self::ClearBrowser => clear(BROWSER, times, false, &sites),
            Self::ClearKeep => clear(KEEP, times, true, &sites),
            Self::TlsFull => tls(times, false, false, sites),
            Self::TlsResumed => tls(times, true, false, sites),
            Self::TlsKeep => tls(times, false, true, sites),
        }
    }
}

/// A socket in memory.
#[derive(Default)]
struct Memory {
    input: Vec<u8>,
    /// The bytes of `input` that are read.
    read: usize,
    output: Vec<u8>,
}

impl Memory {
    fn put(&mut self, input: &[u8]) {
        self.input.clear();
        self.input.extend_from_slice(input);
        self.read = 0;
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input[self.read..].as_ref().read(buffer)?;
        self.read += length;
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(length)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        for slice in slices {
            self.output.extend_from_slice(slice);
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Memory {
    fn shutdown(&mut self) {}
}

/// One connection from accept until it is closed or waits.
#[inline(never)]
fn counted_connection(
    socket: &mut Memory,
    buffers: &mut Buffers,
    sites: &Sites,
    buffer: &mut [u8],
) -> Next {
    let mut connection = Connection::new(false);
    let mut io = Plain::new(socket, buffers, false);
    connection.advance(&mut io, sites, buffer, &mut ())
}

/// One turn of an open connection.
#[inline(never)]
fn counted_turn(
    connection: &mut Connection,
    socket: &mut Memory,
    buffers: &mut Buffers,
    sites: &Sites,
    buffer: &mut [u8],
) -> Next {
    let mut io = Plain::new(socket, buffers, false);
    connection.advance(&mut io, sites, buffer, &mut ())
}

/// It is a 503 whose body has the length of its Content-Length.
fn is_page(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let Some((head, body)) = end.map(|end| answer.split_at(end + 4)) else {
        return false;
    };
    let head = String::from_utf8_lossy(head);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    head.starts_with("HTTP/1.1 503 ") && !body.is_empty() && length == Some(&body.len().to_string())
}

fn clear(request: &[u8], times: u32, is_persistent: bool, sites: &Sites) -> io::Result<()> {
    let mut socket = Memory::default();
    socket.output.reserve(8192);
    let mut buffer = vec![0; Buffers::PLAINTEXT];
    let mut buffers = Buffers::default();
    let mut connection = Connection::new(false);
    for _ in 0..times {
        socket.put(request);
        socket.output.clear();
        black_box(if is_persistent {
            counted_turn(
                &mut connection,
                &mut socket,
                &mut buffers,
                sites,
                &mut buffer,
            )
        } else {
            counted_connection(&mut socket, &mut buffers, sites, &mut buffer)
        });
        if !is_page(&socket.output) {
            return Err(io::Error::other("no answer"));
        }
    }
    Ok(())
}

/// The server side of one TLS connection.
struct Server {
    socket: Memory,
    tls: Tls,
    connection: Connection,
}

/// What all server sides share.
struct Shared {
    buffers: Buffers,
    settings: Arc<ServerConfig>,
    sites: Sites,
    buffer: Vec<u8>,
}

#[inline(never)]
fn counted_server() -> (Tls, Connection) {
    (Tls::default(), Connection::new(true))
}

#[inline(never)]
fn counted_tls_turn(server: &mut Server, shared: &mut Shared) -> Next {
    let mut io = TlsStream::new(
        &mut server.socket,
        &mut server.tls,
        &mut shared.buffers,
        &shared.settings,
        false,
    );
    server
        .connection
        .advance(&mut io, &shared.sites, &mut shared.buffer, &mut ())
}

#[inline(never)]
fn counted_drop(server: Server) {
    drop(server);
}

/// Passes bytes between client and server until neither has more to send.
fn exchange(
    client: &mut ClientConnection,
    server: &mut Server,
    shared: &mut Shared,
) -> io::Result<()> {
    loop {
        server.socket.read = 0;
        server.socket.input.clear();
        while client.wants_write() {
            client.write_tls(&mut server.socket.input)?;
        }
        if server.socket.input.is_empty() {
            return Ok(());
        }
        while counted_tls_turn(server, shared) == Next::Requeue {}
        let output = std::mem::take(&mut server.socket.output);
        let mut output = output.as_slice();
        while !output.is_empty() {
            client.read_tls(&mut output)?;
            client.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

/// Takes the answer, which must be complete.
fn take_answer(client: &mut ClientConnection) -> io::Result<()> {
    let mut answer = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        match client.reader().read(&mut answer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    if is_page(&answer[..length]) {
        Ok(())
    } else {
        Err(io::Error::other("no answer"))
    }
}

fn tls(times: u32, resumed: bool, is_persistent: bool, sites: Sites) -> io::Result<()> {
    let failed = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let shared_tls = SharedTls::new().map_err(|error| failed(&error))?;
    let config = Config::default();
    let all =
        tls::settings(&config, &config.endpoints, &shared_tls).map_err(|error| failed(&error))?;
    let settings = all.into_iter().flatten().next();
    let settings = settings.ok_or_else(|| failed(&"no TLS endpoint"))?;
    let client_settings = Arc::new(client_settings(&settings, resumed)?);
    let mut shared = Shared {
        buffers: Buffers::default(),
        settings,
        sites,
        buffer: vec![0; Buffers::PLAINTEXT],
    };
    let request = if is_persistent { KEEP } else { CLOSE };
    let mut kept = None;
    for number in 0..=times {
        let (mut client, mut server) = match kept.take() {
            Some(both) => both,
            None => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let client = ClientConnection::new(Arc::clone(&client_settings), name);
                let (tls, connection) = counted_server();
                let server = Server {
                    socket: Memory::default(),
                    tls,
                    connection,
                };
                (client.map_err(io::Error::other)?, server)
            }
        };
        client.writer().write_all(request)?;
        exchange(&mut client, &mut server, &mut shared)?;
        take_answer(&mut client)?;
        let expected = if resumed && number > 0 {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        if client.handshake_kind() != Some(expected) {
            return Err(io::Error::other("the wrong kind of handshake"));
        }
        if is_persistent {
            kept = Some((client, server));
        } else {
            counted_drop(server);
        }
    }
    Ok(())
}

fn client_settings(server: &ServerConfig, resumed: bool) -> io::Result<ClientConfig> {
    let mut provider = CryptoProvider::clone(server.crypto_provider());
    provider
        .kx_groups
        .retain(|group| group.name() == NamedGroup::X25519);
    let schemes = provider
        .signature_verification_algorithms
        .supported_schemes();
    let mut settings = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes)))
        .with_no_client_auth();
    if !resumed {
        settings.resumption = Resumption::disabled();
    }
    Ok(settings)
}
