//! nginx's own configuration file, given to maintd with `-c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::common::certificates::p256;
use crate::common::client::connect;
use crate::common::{Answer, Port, Server, maintd};
use tempfile::TempDir;

const GET: &str = "GET /any/path HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// The well-known recipe's block, with port 0 and names and paths filled in.
const RECIPE: &str = r#"server {
    listen 127.0.0.1:0;
    listen 127.0.0.1:0 ssl;
    server_name example.org www.example.org;
    ssl_certificate CERT;
    ssl_certificate_key KEY;
    root DIR/www;
    return 503;
    error_page 503 @maintenance;
    location @maintenance {
        rewrite ^(.*)$ /maintenance.html break;
    }
}
"#;

/// A directory with a page, a certificate and configurations.
struct Site {
    directory: TempDir,
    certificate: crate::common::certificates::CertificateFiles,
}

impl Site {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("www")).unwrap();
        let site = Self {
            directory,
            certificate: p256(&["example.org", "www.example.org"]),
        };
        site.write("www/maintenance.html", "<h1>Mine</h1>");
        site
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file with its placeholders filled in, and returns its path.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let [_, chain, _, key] = self.certificate.flags();
        let text = text.replace("CERT", chain).replace("KEY", key);
        let path = self.path().join(name);
        fs::write(&path, text.replace("DIR", self.path().to_str().unwrap())).unwrap();
        path
    }

    /// Starts `maintd serve -c` with a configuration that has one plaintext and one TLS listener.
    fn start(&self, text: &str) -> Server {
        let path = self.write("test.conf", text);
        let mut command = maintd();
        command.arg("serve").arg("-c").arg(path);
        Server::start_command(command, 2)
    }

    /// The exit status of `maintd check -c` and the lines that it writes, without the directory.
    fn check(&self, text: &str) -> (Option<i32>, Vec<String>) {
        let path = self.write("test.conf", text);
        let output = maintd().arg("check").arg("-c").arg(path).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let directory = format!("{}/", self.path().display());
        (
            output.status.code(),
            text.lines()
                .map(|line| line.replace(&directory, ""))
                .collect(),
        )
    }

    /// The errors of a configuration, as `check` prints them.
    fn faults(&self, text: &str) -> Vec<String> {
        let (status, lines) = self.check(text);
        assert_eq!(status, Some(1), "{lines:#?}");
        let reported = lines
            .iter()
            .filter(|line| !line.starts_with("maintd: warning: "));
        let mut reported: Vec<_> = reported
            .map(|line| line.strip_prefix("maintd: ").unwrap().to_owned())
            .collect();
        let last = reported.pop().unwrap();
        let count = match reported.len() {
            1 => "1 error; fix it".to_owned(),
            count => format!("{count} errors; fix them"),
        };
        assert_eq!(last, format!("test.conf: {count} and run again"));
        reported
    }
}

fn answer(server: &Server, port: Port) -> Answer {
    let mut client = connect(server, port);
    client.send(GET);
    client.last_answer()
}

#[track_caller]
fn assert_page(server: &Server, page: &str) {
    for port in [Port::Plaintext, Port::Tls] {
        let answer = answer(server, port);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.text(), page);
    }
}

#[test]
fn the_recipe_runs_as_it_is() {
    let site = Site::new();
    assert_page(&site.start(RECIPE), "<h1>Mine</h1>");
    let (status, lines) = site.check(RECIPE);
    assert_eq!(status, Some(0));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("cert.pem\" is for example.org, www.example.org until "),
        "{lines:#?}"
    );
    assert_eq!(lines[1], "maintd: the configuration is valid");
}

#[test]
fn a_whole_nginx_conf_runs_with_the_recipe_in_place_of_its_sites() {
    let site = Site::new();
    site.write("site.conf", RECIPE);
    site.write(
        "mime.types",
        "types { text/html html htm shtml; text/plain txt; }",
    );
    let whole = "user www-data;\nworker_processes auto;\npid DIR/nginx.pid;\ninclude modules-enabled/*.conf;\n\
        events { worker_connections 768; }\nhttp {\n  sendfile on; tcp_nopush on; types_hash_max_size 2048;\n  \
        include mime.types; default_type application/octet-stream;\n  ssl_prefer_server_ciphers on;\n  \
        access_log off; gzip on;\n  include site*.conf;\n}\n";
    assert_page(&site.start(whole), "<h1>Mine</h1>");
    let (status, lines) = site.check(whole);
    assert_eq!(status, Some(0), "{lines:#?}");
    assert!(
        lines.contains(&"maintd: warning: test.conf:7:3: sendfile is ignored".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn the_page_is_where_nginx_finds_it() {
    let site = Site::new();
    fs::create_dir(site.path().join("other")).unwrap();
    site.write("other/maintenance.html", "other");
    site.write("other/down.html", "down");
    let listen = "listen 127.0.0.1:0; listen 127.0.0.1:0 ssl; ssl_certificate CERT; ssl_certificate_key KEY;";
    for (lines, page) in [
        (
            "root DIR/www; return 503; error_page 503 /maintenance.html;",
            "<h1>Mine</h1>",
        ),
        (
            "root DIR/www; return 503; error_page 500 502 503 504 /maintenance.html;",
            "<h1>Mine</h1>",
        ),
        (
            "root www; location / { return 503; } error_page 503 =503 /maintenance.html;",
            "<h1>Mine</h1>",
        ),
        (
            "root DIR/www; return 503; error_page 503 /down.html; location = /down.html { root DIR/other; internal; }",
            "down",
        ),
        (
            "return 503; error_page 503 @m; location @m { root DIR/other; try_files $uri /down.html =503; }",
            "down",
        ),
        (
            "return 503; error_page 503 @m; location @m { root DIR/other; rewrite ^ /maintenance.html break; }",
            "other",
        ),
        (
            "return 503; error_page 503 /x/down.html; location /x/ { alias DIR/other/; }",
            "down",
        ),
        (
            "return 503; error_page 503 /x; location = /x { alias DIR/other/down.html; }",
            "down",
        ),
        ("return 503 \"back at nine\\n\";", "back at nine\n"),
    ] {
        let server = site.start(&format!("server {{ {listen} {lines} }}"));
        assert_page(&server, page);
    }
}

#[test]
fn fields_and_times_are_those_of_the_file() {
    let site = Site::new();
    let text = RECIPE.replace(
        "return 503;",
        "return 503; add_header X-Reason \"a b\"; add_header Retry-After 77 always; charset iso-8859-1; keepalive_requests 1;",
    );
    let server = site.start(&text);
    let mut client = connect(&server, Port::Plaintext);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.last_answer();
    assert_eq!(answer.header("X-Reason"), Some("a b"));
    assert_eq!(answer.header("Retry-After"), Some("77"));
    assert_eq!(
        answer.header("Content-Type"),
        Some("text/html; charset=iso-8859-1")
    );
    assert!(answer.says_close());
}

/// The fields by which caches keep an answer, and X-Frame-Options as another one.
fn cache_fields(answer: &Answer) -> Vec<(&'static str, String)> {
    [
        "Cache-Control",
        "Expires",
        "ETag",
        "Last-Modified",
        "X-Frame-Options",
    ]
    .into_iter()
    .filter_map(|name| Some((name, answer.header(name)?.to_owned())))
    .collect()
}

const CACHE_FIELDS: &str = r#"
    add_header Cache-Control "public, max-age=3600" ALWAYS;
    add_header Expires "Thu, 31 Dec 2037 23:55:55 GMT" ALWAYS;
    add_header ETag '"5f-1"' ALWAYS;
    add_header last-modified "Mon, 01 Jan 2024 00:00:00 GMT" ALWAYS;
    add_header X-Frame-Options DENY ALWAYS;
    expires 30d;
"#;

#[test]
fn cache_fields_without_always_are_dropped_with_a_warning() {
    let site = Site::new();
    let text = RECIPE.replace("return 503;", "return 503;\nFIELDS");
    let text = text.replace("FIELDS", &CACHE_FIELDS.replace(" ALWAYS", ""));
    let server = site.start(&text);
    for port in [Port::Plaintext, Port::Tls] {
        assert_eq!(
            cache_fields(&answer(&server, port)),
            [
                ("Cache-Control", "no-store".to_owned()),
                ("X-Frame-Options", "DENY".to_owned())
            ]
        );
    }
    let (status, lines) = site.check(&text);
    assert_eq!(status, Some(0), "{lines:#?}");
    let dropped = [
        (10, "Cache-Control"),
        (11, "Expires"),
        (12, "ETag"),
        (13, "last-modified"),
    ];
    for (line, name) in dropped {
        let warning = format!(
            "maintd: warning: test.conf:{line}:5: add_header {name} is not sent with a 503, as in nginx; only \"always\" would send it"
        );
        assert!(lines.contains(&warning), "{lines:#?}");
    }
    let reported = lines.iter().filter(|line| line.contains("add_header"));
    assert_eq!(reported.count(), dropped.len(), "{lines:#?}");
}

#[test]
fn cache_fields_with_always_are_sent_with_a_warning_where_they_make_the_503_cacheable() {
    let site = Site::new();
    let text = RECIPE.replace("return 503;", "return 503;\nFIELDS");
    let text = text.replace("FIELDS", &CACHE_FIELDS.replace("ALWAYS", "always"));
    let server = site.start(&text);
    assert_eq!(
        cache_fields(&answer(&server, Port::Plaintext)),
        [
            ("Cache-Control", "public, max-age=3600".to_owned()),
            ("Expires", "Thu, 31 Dec 2037 23:55:55 GMT".to_owned()),
            ("ETag", "\"5f-1\"".to_owned()),
            ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT".to_owned()),
            ("X-Frame-Options", "DENY".to_owned()),
        ]
    );
    let (status, lines) = site.check(&text);
    assert_eq!(status, Some(0), "{lines:#?}");
    let reported: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("add_header"))
        .collect();
    assert_eq!(reported.len(), 4, "{lines:#?}");
    for (line, expected) in reported.iter().zip([
        "10:5: add_header Cache-Control lets caches keep the 503",
        "11:5: add_header Expires lets caches keep the 503",
        "12:5: add_header ETag marks the 503 as a version of the site's own page",
        "13:5: add_header last-modified marks the 503 as a version of the site's own page",
    ]) {
        let expected = format!("warning: test.conf:{expected}");
        assert!(line.contains(&expected), "{lines:#?}");
    }
    let harmless = RECIPE.replace(
        "return 503;",
        "return 503; add_header Cache-Control \"no-store, no-transform\" always; add_header Expires 0 always;",
    );
    let (_, lines) = site.check(&harmless);
    assert!(
        !lines.iter().any(|line| line.contains("warning")),
        "{lines:#?}"
    );
}

/// `add_header` with a variable, as it is usual for `Cache-Control`, does not stop the start where it is not sent.
#[test]
fn a_dropped_cache_field_may_have_a_variable_and_an_inherited_one_is_reported_once() {
    let site = Site::new();
    let text = format!(
        "add_header Cache-Control $cache;\nadd_header X-A a;\n{RECIPE}{RECIPE}\nserver {{ add_header ETag x; listen 127.0.0.1:0; return 503; }}"
    );
    let (status, lines) = site.check(&text);
    assert_eq!(status, Some(0), "{lines:#?}");
    let reported = lines
        .iter()
        .filter(|line| line.contains("test.conf:1:1: add_header Cache-Control"));
    assert_eq!(reported.count(), 1, "{lines:#?}");
}

#[test]
fn an_ipv6_wildcard_with_ipv6only_off_has_an_ipv4_twin() {
    let site = Site::new();
    let path = site.write(
        "test.conf",
        "server { listen [::]:0 ipv6only=off; return 503; }",
    );
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(path);
    let server = Server::start_command(command, 2);
    let stderr = server.stderr();
    assert!(
        stderr.contains("http://[::]:") && stderr.contains("http://0.0.0.0:"),
        "{stderr}"
    );
}

#[test]
fn flags_win_over_the_file() {
    let site = Site::new();
    let page = site.write("flag.txt", "by flag");
    let path = site.write("test.conf", RECIPE);
    let mut command = maintd();
    command
        .arg("serve")
        .arg("-c")
        .arg(path)
        .arg("--page")
        .arg(page)
        .args(["--retry-after", "9"]);
    let server = Server::start_command(command, 2);
    let answer = answer(&server, Port::Tls);
    assert_eq!(answer.text(), "by flag");
    assert_eq!(answer.header("Retry-After"), Some("9"));
}

/// Eleven errors of one file, in one run.
#[test]
fn every_error_of_a_file_is_reported_at_its_position() {
    let site = Site::new();
    let text = "worker_procesess 2;\nhttp {\n  server {\n    listen 80 sssl;\n    listen nope:80;\n    \
        server_name a ~^www;\n    keepalive_timeout ten;\n    location / { proxy_pass http://127.0.0.1; }\n    \
        error_page 503 @gone;\n    add_header OnlyName;\n    return 301 https://x/;;\n  }\n  include missing.conf;\n}\n";
    let reported = site.faults(text);
    let expected = [
        "1:1: unknown directive \"worker_procesess\"; did you mean \"worker_processes\"?",
        "4:15: unknown option \"sssl\" of listen; delete it",
        "5:12: wrong value \"nope:80\" for listen; give PORT, ADDR:PORT, [ADDR]:PORT or unix:PATH",
        "6:19: a server_name by regular expression is not possible here; list the names",
        "7:23: wrong value \"ten\" for keepalive_timeout; give a time such as 10s, 500ms or 1m 30s",
        "8:18: proxy_pass is not possible: maintd answers everything with 503; delete it",
        "9:20: no location \"@gone\"; add it",
        "10:5: add_header takes a name and a value; write add_header NAME VALUE;",
        "11:5: return with another status than 503 is not possible: maintd answers everything with 503; write return 503;",
        "11:27: unexpected \";\"; delete it",
        "13:11: cannot read \"missing.conf\": no such file or directory; fix or delete the include",
    ];
    assert_eq!(reported, expected.map(|line| format!("test.conf:{line}")));
}

#[test]
fn an_expression_that_is_not_supported_is_a_warning_at_its_place() {
    let site = Site::new();
    let (status, lines) = site.check(
        "server {
    root www; return 503; error_page 503 /maintenance.html;
    location ~ ^/(?!api) { root nowhere; }
}",
    );
    assert_eq!(status, Some(0), "{lines:#?}");
    let expected = "maintd: warning: test.conf:3:16: the expression \"^/(?!api)\" is not supported, so the location is ignored; if it serves the page, write a path";
    assert!(lines.contains(&expected.to_owned()), "{lines:#?}");
}

#[test]
fn a_path_that_cannot_be_expanded_is_a_fault_at_its_place_where_the_page_is_there() {
    let site = Site::new();
    let reported = site.faults(
        "server { return 503; error_page 503 /e/m.html;
    location ~ ^/e/(.*)$ { alias /www/$host/$1; } }
server { return 503; error_page 503 /e/m.html; server_name b;
    location /e/ { alias /www/$1; } }
server { return 503; error_page 503 /e/m.html; server_name c;
    root /www/${host}; }
",
    );
    let expected = |place: &str, variable: &str| {
        format!(
            "test.conf:{place}: the variable {variable} has no value here: only captures of the location's own expression have one; write the path itself"
        )
    };
    assert_eq!(
        reported,
        [
            expected("2:34", "\"$host\""),
            expected("4:26", "\"$1\""),
            expected("6:10", "\"${host}\""),
        ]
    );
    // A location without effect on the page.
    let (status, lines) = site.check(
        "server { root www; return 503; error_page 503 /maintenance.html; location /a { alias /www/$host; } }",
    );
    assert_eq!(status, Some(0), "{lines:#?}");
}

#[test]
fn fields_of_other_locations_are_neither_warned_of_nor_faults() {
    let site = Site::new();
    let other = r#"location /old {
        add_header Cache-Control "public, max-age=60" always;
        add_header Expires 0;
        add_header ETag x always;
        add_header Content-Type text/plain always;
        add_header X-Id $request_id;
        add_header Retry-After "Thu, 31 Dec 2037 23:55:55 GMT" always;
    }
    return 503;"#;
    let text = RECIPE.replace("return 503;", other);
    let (status, lines) = site.check(&text);
    assert_eq!(status, Some(0), "{lines:#?}");
    let warned = lines.iter().any(|line| line.contains("warning"));
    assert!(!warned, "{lines:#?}");
    let text = RECIPE.replace(
        "rewrite",
        "add_header Expires 0; add_header X-Id $request_id;\nrewrite",
    );
    let reported = site.faults(&text);
    assert_eq!(
        reported,
        ["test.conf:11:47: variables are not supported here; give one value"]
    );
}

#[test]
fn retry_after_and_cors_origin_of_a_location_are_faults() {
    let site = Site::new();
    for name in ["retry_after", "cors_origin"] {
        let reported = site.faults(&format!(
            "server {{ return 503;\n  location /api {{ {name} 5; }} }}"
        ));
        assert_eq!(
            reported,
            [format!(
                "test.conf:2:19: {name} belongs in server; move it out of location"
            )]
        );
    }
}

#[test]
fn directives_that_would_change_the_answer_are_errors() {
    let site = Site::new();
    for (lines, reported) in [
        (
            "return 301 https://x/;",
            "return with another status than 503",
        ),
        (
            "listen 80 proxy_protocol; return 503;",
            "proxy_protocol is not supported",
        ),
        (
            "listen 443 ssl; return 503;",
            "listen ... ssl without a certificate",
        ),
        (
            "return 503; ssl_certificate CERT;",
            "ssl_certificate without ssl_certificate_key",
        ),
        ("return 503; if ($a) { return 403; }", "if is not possible"),
        (
            "return 503; error_page 503 https://elsewhere.example/;",
            "a page on another host",
        ),
        (
            "return 503; error_page 503 /maintenance.html;",
            "no root for \"/maintenance.html\"",
        ),
        (
            "return 503; error_page 503 @m; location @m { }",
            "\"@m\" names no file",
        ),
        ("root /x;", "a server without return 503"),
    ] {
        let told_lines = site.faults(&format!("server {{ {lines} }}"));
        assert_eq!(told_lines.len(), 1, "{lines}: {told_lines:#?}");
        assert!(told_lines[0].contains(reported), "{lines}: {told_lines:#?}");
    }
    let reported = site.faults("events { }\n");
    assert_eq!(
        reported,
        ["test.conf:1:1: no server; write server { listen 127.0.0.1:8080; return 503; }"]
    );
}

#[test]
fn process_directives_take_values() {
    let site = Site::new();
    let text = "user;\nuser a b c;\nchroot;\nworker_rlimit_nofile 0;\nserver { listen 127.0.0.1:0; return 503; }";
    let expected = [
        "1:1: user takes a user and an optional group; write user NAME [GROUP];",
        "2:1: user takes a user and an optional group; write user NAME [GROUP];",
        "3:1: chroot takes one value; write chroot VALUE;",
        "4:22: wrong value \"0\" for worker_rlimit_nofile; give a number from 1",
    ];
    assert_eq!(
        site.faults(text),
        expected.map(|line| format!("test.conf:{line}"))
    );
}

#[test]
fn a_faulty_file_starts_nothing() {
    let site = Site::new();
    let path = site.write("test.conf", &format!("{RECIPE}\nnonsense;"));
    for arguments in [&["serve"][..], &["serve", "-t"], &["check"]] {
        let output = maintd()
            .args(arguments)
            .arg("-c")
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains(":15:1: unknown directive \"nonsense\""),
            "{text}"
        );
        assert!(!text.contains("listening"), "{text}");
    }
}

/// `check` reads the files that the configuration names, and reports their errors too.
#[test]
fn check_reads_certificates_and_the_page() {
    let site = Site::new();
    let text = RECIPE
        .replace("CERT", "DIR/none.pem")
        .replace("maintenance.html", "none.html");
    let (status, lines) = site.check(&text);
    assert_eq!(status, Some(1));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].starts_with("maintd: cannot read certificate \"none.pem\""),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("maintd: cannot read page \"www/none.html\""),
        "{lines:#?}"
    );
}

#[test]
fn check_warns_of_names_that_no_certificate_covers_and_of_what_the_page_lacks() {
    let site = Site::new();
    site.write(
        "www/maintenance.html",
        "<link rel=canonical href=https://example.org/><img src=/logo.png srcset='//shop.example/x.png 2x'>
            <img src=https://other.example/y.png>",
    );
    let (status, lines) = site.check(&RECIPE.replace("www.example.org", "shop.example"));
    assert_eq!(status, Some(0));
    let warned = |what: &str| {
        lines
            .iter()
            .any(|line| line.starts_with("maintd: warning: ") && line.contains(what))
    };
    assert!(
        warned("is not for server_name \"shop.example\"; give one that is"),
        "{lines:#?}"
    );
    assert!(
        warned(
            "page \"www/maintenance.html\" refers to \"/logo.png\" on this site, which is answered with 503 too"
        ),
        "{lines:#?}"
    );
    assert!(
        warned("refers to \"//shop.example/x.png\" on this site"),
        "{lines:#?}"
    );
    let references = lines.iter().filter(|line| line.contains(" refers to "));
    assert_eq!(references.count(), 2, "{lines:#?}");
}

/// As in nginx, and not a timeout of zero.
#[test]
fn a_keepalive_timeout_of_nought_closes_after_each_answer() {
    let site = Site::new();
    let server = site.start(&RECIPE.replace("return 503;", "return 503; keepalive_timeout 0;"));
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(&server, port);
        client.send("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
        assert!(client.last_answer().says_close());
    }
}

/// Input after the last answer is drained until the client is silent for `lingering_timeout`, or until `lingering_time` is
/// over.
#[test]
fn a_client_is_read_from_after_its_last_answer_as_the_file_says() {
    let site = Site::new();
    for times in [
        "lingering_timeout 20ms; lingering_time 600s;",
        "lingering_timeout 600s; lingering_time 20ms;",
    ] {
        let server = site.start(&RECIPE.replace("return 503;", &format!("return 503; {times}")));
        let mut client = connect(&server, Port::Plaintext);
        client.send("POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1000000\r\n\r\n");
        assert_eq!(client.last_answer().status, 503);
        // A byte after the close gets a reset, and the next write fails.
        let mut bytes = 0;
        while client.try_send("x").is_ok() {
            bytes += 1;
            assert!(bytes < 100, "{times}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn as_many_workers_answer_as_the_file_says() {
    let site = Site::new();
    let server = site.start(&format!("worker_processes 3;\n{RECIPE}"));
    assert_eq!(crate::common::process::children(server.pid()).len(), 3);
    assert_page(&server, "<h1>Mine</h1>");
    for wrong in ["0", "257", "-1", "many"] {
        assert_eq!(
            site.faults(&format!("worker_processes {wrong};\n{RECIPE}")),
            [format!(
                "test.conf:1:18: wrong value \"{wrong}\" for worker_processes; give a number from 1 to 256, or auto"
            )]
        );
    }
}

/// Errors between servers are reported at the position of the later one.
#[test]
fn errors_between_servers_are_reported_at_their_positions() {
    let site = Site::new();
    let text = "ssl_certificate CERT; ssl_certificate_key KEY;
server {
    listen 127.0.0.1:81 default_server backlog=10;
    listen 127.0.0.1:81;
    server_name a.*.b *c ..d;
    return 503;
}
server {
    listen 127.0.0.1:81 default_server backlog=none;
    listen localhost:81;
    listen [::]:82 backlog=5 ssl;
    server_name;
    ssl_protocols TLSv1.1;
    ssl_session_tickets maybe;
    ssl_session_timeout long;
    return 503;
}
server {
    listen [::]:82 backlog=5;
    return 503;
}
";
    let reported = site.faults(text);
    let name = "not a server_name; write NAME, *.NAME, .NAME or NAME.*";
    let expected = [
        "4:5: a duplicate listen 127.0.0.1:81 in one server; delete it".to_owned(),
        format!("5:17: {name}"),
        format!("5:23: {name}"),
        format!("5:26: {name}"),
        "9:25: a duplicate default server for 127.0.0.1:81; delete it".to_owned(),
        "9:40: wrong value \"none\" of backlog; give a number from 1".to_owned(),
        "10:5: a duplicate listen 127.0.0.1:81 in one server; delete it".to_owned(),
        "12:5: server_name without a name; write server_name NAME;".to_owned(),
        "13:5: ssl_protocols has no supported protocol; add TLSv1.2 TLSv1.3".to_owned(),
        "14:25: wrong value \"maybe\" for ssl_session_tickets; give on or off".to_owned(),
        "15:25: wrong value \"long\" for ssl_session_timeout; give a time such as 10s, 500ms or 1m 30s".to_owned(),
        "19:20: a duplicate backlog for [::]:82; delete it".to_owned(),
    ];
    assert_eq!(reported, expected.map(|line| format!("test.conf:{line}")));
}

#[test]
fn certificates_and_keys_that_lack_each_other_are_reported_at_their_own_lines() {
    let site = Site::new();
    let certificate =
        "ssl_certificate without ssl_certificate_key; add \"ssl_certificate_key FILE;\"";
    let key = "ssl_certificate_key without ssl_certificate; add \"ssl_certificate FILE;\"";
    let listen = "listen ... ssl without a certificate; add \"ssl_certificate FILE;\"";
    for (text, expected) in [
        (
            "server {\n  listen 127.0.0.1:81;\n  return 503;\n  ssl_certificate CERT;\n}\n",
            vec![format!("4:3: {certificate}")],
        ),
        (
            "server {\n  listen 127.0.0.1:81 ssl;\n  ssl_certificate_key KEY;\n  return 503;\n}\n",
            vec![format!("3:3: {key}")],
        ),
        (
            "server {\n  listen 127.0.0.1:81 ssl;\n  ssl_certificate CERT;\n  ssl_certificate_key KEY;\n  \
                ssl_certificate CERT;\n  ssl_certificate CERT;\n  return 503;\n}\n",
            vec![format!("5:3: {certificate}"), format!("6:3: {certificate}")],
        ),
        // A line of `http` is reported once, and a server's own line in its place.
        (
            "http {\n  ssl_certificate CERT;\n  server { listen 127.0.0.1:81; return 503; }\n  \
                server { listen 127.0.0.1:82; return 503; }\n  \
                server { listen 127.0.0.1:83; return 503; ssl_certificate_key KEY; }\n  \
                server { listen 127.0.0.1:84; return 503; ssl_certificate_key KEY;\n  ssl_certificate_key KEY; }\n}\n",
            vec![format!("2:3: {certificate}"), format!("7:3: {key}")],
        ),
        (
            "server {\n  server_name a;\n  listen 127.0.0.1:81;\n  listen 127.0.0.1:82 ssl;\n  listen 127.0.0.1:83 ssl;\n  return 503;\n}\n",
            vec![format!("4:3: {listen}")],
        ),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|line| format!("test.conf:{line}"))
            .collect();
        assert_eq!(site.faults(text), expected, "{text}");
    }
}

#[test]
fn a_near_placeholder_in_a_text_is_a_warning_at_its_position() {
    let site = Site::new();
    let text = "server {
    return 503 \"{{messge}} and
{{#until}}\";
}
server { location / { return 503 \"{{who}}\"; } server_name a; }
server { return 503 \"{{message}} {{#until}}{{until}}{{/until}} {{ 1 + 1 }}\"; server_name b; }
server { return 503 \"{{ host }}\"; error_page 503 /maintenance.html; root www; server_name c; }
";
    let (status, lines) = site.check(text);
    assert_eq!(status, Some(0), "{lines:#?}");
    let reported: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("maintd: warning: "))
        .collect();
    assert_eq!(
        reported,
        [
            "test.conf:2:16: \"{{messge}}\" stays as it is; where maintd is to fill it, write {{message}}",
            "test.conf:2:16: a section of \"until\" has no end and stays as it is; add {{/until}}",
        ]
    );
    let (_, lines) = site.check(&format!("placeholders off;\n{text}"));
    assert!(
        !lines.iter().any(|line| line.contains("stays as it is")),
        "{lines:#?}"
    );
}

#[test]
fn settings_that_servers_share_are_warned_about() {
    let site = Site::new();
    let (status, lines) = site.check(
        "server { listen 127.0.0.1:81; listen 127.0.0.1:82 ssl; server_name a A; ssl_certificate CERT; ssl_certificate_key KEY; return 503 a; }
server { listen 127.0.0.1:81; server_name b *.c .c a; return 503 b; }
server { listen 127.0.0.1:81; server_name c; return 503 c; }
server { listen 127.0.0.1:81; server_name $hostname; return 503 d; }
server { listen 127.0.0.1:82 ssl; return 503 e; }
server { listen 127.0.0.1:82; return 503 f; }
",
    );
    assert_eq!(status, Some(0), "{lines:#?}");
    let warned: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("maintd: warning: test.conf:"))
        .collect();
    let expected = [
        "6:10: 127.0.0.1:82 is ssl in one listen and not in another: TLS is used",
        "2:52: conflicting server name \"a\" on 127.0.0.1:81 is ignored: another server has it",
        "6:1: conflicting server name \"\" on 127.0.0.1:82 is ignored: another server has it",
        "5:10: no ssl_certificate: that of the default server is used",
        "6:10: no ssl_certificate: that of the default server is used",
    ];
    assert_eq!(warned, expected);
}
