use std::time::Duration;

use crate::config::Cors;
use crate::serve::answer::compress::decompressed;
use crate::serve::answer::render::SHORT;
use crate::serve::answer::*;
use crate::serve::http1::{Parsed, Request, Scan, parse};

const MINUTE: Duration = Duration::from_secs(60);

fn content<'a>(page: &[u8], fields: &'a [(String, String)]) -> Content<'a> {
    Content {
        fields,
        ..Content::of_page(page, "text/html", MINUTE)
    }
}

const READY: Ready = Ready {
    persistence: Persistence::Implicit,
    with_body: true,
    site: 0,
    variant: 0,
    retry_after: 0,
};

fn head(answers: &Answers, ready: Ready) -> String {
    String::from_utf8_lossy(answers.bytes(ready)[0]).into_owned()
}

/// The answer to a request with these field lines.
fn answer(answers: &Answers, lines: &str) -> (String, Vec<u8>) {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let Parsed::Request(Request { preferences, .. }, _) =
        parse(head.as_bytes(), &mut Scan::default())
    else {
        unreachable!("{head}");
    };
    let variant = answers.choose(0, preferences, head.as_bytes());
    let [head, body] = answers.bytes(Ready { variant, ..READY });
    (String::from_utf8_lossy(head).into_owned(), body.to_vec())
}

fn form(body: &[u8], content_type: &str, language: Option<&str>) -> Representation {
    Representation {
        body: body.to_vec(),
        content_type: content_type.to_owned(),
        language: language.map(str::to_owned),
    }
}

fn line<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn an_answer_is_a_head_and_a_body() {
    let answers = Answers::new(b"page", "text/html", MINUTE).unwrap();
    let ready = Ready {
        persistence: Persistence::Close,
        ..READY
    };
    let [head, body] = answers.bytes(ready);
    assert_eq!(
        String::from_utf8_lossy(head),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\
         Cache-Control: no-store\r\nVary: Accept, Sec-Fetch-Dest\r\nRetry-After: 60\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(body, b"page");
    let with_body = false;
    assert_eq!(
        answers.bytes(Ready { with_body, ..ready }),
        [head, b"".as_slice()]
    );
}

#[test]
fn each_persistence_has_its_head() {
    let answers = Answers::new(b"page", "text/html", MINUTE).unwrap();
    for (persistence, expected) in [
        (Persistence::Implicit, None),
        (Persistence::KeepAlive, Some("keep-alive")),
        (Persistence::Close, Some("close")),
    ] {
        let head = head(
            &answers,
            Ready {
                persistence,
                ..READY
            },
        );
        assert_eq!(line(&head, "Connection"), expected);
    }
}

#[test]
fn fields_of_the_administrator_are_sent() {
    let fields = [("X-A", "b"), ("cache-control", "private")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let answers = Answers::of_sites(&[content(b"page", &fields)]).unwrap();
    let head = head(&answers, READY);
    assert!(
        head.ends_with("Retry-After: 60\r\nX-A: b\r\ncache-control: private\r\n\r\n"),
        "{head}"
    );
    assert!(!head.contains("no-store"));
}

#[test]
fn sites_have_their_own_answers_and_share_equal_bodies() {
    let fields = [("X-A".to_owned(), "b".to_owned())];
    let long = vec![b'x'; SHORT + 1];
    let contents = [
        content(b"page", &[]),
        content(&long, &[]),
        content(b"page", &fields),
    ];
    let answers = Answers::of_sites(&contents).unwrap();
    let of = |site| answers.bytes(Ready { site, ..READY });
    assert_eq!(of(1)[1], long);
    assert_eq!(of(0)[1].as_ptr(), of(2)[1].as_ptr());
    assert!(of(2)[0].ends_with(b"X-A: b\r\n\r\n") && !of(0)[0].ends_with(b"X-A: b\r\n\r\n"));
    assert_eq!(
        [0, 1, 2].map(|site| answers.is_short(site, 0)),
        [true, false, true]
    );
}

#[test]
fn a_head_with_a_countdown_ends_before_its_value() {
    let content = Content {
        retry_after: None,
        ..content(b"page", &[])
    };
    let answers = Answers::of_sites(&[content]).unwrap();
    let head = head(
        &answers,
        Ready {
            persistence: Persistence::Close,
            ..READY
        },
    );
    assert!(
        head.ends_with("\r\nConnection: close\r\nRetry-After: "),
        "{head}"
    );
    assert_eq!(head.matches("Retry-After").count(), 1);
}

#[test]
fn every_form_language_and_coding_has_its_head_and_body() {
    let page = b"<p>Back soon</p>".repeat(100);
    let german = b"<p>Bald wieder da</p>".repeat(100);
    let content = Content {
        pages: vec![
            form(&page, "text/html; charset=utf-8", Some("en")),
            form(&german, "text/html; charset=utf-8", Some("de")),
        ],
        json: Some(form(b"{}", "application/problem+json", None)),
        plain: Some(form(b"soon\n", "text/plain; charset=utf-8", None)),
        ..content(b"", &[])
    };
    let answers = Answers::of_sites(&[content]).unwrap();
    let html = Some("text/html; charset=utf-8");
    let [gzip, br, en, de] = ["gzip", "br", "en", "de"].map(Some);
    let json = Some("application/problem+json");
    let plain = Some("text/plain; charset=utf-8");
    for (lines, content_type, coding, language, body) in [
        ("", html, None, en, &page[..]),
        ("Accept-Encoding: gzip\r\n", html, gzip, en, &page),
        (
            "Accept-Encoding: gzip, br\r\nAccept-Language: fr, de;q=0.5\r\n",
            html,
            br,
            de,
            &german,
        ),
        ("Accept-Language: fr\r\n", html, None, en, &page),
        (
            "Accept: application/json\r\nAccept-Encoding: br\r\nAccept-Language: de\r\n",
            json,
            None,
            None,
            b"{}",
        ),
        ("Accept: text/plain\r\n", plain, None, None, b"soon\n"),
        (
            "Accept: text/html\r\nSec-Fetch-Dest: image\r\nAccept-Encoding: gzip\r\n",
            None,
            None,
            None,
            b"",
        ),
    ] {
        let (head, sent) = answer(&answers, lines);
        assert_eq!(line(&head, "Content-Type"), content_type, "{lines}");
        assert_eq!(line(&head, "Content-Encoding"), coding, "{lines}");
        assert_eq!(line(&head, "Content-Language"), language, "{lines}");
        assert_eq!(
            line(&head, "Content-Length"),
            Some(&*sent.len().to_string()),
            "{lines}"
        );
        let vary = "Accept, Accept-Encoding, Accept-Language, Sec-Fetch-Dest";
        assert_eq!(line(&head, "Vary"), Some(vary), "{lines}");
        assert!(
            decompressed(coding.unwrap_or("identity"), &sent) == body,
            "{lines}"
        );
    }
}

#[test]
fn a_site_without_other_forms_sends_the_page() {
    let answers = Answers::new(b"page", "text/html", MINUTE).unwrap();
    for accept in ["application/json", "text/plain", "text/html"] {
        assert_eq!(
            answer(&answers, &format!("Accept: {accept}\r\n")).1,
            b"page"
        );
    }
    assert_eq!(answer(&answers, "Accept: image/*\r\n").1, b"");
}

#[test]
fn a_listed_origin_is_allowed_to_read() {
    let [app, other] = ["https://app.example", "https://b.example"].map(str::to_owned);
    let listed = Cors::Origins(vec![app, other]);
    let content = |cors| Content {
        cors,
        ..content(&b"page".repeat(500), &[])
    };
    let answers = Answers::of_sites(&[content(&listed)]).unwrap();
    let allowed = |origin: &str| {
        let lines = format!("Origin: {origin}\r\nAccept-Encoding: gzip\r\n");
        let (head, body) = answer(&answers, &lines);
        assert_eq!(decompressed("gzip", &body), b"page".repeat(500));
        assert_eq!(
            line(&head, "Vary"),
            Some("Accept, Accept-Encoding, Origin, Sec-Fetch-Dest")
        );
        let exposed = line(&head, "Access-Control-Expose-Headers");
        let allowed = line(&head, "Access-Control-Allow-Origin").map(str::to_owned);
        assert_eq!(exposed, allowed.as_ref().map(|_| "Retry-After"));
        allowed
    };
    for origin in ["https://app.example", "https://b.example"] {
        assert_eq!(allowed(origin).as_deref(), Some(origin));
    }
    for origin in ["https://app.example.evil", "http://app.example", "null", ""] {
        assert_eq!(allowed(origin), None, "{origin}");
    }
    let answers = Answers::of_sites(&[content(&Cors::Any)]).unwrap();
    let (head, _) = answer(&answers, "");
    assert_eq!(line(&head, "Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(
        line(&head, "Vary"),
        Some("Accept, Accept-Encoding, Sec-Fetch-Dest")
    );
}
