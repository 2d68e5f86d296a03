//! Pages as they are sent: a Content-Security-Policy lets them work, and browsers read their charset.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::chromium::Chromium;
use crate::common::{Server, maintd, require_tool};

/// A configuration in its own directory, with a page in it if given.
fn configured(lines: &str, page: Option<&[u8]>) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let error_page = if let Some(page) = page {
        fs::write(directory.path().join("page.html"), page).unwrap();
        "root .; error_page 503 /page.html;"
    } else {
        ""
    };
    let file = directory.path().join("maintd.conf");
    let text = format!("server {{ listen 127.0.0.1:0; return 503; {error_page} {lines} }}");
    fs::write(&file, text).unwrap();
    (directory, file)
}

/// Shows a site's page and returns the value of an expression in it.
fn shown(chromium: &mut Chromium, file: &Path, expression: &str) -> Value {
    let mut command = maintd();
    command.arg("serve").arg("-c").arg(file);
    let server = Server::start_command(command, 1);
    let target = chromium.open(&format!("http://{}/", server.http));
    let session = chromium.attach(&target);
    chromium.wait_until(
        &session,
        "location.protocol == 'http:' && document.readyState == 'complete'",
    );
    chromium.evaluate(&session, expression)
}

/// With the sources that `check` asks for the page works under a policy, and without them it does not.
#[test]
fn a_policy_with_the_sources_that_check_names_lets_the_page_work() {
    const OWN: &str = "<!DOCTYPE html><style>p { color: rgb(1, 2, 3) }</style>\r\n<p style='width: 77px'>\u{e9}\r\n\
        <script>\r\n  document.body.append('\u{e9}');\r\n</script><b onclick=\"this.id = &quot;clicked&quot;\">";
    let embedded = (
        None,
        "[getComputedStyle(document.body).display, document.getElementById('note').hidden,
            await fetch('/').then(it => it.status, () => 0)]",
        json!(["block", true, 0]),
        json!(["grid", false, 503]),
    );
    let own = (
        Some(OWN.as_bytes()),
        "[getComputedStyle(document.querySelector('p')).color, document.querySelector('p').offsetWidth == 77,
            document.body.innerText.split('\u{e9}').length, (document.querySelector('b').click(), document.querySelector('b').id)]",
        json!(["rgb(0, 0, 0)", false, 2, ""]),
        json!(["rgb(1, 2, 3)", true, 3, "clicked"]),
    );
    if !require_tool("chromium") {
        return;
    }
    let mut chromium = Chromium::start();
    for (page, expression, blocked, works) in [embedded, own] {
        let expression = format!("(async () => {expression})()");
        let with = |policy: &str| {
            configured(
                &format!("add_header Content-Security-Policy \"{policy}\";"),
                page,
            )
        };
        let (_directory, file) = with("default-src 'none'");
        assert_eq!(shown(&mut chromium, &file, &expression), blocked);
        let output = maintd().arg("check").arg("-c").arg(&file).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        let mut policy = "default-src 'none'".to_owned();
        for line in printed
            .lines()
            .filter(|line| line.contains("Content-Security-Policy blocks "))
        {
            let (_, directive) = line.split_once("; add \"").unwrap();
            policy += &format!("; {}", directive.trim_end_matches('"'));
        }
        let (_directory, file) = with(&policy);
        assert_eq!(shown(&mut chromium, &file, &expression), works, "{printed}");
        let output = maintd().arg("check").arg("-c").arg(&file).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(!printed.contains("Content-Security-Policy"), "{printed}");
    }
}

#[test]
fn pages_in_other_encodings_are_shown_as_they_were_written() {
    if !require_tool("chromium") {
        return;
    }
    let utf_16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}<p>\u{e9} {{host}}"
            .encode_utf16()
            .flat_map(unit)
            .collect()
    };
    let mut chromium = Chromium::start();
    for (lines, page, expected) in [
        (
            "",
            b"<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2".to_vec(),
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}",
        ),
        (
            "",
            b"<meta http-equiv=content-type content='text/html; charset=koi8-r'><p>\xf0".to_vec(),
            "\u{41f}",
        ),
        ("charset koi8-r;", b"<p>\xf0".to_vec(), "\u{41f}"),
        // Browsers guess the encoding of the western world.
        ("", b"<p>\xe9".to_vec(), "\u{e9}"),
        ("", utf_16(u16::to_le_bytes), "\u{e9} {{host}}"),
        ("", utf_16(u16::to_be_bytes), "\u{e9} {{host}}"),
        ("", "\u{feff}<p>\u{e9}".into(), "\u{e9}"),
        ("", "<p>\u{e9}".into(), "\u{e9}"),
    ] {
        let (_directory, file) = configured(lines, Some(&page));
        let text = shown(
            &mut chromium,
            &file,
            "document.querySelector('p').textContent",
        );
        assert_eq!(text, expected, "{lines} {}", page.escape_ascii());
    }
}
