//! Methods and targets: whatever is asked for, the answer is the page.

use crate::answers::{GET, Site, assert_kept, on_both_ports, request};

on_both_ports! {
    known_methods,
    webdav_and_other_registered_methods,
    made_up_methods,
    lower_case_methods,
    head_gets_the_same_head_and_no_body,
    options_asterisk,
    connect_with_an_authority,
    origin_form_targets,
    absolute_form_targets,
    percent_encoded_targets,
    odd_bytes_in_the_target,
    unusual_field_values,
    http_1_1_with_no_field_but_host,
}

fn known_methods(site: &Site) {
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        site.keeps(request(method, ""));
    }
}

fn webdav_and_other_registered_methods(site: &Site) {
    for method in [
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "REPORT",
        "SEARCH",
        "BASELINE-CONTROL",
        "VERSION-CONTROL",
        "M-SEARCH",
        "PURGE",
        "QUERY",
        "PRI",
    ] {
        site.keeps(request(method, ""));
    }
}

/// RFC 9110 9.1: a method is a token; every character of `tchar` is allowed.
fn made_up_methods(site: &Site) {
    let long = "A".repeat(200);
    for method in [
        "FOO",
        "X",
        "1",
        "GETT",
        "HEADER",
        "!#$%&'*+-.^_`|~09azAZ",
        &long,
    ] {
        site.keeps(request(method, ""));
    }
}

/// Methods are case-sensitive: `get` is an unknown method, and `head` is one with a body.
fn lower_case_methods(site: &Site) {
    for method in ["get", "post", "head", "Head", "oPtIoNs", "connect"] {
        site.keeps(request(method, ""));
    }
}

fn head_gets_the_same_head_and_no_body(site: &Site) {
    let of_get = site.keeps(GET);
    let mut client = site.client();
    client.send(request("HEAD", ""));
    let of_head = client.answer_to_head();
    assert_eq!(of_head.status, 503);
    assert_eq!(of_head.headers, of_get.headers);
    // Would fail on the first byte of a body.
    assert_kept(&mut client);
}

fn options_asterisk(site: &Site) {
    site.keeps("OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n");
}

fn connect_with_an_authority(site: &Site) {
    site.keeps("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    site.keeps("CONNECT [2001:db8::1]:25 HTTP/1.1\r\nHost: [2001:db8::1]:25\r\n\r\n");
}

fn with_target(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: example.org\r\n\r\n"].concat()
}

fn origin_form_targets(site: &Site) {
    for target in [
        "/",
        "/index.html",
        "/a/b/c?d=e&f=g",
        "/?",
        "/?query",
        "/a?",
        "/a??b",
        "//",
        "//evil//..",
        "/../../../../etc/passwd",
        "/.",
        "/a;b=c",
        "/a:b@c",
        "/!$&'()*+,;=",
    ] {
        site.keeps(with_target(target.as_bytes()));
    }
}

fn absolute_form_targets(site: &Site) {
    for target in [
        "http://example.org/",
        "http://other.example/x?y",
        "https://example.org:8443/",
        "http://example.org",
        "ftp://example.org/file",
        "HTTP://EXAMPLE.ORG/",
        "urn:isbn:1",
        "http://user:password@example.org/",
        "http://[::1]/",
    ] {
        site.keeps(with_target(target.as_bytes()));
    }
}

fn percent_encoded_targets(site: &Site) {
    for target in [
        "/%0a",
        "/%0d%0a",
        "/%00",
        "/%",
        "/%zz",
        "/%ff%fe",
        "/%2e%2e/%2f",
        "/?%0a=%00",
    ] {
        site.keeps(with_target(target.as_bytes()));
    }
}

/// Real clients send what RFC 3986 forbids, so whatever is no blank and no control is taken.
fn odd_bytes_in_the_target(site: &Site) {
    for target in [
        &b"/\"<>\\^`{|}"[..],
        b"/a#fragment",
        "/stra\u{df}e/\u{1f6a7}".as_bytes(),
        b"/latin-1-\xe4\xf6\xfc",
        b"/not-utf-8-\xff\xfe\x80",
    ] {
        site.keeps(with_target(target));
    }
}

/// RFC 9110 5.5: empty values, tabs, blanks around a value and obs-text are all allowed.
fn unusual_field_values(site: &Site) {
    site.keeps(request("GET", "X-Empty:\r\n"));
    site.keeps(request("GET", "X-Blank: \t \r\n"));
    site.keeps(request("GET", "X-Tabs:\ta\tb\t\r\n"));
    site.keeps(request("GET", "!#$%&'*+-.^_`|~:x\r\n"));
    site.keeps(request("GET", "Cookie: a=\"b\"; c={d}\r\nCookie: e\r\n"));
    let latin_1 = b"GET / HTTP/1.1\r\nHost: example.org\r\nX: \xe4\xff\x80\r\n\r\n";
    site.keeps(latin_1);
}

fn http_1_1_with_no_field_but_host(site: &Site) {
    site.keeps("GET / HTTP/1.1\r\nhOsT:example.org\r\n\r\n");
    site.keeps("GET / HTTP/1.1\r\nHost: example.org:8080\r\n\r\n");
    site.keeps("GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n");
    site.keeps("GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n");
    site.keeps("GET / HTTP/1.1\r\nHost: unknown.invalid\r\n\r\n");
}
