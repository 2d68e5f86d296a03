use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    RootCertStore, SignatureScheme, SupportedCipherSuite,
};

use crate::config::Config;
use crate::serve::answer::Answers;
use crate::serve::answer::select::Sites;
use crate::serve::connection::{CloseReason, Connection, Next};
use crate::serve::tls as tls_settings;
use crate::serve::tls::SharedTls;
use crate::serve::transport::tls::session::MAX_RECORD;
use crate::serve::transport::tls::*;
use trusting::Trusting;

#[path = "../../../../tests/it/common/trusting.rs"]
mod trusting;

const PAGE: &[u8] = &[b'x'; 100_000];
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A socket in memory.
struct MemorySocket {
    input: VecDeque<u8>,
    ended: bool,
    output: Vec<u8>,
    room: usize,
    shut: bool,
}

impl Read for MemorySocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for MemorySocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.shut);
        if self.room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let length = bytes.len().min(self.room);
        self.room -= length;
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for MemorySocket {
    fn shutdown(&mut self) {
        self.shut = true;
    }
}

/// The server side of one connection.
struct TestServer {
    socket: MemorySocket,
    tls: Tls,
    connection: Connection,
    buffers: Buffers,
    settings: Arc<ServerConfig>,
    sites: Sites,
}

impl TestServer {
    fn new() -> Self {
        let answers = Answers::new(PAGE, "text/html", Duration::from_secs(300)).unwrap();
        let config = Config::default();
        let shared = SharedTls::new().unwrap();
        let all = tls_settings::settings(&config, &config.endpoints, &shared).unwrap();
        Self {
            socket: MemorySocket {
                input: VecDeque::new(),
                ended: false,
                output: Vec::new(),
                room: usize::MAX,
                shut: false,
            },
            tls: Tls::default(),
            connection: Connection::new(true),
            buffers: Buffers::default(),
            settings: all.into_iter().flatten().next().unwrap(),
            sites: Sites::one(answers, 1000),
        }
    }

    fn advance(&mut self) -> Next {
        let mut buffer = vec![0; Buffers::PLAINTEXT];
        loop {
            let Self {
                socket,
                tls,
                connection,
                buffers,
                settings,
                sites,
            } = self;
            let mut io = TlsStream::new(socket, tls, buffers, settings, false);
            match connection.advance(&mut io, sites, &mut buffer, &mut ()) {
                Next::Requeue => {}
                next @ (Next::Read | Next::Write | Next::Close(_)) => return next,
            }
        }
    }

    /// Passes the client's bytes to the server, `piece` bytes at a time, and the server's to the client.
    fn exchange(&mut self, client: &mut TestClient, piece: usize) -> Next {
        let mut next = self.advance();
        loop {
            let mut sent = Vec::new();
            while client.tls.wants_write() {
                client.tls.write_tls(&mut sent).unwrap();
            }
            for piece in sent.chunks(piece) {
                self.socket.input.extend(piece);
                next = self.advance();
            }
            let output = std::mem::take(&mut self.socket.output);
            if output.is_empty() && sent.is_empty() {
                return next;
            }
            let mut output = output.as_slice();
            while !output.is_empty() {
                client.tls.read_tls(&mut output).unwrap();
                client.tls.process_new_packets().unwrap();
                // It ends by `WouldBlock` or a `close_notify`.
                let _ = client.tls.reader().read_to_end(&mut client.plaintext);
            }
        }
    }
}

/// A client, and the plaintext it has received.
struct TestClient {
    tls: ClientConnection,
    plaintext: Vec<u8>,
}

impl TestClient {
    fn send(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
    }

    fn received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plaintext)
    }
}

/// A client that accepts any certificate.
fn client(
    versions: &[&'static rustls::SupportedProtocolVersion],
    server: &TestServer,
) -> TestClient {
    let mut provider = rustls::crypto::CryptoProvider::clone(server.settings.crypto_provider());
    provider
        .cipher_suites
        .retain(|suite| format!("{suite:?}").contains("CHACHA20"));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap();
    let mut config = config
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Trusting(vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ])));
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    TestClient {
        tls,
        plaintext: Vec::new(),
    }
}

fn pages(plaintext: &[u8]) -> usize {
    let text = std::str::from_utf8(plaintext).unwrap();
    let answers: Vec<_> = text.split("HTTP/1.1 503").skip(1).collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_bytes().ends_with(PAGE)),
        "a page is incomplete"
    );
    answers.len()
}

#[test]
fn a_request_is_answered_however_its_records_are_split() {
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for piece in [1, 2, 7, 100, usize::MAX] {
            let mut server = TestServer::new();
            let mut client = client(versions, &server);
            for _ in 0..3 {
                client.send(GET);
                assert_eq!(server.exchange(&mut client, piece), Next::Read);
                assert_eq!(pages(&client.received()), 1);
            }
            assert!(server.tls.partial.is_empty() && server.tls.unsent.is_empty());
        }
    }
}

#[test]
fn a_blocked_answer_resumes_where_it_stopped() {
    for room in [1, 100, 5000, 16_385, 40_000] {
        let mut server = TestServer::new();
        let mut client = client(rustls::ALL_VERSIONS, &server);
        server.exchange(&mut client, usize::MAX);
        client.tls.set_buffer_limit(None);
        client.send(&GET.repeat(2));
        let mut plaintext = Vec::new();
        server.socket.room = room;
        while server.exchange(&mut client, usize::MAX) == Next::Write {
            assert!(
                server.tls.unsent.len() <= 2 * MAX_RECORD,
                "the ciphertext kept is bounded"
            );
            plaintext.extend(client.received());
            server.socket.room = room.max(1000);
        }
        plaintext.extend(client.received());
        assert_eq!(pages(&plaintext), 2);
    }
}

#[test]
fn a_close_begins_with_close_notify_and_waits_for_the_client() {
    let mut server = TestServer::new();
    let mut client = client(rustls::ALL_VERSIONS, &server);
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(server.exchange(&mut client, usize::MAX), Next::Read);
    assert_eq!(pages(&client.received()), 1);
    assert!(
        client
            .tls
            .reader()
            .read(&mut [0])
            .is_ok_and(|length| length == 0),
        "a close_notify"
    );
    assert!(server.socket.shut && matches!(server.tls.phase, TlsPhase::Closed));
    client.tls.send_close_notify();
    server.exchange(&mut client, usize::MAX);
    server.socket.ended = true;
    // The end of the stream has its own event.
    assert_eq!(server.advance(), Next::Close(CloseReason::Answered));
}

#[test]
fn a_client_that_closes_its_half_gets_its_answer() {
    let mut server = TestServer::new();
    let mut client = client(rustls::ALL_VERSIONS, &server);
    server.exchange(&mut client, usize::MAX);
    client.send(GET);
    client.tls.send_close_notify();
    assert_eq!(
        server.exchange(&mut client, usize::MAX),
        Next::Close(CloseReason::ClientClosed)
    );
    assert_eq!(pages(&client.received()), 1);
}

/// Completes the handshake, and returns these messages as records of the client, which rustls itself would not send.
fn records(server: &mut TestServer, messages: &[(ContentType, &[u8])]) -> Vec<Vec<u8>> {
    let mut client = client(&[&rustls::version::TLS13], server);
    server.exchange(&mut client, usize::MAX);
    let Some(SupportedCipherSuite::Tls13(suite)) = client.tls.negotiated_cipher_suite() else {
        unreachable!("the client offers only TLS 1.3");
    };
    let (first, ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) =
        client.tls.dangerous_extract_secrets().unwrap().tx
    else {
        unreachable!("the client offers only ChaCha20");
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    let mut record = |(number, (typ, payload)): (u64, &(ContentType, &[u8]))| {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage {
            typ: *typ,
            version: ProtocolVersion::TLSv1_2,
            payload,
        };
        encrypter.encrypt(message, number).unwrap().encode()
    };
    (first..).zip(messages).map(&mut record).collect()
}

/// rustls keeps offsets of the parts of a handshake message in our buffer, and would panic if they were gone.
#[test]
fn a_partial_handshake_message_after_a_request_is_kept() {
    let mut server = TestServer::new();
    let messages = [
        (ContentType::ApplicationData, GET),
        // A key update that requests none in return (RFC 8446 4.6.3), in two parts.
        (ContentType::Handshake, &[24, 0, 0]),
        (ContentType::Handshake, &[1, 0]),
    ];
    let records = records(&mut server, &messages);
    server.socket.input.extend(records[..2].concat());
    assert_eq!(server.advance(), Next::Read);
    assert!(server.socket.output.len() > PAGE.len());
    assert!(!server.tls.partial.is_empty());
    server.socket.input.extend(&records[2]);
    assert_eq!(server.advance(), Next::Read);
    assert!(server.tls.partial.is_empty());
}

/// A message that is never complete, in records of one byte each: without a limit they would all be kept.
#[test]
fn a_handshake_message_that_never_ends_is_rejected() {
    let mut server = TestServer::new();
    let mut messages = vec![(ContentType::Handshake, &[24, 0, 255, 255][..])];
    messages.extend([(ContentType::Handshake, &[0][..]); 5000]);
    let records = records(&mut server, &messages);
    for record in records {
        server.socket.input.extend(record);
        server.advance();
        assert!(server.tls.partial.len() <= MAX_PARTIAL);
    }
    assert!(server.socket.shut);
    server.socket.ended = true;
    assert_eq!(server.advance(), Next::Close(CloseReason::TlsFault));
}

#[test]
fn a_connection_can_expire_within_a_handshake_message() {
    let mut server = TestServer::new();
    let messages = [
        (ContentType::ApplicationData, GET),
        (ContentType::Handshake, &[24, 0, 0]),
    ];
    let records = records(&mut server, &messages);
    server.socket.input.extend(records.concat());
    assert_eq!(server.advance(), Next::Read);
    let TestServer {
        socket,
        tls,
        connection,
        buffers,
        settings,
        ..
    } = &mut server;
    let next = connection.expire(&mut TlsStream::new(socket, tls, buffers, settings, false));
    assert_eq!(next, Next::Close(CloseReason::KeepAliveTimeout));
}

/// A message that a client with the right keys can send.
fn any_message() -> impl Strategy<Value = (ContentType, Vec<u8>)> {
    let typ = prop::sample::select(vec![
        ContentType::ApplicationData,
        ContentType::ApplicationData,
        ContentType::Handshake,
        ContentType::Handshake,
        ContentType::Alert,
        ContentType::ChangeCipherSpec,
    ]);
    let payload = prop_oneof![
        Just(GET.to_vec()),
        Just(GET[..9].to_vec()),
        // A key update, complete, in parts and with one requested in return; a close_notify; a warning.
        Just(vec![24, 0, 0, 1, 0]),
        Just(vec![24, 0, 0, 1, 1]),
        Just(vec![24, 0, 0]),
        Just(vec![1, 0]),
        Just(vec![1, 90]),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    (typ, payload)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_records_cause_a_panic(
        messages in prop::collection::vec(any_message(), 1..8),
        damaged in any::<bool>(),
        piece in 1_usize..200,
    ) {
        let mut server = TestServer::new();
        let messages: Vec<_> = messages.iter().map(|(typ, payload)| (*typ, payload.as_slice())).collect();
        let mut input = records(&mut server, &messages).concat();
        if damaged {
            let middle = input.len() / 2;
            input[middle] ^= 1;
        }
        for piece in input.chunks(piece) {
            server.socket.input.extend(piece);
            if let Next::Close(_) = server.advance() {
                return Ok(());
            }
        }
        let TestServer { socket, tls, connection, buffers, settings, .. } = &mut server;
        connection.expire(&mut TlsStream::new(socket, tls, buffers, settings, false));
    }
}

#[test]
fn malformed_records_are_closed_without_a_reset() {
    for malformed in [
        &b"\x16\x03\x01\x00\x04\x01\x02\x03\x04"[..],
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x03\x01\xff\xff",
    ] {
        let mut server = TestServer::new();
        server.socket.input.extend(malformed);
        assert_eq!(server.advance(), Next::Read);
        assert!(server.socket.shut);
        server.socket.ended = true;
        assert_eq!(server.advance(), Next::Close(CloseReason::TlsFault));
    }
}

#[test]
fn no_session_is_made_of_less_than_a_record() {
    let mut server = TestServer::new();
    server.socket.input.extend(b"\x16\x03\x01\x02\x00\x01");
    assert_eq!(server.advance(), Next::Read);
    assert!(matches!(server.tls.phase, TlsPhase::FirstRecord));
    assert_eq!(server.tls.partial.capacity(), 6);
}
