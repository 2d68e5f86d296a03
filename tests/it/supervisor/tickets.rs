//! TLS tickets are valid for every worker, now and after a reload.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::common::client::Tls;
use crate::supervisor::{GET_AND_CLOSE, Site};

/// One request, and whether it came by a resumed session.
fn visit(site: &Site, settings: &Arc<ClientConfig>) -> HandshakeKind {
    use std::io::{Read as _, Write as _};
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(settings), name).unwrap();
    let socket = TcpStream::connect(site.server.https).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(GET_AND_CLOSE.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "));
    stream.conn.handshake_kind().unwrap()
}

#[test]
fn tickets_resume_across_workers_and_reloads() {
    for version in rustls::ALL_VERSIONS {
        let site = Site::start("page", &["--workers", "3"]);
        let settings = Tls {
            versions: vec![version],
            ..Tls::default()
        };
        let settings = settings.config().unwrap();
        assert_eq!(visit(&site, &settings), HandshakeKind::Full);
        for _ in 0..3 {
            // Enough that each of the workers has its turn, but for one time in a billion.
            for _ in 0..50 {
                assert_eq!(visit(&site, &settings), HandshakeKind::Resumed);
            }
            site.reload();
        }
    }
}
