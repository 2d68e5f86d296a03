//! What is answered: every row of the table, on the plaintext port and on the TLS port, by raw bytes.

mod bodies;
mod chunked;
mod closing;
mod contract;
mod limits;
mod listeners;
mod malformed;
mod requests;
mod sequences;
mod splits;
mod tls;
mod versions;

use std::fs;

use crate::common::client::connect;
use crate::common::{Answer, Client, Port, Server};
use tempfile::TempDir;

/// The page of most tests; not ASCII alone, so that a length in characters is found out.
const PAGE: &str = "<!doctype html>\n<title>Zurück um drei</title>\n<p>Wir bauen um. Ω\n";

/// The plainest request.
const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";

/// A request that an attacker hopes to see answered although it is inside another one's bytes.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: example.org\r\n\r\n";

/// Makes two tests of each row (a function of a `&Site`): `plaintext::row` and `tls::row`.
/// A row that is not listed is dead code, which the lints find.
macro_rules! on_both_ports {
    ($($row:ident),* $(,)?) => {
        mod plaintext {
            $(#[test]
            fn $row() {
                super::$row(&crate::answers::Site::new(crate::common::Port::Plaintext));
            })*
        }
        mod tls {
            $(#[test]
            fn $row() {
                super::$row(&crate::answers::Site::new(crate::common::Port::Tls));
            })*
        }
    };
}
use on_both_ports;

/// A server with a known page, and the one of its two ports that a test is about.
struct Site {
    server: Server,
    port: Port,
    _page: TempDir,
}

impl Site {
    fn new(port: Port) -> Self {
        Self::with_page(port, PAGE.as_bytes())
    }

    fn with_page(port: Port, page: &[u8]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("page.html");
        fs::write(&path, page).unwrap();
        Self {
            server: Server::start(&["--page", path.to_str().unwrap()]),
            port,
            _page: directory,
        }
    }

    /// A new connection to the port.
    fn client(&self) -> Client {
        connect(&self.server, self.port)
    }

    /// `request` gets the page, and the connection then serves another request.
    fn keeps(&self, request: impl AsRef<[u8]>) -> Answer {
        let shown = shorten(request.as_ref());
        let mut client = self.client();
        client.send(request);
        let answer = client.answer();
        assert_page(&answer, &shown);
        assert!(!answer.says_close(), "{shown}: {answer:#?}");
        assert_kept(&mut client);
        answer
    }

    /// `request` gets the page with `Connection: close`, and the connection closes: a second
    /// request in the same write is not answered.
    fn closes(&self, request: impl AsRef<[u8]>) -> Answer {
        let shown = shorten(request.as_ref());
        let mut client = self.client();
        client.send([request.as_ref(), SMUGGLED.as_bytes()].concat());
        let answer = client.answer();
        assert_page(&answer, &shown);
        assert!(answer.says_close(), "{shown}: {answer:#?}");
        client.assert_closed();
        answer
    }

    /// `request` gets the page, and the connection is closed without a second answer. Whether
    /// the answer says so is left open: it may have been sent before the error arrived.
    fn closes_later(&self, request: impl AsRef<[u8]>) {
        let shown = shorten(request.as_ref());
        let mut client = self.client();
        client.send([request.as_ref(), SMUGGLED.as_bytes()].concat());
        assert_page(&client.last_answer(), &shown);
    }

    /// `request` is refused with this status, and a second request in the same write is not
    /// answered (RFC 9112 11.2: request smuggling).
    fn refuses(&self, status: u16, request: impl AsRef<[u8]>) -> Answer {
        self.refuses_with_one_of(&[status], request)
    }

    /// As `refuses`, where more than one status is right.
    fn refuses_with_one_of(&self, statuses: &[u16], request: impl AsRef<[u8]>) -> Answer {
        let shown = shorten(request.as_ref());
        let mut client = self.client();
        client.send([request.as_ref(), SMUGGLED.as_bytes()].concat());
        let answer = client.answer();
        assert!(statuses.contains(&answer.status), "{shown}: {answer:#?}");
        assert_refusal(&answer);
        client.assert_closed();
        answer
    }
}

/// The answer is the 503 with the whole page.
fn assert_page(answer: &Answer, request: &str) {
    assert_eq!(answer.status, 503, "{request}: {answer:#?}");
    assert_eq!(answer.text(), PAGE, "{request}: {answer:#?}");
}

/// The connection still serves a request, and nothing was sent in between.
fn assert_kept(client: &mut Client) {
    client.send(GET);
    assert_page(&client.answer(), "the next request");
}

/// What every refusal carries.
fn assert_refusal(answer: &Answer) {
    assert!(answer.says_close(), "{answer:#?}");
    let date = answer.header("Date").unwrap_or_default();
    assert!(httpdate::parse_http_date(date).is_ok(), "{answer:#?}");
    assert!(answer.header("Content-Length").is_some(), "{answer:#?}");
    assert!(!answer.reason.is_empty(), "{answer:#?}");
    assert_eq!(answer.version, "HTTP/1.1");
    assert_ne!(answer.text(), PAGE, "the page instead of a reason");
}

/// A request as a failure message shows it.
fn shorten(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}

/// `METHOD / HTTP/1.1` with a Host, these field lines (each with its line end) and no body.
fn request(method: &str, field_lines: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: example.org\r\n{field_lines}\r\n")
}
