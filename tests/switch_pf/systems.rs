//! The texts of older pfctls and of FreeBSD's, and the whole of it with a real responder in the clear and by TLS.

use serde_json::json;

use crate::common::{Server, certificates, maintd};
use crate::host::{Host, Port};
use crate::{CHECKS, EVERYBODY};

const LOAD_RULES: &str =
    "put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\"";

fn host(system: &str) -> Host {
    let host = Host::new();
    host.set("system", json!(system));
    host
}

#[test]
fn noise_and_a_final_dot_change_nothing() {
    for system in ["old", "freebsd"] {
        let host = host(system);
        let ended = host.done(&["on", "--except", "192.0.2.10"]);
        assert_eq!(
            ended.stderr,
            "maintd: on: everybody gets the page, but for 192.0.2.10\n"
        );
        let ended = host.maintd(&["status"]);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(
            host.done(&["off"]).stderr,
            "maintd: off: everybody is on the live site\n"
        );
        host.set("tables", json!({}));
        host.assert_fault(
            &["on"],
            &format!("not switched on: pf has no table <maintenance>; {LOAD_RULES}"),
        );
        let ended = host.maintd(&["status"]);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(3), ""));
    }
}

#[test]
fn noise_is_not_the_reason_of_a_fault() {
    let host = host("freebsd");
    host.set("dev_pf", json!(false));
    host.assert_fault(
        &["on"],
        "not switched on: pfctl fails: \"pfctl: /dev/pf: Permission denied\"; run \"pfctl -s info\" by hand to see why",
    );
    assert_eq!(host.calls(), CHECKS[..1]);
    host.set("dev_pf", json!(true));
    host.set("securelevel", json!(2));
    let ended = host.maintd(&["on"]);
    assert!(
        ended
            .stderr
            .contains("\"pfctl: DIOCKILLSTATES: Operation not permitted\"; new visitors"),
        "{ended:?}"
    );
}

#[test]
fn a_fault_in_several_lines_is_told_in_one() {
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
fn a_real_responder_is_asked_in_the_clear_and_by_tls() {
    let files = certificates::p256(&["localhost"]);
    let (clear, secure) = (Port::taken(), Port::taken());
    let (http, https) = (clear.number, secure.number);
    // It is for maintd to bind them.
    drop((clear, secure));
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
    host.assert_fault(
        &["on"],
        &format!(
            "not switched on: nobody answers on http://127.0.0.1:{http}/: connection refused; start \"maintd serve\" there"
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
                .contains(&format!("maintd: asking {url} for the page\n")),
            "{ended:?}"
        );
    }
    assert_eq!(host.table(), EVERYBODY);
    assert_eq!(host.maintd(&["status"]).status, Some(0));
    host.done(&["off"]);
    drop(server);
}
