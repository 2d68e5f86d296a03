//! curl on both ports.

use std::process::Command;

use crate::clients::{PAGE, PORTS, Site, UPLOAD, run};
use crate::common::{Ended, Port, require_tool};

/// curl without a proxy or a configuration file of the user. The certificate is
/// not verified here (`certificates` does that), and a minute is a failure limit only.
fn curl(args: &[&str]) -> Ended {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "-k", "--noproxy", "*", "--max-time", "60"]);
    run(command.args(args), "")
}

/// curl with `-i`: exit status 0, the head of a 503, and the page whole.
fn assert_page(ended: &Ended) {
    assert_eq!(ended.status, Some(0), "{}", ended.all());
    // An interim 100 would stand before it.
    assert!(ended.stdout.starts_with("HTTP/1.1 503 "), "{}", ended.all());
    let body = ended.stdout.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body, PAGE, "{}", ended.all());
}

/// The test of one set of arguments, on both ports.
fn page_with(args: &[&str]) {
    if !require_tool("curl") {
        return;
    }
    let site = Site::new();
    for port in PORTS {
        let url = site.url(port, "/any/path?query");
        assert_page(&curl(&[&["-i"], args, &[&url]].concat()));
    }
}

#[test]
fn http_1_0() {
    page_with(&["-0"]);
}

#[test]
fn http_1_1() {
    page_with(&["--http1.1"]);
}

/// Over TLS curl offers h2 and http/1.1 as ALPN, without TLS it asks for an upgrade to h2c.
#[test]
fn http_2_falls_back_to_1_1() {
    if require_tool("curl") && curl(&["-V"]).stdout.contains("HTTP2") {
        page_with(&["--http2"]);
    }
}

#[test]
fn head() {
    if !require_tool("curl") {
        return;
    }
    let site = Site::new();
    for port in PORTS {
        for version in ["-0", "--http1.1"] {
            let ended = curl(&["-I", version, &site.url(port, "/")]);
            assert_eq!(ended.status, Some(0), "{}", ended.all());
            assert!(ended.stdout.starts_with("HTTP/1.1 503 "), "{}", ended.all());
            assert!(ended.stdout.ends_with("\r\n\r\n"), "{}", ended.all());
            let length = format!("content-length: {}\r\n", PAGE.len());
            let head = ended.stdout.to_ascii_lowercase();
            assert!(head.contains(&length), "{}", ended.all());
        }
    }
}

#[test]
fn methods() {
    for method in [
        "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO", "get",
    ] {
        page_with(&["-X", method]);
    }
}

#[test]
fn a_form() {
    page_with(&["-d", "x=1"]);
    page_with(&["-F", "field=value"]);
    page_with(&["-0", "-d", "x=1"]);
}

#[test]
fn options_asterisk() {
    page_with(&["-X", "OPTIONS", "--request-target", "*"]);
}

#[test]
fn upgrade_to_websocket() {
    let fields = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
    let key = [
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "-H",
        "Sec-WebSocket-Version: 13",
    ];
    page_with(&[fields, key].concat());
}

/// `-T` sends PUT, and for such a length `Expect: 100-continue` of its own.
#[test]
fn upload_of_2_mib() {
    upload(&[], "-T");
}

/// No waiting: curl sends while the answer comes, and must not lose it to a reset.
#[test]
fn upload_of_2_mib_without_expect() {
    upload(&["-H", "Expect:"], "-T");
    upload(&["-0"], "-T");
}

#[test]
fn post_of_2_mib() {
    upload(&[], "--data-binary");
    upload(&["-H", "Expect:"], "--data-binary");
    upload(&["-0"], "--data-binary");
}

#[test]
fn chunked_upload_of_2_mib() {
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    upload(&chunked, "-T");
    upload(&[&chunked[..], &["-H", "Expect:"]].concat(), "-T");
    upload(
        &[&chunked[..], &["-H", "Expect:"]].concat(),
        "--data-binary",
    );
}

fn upload(args: &[&str], how: &str) {
    if !require_tool("curl") {
        return;
    }
    let site = Site::new();
    let path = site.upload();
    assert_eq!(
        path.metadata().unwrap().len(),
        u64::try_from(UPLOAD).unwrap()
    );
    let file = match how {
        "--data-binary" => format!("@{}", path.display()),
        _ => path.display().to_string(),
    };
    for port in PORTS {
        let url = site.url(port, "/upload");
        let ended = curl(&[&["-i"], args, &[how, &file, &url]].concat());
        assert_page(&ended);
    }
}

#[test]
fn expect_100_continue() {
    page_with(&["-H", "Expect: 100-continue", "-d", "x=1"]);
    page_with(&["-H", "Expect: 100-continue", "-X", "PUT", "-d", "x=1"]);
}

/// One connection for four requests, one of them with a body, one of them HEAD's answer skipped.
#[test]
fn keep_alive() {
    if !require_tool("curl") {
        return;
    }
    let site = Site::new();
    for port in PORTS {
        let url = site.url(port, "/");
        for args in [
            &[][..],
            &["-d", "x=1"],
            &["-I"],
            &["-0", "-H", "Connection: keep-alive"],
        ] {
            let mut all = vec!["-v", "-w", "%{num_connects}\n"];
            all.extend(args);
            for _ in 0..4 {
                all.extend(["-o", "/dev/null", &url]);
            }
            let ended = curl(&all);
            assert_eq!(ended.stdout, "1\n0\n0\n0\n", "{}", ended.all());
            assert_eq!(ended.status, Some(0), "{}", ended.all());
            // "Re-using" in older versions.
            let reused = ended.stderr.replace("Re-using", "Reusing");
            let reused = reused.matches("Reusing existing").count();
            assert_eq!(reused, 3, "{}", ended.all());
        }
    }
}

#[test]
fn connection_close_and_http_1_0_are_not_reused() {
    if !require_tool("curl") {
        return;
    }
    let site = Site::new();
    for port in PORTS {
        let url = site.url(port, "/");
        for args in [&["-H", "Connection: close"][..], &["-0"]] {
            let mut all = vec!["-w", "%{num_connects}\n"];
            all.extend(args);
            for _ in 0..2 {
                all.extend(["-o", "/dev/null", &url]);
            }
            assert_eq!(curl(&all).stdout, "1\n1\n");
        }
    }
}

#[test]
fn unix_socket() {
    if !require_tool("curl") {
        return;
    }
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("maintd.sock");
    let path = path.to_str().unwrap();
    let site = Site::with_flags(&["--listen", &format!("unix:{path}")]);
    assert_page(&curl(&["-i", "--unix-socket", path, "http://localhost/x"]));
    assert_page(&curl(&["-i", &site.url(Port::Plaintext, "/x")]));
}

/// The answer to a URL with the wrong scheme.
#[test]
fn cleartext_on_the_tls_port() {
    if !require_tool("curl") {
        return;
    }
    let site = Site::new();
    let url = format!("http://{}/", site.server.https);
    let ended = curl(&["-i", &url]);
    assert_eq!(ended.status, Some(0), "{}", ended.all());
    assert!(ended.stdout.starts_with("HTTP/1.1 400 "), "{}", ended.all());
    assert!(ended.stdout.contains("HTTPS"), "{}", ended.all());
}
