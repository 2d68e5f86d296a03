//! nginx and maintd with the same file and the same requests: exactly the intended differences.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::common::certificates::p256;
use crate::common::client::Tls;
use crate::common::nginx::Nginx;
use crate::common::{Server, free_address, maintd, require_tool};
use tempfile::TempDir;

/// The recipe as it is known, with names, paths and ports filled in.
pub(crate) fn recipe(
    directory: &Path,
    plaintext: u16,
    secure: u16,
    certificate: &[&str; 4],
) -> String {
    let [_, chain, _, key] = certificate;
    format!(
        "server {{
    listen 127.0.0.1:{plaintext};
    listen 127.0.0.1:{secure} ssl;
    server_name example.org;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    root {};
    return 503;
    error_page 503 @maintenance;
    location @maintenance {{
        rewrite ^(.*)$ /maintenance.html break;
    }}
}}
",
        directory.display()
    )
}

/// How a request was answered: its status and whether another one was answered after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome(u16, Kept);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Stays,
    Closes,
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// Sends a request and, on the same connection, another one. A reset after the first answer is a close like any other
/// here: nginx may do so.
fn ask(mut stream: impl Read + Write, request: &[u8]) -> Outcome {
    stream.write_all(request).unwrap();
    let mut input = Vec::new();
    let mut more = |input: &mut Vec<u8>| {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap_or(0);
        input.extend_from_slice(&buffer[..length]);
        length > 0
    };
    let end = loop {
        match input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => assert!(more(&mut input), "no answer to {}", request.escape_ascii()),
        }
    };
    let head = String::from_utf8_lossy(&input[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let length: usize = if request.starts_with(b"HEAD") {
        0
    } else {
        length.parse().unwrap()
    };
    while input.len() < end + length {
        assert!(
            more(&mut input),
            "half an answer to {}",
            request.escape_ascii()
        );
    }
    let _ = stream.write_all(NEXT.as_bytes());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let kept = if rest.starts_with(b"HTTP/1.1 503") {
        Kept::Stays
    } else {
        Kept::Closes
    };
    Outcome(head[9..12].parse().unwrap(), kept)
}

fn ask_plaintext(address: SocketAddr, request: &[u8]) -> Outcome {
    let socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(9)))
        .unwrap();
    ask(socket, request)
}

fn ask_tls(address: SocketAddr, request: &[u8]) -> Outcome {
    let socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(9)))
        .unwrap();
    let config = Tls::default().config().unwrap();
    let session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    ask(rustls::StreamOwned::new(session, socket), request)
}

/// A request, the result with nginx, and the result with maintd.
struct Case {
    name: &'static str,
    request: Vec<u8>,
    nginx: Outcome,
    maintd: Outcome,
}

fn simple(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n").into_bytes()
}

/// Requests that both answer in the same way.
fn same() -> Vec<Case> {
    let long = |length: usize| "x".repeat(length);
    let with_body = [simple("GET /", "Content-Length: 5\r\n"), b"hello".to_vec()].concat();
    let kept = [
        ("GET", simple("GET /", "")),
        ("a path", simple("GET /a/b.html?c=d", "")),
        ("HEAD", simple("HEAD /", "")),
        ("absolute target", simple("GET http://example.org/", "")),
        (
            "another host",
            b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n".to_vec(),
        ),
        (
            "HTTP/1.0 kept",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        ),
        (
            "HTTP/1.2",
            b"GET / HTTP/1.2\r\nHost: example.org\r\n\r\n".to_vec(),
        ),
        (
            "LF alone",
            b"GET / HTTP/1.1\nHost: example.org\n\n".to_vec(),
        ),
        (
            "empty lines first",
            [b"\r\n\r\n".to_vec(), simple("GET /", "")].concat(),
        ),
        (
            "upgrade",
            simple("GET /", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ),
        ("GET with a body", with_body),
        ("URI of 7 KB", simple(&format!("GET /{}", long(7000)), "")),
    ];
    let closed = [
        (
            "Connection: close",
            503,
            simple("GET /", "Connection: close\r\n"),
        ),
        ("HTTP/1.0", 503, b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        (
            "HTTP/2.0",
            505,
            b"GET / HTTP/2.0\r\nHost: example.org\r\n\r\n".to_vec(),
        ),
        (
            "URI of 9 KB",
            414,
            simple(&format!("GET /{}", long(9000)), ""),
        ),
        ("no Host", 400, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("two Hosts", 400, simple("GET /", "Host: b\r\n")),
        (
            "TE and CL",
            400,
            simple(
                "POST /",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            ),
        ),
        (
            "two lengths",
            400,
            simple("POST /", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ),
        (
            "a wrong length",
            400,
            simple("POST /", "Content-Length: x\r\n"),
        ),
        (
            "gzip, chunked",
            501,
            simple("POST /", "Transfer-Encoding: gzip, chunked\r\n"),
        ),
        ("NUL", 400, simple("GET /", "X: a\0b\r\n")),
        ("no HTTP", 400, b"nonsense\r\n\r\n".to_vec()),
    ];
    let kept = kept.map(|(name, request)| (name, Outcome(503, Kept::Stays), request));
    let closed =
        closed.map(|(name, status, request)| (name, Outcome(status, Kept::Closes), request));
    let both = |(name, outcome, request)| Case {
        name,
        request,
        nginx: outcome,
        maintd: outcome,
    };
    kept.into_iter().chain(closed).map(both).collect()
}

/// The intended differences, and no other.
fn different() -> Vec<Case> {
    use Kept::{Closes, Stays};
    let page = Outcome(503, Stays);
    let many = format!("X: {}\r\n", "x".repeat(7000)).repeat(6);
    let long = format!("X: {}\r\n", "x".repeat(9000));
    let post = [simple("POST /", "Content-Length: 3\r\n"), b"x=1".to_vec()].concat();
    let expect = "Expect: 100-continue\r\nContent-Length: 0\r\n";
    [
        // nginx answers "method not allowed" with its own page.
        ("POST", Outcome(405, Stays), page, post),
        (
            "POST, empty",
            Outcome(405, Stays),
            page,
            simple("POST /", "Content-Length: 0\r\n"),
        ),
        ("PUT", Outcome(405, Stays), page, simple("PUT /", "")),
        ("DELETE", Outcome(405, Stays), page, simple("DELETE /", "")),
        ("PATCH", Outcome(405, Stays), page, simple("PATCH /", "")),
        (
            "OPTIONS",
            Outcome(405, Stays),
            page,
            simple("OPTIONS /", ""),
        ),
        (
            "PROPFIND",
            Outcome(405, Stays),
            page,
            simple("PROPFIND /", ""),
        ),
        ("FOO", Outcome(405, Stays), page, simple("FOO /", "")),
        ("TRACE", Outcome(405, Closes), page, simple("TRACE /", "")),
        (
            "CONNECT",
            Outcome(400, Closes),
            page,
            simple("CONNECT example.org:443", ""),
        ),
        (
            "OPTIONS *",
            Outcome(400, Closes),
            page,
            simple("OPTIONS *", ""),
        ),
        (
            "lower-case method",
            Outcome(400, Closes),
            page,
            simple("get /", ""),
        ),
        // The recipe's `^(.*)$` does not match a line feed.
        (
            "%0a in the URI",
            Outcome(404, Stays),
            page,
            simple("GET /a%0ab", ""),
        ),
        (
            "Expect",
            Outcome(405, Stays),
            Outcome(503, Closes),
            simple("PUT /", expect),
        ),
        (
            "a field of 9 KB",
            Outcome(400, Closes),
            page,
            simple("GET /", &long),
        ),
        (
            "fields of 42 KB",
            Outcome(400, Closes),
            Outcome(431, Closes),
            simple("GET /", &many),
        ),
    ]
    .map(|(name, nginx, maintd, request)| Case {
        name,
        request,
        nginx,
        maintd,
    })
    .into()
}

#[test]
fn the_same_file_gets_the_same_answers_except_for_intended_differences() {
    if !require_tool("nginx") {
        return;
    }
    let directory = TempDir::new().unwrap();
    // nginx's worker may be another user.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(
        directory.path().join("maintenance.html"),
        "<h1>Back soon</h1>",
    )
    .unwrap();
    let certificate = p256(&["example.org"]);
    let (plaintext, secure) = (free_address().port(), free_address().port());
    let file = directory.path().join("recipe.conf");
    fs::write(
        &file,
        recipe(directory.path(), plaintext, secure, &certificate.flags()),
    )
    .unwrap();
    let addresses = [plaintext, secure].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let cases: Vec<Case> = same().into_iter().chain(different()).collect();
    assert_eq!(cases.len(), 40);
    let ask_all = || -> Vec<[Outcome; 2]> {
        let ask_both = |request: &[u8]| {
            [
                ask_plaintext(addresses[0], request),
                ask_tls(addresses[1], request),
            ]
        };
        cases.iter().map(|case| ask_both(&case.request)).collect()
    };
    let nginx = Nginx::start(directory.path(), &file, addresses[0]);
    let by_nginx = ask_all();
    drop(nginx);
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(&file);
    let _server = Server::start_command(command, 2);
    let by_maintd = ask_all();

    let mut wrong = Vec::new();
    for (case, (by_nginx, by_maintd)) in cases.iter().zip(by_nginx.iter().zip(&by_maintd)) {
        for (server, outcome, expected) in [
            ("nginx", by_nginx, case.nginx),
            ("maintd", by_maintd, case.maintd),
        ] {
            if outcome != &[expected; 2] {
                wrong.push(format!(
                    "{}: {server} answered {outcome:?}, not {expected:?}",
                    case.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Server blocks with the page in different forms, each on its own port.
const PAGES: [(&str, &str); 21] = [
    // The location that returns 503 does not affect the page of another location.
    (
        "location / { root DIR/a; return 503; } error_page 503 @m; location @m { root DIR/b; rewrite ^(.*)$ /page.html break; }",
        "b/page",
    ),
    (
        "root DIR/a; location / { return 503; } error_page 503 @m; location @m { root DIR/b; rewrite ^(.*)$ /page.html break; }",
        "b/page",
    ),
    (
        "root DIR/a; location / { return 503; } error_page 503 @m; location @m { root DIR/b; rewrite ^ /page.html last; } location = /page.html { root DIR/a; }",
        "a/page",
    ),
    (
        "root DIR/a; location / { return 503; } error_page 503 @m; location @m { root DIR/b; try_files /page.html =503; } location = /page.html { }",
        "b/page",
    ),
    (
        "root DIR/a; location / { return 503; } error_page 503 @m; location @m { root DIR/b; try_files /none.html /page.html; } location = /page.html { }",
        "a/page",
    ),
    // Expressions.
    (
        r"root DIR/a; location / { return 503; } error_page 503 /page.html; location ~ \.html$ { root DIR/b; }",
        "b/page",
    ),
    (
        r"root DIR/a; location / { return 503; } error_page 503 /page.html; location ~* \.(HTML|css)$ { root DIR/b; }",
        "b/page",
    ),
    (
        r"root DIR/b; location / { return 503; } error_page 503 /page.html; location ~ \.HTML$ { root DIR/a; } location /pag { }",
        "b/page",
    ),
    (
        r"root DIR/a; location / { return 503; } error_page 503 /page.html; location ^~ /page { } location ~ \.html$ { root DIR/b; }",
        "a/page",
    ),
    (
        r"root DIR/a; location / { return 503; } error_page 503 /page.html; location = /page.html { } location ~ \.html$ { root DIR/b; }",
        "a/page",
    ),
    (
        r"location / { return 503; } error_page 503 /page.html; location ~ ^/p { root DIR/a; } location ~ l$ { root DIR/b; }",
        "a/page",
    ),
    (
        r"root DIR/a; location / { return 503; } error_page 503 /page.html; location ~\.html$ { root DIR/b; }",
        "b/page",
    ),
    // Captures.
    (
        "location / { return 503; } error_page 503 /err/page.html; location ~ ^/err/(.*)$ { alias DIR/b/$1; }",
        "b/page",
    ),
    (
        r"location / { return 503; } error_page 503 /b/page.html; location ~ ^/(?<folder>\w+)/(.*)$ { alias DIR/${folder}/$2$3; }",
        "b/page",
    ),
    (
        "location / { return 503; } error_page 503 /a/index.html; location ~ ^/a/(none)?index { root DIR/b$1; }",
        "b/a/index",
    ),
    // Directories.
    (
        "root DIR; location / { return 503; } error_page 503 /a/; location /a/ { }",
        "a/index",
    ),
    (
        "root DIR; index none.html page.html index.html; location / { return 503; } error_page 503 /a/; location /a/ { }",
        "a/page",
    ),
    (
        "root DIR; index index.html; location / { return 503; } error_page 503 /a/; location /a/ { index page.html; }",
        "a/page",
    ),
    (
        r"root DIR; location / { return 503; } error_page 503 /a/; location /a/ { } location ~ index { root DIR/b; }",
        "b/a/index",
    ),
    (
        "root DIR; location / { return 503; } error_page 503 /x/; location /x/ { alias DIR/b/; index page.html; }",
        "b/page",
    ),
    (
        "root DIR; location / { return 503; } error_page 503 @m; location @m { try_files /none /b/; } location /b/ { index /a/page.html; } location /a/ { }",
        "a/page",
    ),
];

/// The answers of nginx and maintd to the same request by the same file, which has a server for each form.
fn answers<'a>(forms: impl Iterator<Item = &'a str>) -> Vec<(&'a str, String, String)> {
    let forms: Vec<&str> = forms.collect();
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for page in ["a/page", "b/page", "a/index", "b/a/index"] {
        let path = directory.path().join(page).with_extension("html");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, page).unwrap();
    }
    fs::write(directory.path().join("a/plain"), "a/plain").unwrap();
    let ports: Vec<u16> = forms.iter().map(|_| free_address().port()).collect();
    let servers = forms.iter().zip(&ports).map(|(lines, port)| {
        let lines = lines.replace("DIR", directory.path().to_str().unwrap());
        format!("server {{ listen 127.0.0.1:{port}; {lines} }}\n")
    });
    let file = directory.path().join("pages.conf");
    fs::write(&file, servers.collect::<String>()).unwrap();
    let addresses: Vec<SocketAddr> =
        (ports.iter().map(|port| ([127, 0, 0, 1], *port).into())).collect();
    let all = || -> Vec<String> {
        let answer = |address: &SocketAddr| {
            let mut socket = TcpStream::connect(address).unwrap();
            socket
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            answer
        };
        addresses.iter().map(answer).collect()
    };
    let nginx = Nginx::start(directory.path(), &file, addresses[0]);
    let by_nginx = all();
    drop(nginx);
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(&file);
    let _server = Server::start_command(command, forms.len());
    let by_both = by_nginx.into_iter().zip(all());
    let answers = forms.into_iter().zip(by_both);
    answers
        .map(|(lines, (nginx, maintd))| (lines, nginx, maintd))
        .collect()
}

#[test]
fn the_page_is_where_nginx_finds_it() {
    if !require_tool("nginx") {
        return;
    }
    let answers = answers(PAGES.iter().map(|(lines, _)| *lines));
    for ((lines, nginx, maintd), (_, expected)) in answers.iter().zip(PAGES) {
        for (program, answer) in [("nginx", nginx), ("maintd", maintd)] {
            let page = answer.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(page, expected, "{program}: {lines}");
        }
    }
}

/// Servers and the fields that come from their `add_header`, `charset` and `default_type`. Each `add_header` has `always`,
/// without which nginx sends it with no 503.
const FIELDS: [(&str, &[&str]); 17] = [
    // Locations without effect on the answer.
    (
        r#"root DIR/a; charset utf-8; error_page 503 @m; location / { return 503; } location @m { root DIR/b; rewrite ^ /page.html break; }
            location ~* \.(css|js)$ { add_header Cache-Control "public, max-age=31536000" always; }"#,
        &["Content-Type: text/html; charset=utf-8"],
    ),
    (
        "root DIR/a; charset utf-8; error_page 503 /page.html; location / { return 503; } location /old { charset koi8-r; }",
        &["Content-Type: text/html; charset=utf-8"],
    ),
    (
        "root DIR/a; charset utf-8; error_page 503 /page.html; location / { return 503; } location /api { add_header Retry-After 5 always; }",
        &["Content-Type: text/html; charset=utf-8"],
    ),
    (
        r#"root DIR/a; charset utf-8; error_page 503 /page.html; location / { return 503; }
            location /admin { add_header Content-Security-Policy "default-src 'none'" always; }"#,
        &["Content-Type: text/html; charset=utf-8"],
    ),
    // A location inherits from the server only where it has no line of its own.
    (
        "root DIR/a; charset utf-8; add_header X-Server s always; error_page 503 @m; location / { add_header X-Root r always; return 503; } location @m { rewrite ^ /page.html break; }",
        &["Content-Type: text/html; charset=utf-8", "X-Server: s"],
    ),
    (
        "root DIR/a; charset utf-8; add_header X-Server s always; error_page 503 @m; location / { return 503; } location @m { rewrite ^ /page.html break; add_header X-Named n always; add_header Retry-After 7 always; charset koi8-r; }",
        &[
            "Content-Type: text/html; charset=koi8-r",
            "Retry-After: 7",
            "X-Named: n",
        ],
    ),
    (
        "root DIR/a; charset utf-8; add_header X-Server s always; error_page 503 @m; location / { return 503; } location @m { rewrite ^ /page.html break; add_header X-Named '' always; }",
        &["Content-Type: text/html; charset=utf-8"],
    ),
    (
        "root DIR/a; charset utf-8; error_page 503 /page.html; location / { return 503; } location /p { add_header X-Outer o always; location = /page.html { charset koi8-r; } location = /p/other { add_header X-Other o always; } }",
        &["Content-Type: text/html; charset=koi8-r", "X-Outer: o"],
    ),
    // The location that serves the file, not the ones that redirect to it.
    (
        "root DIR/a; charset utf-8; error_page 503 @m; location / { return 503; } location @m { add_header X-Named n always; charset koi8-r; rewrite ^ /page.html last; } location = /page.html { add_header X-Page p always; }",
        &["Content-Type: text/html; charset=utf-8", "X-Page: p"],
    ),
    (
        "root DIR/a; charset utf-8; error_page 503 @m; location / { return 503; } location @m { add_header X-Named n always; try_files /none.html /page.html =503; } location = /page.html { add_header X-Page p always; }",
        &["Content-Type: text/html; charset=utf-8", "X-Named: n"],
    ),
    (
        r"root DIR/a; charset utf-8; error_page 503 /page.html; location / { return 503; } location ~ \.html$ { add_header X-Expression e always; charset off; } location /page { add_header X-Prefix p always; }",
        &["Content-Type: text/html", "X-Expression: e"],
    ),
    (
        "root DIR; charset utf-8; error_page 503 /a/; location / { return 503; } location /a/ { add_header X-Folder f always; } location = /a/index.html { add_header X-Index i always; }",
        &["Content-Type: text/html; charset=utf-8", "X-Index: i"],
    ),
    (
        "root DIR/a; charset utf-8; default_type text/plain; error_page 503 @m; location / { return 503; } location @m { default_type text/xml; rewrite ^ /plain break; } location /old { default_type text/css; }",
        &["Content-Type: text/xml; charset=utf-8"],
    ),
    // Without a page: the location of the return.
    (
        "charset utf-8; add_header X-Server s always; location / { return 503 text; add_header X-Root r always; default_type text/plain; } location /old { add_header X-Old o always; charset koi8-r; default_type text/css; }",
        &["Content-Type: text/plain; charset=utf-8", "X-Root: r"],
    ),
    (
        "charset utf-8; default_type text/plain; location / { return 503 text; } location /api { return 503 '{}'; default_type application/json; add_header X-Api a always; }",
        &["Content-Type: text/plain; charset=utf-8"],
    ),
    (
        "charset utf-8; default_type text/plain; add_header X-Server s always; return 503 text; location / { return 503 other; add_header X-Root r always; charset koi8-r; }",
        &["Content-Type: text/plain; charset=utf-8", "X-Server: s"],
    ),
    (
        "charset utf-8; location / { return 503; add_header X-Root r always; } location /api { return 503; add_header X-Api a always; }",
        &["Content-Type: text/html; charset=utf-8", "X-Root: r"],
    ),
];

/// The fields of an answer, without the ones that each program adds itself.
fn configured_fields(answer: &str) -> Vec<&str> {
    let own = [
        "Server: ",
        "Date: ",
        "Content-Length: ",
        "Connection: ",
        "ETag: ",
        "Last-Modified: ",
        "Content-Language: ",
        "Vary: ",
        "Cache-Control: no-store",
        "Retry-After: 300",
    ];
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    let fields = head.lines().skip(1);
    let mut fields: Vec<&str> = fields
        .filter(|line| !own.iter().any(|own| line.starts_with(own)))
        .collect();
    fields.sort_unstable();
    fields
}

#[test]
fn the_fields_are_those_of_the_location_where_nginx_ends() {
    if !require_tool("nginx") {
        return;
    }
    let answers = answers(FIELDS.iter().map(|(lines, _)| *lines));
    for ((lines, nginx, maintd), (_, expected)) in answers.iter().zip(FIELDS) {
        assert_eq!(configured_fields(nginx), expected, "nginx: {lines}");
        assert_eq!(configured_fields(maintd), expected, "maintd: {lines}");
    }
}
