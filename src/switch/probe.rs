//! Probes servers: the status that the responder answers with, and whether the live site accepts connections.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::error::reason;
use crate::tls_provider;

/// Time limit to accept, and again to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Time limit to accept for one of many servers: a lost first packet is sent again after 1 s.
const LIMIT_OF_MANY: Duration = Duration::from_secs(2);
/// Servers that are probed at once; a process may have few more files open (512 on OpenBSD).
const AT_ONCE: usize = 256;
/// The stack of a thread that only connects.
const STACK: usize = 128 * 1024;
/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// Connects to a server.
///
/// # Errors
/// It does not accept.
pub(crate) fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&server, LIMIT)
}

/// The servers that accept connections, in the same order.
///
/// Packets to any number of them may be dropped, and `on` is urgent: the time limit is short, and servers are probed in
/// parallel.
pub(crate) fn accepting(servers: &[SocketAddr]) -> Vec<SocketAddr> {
    let next = AtomicUsize::new(0);
    let probe = || {
        let mut accepting = Vec::new();
        while let Some(server) = servers.get(next.fetch_add(1, Ordering::Relaxed)) {
            if TcpStream::connect_timeout(server, LIMIT_OF_MANY).is_ok() {
                accepting.push(*server);
            }
        }
        accepting
    };
    let found: HashSet<SocketAddr> = thread::scope(|scope| {
        let start = || thread::Builder::new().stack_size(STACK);
        let threads: Vec<_> = (1..servers.len().min(AT_ONCE))
            .map_while(|_| start().spawn_scoped(scope, probe).ok())
            .collect();
        // This thread probes too, also if no other can be started.
        let own = probe();
        let found = threads.into_iter().flat_map(ScopedJoinHandle::join);
        found.flatten().chain(own).collect()
    });
    let accepts = |server: &&SocketAddr| found.contains(server);
    servers.iter().filter(accepts).copied().collect()
}

/// A stream with one time limit for all reads and writes together, against a server that sends byte by byte.
struct Limited {
    stream: TcpStream,
    end: Instant,
}

impl Limited {
    /// The time that is left.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.end.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            Some(_) | None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Requests `/` and returns the status of the answer.
///
/// # Errors
/// It does not accept, or does not answer with HTTP.
pub(crate) fn status(server: SocketAddr, secure: bool) -> io::Result<u16> {
    let mut stream = Limited {
        stream: connect(server)?,
        end: Instant::now() + LIMIT,
    };
    let request = format!(
        "HEAD / HTTP/1.1\r\nHost: {}\r\nUser-Agent: maintd/{}\r\nConnection: close\r\n\r\n",
        server,
        env!("CARGO_PKG_VERSION")
    );
    if secure {
        let mut session = session(server.ip())?;
        exchange(
            &mut rustls::Stream::new(&mut session, &mut stream),
            &request,
        )
    } else {
        exchange(&mut stream, &request)
    }
}

/// A server on this host listens on the loopback address alone.
pub(crate) fn is_on_loopback(server: SocketAddr) -> bool {
    let loopback: IpAddr = match server.ip() {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    !server.ip().is_loopback() && connect(SocketAddr::new(loopback, server.port())).is_ok()
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    let mut end = Ok(());
    while answer.len() < MAX_ANSWER && status_of(&answer).is_none() {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                end = Err(error);
                break;
            }
        }
    }
    match status_of(&answer) {
        Some(status) => Ok(status),
        None => end.and_then(|()| Err(io::Error::other("the answer is not HTTP"))),
    }
}

/// The status of a status line (RFC 9112 4).
fn status_of(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5).filter(|_| rest.get(1) == Some(&b' '))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn session(address: IpAddr) -> io::Result<ClientConnection> {
    let provider = Arc::new(tls_provider::provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NoVerification(provider)))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::from(address)).map_err(io::Error::other)
}

/// Accepts every certificate: the probe connects to an address of this host, not to a name. Signatures are not checked
/// either: their key is not trusted, and rustls cannot read it from a certificate of version 1.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The server did not answer in time. A read or write past its time limit returns `WouldBlock`.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// The cause of a failed probe, for messages.
pub(crate) fn cause(error: &io::Error) -> String {
    if is_timeout(error) {
        format!("no answer within {} s", LIMIT.as_secs())
    } else {
        reason(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::TcpListener;

    /// The result for a server that sends this answer.
    fn probed(answer: &'static str) -> io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).unwrap();
            assert!(head[..length].starts_with(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1:"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let status = status(server, false);
        served.join().unwrap();
        status
    }

    #[test]
    fn an_answer_has_a_status() {
        assert_eq!(
            probed("HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap(),
            503
        );
        assert_eq!(probed("HTTP/1.0 200 OK\r\n\r\n").unwrap(), 200);
        for odd in ["", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 abc\r\n", "HTTP/1."] {
            assert!(probed(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn accepting_servers_are_found_among_many() {
        // A bound port is not used by others, and refuses connections until it listens.
        let sockets: Vec<Socket> = (0..100)
            .map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap())
            .collect();
        let address = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap();
        for socket in &sockets {
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            socket.bind(&any.into()).unwrap();
        }
        for socket in sockets.iter().step_by(3) {
            socket.listen(1).unwrap();
        }
        let all: Vec<SocketAddr> = sockets.iter().map(address).collect();
        let expected: Vec<SocketAddr> = sockets.iter().step_by(3).map(address).collect();
        assert_eq!(accepting(&all), expected);
        assert_eq!(accepting(&[]), []);
    }

    /// Linux drops packets that would open more connections than a listener holds unaccepted.
    #[cfg(target_os = "linux")]
    #[test]
    fn servers_that_drop_packets_do_not_delay_others() {
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        silent.bind(&any.into()).unwrap();
        silent.listen(0).unwrap();
        let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
        let _held = TcpStream::connect(silent_address).unwrap();
        let listener = TcpListener::bind(any).unwrap();
        let server = listener.local_addr().unwrap();
        for count in [100, AT_ONCE] {
            let mut all = vec![silent_address; count];
            all.push(server);
            assert_eq!(accepting(&all), [server]);
        }
    }

    #[test]
    fn a_refused_connection_has_a_cause() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        drop(listener);
        let error = status(server, false).unwrap_err();
        assert_eq!(cause(&error), "connection refused");
    }

    /// rustls reads certificates of X.509 version 3 alone; other servers may have older ones.
    #[test]
    fn a_server_whose_certificate_cannot_be_read_has_a_status() {
        for version in rustls::ALL_VERSIONS {
            let key = rcgen::KeyPair::generate().unwrap();
            let provider = Arc::new(tls_provider::provider());
            let key = key.serialize_der().try_into().unwrap();
            let key = provider.key_provider.load_private_key(key).unwrap();
            let certificate = vec![b"\x30\x00".to_vec().into()];
            let certified = rustls::sign::CertifiedKey::new(certificate, key);
            let settings = rustls::ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
            let mut session = rustls::ServerConnection::new(Arc::new(settings)).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let server = listener.local_addr().unwrap();
            let served = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut stream = rustls::Stream::new(&mut session, &mut stream);
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
            });
            assert_eq!(status(server, true).unwrap(), 503, "{version:?}");
            served.join().unwrap();
        }
    }
}
