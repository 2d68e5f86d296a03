//! What gets 400, each alone, and always followed by a request that must not be answered.

use crate::answers::{GET, Site, assert_refusal, on_both_ports, request};

on_both_ports! {
    content_length_with_transfer_encoding,
    differing_content_lengths,
    malformed_content_lengths,
    a_content_length_that_no_integer_holds,
    no_host_in_1_1,
    several_hosts_in_1_1,
    a_host_that_is_none,
    bare_cr_in_the_request_line,
    bare_cr_in_a_field,
    nul_in_the_request_line,
    nul_in_a_field,
    space_before_a_colon,
    obs_fold,
    field_names_that_are_none,
    lines_without_a_colon,
    request_lines_out_of_shape,
    versions_out_of_shape,
    methods_that_are_no_tokens,
    control_bytes_in_the_target,
    the_refusal_of_head_has_no_body,
}

/// RFC 9112 6.1: the classic of request smuggling, in both orders.
fn content_length_with_transfer_encoding(site: &Site) {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for length in [0, 5, 15, 100_000] {
        let length = format!("Content-Length: {length}\r\n");
        for coding in ["chunked", "Chunked"] {
            let coding = format!("Transfer-Encoding: {coding}\r\n");
            site.refuses(400, request("POST", &format!("{length}{coding}")) + body);
            site.refuses(400, request("POST", &format!("{coding}{length}")) + body);
            site.refuses(
                400,
                request("POST", &format!("{length}X: y\r\n{coding}")) + body,
            );
        }
    }
}

/// RFC 9112 6.3.
fn differing_content_lengths(site: &Site) {
    for (first, second) in [("5", "6"), ("0", "5"), ("5", "0"), ("6", "5"), ("5", "x")] {
        let fields = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
        site.refuses(400, request("POST", &fields) + "hello");
    }
    let three = "Content-Length: 5\r\nContent-Length: 5\r\ncontent-length: 6\r\n";
    site.refuses(400, request("POST", three) + "hello");
}

fn malformed_content_lengths(site: &Site) {
    for length in [
        "+5", "5 5", "0x5", "", " ", "-1", "-0", "5,6", "5.0", "5a", "a", "1e3", "5;", "\"5\"",
        "٥", ",", "5 ,6", "0,5",
    ] {
        let fields = format!("Content-Length: {length}\r\n");
        site.refuses(400, request("POST", &fields) + "hello");
        site.refuses(400, request("GET", &fields));
    }
}

/// Malformed or merely too long, but never cut to 64 bits, where each would be 5.
fn a_content_length_that_no_integer_holds(site: &Site) {
    for length in [
        "18446744073709551621",
        "340282366920938463463374607431768211461",
    ] {
        let mut client = site.client();
        let head = request("POST", &format!("Content-Length: {length}\r\n"));
        client.send(head + "hello" + GET);
        let answer = client.last_answer();
        assert!(matches!(answer.status, 400 | 503), "{answer:#?}");
        assert!(answer.says_close(), "{answer:#?}");
    }
}

/// RFC 9112 3.2, and so for every method and every target form.
fn no_host_in_1_1(site: &Site) {
    site.refuses(400, "GET / HTTP/1.1\r\n\r\n");
    site.refuses(400, "GET / HTTP/1.1\r\nX-Host: example.org\r\n\r\n");
    site.refuses(400, "GET http://example.org/ HTTP/1.1\r\n\r\n");
    site.refuses(400, "OPTIONS * HTTP/1.1\r\n\r\n");
    site.refuses(400, "CONNECT example.org:443 HTTP/1.1\r\n\r\n");
    site.refuses(400, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
}

fn several_hosts_in_1_1(site: &Site) {
    site.refuses(400, request("GET", "Host: other.example\r\n"));
    site.refuses(400, request("GET", "Host: example.org\r\n"));
    site.refuses(400, request("GET", "X: y\r\nhOST:\r\n"));
}

/// RFC 9112 3.2: "or a Host header field with an invalid field value".
fn a_host_that_is_none(site: &Site) {
    for host in ["a b", "a/b", "a@b", "example.org:port"] {
        site.refuses(400, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
}

/// RFC 9112 2.2.
fn bare_cr_in_the_request_line(site: &Site) {
    let rest = "\r\nHost: example.org\r\n\r\n";
    for line in [
        "GET /\rx HTTP/1.1",
        "GET\r/ HTTP/1.1",
        "GET /\rHTTP/1.1",
        "GET / HTTP/1.1\r",
    ] {
        site.refuses(400, format!("{line}{rest}"));
    }
    site.refuses(400, format!("\rGET / HTTP/1.1{rest}"));
    site.refuses(400, "GET / HTTP/1.1\rHost: example.org\r\n\r\n");
}

fn bare_cr_in_a_field(site: &Site) {
    for line in [
        "X: a\rb",
        "X: \r",
        "X\r: a",
        "\rX: a",
        "X: a\rHost: other.example",
        "X: \ra",
    ] {
        site.refuses(400, request("GET", &format!("{line}\r\n")));
    }
    site.refuses(400, "GET / HTTP/1.1\r\nHost: example.org\rX: y\r\n\r\n");
    site.refuses(400, "GET / HTTP/1.1\r\nHost: exam\rple.org\r\n\r\n");
}

fn nul_in_the_request_line(site: &Site) {
    for line in [
        "GET /\0 HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GET / HTTP/1.1\0",
        "\0GET / HTTP/1.1",
    ] {
        site.refuses(400, format!("{line}\r\nHost: example.org\r\n\r\n"));
    }
}

fn nul_in_a_field(site: &Site) {
    for line in ["X: a\0b", "X: \0", "X\0: a", "X\0Y: a", "\0: a"] {
        site.refuses(400, request("GET", &format!("{line}\r\n")));
    }
    site.refuses(400, "GET / HTTP/1.1\r\nHost: example\0.org\r\n\r\n");
}

/// RFC 9112 5.1.
fn space_before_a_colon(site: &Site) {
    for line in [
        "X : y",
        "X\t: y",
        "X  : y",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
    ] {
        site.refuses(400, request("POST", &format!("{line}\r\n")) + "hello");
    }
    site.refuses(400, "GET / HTTP/1.1\r\nHost : example.org\r\n\r\n");
}

/// RFC 9112 5.2, and 2.2 for a blank at the head of the first field line.
fn obs_fold(site: &Site) {
    for fields in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X:\r\n a\r\n",
        "X: a\r\n \r\n",
        "X: a\r\n Content-Length: 5\r\n",
        "X: a\n b\r\n",
    ] {
        site.refuses(400, request("GET", fields));
    }
    site.refuses(400, "GET / HTTP/1.1\r\n Host: example.org\r\n\r\n");
    site.refuses(400, "GET / HTTP/1.1\r\n X: y\r\nHost: example.org\r\n\r\n");
    site.refuses(400, "GET / HTTP/1.1\r\nHost:\r\n example.org\r\n\r\n");
}

/// RFC 9110 5.1: a field name is a token.
fn field_names_that_are_none(site: &Site) {
    for name in [
        "", "X Y", "X@", "X(", "X\"", "X/", "X[0]", "X{", "\u{fc}", "X\x7f", "X\x01", "X,",
    ] {
        site.refuses(400, request("GET", &format!("{name}: y\r\n")));
    }
}

fn lines_without_a_colon(site: &Site) {
    for line in ["X", "X-Y", "X y", "GET / HTTP/1.1", "\u{b}"] {
        site.refuses(400, request("GET", &format!("{line}\r\n")));
    }
}

/// RFC 9112 3: single spaces, three parts.
fn request_lines_out_of_shape(site: &Site) {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        "GET /a b c HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.1 HTTP/1.1",
        "GET HTTP/1.1",
        "GET",
        "/ HTTP/1.1",
        "HTTP/1.1 200 OK",
        "Host: example.org",
        "\x16\x03\x01\x02",
        "\u{feff}GET / HTTP/1.1",
    ] {
        site.refuses(400, format!("{line}\r\nHost: example.org\r\n\r\n"));
    }
}

/// RFC 9112 2.3: `HTTP/`, a digit, a dot, a digit; case-sensitive.
fn versions_out_of_shape(site: &Site) {
    for version in [
        "http/1.1",
        "Http/1.1",
        "HTTP/1.1x",
        "HTTP/1.",
        "HTTP/1",
        "HTTP/",
        "HTTP",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1,1",
        "HTTP/-1.1",
        "HTTP/x.y",
        "FTP/1.1",
        "HTTPS/1.1",
        "SIP/2.0",
        "HTTP /1.1",
        "HTTP/1.1.1",
    ] {
        site.refuses(400, format!("GET / {version}\r\nHost: example.org\r\n\r\n"));
    }
}

fn methods_that_are_no_tokens(site: &Site) {
    for method in [
        "", "G@T", "GET:", "G\"T\"", "(GET)", "GET,", "G\u{c9}T", "GET/", "G=T", "\x7f",
    ] {
        site.refuses(400, request(method, ""));
    }
}

fn control_bytes_in_the_target(site: &Site) {
    for target in ["/\x01", "/\x0b", "/\x1f", "/\x7f", "/\t", "/\x1b[2J"] {
        site.refuses(
            400,
            format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        );
    }
}

/// RFC 9110 9.3.2: never a body for HEAD, although this request is malformed too.
fn the_refusal_of_head_has_no_body(site: &Site) {
    let mut client = site.client();
    client.send("HEAD / HTTP/1.1\r\n\r\n");
    let answer = client.answer_to_head();
    assert_eq!(answer.status, 400, "{answer:#?}");
    assert_refusal(&answer);
    client.assert_closed();
}
