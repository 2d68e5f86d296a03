//! The embedded page in Chromium, driven by its debugging pipe: how it looks, whether it is accessible, and that it comes back
//! by itself.
//!
//! `.ci/screenshots` has the pictures of the README made here, and axe-core fetched.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may"
)]

#[path = "common/mod.rs"]
mod common;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::certificates::{CertificateFiles, p256};
use common::nginx::{Nginx, free_port};
use common::{Server, maintd, require_tool};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Chromium with no window, spoken to as the DevTools protocol has it: JSON, each message ended by a NUL.
struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    number: u64,
    _profile: TempDir,
}

impl Chromium {
    fn start() -> Self {
        let profile = TempDir::new().unwrap();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1")
            .arg("sh")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--ignore-certificate-errors",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            to,
            from: BufReader::new(from),
            number: 0,
            _profile: profile,
        }
    }

    /// Calls a method, in a page where a session is given, and returns its result.
    fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.to
            .write_all(format!("{message}\0").as_bytes())
            .unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "chromium has ended");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.number {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
        }
    }

    /// Opens a page of its own window.
    fn open(&mut self, address: &str) -> String {
        let opened = self.call(
            None,
            "Target.createTarget",
            json!({"url": address, "newWindow": true}),
        );
        opened["targetId"].as_str().unwrap().to_owned()
    }

    fn attach(&mut self, target: &str) -> String {
        let parameters = json!({"targetId": target, "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", parameters);
        attached["sessionId"].as_str().unwrap().to_owned()
    }

    /// The value of an expression, which may be a promise.
    fn evaluate(&mut self, session: &str, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut result = self.call(Some(session), "Runtime.evaluate", parameters);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    fn wait_until(&mut self, session: &str, expression: &str) {
        let limit = Instant::now() + Duration::from_secs(30);
        while self.evaluate(session, expression) != true {
            assert!(Instant::now() < limit, "{expression}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The page as it is while a window is announced.
fn announced() -> String {
    let mut page = include_str!("../www/maintenance.html").to_owned();
    let start = page.find("{{^until}}").unwrap();
    let end = page.find("{{/until}}").unwrap() + "{{/until}}".len();
    page.replace_range(start..end, "");
    for (name, value) in [
        ("until", "2026-11-25 21:00 (UTC+01:00)"),
        (
            "message",
            "We are moving to larger disks. Orders placed before eight o\u{2019}clock are safe.",
        ),
    ] {
        for sign in ["#", "/"] {
            page = page.replace(&format!("{{{{{sign}{name}}}}}"), "");
        }
        page = page.replace(&format!("{{{{{name}}}}}"), value);
    }
    page
}

struct View {
    name: &'static str,
    size: (u32, u32),
    scheme: &'static str,
}

const VIEWS: [View; 4] = [
    View {
        name: "phone-light",
        size: (390, 844),
        scheme: "light",
    },
    View {
        name: "phone-dark",
        size: (390, 844),
        scheme: "dark",
    },
    View {
        name: "desktop-light",
        size: (1280, 800),
        scheme: "light",
    },
    View {
        name: "desktop-dark",
        size: (1280, 800),
        scheme: "dark",
    },
];

#[test]
fn it_looks_as_it_should_everywhere() {
    if !require_tool("chromium") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, announced()).unwrap();
    let pictures = env::var_os("MAINTD_SCREENSHOTS").map(PathBuf::from);
    let axe = env::var_os("MAINTD_AXE").map(|path| fs::read_to_string(path).unwrap());
    let mut chromium = Chromium::start();
    for (kind, flags) in [
        ("", vec![]),
        ("-announced", vec!["--page", page.to_str().unwrap()]),
    ] {
        let server = Server::start(&flags);
        let target = chromium.open("about:blank");
        let session = chromium.attach(&target);
        // Before the end that is announced.
        chromium.call(Some(&session), "Page.enable", json!({}));
        let clock = json!({"source": "Date.now = () => Date.UTC(2026, 10, 25)"});
        chromium.call(
            Some(&session),
            "Page.addScriptToEvaluateOnNewDocument",
            clock,
        );
        let go = json!({"url": format!("https://localhost:{}/some/where", server.https.port())});
        chromium.call(Some(&session), "Page.navigate", go);
        chromium.wait_until(
            &session,
            "location.protocol == 'https:' && document.readyState == 'complete'",
        );
        for view in &VIEWS {
            let (width, height) = view.size;
            let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
            chromium.call(Some(&session), "Emulation.setDeviceMetricsOverride", size);
            let features = json!({"features": [
                {"name": "prefers-color-scheme", "value": view.scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]});
            chromium.call(Some(&session), "Emulation.setEmulatedMedia", features);
            // Nothing is cut off.
            let fits = "document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(
                chromium.evaluate(&session, fits),
                true,
                "{}{kind}",
                view.name
            );
            let shown = "document.querySelector('h1').innerText + document.querySelectorAll('main, [lang]').length";
            assert_eq!(chromium.evaluate(&session, shown), "Down for maintenance2");
            if let Some(axe) = &axe {
                chromium.evaluate(&session, &format!("{axe}; 0"));
                let found = chromium.evaluate(
                    &session,
                    "axe.run().then(it => JSON.stringify(it.violations))",
                );
                assert_eq!(found, "[]", "{}{kind}", view.name);
            }
            if let Some(pictures) = &pictures {
                let taken = chromium.call(
                    Some(&session),
                    "Page.captureScreenshot",
                    json!({"format": "png"}),
                );
                let path = pictures.join(format!("{}{kind}.png.base64", view.name));
                fs::write(path, taken["data"].as_str().unwrap()).unwrap();
            }
        }
        let told = chromium.evaluate(&session, "document.querySelector('time')?.dateTime ?? ''");
        let expected = if kind.is_empty() {
            ""
        } else {
            "2026-11-25T20:00:00.000Z"
        };
        assert_eq!(told, expected);
    }
}

const TABS: usize = 20;

/// The site that is back: nginx with HTTP/2, as most sites have it, and one line for each answer. The protocols are those
/// of Debian's own nginx.conf; left out, nginx 1.22 has no TLS 1.3.
fn site(address: SocketAddr, certificate: &CertificateFiles, log: &Path) -> String {
    let [_, chain, _, key] = certificate.flags();
    format!(
        "log_format asked '$msec $status $request';
server {{
    listen {address} ssl http2;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    access_log {} asked;
    return 200 '<!DOCTYPE html><title>Back</title><p>Here again';
}}
",
        log.display()
    )
}

/// What was asked of the site for each tab, in order: `HEAD 200` or the like, and when, in seconds since 1970.
fn asked(log: &Path) -> Vec<Vec<(String, f64)>> {
    let mut tabs = vec![Vec::new(); TABS];
    let text = fs::read_to_string(log).unwrap();
    // The last line may still be being written.
    for line in text.split_inclusive('\n').filter(|it| it.ends_with('\n')) {
        let [at, status, method, target, _] = line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        // Whatever else a browser asks for, it asks for on its own account.
        if let Some(tab) = target.strip_prefix("/tab") {
            tabs[tab.parse::<usize>().unwrap()]
                .push((format!("{method} {status}"), at.parse().unwrap()));
        }
    }
    tabs
}

/// Opens the windows, and waits until each shows the page.
fn open_tabs(chromium: &mut Chromium, port: u16) -> Vec<String> {
    let open = |tab| {
        let target = chromium.open(&format!("https://localhost:{port}/tab{tab}"));
        let session = chromium.attach(&target);
        chromium.wait_until(
            &session,
            "document.title == 'Down for maintenance' && document.readyState == 'complete'",
        );
        session
    };
    (0..TABS).map(open).collect()
}

/// The port of `maintd serve` is handed over to the site, as where that is stopped and nginx started again. Chromium goes
/// from HTTP/1.1 to HTTP/2 with it, and offers nginx a ticket that maintd gave.
#[test]
fn it_comes_back_by_itself_once() {
    if !require_tool("chromium") || !require_tool("nginx") {
        return;
    }
    // One for both, which is what a site has.
    let certificate = p256(&["localhost"]);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = ["--tls-listen", &address.to_string()];
    let mut server = Server::start_raw(&[&listen[..], &certificate.flags()].concat());
    let mut chromium = Chromium::start();
    let tabs = open_tabs(&mut chromium, address.port());
    server.signal(libc::SIGTERM);
    server.wait();

    let directory = TempDir::new().unwrap();
    let file = directory.path().join("site.conf");
    let log = directory.path().join("access.log");
    fs::write(&file, site(address, &certificate, &log)).unwrap();
    let (began, limit) = (SystemTime::now(), Instant::now() + Duration::from_secs(60));
    let _nginx = Nginx::start(directory.path(), &file, address);
    while asked(&log).iter().any(|tab| tab.len() < 2) {
        assert!(Instant::now() < limit, "{:?}", asked(&log));
        thread::sleep(Duration::from_millis(100));
    }
    // No page is loaded twice.
    thread::sleep(Duration::from_secs(3));
    let began = began.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut loads = Vec::new();
    for (tab, asked) in asked(&log).iter().enumerate() {
        let [(question, _), (load, at)] = &asked[..] else {
            panic!("/tab{tab}: {asked:?}");
        };
        assert_eq!([question, load], ["HEAD 200", "GET 200"], "/tab{tab}");
        loads.push(at - began);
    }
    loads.sort_by(f64::total_cmp);
    let (first, last) = (loads[0], loads[TABS - 1]);
    assert!(last < 60.0, "{loads:?}");
    assert!(last - first > 10.0, "{loads:?}");
    // And the visitors see it, each where they were.
    let seen = "[location.pathname, document.title, document.body?.innerText, \
                performance.getEntriesByType('navigation')[0].type].join()";
    for (tab, session) in tabs.iter().enumerate() {
        let expected = format!("{seen} == '/tab{tab},Back,Here again,reload'");
        chromium.wait_until(session, &expected);
    }
}

/// Has these bytes answer every request at an address that has just been free; tells of each by its first line.
fn answer_all(address: SocketAddr, answer: String) -> mpsc::Receiver<String> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(64).unwrap();
    let listener = TcpListener::from(socket);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(next)) = lines.next()
                && !next.is_empty()
            {
                if line.is_empty() {
                    line = next;
                }
            }
            let _ = stream.write_all(answer.as_bytes());
            if !line.is_empty() && tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

/// A tab with the page of a server in the clear.
fn tab(chromium: &mut Chromium, address: SocketAddr) -> String {
    let target = chromium.open(&format!("http://{address}/tab"));
    let session = chromium.attach(&target);
    chromium.wait_until(
        &session,
        "document.title == 'Down for maintenance' && document.readyState == 'complete'",
    );
    session
}

#[test]
fn it_comes_back_where_the_site_redirects_to_another_origin() {
    if !require_tool("chromium") {
        return;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut server = Server::start_raw(&["--listen", &address.to_string()]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, address);
    // With its workers: none of them is to answer that question yet.
    server.signal(libc::SIGTERM);
    server.wait();
    // It allows nobody's scripts to read it.
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\nConnection: close\r\n\r\n<p>back";
    let arrived = answer_all(elsewhere, text.to_owned());
    let redirect = format!(
        "HTTP/1.1 301 Moved\r\nLocation: http://{elsewhere}/there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let asked = answer_all(address, redirect);
    // The tab may have got the focus and asked just now, and would not ask again so soon.
    let online = "performance.now = () => 1e6; dispatchEvent(new Event('online')); 0";
    chromium.evaluate(&session, online);
    let limit = Duration::from_secs(15);
    assert_eq!(
        asked.recv_timeout(limit).as_deref(),
        Ok("HEAD /tab HTTP/1.1")
    );
    assert_eq!(
        asked.recv_timeout(limit).as_deref(),
        Ok("GET /tab HTTP/1.1")
    );
    let there = |line: &String| line == "GET /there HTTP/1.1";
    assert!(arrived.iter().take(2).any(|line| there(&line)));
}

#[test]
fn it_goes_on_asking_whatever_is_done_to_the_clock() {
    if !require_tool("chromium") {
        return;
    }
    let server = Server::start(&[]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, server.http);
    // Set back by decades, it still asks; and whoever comes too soon after that leaves a next time to be asked.
    let counted =
        "Date.now = () => 0; performance.now = () => 1e6; asks = waits = 0; still = setTimeout;
        fetch = () => { asks++; return Promise.resolve({ status: 503 }); };
        setTimeout = (...what) => { waits++; return still(...what); };
        dispatchEvent(new Event('online')); dispatchEvent(new Event('focus')); `${asks} ${waits}`";
    assert_eq!(chromium.evaluate(&session, counted), "1 2");
}

#[test]
fn an_end_that_is_past_is_not_told() {
    if !require_tool("chromium") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, announced().replace("2026-11-25", "2020-02-02")).unwrap();
    let server = Server::start(&["--page", page.to_str().unwrap()]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, server.http);
    let shown = chromium.evaluate(&session, "document.querySelector('p').innerText");
    assert_eq!(
        shown,
        "This site is being worked on and will be back shortly."
    );
    assert_eq!(
        chromium.evaluate(&session, "!document.querySelector('time')"),
        true
    );
}

#[test]
fn an_end_passes_while_the_page_is_open() {
    if !require_tool("chromium") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, announced().replace("2026-11-25", "2126-11-25")).unwrap();
    let server = Server::start(&["--page", page.to_str().unwrap()]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, server.http);
    let is_told = "!!document.querySelector('time')?.dateTime";
    assert_eq!(chromium.evaluate(&session, is_told), true);
    let later = "Date.now = () => Date.UTC(2126, 10, 26); dispatchEvent(new Event('focus')); 0";
    chromium.evaluate(&session, later);
    chromium.wait_until(
        &session,
        "!document.querySelector('time') && /back shortly/.test(document.querySelector('p').innerText)",
    );
}

/// A configuration in a directory of its own, with the page beside it where there is one.
fn configured(lines: &str, page: Option<&[u8]>) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let error_page = if let Some(page) = page {
        fs::write(directory.path().join("page.html"), page).unwrap();
        "root .; error_page 503 /page.html;"
    } else {
        ""
    };
    let file = directory.path().join("maintd.conf");
    let text = format!("server {{ listen 127.0.0.1:0; return 503; {error_page} {lines} }}");
    fs::write(&file, text).unwrap();
    (directory, file)
}

/// Shows a site's page and returns the value of an expression in it.
fn shown(chromium: &mut Chromium, file: &Path, expression: &str) -> Value {
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(file);
    let server = Server::start_command(command, 1);
    let target = chromium.open(&format!("http://{}/", server.http));
    let session = chromium.attach(&target);
    chromium.wait_until(
        &session,
        "location.protocol == 'http:' && document.readyState == 'complete'",
    );
    chromium.evaluate(&session, expression)
}

/// What `check` says of a policy is enough for the page to work, and without it the page does not.
#[test]
fn a_policy_with_the_sources_that_check_names_lets_the_page_work() {
    const OWN: &str = "<!DOCTYPE html><style>p { color: rgb(1, 2, 3) }</style>\r\n<p style='width: 77px'>\u{e9}\r\n\
        <script>\r\n  document.body.append('\u{e9}');\r\n</script><b onclick=\"this.id = &quot;clicked&quot;\">";
    let embedded = (
        None,
        "[getComputedStyle(document.body).display, document.getElementById('note').hidden,
            await fetch('/').then(it => it.status, () => 0)]",
        json!(["block", true, 0]),
        json!(["grid", false, 503]),
    );
    let own = (
        Some(OWN.as_bytes()),
        "[getComputedStyle(document.querySelector('p')).color, document.querySelector('p').offsetWidth == 77,
            document.body.innerText.split('\u{e9}').length, (document.querySelector('b').click(), document.querySelector('b').id)]",
        json!(["rgb(0, 0, 0)", false, 2, ""]),
        json!(["rgb(1, 2, 3)", true, 3, "clicked"]),
    );
    if !require_tool("chromium") {
        return;
    }
    let mut chromium = Chromium::start();
    for (page, expression, blocked, works) in [embedded, own] {
        let expression = format!("(async () => {expression})()");
        let with = |policy: &str| {
            configured(
                &format!("add_header Content-Security-Policy \"{policy}\";"),
                page,
            )
        };
        let (_directory, file) = with("default-src 'none'");
        assert_eq!(shown(&mut chromium, &file, &expression), blocked);
        let output = maintd().arg("check").arg("-c").arg(&file).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        let mut policy = "default-src 'none'".to_owned();
        for line in told
            .lines()
            .filter(|line| line.contains("Content-Security-Policy blocks "))
        {
            let (_, advice) = line.split_once("; add ").unwrap();
            let (sources, directive) = advice.rsplit_once(" to ").unwrap();
            policy += &format!("; {directive} {sources}");
        }
        let (_directory, file) = with(&policy);
        assert_eq!(shown(&mut chromium, &file, &expression), works, "{told}");
        let output = maintd().arg("check").arg("-c").arg(&file).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!told.contains("Content-Security-Policy"), "{told}");
    }
}

#[test]
fn pages_in_other_encodings_are_shown_as_they_were_written() {
    if !require_tool("chromium") {
        return;
    }
    let utf_16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}<p>\u{e9} {{host}}"
            .encode_utf16()
            .flat_map(unit)
            .collect()
    };
    let mut chromium = Chromium::start();
    for (lines, page, expected) in [
        (
            "",
            b"<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2".to_vec(),
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}",
        ),
        (
            "",
            b"<meta http-equiv=content-type content='text/html; charset=koi8-r'><p>\xf0".to_vec(),
            "\u{41f}",
        ),
        ("charset koi8-r;", b"<p>\xf0".to_vec(), "\u{41f}"),
        // Browsers guess the encoding of the western world.
        ("", b"<p>\xe9".to_vec(), "\u{e9}"),
        ("", utf_16(u16::to_le_bytes), "\u{e9} {{host}}"),
        ("", utf_16(u16::to_be_bytes), "\u{e9} {{host}}"),
        ("", "\u{feff}<p>\u{e9}".into(), "\u{e9}"),
        ("", "<p>\u{e9}".into(), "\u{e9}"),
    ] {
        let (_directory, file) = configured(lines, Some(&page));
        let text = shown(
            &mut chromium,
            &file,
            "document.querySelector('p').textContent",
        );
        assert_eq!(text, expected, "{lines} {}", page.escape_ascii());
    }
}
