//! The form, language and coding of the answer, for what clients really send; and which origins may read it.

use std::fs;
use std::io::Read as _;
use std::process::Output;

use crate::common::client::connect;
use crate::common::{Answer, Port, Server, maintd};
use tempfile::TempDir;

const PAGE: &str = "<!DOCTYPE html><html lang=en><title>Soon</title>";
const GERMAN: &str = "<!DOCTYPE html><html lang=de><title>Bald</title>";

/// Pages long enough to be compressed, with the files next to them.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let long = |page: &str| page.to_owned() + &"<p>Back soon</p>\n".repeat(100);
    for (name, text) in [
        ("page.html", long(PAGE)),
        ("page.de.html", long(GERMAN)),
        ("page.json", "{\"down\": true}".to_owned()),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn configured(directory: &TempDir, more: &str) -> (Server, TempDir) {
    let file = directory.path().join("maintd.conf");
    let text = format!(
        "server {{ listen 127.0.0.1:0; root {}; error_page 503 /page.html; return 503; {more} }}",
        directory.path().display()
    );
    fs::write(&file, text).unwrap();
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(&file);
    (Server::start_command(command, 1), TempDir::new().unwrap())
}

fn whole(answer: &Answer) -> String {
    let mut text = Vec::new();
    match answer.header("Content-Encoding") {
        None => text.clone_from(&answer.body),
        Some("gzip") => {
            let mut decoder = flate2::read::GzDecoder::new(&answer.body[..]);
            decoder.read_to_end(&mut text).unwrap();
        }
        Some("br") => brotli::BrotliDecompress(&mut &answer.body[..], &mut text).unwrap(),
        Some(other) => panic!("{other}"),
    }
    String::from_utf8(text).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Got {
    Page,
    German,
    Json,
    Plain,
    Nothing,
}
use Got::{German, Json, Nothing, Page, Plain};

/// A client, the fields that it sends, and the expected answer.
const CLIENTS: &[(&str, &[&str], Got, Option<&str>)] = &[
    (
        "Chrome, navigation",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
            "Sec-Fetch-Site: none",
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-User: ?1",
            "Sec-Fetch-Dest: document",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Accept-Language: en-US,en;q=0.9,de;q=0.8",
        ],
        Page,
        Some("br"),
    ),
    (
        "Chrome, over plaintext, where it sends no br and no Sec-Fetch",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
            "Accept-Encoding: gzip, deflate",
            "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
        ],
        German,
        Some("gzip"),
    ),
    (
        "Chrome, image",
        &[
            "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
            "Sec-Fetch-Mode: no-cors",
            "Sec-Fetch-Dest: image",
            "Accept-Encoding: gzip, deflate, br, zstd",
        ],
        Nothing,
        None,
    ),
    (
        "Chrome, image over plaintext",
        &["Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"],
        Nothing,
        None,
    ),
    (
        "Chrome, style",
        &["Accept: text/css,*/*;q=0.1", "Sec-Fetch-Dest: style"],
        Nothing,
        None,
    ),
    (
        "Chrome, script",
        &["Accept: */*", "Sec-Fetch-Dest: script"],
        Nothing,
        None,
    ),
    (
        "Chrome, font",
        &["Accept: */*", "Sec-Fetch-Dest: font"],
        Nothing,
        None,
    ),
    (
        "Chrome, frame",
        &["Accept: text/html,*/*;q=0.8", "Sec-Fetch-Dest: iframe"],
        Page,
        None,
    ),
    (
        "Firefox, navigation",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language: de,en-US;q=0.7,en;q=0.3",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Sec-Fetch-Dest: document",
        ],
        German,
        Some("br"),
    ),
    (
        "Firefox, image over plaintext",
        &["Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"],
        Nothing,
        None,
    ),
    (
        "Firefox, video",
        &[
            "Accept: video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
        ],
        Nothing,
        None,
    ),
    (
        "Safari, navigation",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language: de-DE,de;q=0.9",
            "Accept-Encoding: gzip, deflate, br",
            "Sec-Fetch-Dest: document",
        ],
        German,
        Some("br"),
    ),
    (
        "Safari, image",
        &[
            "Accept: image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        ],
        Nothing,
        None,
    ),
    (
        "curl",
        &["User-Agent: curl/8.14.1", "Accept: */*"],
        Page,
        None,
    ),
    (
        "curl --compressed",
        &["Accept: */*", "Accept-Encoding: deflate, gzip, br, zstd"],
        Page,
        Some("br"),
    ),
    ("curl -H accept", &["Accept: application/json"], Json, None),
    ("curl for text", &["Accept: text/plain"], Plain, None),
    (
        "wget",
        &["Accept: */*", "Accept-Encoding: identity"],
        Page,
        None,
    ),
    (
        "wget2",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Encoding: gzip, deflate, br",
        ],
        Page,
        Some("br"),
    ),
    (
        "fetch()",
        &[
            "Accept: */*",
            "Sec-Fetch-Mode: cors",
            "Sec-Fetch-Dest: empty",
            "Accept-Language: *",
        ],
        Page,
        None,
    ),
    (
        "fetch() of JSON",
        &[
            "Accept: application/json",
            "Sec-Fetch-Mode: cors",
            "Sec-Fetch-Dest: empty",
        ],
        Json,
        None,
    ),
    (
        "undici",
        &[
            "accept: */*",
            "accept-language: *",
            "sec-fetch-mode: cors",
            "accept-encoding: gzip, deflate",
        ],
        Page,
        Some("gzip"),
    ),
    (
        "axios in a browser",
        &[
            "Accept: application/json, text/plain, */*",
            "Sec-Fetch-Dest: empty",
            "Accept-Encoding: gzip, deflate, br, zstd",
        ],
        Json,
        None,
    ),
    (
        "axios in Node",
        &[
            "Accept: application/json, text/plain, */*",
            "Accept-Encoding: gzip, compress, deflate, br",
        ],
        Json,
        None,
    ),
    (
        "jQuery",
        &[
            "Accept: application/json, text/javascript, */*; q=0.01",
            "X-Requested-With: XMLHttpRequest",
        ],
        Json,
        None,
    ),
    (
        "EventSource",
        &["Accept: text/event-stream", "Sec-Fetch-Dest: empty"],
        Page,
        None,
    ),
    (
        "Go net/http",
        &["User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip"],
        Page,
        Some("gzip"),
    ),
    (
        "Java HttpURLConnection",
        &["Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"],
        Page,
        None,
    ),
    (
        "Java HttpURLConnection, newer",
        &["Accept: */*"],
        Page,
        None,
    ),
    (
        "Java HttpClient",
        &["User-Agent: Java-http-client/21"],
        Page,
        None,
    ),
    (
        "Spring RestTemplate",
        &["Accept: application/json, application/*+json"],
        Json,
        None,
    ),
    (
        "Python urllib",
        &[
            "Accept-Encoding: identity",
            "User-Agent: Python-urllib/3.13",
        ],
        Page,
        None,
    ),
    (
        "Python requests",
        &["Accept-Encoding: gzip, deflate", "Accept: */*"],
        Page,
        Some("gzip"),
    ),
    (
        "Python httpx",
        &["Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd"],
        Page,
        Some("br"),
    ),
    (
        "feed reader",
        &[
            "Accept: application/atom+xml,application/rss+xml,application/xml;q=0.9,text/xml;q=0.8,*/*;q=0.7",
        ],
        Page,
        None,
    ),
    (
        "Googlebot",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Encoding: gzip, deflate, br",
        ],
        Page,
        Some("br"),
    ),
    (
        "a client of HTTP problems",
        &["Accept: application/problem+json, application/json;q=0.9"],
        Json,
        None,
    ),
    (
        "a client that refuses all codings",
        &["Accept-Encoding: identity;q=0, *;q=0"],
        Page,
        None,
    ),
    (
        "Accept in two lines",
        &["Accept: text/html;q=0.1", "Accept: application/json"],
        Json,
        None,
    ),
    (
        "fetch() that sends JSON",
        &[
            "Accept: */*",
            "Content-Type: application/json",
            "Sec-Fetch-Mode: cors",
            "Sec-Fetch-Dest: empty",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Accept-Language: en-US,en;q=0.9",
        ],
        Json,
        None,
    ),
    (
        "undici that sends JSON",
        &[
            "content-type: application/json",
            "accept: */*",
            "accept-language: *",
            "sec-fetch-mode: cors",
            "accept-encoding: gzip, deflate",
        ],
        Json,
        None,
    ),
    (
        "undici that sends text",
        &["content-type: text/plain;charset=UTF-8", "accept: */*"],
        Page,
        None,
    ),
    (
        "Python requests that sends JSON",
        &[
            "Accept-Encoding: gzip, deflate",
            "Accept: */*",
            "Content-Type: application/json",
        ],
        Json,
        None,
    ),
    (
        "Python requests that sends a form",
        &[
            "Accept: */*",
            "Content-Type: application/x-www-form-urlencoded",
        ],
        Page,
        None,
    ),
    (
        "Go that sends JSON",
        &[
            "Content-Type: application/json; charset=utf-8",
            "Accept-Encoding: gzip",
        ],
        Json,
        None,
    ),
    (
        "curl that sends JSON:API",
        &["Accept: */*", "Content-Type: Application/vnd.api+JSON"],
        Json,
        None,
    ),
    (
        "a client of event streams that sends JSON",
        &[
            "Accept: text/event-stream",
            "Content-Type: application/json",
        ],
        Json,
        None,
    ),
    (
        "a client of text that sends JSON",
        &["Accept: text/plain, */*", "Content-Type: application/json"],
        Plain,
        None,
    ),
    (
        "a browser's navigation with JSON",
        &[
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Content-Type: application/json",
        ],
        Page,
        None,
    ),
    (
        "a browser's navigation with JSON and without its Accept",
        &[
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
            "Accept: */*",
            "Content-Type: application/json",
        ],
        Page,
        None,
    ),
    (
        "a browser's report",
        &[
            "Accept: */*",
            "Content-Type: application/reports+json",
            "Sec-Fetch-Dest: report",
        ],
        Nothing,
        None,
    ),
];

#[test]
fn every_client_gets_the_form_that_it_can_use() {
    let directory = directory();
    let page = directory.path().join("page.html");
    let server = Server::start(&["--page", page.to_str().unwrap()]);
    let mut wrong = Vec::new();
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(&server, port);
        for (name, fields, expected, coding) in CLIENTS {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            let answer = client.answer();
            let text = whole(&answer);
            let got = match answer.header("Content-Type") {
                Some("text/html; charset=utf-8") if text.starts_with(PAGE) => Page,
                Some("text/html; charset=utf-8") if text.starts_with(GERMAN) => German,
                Some("application/json") if text == "{\"down\": true}" => Json,
                Some("text/plain; charset=utf-8") if text.starts_with("503 ") => Plain,
                None if text.is_empty() => Nothing,
                other => panic!("{name}: {other:?} {text}"),
            };
            let vary = Some("Accept, Accept-Encoding, Accept-Language, Sec-Fetch-Dest");
            assert_eq!(answer.header("Vary"), vary, "{name}");
            assert_eq!(answer.status, 503);
            if (got, answer.header("Content-Encoding")) != (*expected, *coding) {
                wrong.push(format!(
                    "{name}: {got:?} {:?}",
                    answer.header("Content-Encoding")
                ));
            }
            // HEAD gets the same.
            client.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            let head = client.answer_to_head();
            assert_eq!(
                head.header("Content-Length"),
                Some(&*answer.body.len().to_string())
            );
            assert_eq!(head.header("Content-Type"), answer.header("Content-Type"));
            assert_eq!(
                head.header("Content-Encoding"),
                answer.header("Content-Encoding")
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_site_with_only_a_page_has_the_embedded_forms() {
    let server = Server::start(&["--retry-after", "77"]);
    let mut client = connect(&server, Port::Plaintext);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        answer.header("Content-Type"),
        Some("application/problem+json")
    );
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["status"], 503);
    assert_eq!(problem["title"], "Service Unavailable");
    assert_eq!(problem["retry-after"], 77);
    assert!(problem["detail"].is_string());
}

const PREFLIGHT: &str = "OPTIONS /api HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\
    Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: authorization,content-type\r\n";

#[test]
fn an_origin_that_is_named_may_ask_and_read() {
    let directory = directory();
    let (server, _other) = configured(&directory, "cors_origin https://app.example;");
    let mut client = connect(&server, Port::Plaintext);
    // In the middle of a pipeline, and with a body.
    let get = "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n";
    client.send(format!(
        "{get}{PREFLIGHT}Content-Length: 3\r\n\r\nabc{PREFLIGHT}\r\n{get}"
    ));
    for expected in [503, 204, 204, 503] {
        let answer = if expected == 204 {
            client.answer_to_head()
        } else {
            client.answer()
        };
        assert_eq!(answer.status, expected);
        assert_eq!(
            answer.header("Access-Control-Allow-Origin"),
            Some("https://app.example")
        );
        assert!(answer.header("Vary").unwrap().contains("Origin"));
        if expected == 204 {
            assert_eq!(
                answer.header("Access-Control-Allow-Methods"),
                Some("DELETE")
            );
            assert_eq!(
                answer.header("Access-Control-Allow-Headers"),
                Some("authorization, content-type")
            );
            assert_eq!(answer.header("Content-Length"), None);
            assert!(answer.header("Date").is_some());
        } else {
            assert_eq!(
                answer.header("Access-Control-Expose-Headers"),
                Some("Retry-After")
            );
        }
    }
    for other in [
        PREFLIGHT.replace("app.example", "evil.example"),
        PREFLIGHT.replace("DELETE", "DE LETE"),
        PREFLIGHT.replace("Origin", "X-Origin"),
    ] {
        client.send(format!("{other}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, 503, "{other}");
        assert!(whole(&answer).starts_with(PAGE));
    }
    client.send(format!("{PREFLIGHT}Connection: close\r\n\r\n"));
    let answer = client.answer_to_head();
    assert_eq!(
        (answer.status, answer.header("Connection")),
        (204, Some("close"))
    );
}

#[test]
fn all_origins_are_allowed_if_configured() {
    let directory = directory();
    let (server, _other) = configured(&directory, "cors_origin *;");
    let mut client = connect(&server, Port::Plaintext);
    client.send(format!("{PREFLIGHT}\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = client.answer_to_head();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    let answer = client.answer();
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(
        answer.header("Vary").map(|vary| vary.contains("Origin")),
        Some(false)
    );
}

fn check(text: &str) -> (String, String) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("maintd.conf");
    fs::write(&file, text).unwrap();
    let mut command = maintd();
    command.arg("check").arg("-c").arg(&file);
    let Output { stderr, .. } = command.output().unwrap();
    (
        String::from_utf8(stderr).unwrap(),
        file.display().to_string(),
    )
}

#[test]
fn an_invalid_origin_is_reported_with_its_position() {
    for (arguments, position, what) in [
        ("", "2:1", "cors_origin without an origin"),
        (
            " https://a.example/",
            "2:13",
            "wrong value \"https://a.example/\" for cors_origin; give an origin",
        ),
        (" https://a.example *", "2:31", "* excludes other origins"),
        (
            " https://a.example https://A.example:443",
            "2:31",
            "a duplicate origin https://a.example",
        ),
        (" *; cors_origin *", "2:16", "a duplicate cors_origin"),
    ] {
        let text =
            format!("server {{ listen 127.0.0.1:0; return 503;\ncors_origin{arguments};\n}}");
        let (stderr, file) = check(&text);
        let expected = format!("{file}:{position}: {what}");
        assert!(stderr.contains(&expected), "{expected}\n{stderr}");
    }
    let (stderr, _) = check(
        "server { listen 127.0.0.1:0; return 503; add_header Access-Control-Allow-Origin *; cors_origin *; }",
    );
    assert!(
        stderr.contains("add_header Access-Control-Allow-Origin is ignored: cors_origin sets it"),
        "{stderr}"
    );
}

/// Pages are often templates of other programs.
#[test]
fn braces_of_other_programs_do_not_stop_the_start() {
    let directory = TempDir::new().unwrap();
    let page = "<p>{{user.name}} {{ message }} {% if a %}{{ host|safe }}{% endif %} {{#until}}";
    fs::write(directory.path().join("page.html"), page).unwrap();
    let (server, _directory) = configured(&directory, "");
    let mut client = connect(&server, Port::Plaintext);
    client.send("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
    assert_eq!(client.last_answer().text(), page);
    let output = maintd()
        .arg("check")
        .arg("-c")
        .arg(directory.path().join("maintd.conf"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let path = directory.path().join("page.html").display().to_string();
    for expected in [
        ":1:18: \"{{ message }}\" stays as it is; where maintd is to fill it, write {{message}}",
        ":1:69: a section of \"until\" has no end and stays as it is; add {{/until}}",
    ] {
        assert!(
            stderr.contains(&format!("maintd: warning: {path}{expected}\n")),
            "{stderr}"
        );
    }
    assert_eq!(stderr.matches("warning").count(), 2, "{stderr}");
}

#[test]
fn placeholders_off_fills_nothing() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("page.html"), "<p>{{host}} {{ host }}").unwrap();
    let path = directory.path().join("maintd.conf");
    let text = |value: &str| {
        format!(
            "placeholders {value};\nserver {{ listen 127.0.0.1:0; server_name a.example; root .; error_page 503 /page.html; return 503; }}"
        )
    };
    for (value, expected) in [
        ("on", "<p>a.example {{ host }}"),
        ("off", "<p>{{host}} {{ host }}"),
    ] {
        fs::write(&path, text(value)).unwrap();
        let mut command = maintd();
        command.arg("serve").arg("-c").arg(&path);
        let server = Server::start_command(command, 1);
        let mut client = connect(&server, Port::Plaintext);
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        assert_eq!(client.last_answer().text(), expected);
    }
    let check = || {
        let output = maintd().arg("check").arg("-c").arg(&path).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let stderr = check();
    assert!(!stderr.contains("stays as it is"), "{stderr}");
    fs::write(&path, text("maybe")).unwrap();
    let stderr = check();
    assert!(
        stderr.contains(":1:14: wrong value \"maybe\" for placeholders; give on or off"),
        "{stderr}"
    );
    fs::write(&path, "server { return 503; placeholders off; }").unwrap();
    let stderr = check();
    assert!(
        stderr.contains("placeholders belongs at the top level; move it out of server"),
        "{stderr}"
    );
}
