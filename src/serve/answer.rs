//! What goes out: answers whose bytes are ready before the first request comes, and refusals, which are made when needed.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::http1::Refusal;
use super::page::Bodies;
use crate::config::names::SiteNumber;

/// What an answer says of its connection (RFC 9112 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, and as 1.1 has it nothing is said.
    Stays,
    /// It stays, and a 1.0 client must be told.
    KeepAlive,
    /// It is closed after this answer.
    Close,
}

impl Persistence {
    const ALL: [Self; 3] = [Self::Stays, Self::KeepAlive, Self::Close];

    const fn field_line(self) -> &'static str {
        match self {
            Self::Stays => "",
            Self::KeepAlive => "Connection: keep-alive\r\n",
            Self::Close => "Connection: close\r\n",
        }
    }
}

/// A body with which an answer is short: it leaves room for a head and for TLS in ten segments of 1,220 bytes.
const SHORT: usize = 11 * 1024;

/// One of the ready answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What it says of the connection.
    pub persistence: Persistence,
    /// Whether its body is sent: not to HEAD.
    pub with_body: bool,
    /// Whose answer it is.
    pub site: SiteNumber,
}

/// What a site answers, before that is made ready.
#[derive(Debug)]
pub struct Content<'a> {
    /// The page.
    pub page: &'a [u8],
    /// Its type.
    pub content_type: String,
    /// What Retry-After says.
    pub retry_after: Duration,
    /// Field lines of the administrator's, of which a Cache-Control takes the place of ours.
    pub fields: &'a [(String, String)],
}

impl Content<'_> {
    /// The head of the 503.
    fn head(&self, persistence: Persistence) -> Box<[u8]> {
        let own_cache_control = self
            .fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
        let cache_control = if own_cache_control {
            ""
        } else {
            "Cache-Control: no-store\r\n"
        };
        let fields: String = self
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "HTTP/1.1 503 Service Unavailable\r\n\
             Content-Type: {}\r\n\
             Content-Length: {}\r\n\
             {cache_control}\
             Retry-After: {}\r\n\
             {fields}{}\r\n",
            self.content_type,
            self.page.len(),
            self.retry_after.as_secs(),
            persistence.field_line(),
        );
        head.into_bytes().into_boxed_slice()
    }
}

/// The ready answers of all sites: heads rendered, bodies sealed.
#[derive(Debug)]
pub struct Answers {
    sites: Box<[Rendered]>,
    bodies: Bodies,
}

/// One site's answers.
#[derive(Debug)]
struct Rendered {
    heads: [Box<[u8]>; Persistence::ALL.len()],
    /// The number of its body; sites with the same page share that.
    body: usize,
    is_short: bool,
}

impl Answers {
    /// Renders the 503 for the page of one site.
    ///
    /// # Errors
    /// No memory for the page.
    pub fn new(page: &[u8], content_type: &str, retry_after: Duration) -> io::Result<Self> {
        Self::of_sites(&[Content {
            page,
            content_type: content_type.to_owned(),
            retry_after,
            fields: &[],
        }])
    }

    /// Renders the 503 of each site, of which there must be one at least.
    ///
    /// The bytes stay the same for as long as this lives: RFC 9110 6.6.1 lets a 5xx go without a Date.
    ///
    /// # Errors
    /// No memory for the pages.
    pub fn of_sites(contents: &[Content<'_>]) -> io::Result<Self> {
        let mut pages: Vec<&[u8]> = Vec::new();
        let mut sites = Vec::with_capacity(contents.len());
        for content in contents {
            let known = pages.iter().position(|page| *page == content.page);
            let body = known.unwrap_or(pages.len());
            if known.is_none() {
                pages.push(content.page);
            }
            sites.push(Rendered {
                heads: Persistence::ALL.map(|persistence| content.head(persistence)),
                body,
                is_short: content.page.len() <= SHORT,
            });
        }
        Ok(Self {
            sites: sites.into_boxed_slice(),
            bodies: Bodies::seal(&pages)?,
        })
    }

    /// An answer of this site fits into the first flight of a connection, so that all of it is sent before anything is
    /// acknowledged (RFC 6928: ten segments).
    #[must_use]
    pub fn is_short(&self, site: SiteNumber) -> bool {
        self.sites[usize::from(site)].is_short
    }

    /// The bytes of an answer: its head and its body.
    #[must_use]
    pub fn bytes(&self, ready: Ready) -> [&[u8]; 2] {
        let site = &self.sites[usize::from(ready.site)];
        let body = if ready.with_body {
            self.bodies.get(site.body)
        } else {
            &[]
        };
        [&site.heads[ready.persistence as usize], body]
    }
}

/// The type of a page by the ending of its file's name, where that tells it.
#[must_use]
pub fn media_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "html" | "htm" | "shtml" => Some("text/html"),
        "txt" => Some("text/plain"),
        "json" => Some("application/json"),
        "xhtml" => Some("application/xhtml+xml"),
        _ => None,
    }
}

/// A type with its encoding, where it has one: JSON is UTF-8 and names none (RFC 8259 11).
#[must_use]
pub fn content_type(media_type: &str, charset: &str) -> String {
    if media_type.contains("charset=")
        || !(media_type.starts_with("text/") || media_type.ends_with("xml"))
    {
        media_type.to_owned()
    } else {
        format!("{media_type}; charset={charset}")
    }
}

/// Renders a refusal. A refused HEAD gets no body either (RFC 9110 9.3.2).
#[must_use]
pub fn refusal(refusal: Refusal, with_body: bool, now: SystemTime) -> Vec<u8> {
    let (status, advice) = match refusal {
        Refusal::Malformed => (
            "400 Bad Request",
            "This is no request that HTTP/1.1 allows.",
        ),
        Refusal::ClearOnTls => (
            "400 Bad Request",
            "The plain HTTP request was sent to an HTTPS port. Use https:// in the address.",
        ),
        Refusal::RequestLineTooLong => ("414 URI Too Long", "The request line is over 8 KiB."),
        Refusal::HeadTooLarge => (
            "431 Request Header Fields Too Large",
            "The header fields are over 32 KiB, or more than 256. Cookies may be the cause.",
        ),
        Refusal::UnknownTransferCoding => (
            "501 Not Implemented",
            "The only transfer coding known here is chunked.",
        ),
        Refusal::UnknownVersion => (
            "505 HTTP Version Not Supported",
            "The only versions known here are HTTP/1.1 and HTTP/1.0.",
        ),
    };
    let body = format!("{status}\n\n{advice}\n");
    let mut text = format!(
        "HTTP/1.1 {status}\r\n\
         Date: {}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Cache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        httpdate::fmt_http_date(now),
        body.len(),
    );
    if with_body {
        // Writing to a string does not fail.
        let _ = text.write_str(&body);
    }
    text.into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn content<'a>(page: &'a [u8], fields: &'a [(String, String)]) -> Content<'a> {
        Content {
            page,
            content_type: "text/html".to_owned(),
            retry_after: Duration::from_secs(60),
            fields,
        }
    }

    #[test]
    fn a_ready_answer_is_the_head_of_its_body() {
        let answers = Answers::new(b"page", "text/html", Duration::from_secs(60)).unwrap();
        let [head, body] = answers.bytes(Ready {
            persistence: Persistence::Close,
            with_body: true,
            site: 0,
        });
        assert_eq!(
            String::from_utf8_lossy(head),
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\
             Cache-Control: no-store\r\nRetry-After: 60\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(body, b"page");
        let [same, none] = answers.bytes(Ready {
            persistence: Persistence::Close,
            with_body: false,
            site: 0,
        });
        assert_eq!((same, none), (head, b"".as_slice()));
    }

    #[test]
    fn each_persistence_has_its_head() {
        let answers = Answers::new(b"page", "text/html", Duration::from_secs(60)).unwrap();
        for (persistence, line) in [
            (Persistence::Stays, None),
            (Persistence::KeepAlive, Some("Connection: keep-alive")),
            (Persistence::Close, Some("Connection: close")),
        ] {
            let [head, _] = answers.bytes(Ready {
                persistence,
                with_body: true,
                site: 0,
            });
            let head = String::from_utf8_lossy(head).into_owned();
            assert_eq!(
                head.lines().find(|line| line.starts_with("Connection")),
                line
            );
        }
    }

    #[test]
    fn a_refusal_is_dated_and_closes() {
        let bytes = refusal(Refusal::HeadTooLarge, true, SystemTime::UNIX_EPOCH);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "));
        assert!(head.contains("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(head.ends_with("Connection: close"));
        let bare = refusal(Refusal::HeadTooLarge, false, SystemTime::UNIX_EPOCH);
        assert_eq!(String::from_utf8(bare).unwrap(), format!("{head}\r\n\r\n"));
    }

    #[test]
    fn the_ending_tells_the_type() {
        assert_eq!(media_type(Path::new("a/b.txt")), Some("text/plain"));
        assert_eq!(media_type(Path::new("b.json")), Some("application/json"));
        assert_eq!(media_type(Path::new("b.html")), Some("text/html"));
        assert_eq!(media_type(Path::new("page")), None);
        assert_eq!(
            content_type("text/html", "koi8-r"),
            "text/html; charset=koi8-r"
        );
        assert_eq!(
            content_type("text/html; charset=x", "utf-8"),
            "text/html; charset=x"
        );
        assert_eq!(
            content_type("application/json", "utf-8"),
            "application/json"
        );
    }

    #[test]
    fn fields_of_the_administrator_are_sent_too() {
        let fields = [("X-A", "b"), ("cache-control", "private")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answers = Answers::of_sites(&[content(b"page", &fields)]).unwrap();
        let [head, _] = answers.bytes(Ready {
            persistence: Persistence::Stays,
            with_body: true,
            site: 0,
        });
        let head = String::from_utf8_lossy(head);
        assert!(
            head.ends_with("Retry-After: 60\r\nX-A: b\r\ncache-control: private\r\n\r\n"),
            "{head}"
        );
        assert!(!head.contains("no-store"));
    }

    #[test]
    fn each_site_has_its_own_and_equal_pages_are_kept_once() {
        let fields = [("X-A".to_owned(), "b".to_owned())];
        let long = vec![b'x'; SHORT + 1];
        let contents = [
            content(b"page", &[]),
            content(&long, &[]),
            content(b"page", &fields),
        ];
        let answers = Answers::of_sites(&contents).unwrap();
        let of = |site| {
            answers.bytes(Ready {
                persistence: Persistence::Stays,
                with_body: true,
                site,
            })
        };
        assert_eq!(of(1)[1], long);
        assert_eq!(of(0)[1].as_ptr(), of(2)[1].as_ptr());
        assert!(of(2)[0].ends_with(b"X-A: b\r\n\r\n") && !of(0)[0].ends_with(b"X-A: b\r\n\r\n"));
        assert_eq!(
            [0, 1, 2].map(|site| answers.is_short(site)),
            [true, false, true]
        );
    }
}
