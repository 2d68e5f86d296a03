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

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::nginx::free_port;
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

/// The site that is back: it answers everything with 200, and notes what was asked.
#[derive(Clone, Default)]
struct Back {
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Back {
    fn serve(&self, listener: TcpListener) {
        let back = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let back = back.clone();
                thread::spawn(move || back.answer(stream));
            }
        });
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
                Ok(0) | Err(_) => return,
            }
        }
        let head = String::from_utf8_lossy(&head);
        let line = head.lines().next().unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push((Instant::now(), line));
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\nConnection: close\r\n\r\n";
        let body = if head.starts_with("HEAD") {
            ""
        } else {
            "<p>back"
        };
        let _ = stream.write_all(format!("{answer}{body}").as_bytes());
    }
}

const TABS: usize = 20;

#[test]
fn it_comes_back_by_itself_once() {
    if !require_tool("chromium") {
        return;
    }
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut command = maintd();
    command.args([
        "serve",
        "--listen",
        &address.to_string(),
        "--tls-listen",
        "127.0.0.1:0",
    ]);
    let server = Server::start_command(command, 2);
    let mut chromium = Chromium::start();
    for tab in 0..TABS {
        let target = chromium.open(&format!("http://{address}/tab{tab}"));
        let session = chromium.attach(&target);
        chromium.wait_until(
            &session,
            "document.title == 'Down for maintenance' && document.readyState == 'complete'",
        );
    }
    drop(server);
    let back = Back::default();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(64).unwrap();
    let began = Instant::now();
    back.serve(socket.into());
    let loads = || {
        let asked = back.asked.lock().unwrap();
        let gets = asked
            .iter()
            .filter(|(_, line)| line.starts_with("GET /tab"));
        gets.cloned().collect::<Vec<_>>()
    };
    while loads().len() < TABS {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{} came back",
            loads().len()
        );
        thread::sleep(Duration::from_millis(100));
    }
    let first = loads().iter().map(|(at, _)| *at).min().unwrap();
    let last = loads().iter().map(|(at, _)| *at).max().unwrap();
    assert!(last - first > Duration::from_secs(10), "{:?}", last - first);
    // No page is loaded twice.
    thread::sleep(Duration::from_secs(3));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (_, line) in loads() {
        *counts.entry(line).or_default() += 1;
    }
    assert_eq!(counts.len(), TABS);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}
