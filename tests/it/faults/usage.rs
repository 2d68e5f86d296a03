//! Wrong usage: exit status 2.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::faults::{assert_fault, run_maintd};

#[test]
fn no_command() {
    let nothing: [&str; 0] = [];
    assert_fault(nothing, 2, "no command; see \"maintd --help\"");
    assert_fault(["--quiet"], 2, "no command; see \"maintd --help\"");
}

#[test]
fn wrong_command() {
    let line = "unknown command \"sevre\"; did you mean \"serve\"?";
    assert_fault(["sevre"], 2, line);
    let line = "unknown command \"xyzzy\"; see \"maintd --help\"";
    assert_fault(["xyzzy"], 2, line);
}

#[test]
fn wrong_flag() {
    let line = "unknown argument \"--pag\"; did you mean \"--page\"?";
    assert_fault(["serve", "--pag", "x"], 2, line);
    let line = "unknown argument \"-x\"; see \"maintd --help\"";
    assert_fault(["serve", "-x"], 2, line);
    let line = "unknown argument \"stray\"; see \"maintd --help\"";
    assert_fault(["serve", "stray"], 2, line);
}

#[test]
fn wrong_listen_address() {
    for flag in ["--listen", "--tls-listen"] {
        for wrong in [
            "x",
            "65536",
            ":x",
            "*",
            "127.0.0.1",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "127.0.0.1:80 ",
            "::1:80",
            "[::1]",
            "example.org:80",
            "http://127.0.0.1:80",
        ] {
            let line = format!(
                "wrong value \"{wrong}\" for {flag}: not a listen address; \
                 write PORT for all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH"
            );
            assert_fault(["serve", flag, wrong], 2, &line);
        }
        let line =
            format!("wrong value \"unix:\" for {flag}: the path is missing; write unix:PATH");
        assert_fault(["serve", flag, "unix:"], 2, &line);
    }
}

#[test]
fn flag_without_its_value() {
    for (flag, value) in [
        ("--listen", "WHERE"),
        ("--tls-listen", "WHERE"),
        ("--cert", "FILE"),
        ("--key", "FILE"),
        ("--page", "FILE"),
        ("--retry-after", "SECONDS"),
        ("--color", "WHEN"),
    ] {
        let line = format!("{flag} without a value; give {flag} <{value}>");
        assert_fault(["serve", flag], 2, &line);
    }
}

#[test]
fn wrong_color() {
    let line = "wrong value \"red\" for --color: give one of auto always never";
    assert_fault(["serve", "--color", "red"], 2, line);
    assert_fault(["--color", "red", "serve"], 2, line);
}

/// The exact words are free; one line that says what to do is required.
#[test]
fn wrong_retry_after() {
    for wrong in ["x", "1.5", "4294967296", "5m", " 5"] {
        let ended = run_maintd(["serve", &format!("--retry-after={wrong}")]);
        let begin = format!("maintd: wrong value \"{wrong}\" for --retry-after: ");
        let line = ended.line();
        assert!(line.starts_with(&begin), "{line}");
        assert!(line.contains("; "), "no advice: {line}");
        assert!(!line.contains("string"), "Rust's words: {line}");
        assert_eq!(ended.status, Some(2), "{wrong}");
    }
}

#[test]
fn certificate_without_key() {
    let line = "--cert and --key go together; give as many of one as of the other";
    assert_fault(["serve", "--cert", "cert.pem"], 2, line);
    assert_fault(["serve", "--key", "key.pem"], 2, line);
    let uneven = [
        "serve", "--cert", "a.pem", "--key", "b.pem", "--cert", "c.pem",
    ];
    assert_fault(uneven, 2, line);
}

#[test]
fn certificate_without_a_tls_listener() {
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--cert",
        "cert.pem",
        "--key",
        "key.pem",
    ];
    let line = "--cert without a TLS listener; add --tls-listen WHERE";
    assert_fault(args, 2, line);
}

#[test]
fn quiet_and_verbose_at_once() {
    let ended = run_maintd(["serve", "--quiet", "--verbose"]);
    let line = ended.line();
    assert!(line.starts_with("maintd: "), "{line}");
    assert!(line.contains("--quiet"), "{line}");
    assert!(line.contains("--verbose"), "{line}");
    assert!(line.ends_with("; see \"maintd --help\""), "{line}");
    assert_eq!(ended.status, Some(2));
}

#[test]
fn flag_given_twice() {
    let ended = run_maintd(["serve", "--page", "a", "--page", "b"]);
    let line = ended.line();
    assert!(line.contains("--page"), "{line}");
    assert!(line.contains("; "), "no advice: {line}");
    assert_eq!(ended.status, Some(2));
}

/// A value that would break the line is shown escaped.
#[test]
fn value_with_a_line_break_is_printed_in_one_line() {
    for (args, status) in [
        (["serve", "--listen", "127.0.0.1:\n80"], 2),
        (["serve", "--page", "/nonexistent\npage"], 1),
        (["serve", "stray\nword", "--quiet"], 2),
    ] {
        let ended = run_maintd(args);
        assert!(ended.line().starts_with("maintd: "), "{ended:?}");
        assert_eq!(ended.status, Some(status));
    }
}

#[test]
fn value_that_is_not_utf_8() {
    let value = OsString::from_vec(b"127.0.0.1:\xff".to_vec());
    let ended = run_maintd([OsString::from("serve"), "--listen".into(), value]);
    assert!(ended.line().starts_with("maintd: "), "{ended:?}");
    assert_eq!(ended.status, Some(2));
}
