use proptest::prelude::*;

use crate::serve::http1::*;

/// Parses a head that arrives at once.
fn whole(input: impl AsRef<[u8]>) -> Parsed {
    parse(input.as_ref(), &mut Scan::default())
}

/// Parses a head that arrives in pieces of the given lengths, and then byte by byte.
fn in_pieces(input: &[u8], lengths: &[usize]) -> Parsed {
    let mut scan = Scan::default();
    let mut end = 0;
    let mut lengths = lengths.iter().copied().chain(std::iter::repeat(1));
    while end < input.len() {
        end = (end + lengths.next().unwrap()).min(input.len());
        let parsed = parse(&input[..end], &mut scan);
        if parsed != Parsed::Partial {
            return parsed;
        }
    }
    Parsed::Partial
}

/// A result without the span of the host, which has a test of its own.
fn without_host(parsed: Parsed) -> Parsed {
    match parsed {
        Parsed::Request(request, length) => {
            let host = Span::NONE;
            Parsed::Request(Request { host, ..request }, length)
        }
        Parsed::Partial | Parsed::Refusal(_) => parsed,
    }
}

fn request(input: impl AsRef<[u8]>) -> Request {
    match without_host(whole(input.as_ref())) {
        Parsed::Request(request, _) => request,
        other @ (Parsed::Partial | Parsed::Refusal(_)) => {
            unreachable!("{other:?} for {}", input.as_ref().escape_ascii())
        }
    }
}

const GET: Request = Request {
    is_head: false,
    version: Version::V1_1,
    keep_alive: true,
    expects_continue: false,
    body: Body::Length(0),
    host: Span::NONE,
    preferences: Preferences {
        form: Form::Page,
        coding: Coding::Identity,
        languages: Span::NONE,
        origin: Span::NONE,
        is_preflight: false,
    },
};

fn refusal(input: impl AsRef<[u8]>) -> Refusal {
    match whole(input.as_ref()) {
        Parsed::Refusal(refusal) => refusal,
        other @ (Parsed::Partial | Parsed::Request(..)) => {
            unreachable!("{other:?} for {}", input.as_ref().escape_ascii())
        }
    }
}

/// A head with the given field lines.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn any_method_and_target_is_accepted() {
    for line in [
        "GET /",
        "get /",
        "FOO /",
        "M-SEARCH *",
        "OPTIONS *",
        "CONNECT a.example:443",
        "TRACE /",
        "GET http://a.example/b?c",
        "PROPFIND /%0a%00",
        "GET /?q=\"<>\\^`{|}",
        "GET //..//",
        "! ~",
    ] {
        assert_eq!(
            request(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")),
            GET,
            "{line}"
        );
    }
    assert!(request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").is_head);
    assert!(!request("head / HTTP/1.1\r\nHost: a\r\n\r\n").is_head);
}

#[test]
fn a_target_in_an_old_encoding_is_accepted() {
    assert_eq!(request(b"GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"), GET);
    assert_eq!(request("GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"), GET);
    assert_eq!(request(b"GET /caf\xe9 HTTP/1.3\r\nHost: a\r\n\r\n"), GET);
    assert_eq!(
        request(b"GET /caf\xe9 HTTP/1.0\r\n\r\n").version,
        Version::V1_0
    );
}

#[test]
fn the_host_is_that_of_the_target_or_of_the_field() {
    let host = |input: &str| match whole(input) {
        Parsed::Request(request, _) => {
            String::from_utf8_lossy(request.host.slice(input.as_bytes())).into_owned()
        }
        other @ (Parsed::Partial | Parsed::Refusal(_)) => unreachable!("{other:?} for {input}"),
    };
    for (field, expected) in [
        ("a.example", "a.example"),
        ("A.example.:8080", "A.example."),
        ("  a:  ", "a"),
        ("[::1]:80", "[::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("", ""),
    ] {
        let head = format!("\r\nGET / HTTP/1.1\r\nX: y\r\nhOST:{field}\r\nZ: z\r\n\r\n");
        assert_eq!(host(&head), expected, "{field}");
    }
    for (target, expected) in [
        ("/", "field"),
        ("/http://a/", "field"),
        ("*", "field"),
        ("b:443", "field"),
        ("http:///x", "field"),
        ("%://a/", "field"),
        ("http://a", "a"),
        ("HTTP://a.b:80/c?d", "a.b"),
        ("http://a?b@c", "a"),
        ("https://user:pass@a:1#x", "a"),
        ("http://[::1]:80/", "[::1]"),
        ("http://[::1]", "[::1]"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: field\r\n\r\n");
        assert_eq!(host(&head), expected, "{target}");
    }
    assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), "");
    assert_eq!(host("GET http://a/ HTTP/1.0\r\n\r\n"), "a");
    assert_eq!(host("GET http://a/ HTTP/1.4\r\nHost: b\r\n\r\n"), "a");
}

#[test]
fn the_length_is_that_of_the_head() {
    let head = "\r\n\nGET / HTTP/1.1\r\nHost: a\n\r\n";
    assert_eq!(
        without_host(whole(format!("{head}GET"))),
        Parsed::Request(GET, head.len())
    );
}

#[test]
fn a_later_minor_version_is_treated_as_1_1() {
    assert_eq!(request("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), GET);
    assert_eq!(request("\r\nGET / HTTP/1.9\nHost: a\n\n"), GET);
}

#[test]
fn another_major_version_is_refused() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refusal(head), Refusal::UnknownVersion, "{version}");
    }
    assert_eq!(
        refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Refusal::UnknownVersion
    );
}

#[test]
fn an_ambiguous_head_is_refused() {
    for head in [
        "GET /\r\n".to_owned(),
        "GET / HTTP/1.10\r\nHost: a\r\n\r\n".to_owned(),
        "GET / http/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTQ/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned(),
        "GET / / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\rHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(),
        with("Host: a\r\n"),
        with("Host : a\r\n"),
        with("A: b\rc\r\n"),
        with("A: b\0c\r\n"),
        with("A: b\r\n c\r\n"),
        with("A: b\r\n\tc\r\n"),
        with("A : b\r\n"),
        with(": b\r\n"),
        with("A\r\n"),
        with("A(b): c\r\n"),
        with("Content-Length: 1\r\nContent-Length: 2\r\n"),
        with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n".to_owned(),
    ] {
        assert_eq!(refusal(&head), Refusal::Malformed, "{head:?}");
    }
    for length in [
        "", "+5", "-1", "0x5", "5 5", "5,5", "5, 6", "5a", "a", "\u{b}5", "1.0",
    ] {
        let head = with(&format!("Content-Length: {length}\r\n"));
        assert_eq!(refusal(&head), Refusal::Malformed, "{head:?}");
    }
}

#[test]
fn a_host_may_be_empty_or_unusual() {
    for host in [
        "",
        "a",
        "a.example:8080",
        "[2001:db8::1]:80",
        "xn--a",
        "a_b",
        "127.0.0.1",
        "\u{e9}",
    ] {
        assert_eq!(
            request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            GET,
            "{host}"
        );
    }
}

#[test]
fn a_body_has_the_length_of_its_framing_fields() {
    for (lines, body) in [
        ("", Body::Length(0)),
        ("Content-Length: 0\r\n", Body::Length(0)),
        ("content-length:\t007 \r\n", Body::Length(7)),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Body::Length(5),
        ),
        (
            "Content-Length: 18446744073709551615\r\n",
            Body::Length(u64::MAX),
        ),
        (
            "Content-Length: 99999999999999999999999999\r\n",
            Body::Length(u64::MAX),
        ),
        ("Transfer-Encoding: chunked\r\n", Body::Chunked),
        ("transfer-encoding:\tChunKed\t\r\n", Body::Chunked),
    ] {
        assert_eq!(request(with(lines)).body, body, "{lines:?}");
    }
}

/// RFC 9112 6.1 and 6.3.
#[test]
fn an_unknown_coding_is_distinguished_from_chunked_that_is_not_last() {
    for (codings, expected) in [
        (&["gzip, chunked"][..], Refusal::UnknownTransferCoding),
        (&["gzip,deflate\t, chunked"], Refusal::UnknownTransferCoding),
        (&["gzip", "chunked"], Refusal::UnknownTransferCoding),
        (&["gzip"], Refusal::UnknownTransferCoding),
        (&["identity"], Refusal::UnknownTransferCoding),
        (&["chunked;a"], Refusal::UnknownTransferCoding),
        (&["xchunked"], Refusal::UnknownTransferCoding),
        (&["chunked, gzip"], Refusal::Malformed),
        (&["chunked", "gzip"], Refusal::Malformed),
        (&["chunked", "identity", "chunked"], Refusal::Malformed),
        (&["gzip, chunked, gzip"], Refusal::Malformed),
        (&["gzip, chunked", "gzip, chunked"], Refusal::Malformed),
        (&["chunked, chunked"], Refusal::Malformed),
        (&["Chunked", "chunked"], Refusal::Malformed),
        (&["gzip, chunked, chunked"], Refusal::Malformed),
        (&[""], Refusal::Malformed),
        (&["chunked,"], Refusal::Malformed),
        (&[",chunked"], Refusal::Malformed),
        (&["chunked", ""], Refusal::Malformed),
    ] {
        let lines: String = codings
            .iter()
            .map(|coding| format!("Transfer-Encoding: {coding}\r\nX: y\r\n"))
            .collect();
        assert_eq!(refusal(with(&lines)), expected, "{codings:?}");
    }
}

#[test]
fn keep_alive_depends_on_the_version() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: foo , CLOSE\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let host = if version == "1.1" { "Host: a\r\n" } else { "" };
        let head = format!("GET / HTTP/{version}\r\n{host}{lines}\r\n");
        assert_eq!(request(&head).keep_alive, keep_alive, "{head:?}");
    }
}

#[test]
fn a_continuation_is_expected_by_1_1_alone() {
    let expects = |version: &str, value: &str| {
        request(format!(
            "PUT / {version}\r\nHost: a\r\nExpect: {value}\r\n\r\n"
        ))
        .expects_continue
    };
    assert!(expects("HTTP/1.1", "100-continue"));
    assert!(expects("HTTP/1.1", "100-Continue"));
    assert!(!expects("HTTP/1.1", "200-maybe"));
    assert!(!expects("HTTP/1.0", "100-continue"));
}

#[test]
fn limits_are_exact() {
    let line = |length: usize| {
        let target = "x".repeat(length - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    assert_eq!(request(line(MAX_REQUEST_LINE)), GET);
    assert_eq!(
        refusal(line(MAX_REQUEST_LINE + 1)),
        Refusal::RequestLineTooLong
    );
    let head = |length: usize| {
        let rest = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n",
            "x".repeat(length - rest)
        )
    };
    assert_eq!(request(head(MAX_HEAD)), GET);
    assert_eq!(refusal(head(MAX_HEAD + 1)), Refusal::HeadTooLarge);
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(count - 1)
        )
    };
    assert_eq!(request(fields(MAX_FIELDS)), GET);
    assert_eq!(refusal(fields(MAX_FIELDS + 1)), Refusal::HeadTooLarge);
    for (input, expected) in [
        (
            line(MAX_REQUEST_LINE),
            Parsed::Request(GET, MAX_REQUEST_LINE + 13),
        ),
        (
            line(MAX_REQUEST_LINE + 2),
            Parsed::Refusal(Refusal::RequestLineTooLong),
        ),
        (head(MAX_HEAD), Parsed::Request(GET, MAX_HEAD)),
        (head(MAX_HEAD + 1), Parsed::Refusal(Refusal::HeadTooLarge)),
    ] {
        assert_eq!(without_host(in_pieces(input.as_bytes(), &[])), expected);
    }
    let endless = format!(
        "GET /{} HTTP/1.1\r\n{}",
        "x".repeat(9000),
        "y".repeat(40_000)
    );
    let parsed = in_pieces(endless.as_bytes(), &[9020]);
    assert_eq!(parsed, Parsed::Refusal(Refusal::RequestLineTooLong));
}

#[test]
fn endless_input_is_refused_at_its_limit() {
    let parsed = in_pieces(&b"x".repeat(100_000), &[]);
    assert_eq!(parsed, Parsed::Refusal(Refusal::RequestLineTooLong));
    let parsed = in_pieces(&b"\r\n".repeat(50_000), &[]);
    assert_eq!(parsed, Parsed::Refusal(Refusal::HeadTooLarge));
}

#[test]
fn a_tls_client_hello_is_refused_at_once() {
    assert_eq!(refusal(b"\x16\x03\x01\x02\x00\x01\x00"), Refusal::Malformed);
}

#[test]
fn every_split_of_a_head_has_the_same_result() {
    for head in [
        &b"\r\nGET /path?query HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nAccept: */*\r\n\r\n"[..],
        b"POST / HTTP/1.1\nHost: a\nContent-Length: 12\n\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let expected = whole(head);
        assert_ne!(expected, Parsed::Partial);
        for split in 0..=head.len() {
            assert_eq!(in_pieces(head, &[split, head.len()]), expected, "{} at {split}", head.escape_ascii());
        }
        assert_eq!(in_pieces(head, &[]), expected);
    }
}

/// Valid heads with a few bytes changed.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nHEAD * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n",
        "PUT / HTTP/1.2\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    ]);
    let odd = prop::sample::select(b"\0\t\n\r :;,/.19Ax\x7f\xe9".to_vec());
    (
        valid,
        prop::collection::vec((any::<prop::sample::Index>(), odd, 0..3_u8), 0..4),
    )
        .prop_map(|(head, changes)| {
            let mut head = head.as_bytes().to_vec();
            for (at, byte, change) in changes {
                let at = at.index(head.len());
                match change {
                    0 => head[at] = byte,
                    1 => head.insert(at, byte),
                    _ => drop(head.remove(at)),
                }
            }
            head
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// A head in pieces has the same result, but perhaps another refusal.
    #[test]
    fn pieces_have_the_same_result(head in nearly_a_head(), lengths in prop::collection::vec(1_usize..30, 0..6)) {
        match (whole(&head), in_pieces(&head, &lengths)) {
            // A part of a malformed head may be refused before its limit or version is known.
            (Parsed::Refusal(_), Parsed::Refusal(_)) => {}
            // Input that arrives at once may be refused though it is incomplete.
            (Parsed::Refusal(_), Parsed::Partial) => {
                let ended = in_pieces(&[head.as_slice(), b"\r\n\r\n"].concat(), &lengths);
                prop_assert!(matches!(ended, Parsed::Refusal(_)), "{}", head.escape_ascii());
            }
            (all, pieces) => prop_assert_eq!(all, pieces, "{}", head.escape_ascii()),
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(input in prop::collection::vec(any::<u8>(), 0..300), lengths in prop::collection::vec(1_usize..50, 0..9)) {
        let _ = whole(&input);
        let _ = in_pieces(&input, &lengths);
    }
}
