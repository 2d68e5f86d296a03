//! The texts of older pfctls and of the stand-in, and a full switch with a real responder, plaintext and TLS.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::common::{Server, certificates, maintd};
use crate::switch_pf::host::{Host, Port};
use crate::switch_pf::{ALL_CLIENTS, assert_missing_table};

#[test]
fn a_final_dot_changes_nothing() {
    let host = Host::new();
    host.set("system", json!("old"));
    host.done(&["on"]);
    host.done(&["off"]);
    assert_missing_table(&host);
}

/// What the stand-in prints must be what pfctl prints, or the tests above it prove nothing.
#[test]
fn the_stand_in_has_the_texts_and_exit_statuses_that_were_seen() {
    let host = Host::new();
    let pfctl = |args: &[&str], input: &str| {
        let mut child = Command::new(host.path("pfctl"))
            .args(args)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let ended = child.wait_with_output().unwrap();
        (
            String::from_utf8(ended.stderr).unwrap(),
            ended.status.code().unwrap(),
        )
    };
    let printed = |text: &str, status| (text.to_owned(), status);
    let replace = ["-q", "-t", "maintenance", "-T", "replace", "-f", "-"];
    for system in ["openbsd", "freebsd"] {
        host.set("system", json!(system));
        assert_eq!(
            pfctl(&["-t", "typo", "-T", "kill"], ""),
            printed("0 table deleted.\n", 0)
        );
        assert_eq!(
            pfctl(&replace, "0.0.0.0/0\nwhat\n"),
            printed(
                "no IP address found for what\npfctl: cannot load -: Undefined error: 0\n",
                255
            )
        );
    }
    let show = ["-t", "maintenance", "-T", "show"];
    host.set("system", json!("openbsd"));
    assert_eq!(
        pfctl(
            &[&show[..], &["-k", "label", "-k", "www-normal"]].concat(),
            ""
        ),
        printed("pfctl: DIOCKILLSTATES: Permission denied\n", 1)
    );
    assert_eq!(
        pfctl(
            &["-t", "maintenance", "-T", "add", "192.0.2.1", "-k", "label"],
            ""
        ),
        printed("no IP address found for -k\n", 255)
    );
    assert_eq!(
        pfctl(&["-s", "nat"], ""),
        printed("pfctl: Unknown show modifier 'nat'\n", 1)
    );
    host.set("securelevel", json!(2));
    assert_eq!(pfctl(&replace, "0.0.0.0/0\n"), printed("", 0));
    assert_eq!(
        pfctl(&["-t", "typo", "-T", "add", "192.0.2.1"], ""),
        printed("pfctl: Table does not exist\n", 255)
    );
    host.set("system", json!("freebsd"));
    assert_eq!(
        pfctl(&["-t", "maintenance", "-T", "add", "192.0.2.1"], ""),
        printed("pfctl: Operation not supported by device\n", 255)
    );
    assert_eq!(
        pfctl(&replace, "192.0.2.1\n"),
        printed("pfctl: Anchor does not exist.\n", 255)
    );
    assert_eq!(
        pfctl(&["-k", "label", "-k", "www-normal"], ""),
        printed("pfctl: DIOCKILLSTATES\n", 1)
    );
    host.set("securelevel", json!(1));
    assert_eq!(
        pfctl(&["-t", "typo", "-T", "flush"], ""),
        printed("pfctl: Operation not supported by device\n", 255)
    );
    let noise = "No ALTQ support in kernel\nALTQ related functions disabled\n";
    assert_eq!(pfctl(&["-s", "Tables"], ""), printed("", 0));
    assert_eq!(pfctl(&["-vs", "Tables"], ""), printed(noise, 0));
}

#[test]
fn an_error_of_several_lines_is_printed_in_one() {
    let host = Host::new();
    host.fault(
        json!({ "call": "-s labels", "status": 1, "stderr": "pfctl: one\n\n  pfctl: two\n" }),
    );
    host.assert_fault(
        &["on"],
        "not switched on: pfctl fails: \"pfctl: one; pfctl: two\"; run \"pfctl -s labels\" by hand to see why",
    );
}

#[test]
fn a_real_responder_is_asked_in_plaintext_and_by_tls() {
    let files = certificates::p256(&["localhost"]);
    // The responder's ports are probed in their order.
    let mut ports = [Port::taken(), Port::taken()];
    ports.sort_by_key(|port| port.number);
    let [http, https] = ports.each_ref().map(|port| port.number);
    // It is for maintd to bind them.
    drop(ports);
    let host = Host::quiet();
    host.live.listen();
    let other = Port::taken();
    other.listen();
    host.configure_all(&format!(
        "server {{ listen 127.0.0.1:{http}; listen [::1]:{http}; listen 127.0.0.1:{https} ssl; listen [::1]:{https} ssl; ssl_certificate {}; ssl_certificate_key {}; return 503; }}\n\
         state_dir state;\n\
         switch {{ backend pf; redirect {} {http}; redirect {} {https}; live 127.0.0.1 ::1; }}\n",
        files.cert.display(),
        files.key.display(),
        host.live.number,
        other.number,
    ));
    let rules_to = |from: u16, to: u16| {
        let (live, page) = (host.live.number, host.responder.port.number);
        let rules = host.rules("egress", "maintenance", "www-maintenance", "www-normal");
        let moved = rules.into_iter().map(move |rule| {
            rule.replace(&live.to_string(), &from.to_string())
                .replace(&page.to_string(), &to.to_string())
        });
        moved.collect::<Vec<_>>()
    };
    host.set(
        "rules",
        json!(
            [
                rules_to(host.live.number, http),
                rules_to(other.number, https)
            ]
            .concat()
        ),
    );
    host.assert_fault(
        &["on"],
        &format!(
            "not switched on: no server answers on http://127.0.0.1:{http}/: connection refused; start \"maintd serve\" there"
        ),
    );
    let mut serve = maintd();
    serve.arg("serve").args(files.flags());
    for address in ["127.0.0.1", "[::1]"] {
        serve.args(["--listen", &format!("{address}:{http}")]);
        serve.args(["--tls-listen", &format!("{address}:{https}")]);
    }
    let server = Server::start_command(serve, 4);
    let ended = host.done(&["on", "-v"]);
    for url in [
        format!("http://127.0.0.1:{http}/"),
        format!("https://127.0.0.1:{https}/"),
        format!("http://[::1]:{http}/"),
        format!("https://[::1]:{https}/"),
    ] {
        assert!(
            ended
                .stderr
                .contains(&format!("maintd: requesting the page from {url}\n")),
            "{ended:?}"
        );
    }
    assert_eq!(host.table(), ALL_CLIENTS);
    assert_eq!(host.maintd(&["status"]).status, Some(0));
    host.done(&["off"]);
    drop(server);
}
