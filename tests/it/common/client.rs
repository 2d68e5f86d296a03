//! A raw HTTP client over TCP, a Unix socket or TLS. It sends exactly the bytes that it is given,
//! parses answers strictly, and distinguishes a clean end of a connection from a reset.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use super::{Port, Server};

/// The read timeout of a client. Shorter than the server's keep-alive timeout (10 s):
/// a connection that should be closed at once and is only closed as idle fails its test.
const IO_TIMEOUT: Duration = Duration::from_secs(9);

/// One answer as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// E.g. `HTTP/1.1`.
    pub(crate) version: String,
    /// What follows the status code.
    pub(crate) reason: String,
    /// Field names as sent, values without the blanks around them.
    pub(crate) headers: Vec<(String, String)>,
    /// As long as Content-Length says; empty for HEAD.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field that occurs once at most.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        assert!(values.next().is_none(), "{name} twice in {self:#?}");
        Some(value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the answer has `Connection: close`.
    pub(crate) fn says_close(&self) -> bool {
        self.header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, Pieces>>),
}

/// A socket that takes at most `size` bytes a write.
pub(crate) struct Pieces {
    socket: TcpStream,
    size: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.size)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.size == usize::MAX {
            return self.socket.write_vectored(slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.write(first.map_or(&[], |slice| slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// One connection to the server.
pub(crate) struct Client {
    stream: Stream,
    /// Read from the connection, not yet taken as an answer.
    unread: Vec<u8>,
}

/// Opens a connection to a listener of `server`; over TLS, any certificate is accepted.
pub(crate) fn connect(server: &Server, port: Port) -> Client {
    match port {
        Port::Plaintext => Client::tcp(server.http),
        Port::Tls => Client::tls(server.https, Tls::default()),
    }
}

impl Client {
    /// Plaintext, to this address.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self::over(Stream::Tcp(tcp(address)))
    }

    /// Plaintext, to a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(IO_TIMEOUT)).unwrap();
        socket.set_write_timeout(Some(IO_TIMEOUT)).unwrap();
        Self::over(Stream::Unix(socket))
    }

    /// Over TLS; the handshake must succeed.
    pub(crate) fn tls(address: SocketAddr, tls: Tls) -> Self {
        Self::try_tls(address, tls).unwrap()
    }

    /// Over TLS, as one of several connections with the same settings: a ticket of one resumes the next.
    pub(crate) fn tls_again(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self::shake_hands(address, session, usize::MAX).unwrap()
    }

    /// Over TLS; the error is that of the handshake.
    pub(crate) fn try_tls(address: SocketAddr, tls: Tls) -> Result<Self, rustls::Error> {
        let size = tls.piece;
        Self::shake_hands(address, tls.session()?, size)
    }

    fn shake_hands(
        address: SocketAddr,
        mut session: ClientConnection,
        size: usize,
    ) -> Result<Self, rustls::Error> {
        let mut socket = Pieces {
            socket: tcp(address),
            size,
        };
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(&mut socket) {
                return Err(tls_error(error));
            }
        }
        let stream = StreamOwned::new(session, socket);
        Ok(Self::over(Stream::Tls(Box::new(stream))))
    }

    fn over(stream: Stream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The TLS session; `None` without TLS.
    pub(crate) fn session(&self) -> Option<&ClientConnection> {
        match &self.stream {
            Stream::Tcp(_) | Stream::Unix(_) => None,
            Stream::Tls(tls) => Some(&tls.conn),
        }
    }

    /// Sends these bytes, all of them. A reset by the server is a failure.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends these bytes, or returns the error.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream: &mut dyn Write = match &mut self.stream {
            Stream::Tcp(socket) => socket,
            Stream::Unix(socket) => socket,
            Stream::Tls(tls) => tls,
        };
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends these bytes and the half-close together. Over TLS, `close_notify` leaves with them: in
    /// a segment of its own it might come after the server's full close, and be reset for it.
    pub(crate) fn send_last(&mut self, bytes: impl AsRef<[u8]>) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.writer().write_all(bytes.as_ref()).unwrap();
        } else {
            self.send(bytes);
        }
        self.half_close();
    }

    /// Says that nothing more is sent: `close_notify` over TLS, then FIN.
    pub(crate) fn half_close(&mut self) {
        match &mut self.stream {
            Stream::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Stream::Unix(socket) => socket.shutdown(Shutdown::Write),
            Stream::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush().unwrap();
                tls.sock.socket.shutdown(Shutdown::Write)
            }
        }
        .unwrap();
    }

    /// Reads the answer to a request that is not HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        let (mut answer, length) = self.head();
        while self.unread.len() < length {
            assert!(self.read_more(), "the connection ended inside a body");
        }
        answer.body = self.unread.drain(..length).collect();
        answer
    }

    /// Reads the answer to HEAD: a head alone, whatever its Content-Length.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.head().0
    }

    /// Everything up to the end of the connection, which must be a clean one: FIN, over TLS after
    /// `close_notify` (RFC 8446 6.1: without it, a truncation looks like the end).
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.unread)
    }

    /// The server has closed the connection cleanly and has sent nothing more before.
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(
            rest.is_empty(),
            "bytes after the last answer: {}",
            rest.escape_ascii()
        );
    }

    /// Reads one answer after a request that is not HEAD, then the clean end.
    pub(crate) fn last_answer(&mut self) -> Answer {
        let answer = self.answer();
        self.assert_closed();
        answer
    }

    /// Reads once; false at a clean end. Panics at a reset, at silence and at a truncated session.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = loop {
            let read = match &mut self.stream {
                Stream::Tcp(socket) => socket.read(&mut buffer),
                Stream::Unix(socket) => socket.read(&mut buffer),
                Stream::Tls(tls) => match tls.read(&mut buffer) {
                    // After close_notify the TCP connection has to end too, and cleanly.
                    Ok(0) => tls.sock.read(&mut buffer).inspect(|&bytes| {
                        assert_eq!(bytes, 0, "bytes after close_notify");
                    }),
                    read => read,
                },
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                read > 0
            }
            Err(error) => panic!(
                "{} instead of more bytes or a clean end; read before: {}",
                error,
                self.unread.escape_ascii()
            ),
        }
    }

    /// Reads a head and returns it with its Content-Length.
    fn head(&mut self) -> (Answer, usize) {
        let end = loop {
            let found = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                break at + 4;
            }
            assert!(
                self.read_more(),
                "the connection ended where an answer was due, after {:?}",
                self.unread.escape_ascii().to_string()
            );
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let answer = parse_head(std::str::from_utf8(&head).unwrap());
        // RFC 9112 6.3: every answer but these has a length here, and never chunked.
        assert_eq!(answer.header("Transfer-Encoding"), None, "{answer:#?}");
        let length = match answer.header("Content-Length") {
            Some(length) => length.parse().unwrap(),
            None => {
                assert!(
                    answer.status == 204 || answer.status < 200,
                    "no Content-Length: {answer:#?}"
                );
                0
            }
        };
        (answer, length)
    }
}

/// Strict: CRLF everywhere, no blank before a colon, no folding.
pub(crate) fn parse_head(head: &str) -> Answer {
    let mut lines = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    let status_line = lines.next().unwrap();
    let mut words = status_line.splitn(3, ' ');
    let (version, status, reason) = (words.next(), words.next(), words.next());
    let status = status.filter(|status| status.len() == 3);
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            assert!(!name.is_empty() && name.bytes().all(token), "{line:?}");
            assert!(!value.contains(['\r', '\n', '\0']), "{line:?}");
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        })
        .collect();
    Answer {
        status: status
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("status line {status_line:?}")),
        version: version.unwrap_or_default().to_owned(),
        reason: reason.unwrap_or_default().to_owned(),
        headers,
        body: Vec::new(),
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, IO_TIMEOUT).unwrap();
    socket.set_read_timeout(Some(IO_TIMEOUT)).unwrap();
    socket.set_write_timeout(Some(IO_TIMEOUT)).unwrap();
    // Every write is a segment of its own, as the tests of split requests need it.
    socket.set_nodelay(true).unwrap();
    socket
}

fn tls_error(error: io::Error) -> rustls::Error {
    let text = error.to_string();
    match error.into_inner().map(|inner| inner.downcast()) {
        Some(Ok(tls)) => *tls,
        Some(Err(_)) | None => rustls::Error::General(text),
    }
}

/// How a TLS client introduces itself.
pub(crate) struct Tls {
    /// The name that is sent as SNI; an IP address sends none.
    pub(crate) name: String,
    /// What is offered as ALPN; nothing sends no ALPN extension.
    pub(crate) alpn: Vec<Vec<u8>>,
    /// TLS 1.2, 1.3 or both.
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// At most so many bytes leave in one TCP segment.
    pub(crate) piece: usize,
    /// At most so many bytes leave in one TLS record (32 at least).
    pub(crate) record: Option<usize>,
    /// The signatures that it can verify; none means all that the provider knows.
    pub(crate) schemes: Vec<SignatureScheme>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            alpn: Vec::new(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            piece: usize::MAX,
            record: None,
            schemes: Vec::new(),
        }
    }
}

impl Tls {
    fn session(self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(self.config()?, ServerName::try_from(self.name).unwrap())
    }

    /// The settings alone, for tests that drive sessions over sockets of their own.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let provider = Arc::new(provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate {
                provider,
                schemes: self.schemes.clone(),
            }))
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.alpn);
        config.max_fragment_size = self.record;
        Ok(Arc::new(config))
    }
}

/// The provider that the crate itself was built with.
pub(crate) fn provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    return crypto::ring::default_provider();
}

/// Accepts every certificate, but not a forged handshake signature.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        if self.schemes.is_empty() {
            self.provider
                .signature_verification_algorithms
                .supported_schemes()
        } else {
            self.schemes.clone()
        }
    }
}
