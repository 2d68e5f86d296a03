//! TLS settings of an address's default server, errors between servers, and flags over several sites.

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, HandshakeKind};

use crate::common::certificates::p256;
use crate::common::client::Tls;
use crate::common::{Client, Server, maintd, require_tool};
use crate::sites::{File, der, get, lines, named, page, shown};

#[test]
fn protocols_are_those_of_the_default_server() {
    let certificate = lines(&p256(&["a.example"]));
    for (protocols, spoken, refused) in [
        ("TLSv1.2", &TLS12, &TLS13),
        ("TLSv1.3", &TLS13, &TLS12),
        ("TLSv1 TLSv1.1 TLSv1.2", &TLS12, &TLS13),
    ] {
        let directory = p256(&["a.example"]);
        let text = format!(
            "server {{ listen 127.0.0.1:0 ssl; ssl_protocols {protocols}; {} return 503 a; }}
            server {{ listen 127.0.0.1:0 ssl; server_name b; ssl_protocols TLSv1.2 TLSv1.3; {0} return 503 b; }}",
            lines(&directory)
        );
        let server = File::new(&text).serve(1);
        let with = |version| Tls {
            versions: vec![version],
            ..named("b")
        };
        let mut client = Client::tls(server.https, with(spoken));
        client.send(get("b"));
        assert_eq!(client.last_answer().text(), "b");
        let refusal = Client::try_tls(server.https, with(refused));
        assert_eq!(
            refusal.map(|_| ()).unwrap_err(),
            Error::AlertReceived(AlertDescription::ProtocolVersion)
        );
    }
    let text = format!(
        "server {{ listen 127.0.0.1:0 ssl; ssl_protocols TLSv1; {certificate} return 503; }}"
    );
    let report = File::new(&text).check();
    assert!(
        report.contains("ssl_protocols has no supported protocol; add TLSv1.2 TLSv1.3"),
        "{report}"
    );
}

#[test]
fn without_tickets_nothing_is_resumed() {
    let certificate = p256(&["a.example"]);
    let text = format!(
        "ssl_session_tickets off; server {{ listen 127.0.0.1:0 ssl; {} return 503 a; }}",
        lines(&certificate)
    );
    let server = File::new(&text).serve(1);
    for version in [&TLS12, &TLS13] {
        let tls = Tls {
            versions: vec![version],
            ..Tls::default()
        };
        let config = tls.config().unwrap();
        for _ in 0..2 {
            let mut client = Client::tls_again(server.https, &config, "a.example");
            client.send(get("a"));
            assert_eq!(client.last_answer().text(), "a");
            let kind = client.session().unwrap().handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn the_session_timeout_is_sent_to_clients() {
    if !require_tool("openssl") {
        return;
    }
    let certificate = p256(&["a.example"]);
    for (directive, seconds) in [("", 12 * 60 * 60), ("ssl_session_timeout 7m;", 420)] {
        let text = format!(
            "{directive} server {{ listen 127.0.0.1:0 ssl; {} return 503 a; }}",
            lines(&certificate)
        );
        let server = File::new(&text).serve(1);
        for version in ["-tls1_2", "-tls1_3"] {
            let output = std::process::Command::new("openssl")
                .args(["s_client", version, "-ign_eof", "-connect"])
                .arg(server.https.to_string())
                .stdin(request_file(&get("a")))
                .output()
                .unwrap();
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            let hint = format!("TLS session ticket lifetime hint: {seconds} (seconds)");
            assert!(stdout.contains(&hint), "{version} {directive}: {stdout}");
        }
    }
}

/// A file to be read from.
fn request_file(text: &str) -> std::fs::File {
    use std::io::{Seek as _, Write as _};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// As in nginx, one `ssl` makes an address TLS for all its servers; the others get a warning.
#[test]
fn ssl_in_one_server_is_ssl_for_all_at_the_address() {
    let port = crate::common::free_address().port();
    let certificate = p256(&["a.example"]);
    let text = format!(
        "server {{ listen 127.0.0.1:{port}; server_name a; {} return 503 a; }}
        server {{ listen 127.0.0.1:{port} ssl; server_name b; {0} return 503 b; }}",
        lines(&certificate)
    );
    let file = File::new(&text);
    let report = file.check();
    let warning = format!(
        "test.conf:2:18: 127.0.0.1:{port} is ssl in one listen and not in another: TLS is used"
    );
    assert!(report.contains(&warning), "{report}");
    let server = file.serve(1);
    let mut client = Client::tls(server.https, named("a"));
    client.send(get("a"));
    assert_eq!(client.last_answer().text(), "a");
}

#[test]
fn the_backlog_is_that_of_the_address() {
    if !require_tool("ss") {
        return;
    }
    let text = "server { listen 127.0.0.1:0 backlog=77; return 503; }
        server { listen 127.0.0.2:0; return 503; }";
    let server = File::new(text).serve(2);
    let queue = |url: &str| {
        let address = url.strip_prefix("http://").unwrap();
        let output = std::process::Command::new("ss")
            .args(["-Hltn", "src", address])
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.split_whitespace().nth(2).map(str::to_owned)
    };
    assert_eq!(queue(&server.listening[0]).as_deref(), Some("77"));
    assert_ne!(queue(&server.listening[1]).as_deref(), Some("77"));
}

const TWO: &str = "server { listen 127.0.0.1:0; server_name a; return 503 a; }
    server { listen 127.0.0.1:0 default_server; server_name b; return 503 b; }";

#[test]
fn flags_hold_for_all_sites() {
    let file = File::new(TWO);
    let by_flag = file.directory.path().join("flag.txt");
    std::fs::write(&by_flag, "flag").unwrap();
    let start = |flags: &[&str], listeners| {
        let mut command = maintd();
        command.arg("serve").arg("-c").arg(&file.path).args(flags);
        Server::start_command(command, listeners)
    };
    let server = start(
        &["--page", by_flag.to_str().unwrap(), "--retry-after", "9"],
        1,
    );
    for host in ["a", "b"] {
        let mut client = Client::tcp(server.http);
        client.send(get(host));
        let answer = client.last_answer();
        assert_eq!(answer.text(), "flag");
        assert_eq!(answer.header("Retry-After"), Some("9"));
    }
    // All sites listen where the flags say, and the first is the default.
    let certificate = p256(&["flag"]);
    let mut flags = vec!["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
    flags.extend(certificate.flags());
    let server = start(&flags, 2);
    for (host, expected) in [("a", "a"), ("b", "b"), ("c", "a")] {
        assert_eq!(page(server.http, &get(host)), expected);
        let mut client = Client::tls(server.https, named(host));
        assert_eq!(shown(&client), der(&certificate));
        client.send(get(host));
        assert_eq!(client.last_answer().text(), expected);
    }
}

#[test]
fn check_covers_each_site() {
    let (a, both) = (p256(&["a.example"]), p256(&["b.example", "c.example"]));
    let file = File::new("");
    std::fs::write(file.directory.path().join("a.html"), "<img src=/a.png>").unwrap();
    std::fs::write(file.directory.path().join("b.html"), "<img src=/b.png>").unwrap();
    let site = |names: &str, certificate: &str, page: &str| {
        format!(
            "server {{ listen 127.0.0.1:0 ssl; server_name {names}; {certificate} root .; error_page 503 /{page}; return 503; }}\n"
        )
    };
    let text = site("a.example", &lines(&a), "a.html")
        + &site("b.example", &lines(&both), "b.html")
        + &site("c.example d.example", &lines(&both), "b.html");
    std::fs::write(&file.path, text).unwrap();
    let report = file.check();
    assert!(report.contains("the configuration is valid"), "{report}");
    for (what, times) in [
        (" is for a.example until ", 1),
        (" is for b.example, c.example until ", 1),
        ("is not for server_name \"d.example\"", 1),
        ("is not for server_name", 1),
        ("refers to \"/a.png\" on this site", 1),
        ("refers to \"/b.png\" on this site", 1),
    ] {
        assert_eq!(report.matches(what).count(), times, "{what}: {report}");
    }
}

/// Every unusable file is reported, whichever site names it.
#[test]
fn check_reports_the_errors_of_all_sites() {
    let site = |name: &str| {
        format!(
            "server {{ listen 127.0.0.1:0 ssl; server_name {name}; ssl_certificate {name}.pem; ssl_certificate_key k; root .; error_page 503 /{name}.html; return 503; }}\n"
        )
    };
    let report = File::new(&(site("a") + &site("b"))).check();
    for what in ["a.pem", "b.pem", "a.html", "b.html"] {
        assert!(
            report.contains(&format!("{what}\": no such file")),
            "{report}"
        );
    }
}
