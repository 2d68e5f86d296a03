//! The access log, compared with nginx's own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use crate::common::{Client, Server, maintd, require_tool, send_signal, wait_until};
use crate::logs::{GET, Site, ask, ask_often};

/// nginx, ended with the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        send_signal(self.0.id(), libc::SIGQUIT);
        let _ = self.0.wait();
    }
}

/// Requests that both log in the same way.
const SAME: [&[u8]; 16] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a\"b\\c\xc3\xa9?x=%20 HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\\c\tx\xff\r\nReferer: http://x/y z\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\r\n\r\nGET /e HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\nuser-agent: lf\n\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: basic   YWxpY2U6c2VjcmV0\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U=\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic !!!\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic OnNlY3JldA==\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic ImFcIAo6eA==\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U6c2VjcmV\r\n\r\n",
    b"GET /empty HTTP/1.1\r\nHost: a\r\nReferer:\r\nUser-Agent:\r\n\r\n",
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nUser-Agent:   sp aces  \r\n\r\n",
    b"GET /long HTTP/1.1\r\nHost: a\r\nUser-Agent: 01234567890123456789012345678901234567890123456789\r\n\r\n",
];

/// Requests that both refuse, each with its own length of the body.
const REFUSED: [&[u8]; 7] = [
    b"nonsense\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    b"GET /nohost HTTP/1.1\r\nUser-Agent: u\r\n\r\n",
    b"GET /n\0ul HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /te HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nUser-Agent: q\r\n\r\n",
    b"GET / a b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
];

fn send(mut stream: TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // A refusal may end in a reset.
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends all of them, and returns the lines of the log without their times.
fn lines(site: &Site, address: SocketAddr, socket: &str) -> Vec<String> {
    for request in SAME.iter().chain(&REFUSED) {
        send(TcpStream::connect(address).unwrap(), request);
    }
    let mut unix = UnixStream::connect(site.path(socket)).unwrap();
    unix.write_all(GET.as_bytes()).unwrap();
    let _ = unix.read_to_end(&mut Vec::new());
    let count = SAME.len() + REFUSED.len() + 2;
    let lines = site.lines("access.log", count);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines.iter().map(|line| without_time(line)).collect()
}

/// A line without its time, which must be one.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (time, behind) = rest.split_once(']').unwrap();
    let digits: String = time
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().find(|month| time.contains(**month)).unwrap();
    let digits = digits.replace('-', "+");
    assert_eq!(digits, format!("00/{month}/0000:00:00:00 +0000"), "{line}");
    // Each program has its own page for refusals.
    let mut words: Vec<&str> = behind.split(' ').collect();
    let status = words.iter().position(|word| {
        word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit()) && *word != "503"
    });
    if let Some(status) = status {
        words[status + 1] = "LENGTH";
    }
    format!("{before}[]{}", words.join(" "))
}

#[test]
fn a_line_is_what_nginx_writes_for_the_same_request() {
    if !require_tool("nginx") {
        return;
    }
    let site = Site::new();
    // nginx's worker may be another user.
    fs::set_permissions(site.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.path("page.html"), "<h1>Back soon</h1>").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;\nevents {{ }}\n\
         http {{ access_log {0}/access.log; client_body_temp_path {0}; proxy_temp_path {0}; \
         fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0}; default_type text/html;\n\
         server {{ listen {address}; listen unix:{0}/SOCKET; root {0}; return 503; \
         error_page 503 @m; location @m {{ rewrite ^(.*)$ /page.html break; }} }} }}\n",
        site.0.path().display(),
    );
    let file = site.path("nginx.conf");
    fs::write(&file, text.replace("SOCKET", "nginx")).unwrap();
    let nginx = Nginx(Command::new("nginx").arg("-c").arg(&file).spawn().unwrap());
    wait_until(|| TcpStream::connect(address).is_ok(), "no nginx");
    let by_nginx = lines(&site, address, "nginx");
    drop(nginx);
    fs::remove_file(site.path("access.log")).unwrap();
    fs::write(&file, text.replace("SOCKET", "maintd")).unwrap();
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(&file);
    let _server = Server::start_command(command, 2);
    let by_maintd = lines(&site, address, "maintd");
    for (one, other) in by_nginx.iter().zip(&by_maintd) {
        assert_eq!(one, other);
    }
}

#[test]
fn an_oversized_head_is_logged_truncated() {
    let site = Site::new();
    let server = site.start("access_log access.log;", &[]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "\u{ff}".repeat(9000));
    send(TcpStream::connect(server.http).unwrap(), long.as_bytes());
    let lines = site.lines("access.log", 1);
    assert!(lines[0].contains("\"GET /\\xC3\\xBF\\xC3"), "{}", lines[0]);
    assert!(lines[0].contains("\\xBF\" 414 "), "{}", &lines[0][..100]);
}

#[test]
fn nothing_is_logged_without_configuration() {
    for directives in ["", "access_log off;"] {
        let site = Site::new();
        let mut server = site.start(directives, &[]);
        ask(&server);
        server.signal(libc::SIGQUIT);
        assert!(server.wait().success());
        assert_eq!(crate::logs::names(site.0.path()), ["test.conf"]);
    }
}

#[test]
fn every_request_has_its_line_and_every_line_is_whole() {
    let site = Site::new();
    let mut server = site.start("worker_processes 3;\naccess_log access.log;", &[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ask_often(&server, 500));
        }
    });
    server.signal(libc::SIGQUIT);
    assert!(server.wait().success());
    let text = site.read("access.log");
    assert_eq!(text.lines().count(), 2000);
    let first = without_time(text.lines().next().unwrap());
    assert!(text.lines().all(|line| without_time(line) == first));
}

#[test]
fn lines_come_over_tls_too_with_the_misdirected_ones() {
    let site = Site::new();
    let path = site.write("access_log access.log;");
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(path);
    command.args(["--tls-listen", "127.0.0.1:0"]);
    let server = Server::start_command(command, 1);
    let mut client = Client::tls(server.https, crate::common::client::Tls::default());
    client.send(GET);
    client.last_answer();
    let mut client = Client::tcp(server.https);
    client.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let lines = site.lines("access.log", 2);
    assert!(
        lines[0].contains("\"GET /path HTTP/1.1\" 503 4 "),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("\"GET /plaintext HTTP/1.1\" 400 "),
        "{lines:?}"
    );
}
