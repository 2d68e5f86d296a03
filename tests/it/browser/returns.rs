//! The embedded page loads the site once that is back: by GET, also where the visitor sent a form, and not while it answers 5xx.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::chromium::Chromium;
use crate::browser::firefox::Firefox;
use crate::browser::{announced, tab};
use crate::common::certificates::{CertificateFiles, p256};
use crate::common::nginx::Nginx;
use crate::common::{Server, free_address, require_tool};

const TABS: usize = 20;

/// The site that is back: nginx with HTTP/2, as most sites have it, and one line for each answer. The protocols are the ones
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

/// A page whose button sends a form to that address.
fn form(action: &str) -> String {
    format!("<form method=post action={action}><input name=a value=b><button>Order</button></form>")
}

/// Opens the windows, and waits until each shows the page. Every second one has sent a form, to a URL with a fragment.
fn open_tabs(chromium: &mut Chromium, port: u16) -> Vec<String> {
    let open = |tab| {
        let address = format!("https://localhost:{port}/tab{tab}");
        let is_form = tab % 2 == 1;
        let target = chromium.open(&if is_form {
            format!("data:text/html,{}", form(&format!("{address}%23there")))
        } else {
            address
        });
        let session = chromium.attach(&target);
        if is_form {
            chromium.click(&session);
        }
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
fn each_tab_loads_the_site_once() {
    if !require_tool("chromium") || !require_tool("nginx") {
        return;
    }
    // One for both, which is what a site has.
    let certificate = p256(&["localhost"]);
    let address = free_address();
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
    let seen =
        "[location.pathname + location.hash, document.title, document.body?.innerText].join()";
    for (tab, session) in tabs.iter().enumerate() {
        let fragment = if tab % 2 == 1 { "#there" } else { "" };
        let expected = format!("{seen} == '/tab{tab}{fragment},Back,Here again'");
        chromium.wait_until(session, &expected);
    }
}

/// Answers the requests to an address, the first with the first of `answers` and so on, and further ones with the last.
/// Returns the method and target of each.
fn answer_in_turn(address: SocketAddr, answers: Vec<String>) -> mpsc::Receiver<String> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(64).unwrap();
    let listener = TcpListener::from(socket);
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::new((answers, AtomicUsize::new(0)));
    thread::spawn(move || {
        // A thread for each, because browsers also open connections on which they send nothing.
        for stream in listener.incoming().flatten() {
            let (sender, shared) = (sender.clone(), Arc::clone(&shared));
            thread::spawn(move || {
                let Some(request) = read_request(&stream) else {
                    return;
                };
                // Browsers request it in addition.
                if request.ends_with(" /favicon.ico") {
                    return;
                }
                let (answers, number) = &*shared;
                let number = number.fetch_add(1, Ordering::Relaxed);
                let answer = &answers[number.min(answers.len() - 1)];
                let length = if request.starts_with("HEAD ") {
                    answer.find("\r\n\r\n").unwrap() + 4
                } else {
                    answer.len()
                };
                // Before the answer, so that the test receives it before the browser shows that.
                let _ = sender.send(request);
                let _ = (&stream).write_all(&answer.as_bytes()[..length]);
            });
        }
    });
    receiver
}

/// Reads a request with its body; returns its method and target.
fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let request = line.strip_suffix(" HTTP/1.1\r\n")?.to_owned();
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(request)
}

/// A whole answer.
fn answer(status: &str, fields: &str, page: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n{fields}\r\n{page}",
        page.len()
    )
}

fn down(page: &str) -> String {
    answer("503 Service Unavailable", "", page)
}

fn back() -> String {
    answer("200 OK", "", "<!DOCTYPE html><title>Back</title>")
}

#[test]
fn the_site_is_loaded_through_a_redirect_to_another_origin() {
    if !require_tool("chromium") {
        return;
    }
    let address = free_address();
    let mut server = Server::start_raw(&["--listen", &address.to_string()]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, address);
    // With its workers: none of them is to answer that question yet.
    server.signal(libc::SIGTERM);
    server.wait();
    // It allows no script of another origin to read it.
    let elsewhere = free_address();
    let arrived = answer_in_turn(elsewhere, vec![back()]);
    let location = format!("Location: http://{elsewhere}/there\r\n");
    let redirect = answer("301 Moved Permanently", &location, "");
    let asked = answer_in_turn(address, vec![redirect]);
    // The tab may have got the focus and asked just now, and would not ask again so soon.
    let online = "performance.now = () => 1e6; dispatchEvent(new Event('online')); 0";
    chromium.evaluate(&session, online);
    let limit = Duration::from_secs(15);
    assert_eq!(asked.recv_timeout(limit).as_deref(), Ok("HEAD /tab"));
    assert_eq!(asked.recv_timeout(limit).as_deref(), Ok("GET /tab"));
    assert_eq!(arrived.recv_timeout(limit).as_deref(), Ok("GET /there"));
}

/// A failure limit only.
const LIMIT: Duration = Duration::from_secs(60);

/// One of the events at which the page checks whether the site is back.
const ONLINE: &str = "window.dispatchEvent(new Event('online'))";

/// A browser with one window.
enum Browser {
    Chromium {
        chromium: Chromium,
        target: String,
        session: String,
    },
    Firefox(Firefox),
}

impl Browser {
    fn chromium(has_scripts: bool) -> Self {
        let mut chromium = Chromium::start();
        let target = chromium.open("about:blank");
        let session = chromium.attach(&target);
        let parameters = json!({"value": !has_scripts});
        chromium.call(
            Some(&session),
            "Emulation.setScriptExecutionDisabled",
            parameters,
        );
        Self::Chromium {
            chromium,
            target,
            session,
        }
    }

    fn firefox(has_scripts: bool) -> Self {
        Self::Firefox(Firefox::start(has_scripts))
    }

    /// Opens a page and clicks on its button.
    fn send_form(&mut self, address: &str) {
        let parameters = json!({"url": address});
        match self {
            Self::Chromium {
                chromium, session, ..
            } => {
                chromium.call(Some(session), "Page.navigate", parameters);
                chromium.click(session);
            }
            Self::Firefox(firefox) => {
                firefox.call("WebDriver:Navigate", parameters);
                firefox.click("button");
            }
        }
    }

    /// Has the page check whether the site is back. That may fail, for the page may just be replaced.
    fn check(&mut self) {
        let _ = match self {
            Self::Chromium {
                chromium, session, ..
            } => chromium.try_evaluate(session, ONLINE),
            Self::Firefox(firefox) => {
                let parameters = json!({"script": ONLINE, "args": []});
                firefox.try_call("WebDriver:ExecuteScript", parameters)
            }
        };
    }

    /// The address and the title of what the window shows.
    fn shown(&mut self) -> [Value; 2] {
        match self {
            Self::Chromium {
                chromium, target, ..
            } => {
                let parameters = json!({"targetId": target});
                let mut found = chromium.call(None, "Target.getTargetInfo", parameters);
                ["url", "title"].map(|name| found["targetInfo"][name].take())
            }
            Self::Firefox(firefox) => ["WebDriver:GetCurrentURL", "WebDriver:GetTitle"]
                .map(|command| firefox.call(command, json!({}))["value"].take()),
        }
    }
}

/// The visitor sends a form, gets the page, and is shown the site once that is back. The fragment of the address can stay
/// only where a script has run.
fn a_form_is_sent_once(browser: &mut Browser, page: &str, has_scripts: bool) {
    for (target, fragment) in [
        ("/order", ""),
        ("/order?a=1", ""),
        ("/order?a=1", "#there"),
        ("//order?", "#"),
    ] {
        let address = free_address();
        let action = format!("http://{address}{target}{fragment}");
        let form = answer("200 OK", "", &form(&action));
        let requests = answer_in_turn(address, vec![form, down(page), back()]);
        browser.send_form(&format!("http://{address}/form"));
        let began = Instant::now();
        while browser.shown()[1] != "Back" {
            assert!(
                began.elapsed() < LIMIT,
                "{action}: {:?} {:?}",
                requests.try_iter().collect::<Vec<_>>(),
                browser.shown()
            );
            if has_scripts {
                browser.check();
            }
            thread::sleep(Duration::from_millis(100));
        }
        let requests: Vec<String> = requests.try_iter().collect();
        let expected = ["GET /form".to_owned(), format!("POST {target}")];
        assert_eq!(requests[..2], expected);
        // How often it checks depends on the machine.
        let [checks @ .., load] = &requests[2..] else {
            panic!("{requests:?}");
        };
        let check = format!("HEAD {target}");
        assert!(checks.iter().all(|line| *line == check), "{requests:?}");
        assert_eq!(*load, format!("GET {target}"));
        let fragment = if has_scripts { fragment } else { "" };
        assert_eq!(
            browser.shown()[0],
            format!("http://{address}{target}{fragment}")
        );
    }
}

/// The page whose refresh does not have to be waited for.
fn soon_refreshed() -> String {
    let page = announced();
    let soon = page.replace("content=\"300", "content=\"1");
    assert_ne!(page, soon);
    soon
}

#[test]
fn chromium_sends_a_form_once() {
    if require_tool("chromium") {
        a_form_is_sent_once(&mut Browser::chromium(true), &announced(), true);
    }
}

#[test]
fn chromium_without_scripts_sends_a_form_once() {
    if require_tool("chromium") {
        a_form_is_sent_once(&mut Browser::chromium(false), &soon_refreshed(), false);
    }
}

#[test]
fn firefox_sends_a_form_once() {
    if require_tool("firefox-esr") {
        a_form_is_sent_once(&mut Browser::firefox(true), &announced(), true);
    }
}

#[test]
fn firefox_without_scripts_sends_a_form_once() {
    if require_tool("firefox-esr") {
        a_form_is_sent_once(&mut Browser::firefox(false), &soon_refreshed(), false);
    }
}

/// Counts the checks that are not answered yet, from before the page's own script.
const COUNT: &str = "const send = fetch;
    let pending = 0, now = 1e6;
    performance.now = () => now;
    fetch = (...request) => { pending++; return send(...request).finally(() => pending--); };";
/// Has the page check whether the site is back, unless it waits for an answer.
const CHECK_AGAIN: &str = "if (!pending) { now += 1e6; dispatchEvent(new Event('online')); }";

#[test]
fn an_error_of_the_server_is_not_the_site() {
    if !require_tool("chromium") {
        return;
    }
    let mut chromium = Chromium::start();
    let target = chromium.open("about:blank");
    let session = chromium.attach(&target);
    chromium.call(Some(&session), "Page.enable", json!({}));
    let source = json!({"source": COUNT});
    chromium.call(
        Some(&session),
        "Page.addScriptToEvaluateOnNewDocument",
        source,
    );
    for (statuses, methods) in [
        // A proxy in front of a site that is still starting.
        (
            &["502", "504", "500", "503", "200"][..],
            &["HEAD", "GET", "HEAD", "GET", "GET"][..],
        ),
        // A site that implements no HEAD, as with Python's http.server, or fails at it.
        (&["501", "200"], &["HEAD", "GET"]),
        (&["500", "200"], &["HEAD", "GET"]),
        (&["503", "503", "200"], &["HEAD", "HEAD", "HEAD"]),
        // A site that is back and allows only POST at this URL.
        (&["405"], &["HEAD"]),
    ] {
        let address = free_address();
        let mut answers = vec![down(&announced())];
        answers.extend(statuses.iter().map(|status| answer(status, "", "")));
        answers.push(back());
        let requests = answer_in_turn(address, answers);
        let page = json!({"url": format!("http://{address}/tab")});
        chromium.call(Some(&session), "Page.navigate", page);
        let mut seen = Vec::new();
        let began = Instant::now();
        while seen.len() < methods.len() + 2 {
            assert!(began.elapsed() < LIMIT, "{statuses:?}: {seen:?}");
            let _ = chromium.try_evaluate(&session, CHECK_AGAIN);
            seen.extend(requests.recv_timeout(Duration::from_millis(50)));
        }
        let targets = ["GET"].iter().chain(methods).chain(&["GET"]);
        let expected: Vec<String> = targets.map(|method| format!("{method} /tab")).collect();
        assert_eq!(seen, expected, "{statuses:?}");
    }
}
