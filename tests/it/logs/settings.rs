//! What `check` reports about the directives for logs.

use crate::common::maintd;
use crate::logs::Site;

/// The exit status of `check` and its lines, without the directory.
fn check(directives: &str) -> (Option<i32>, Vec<String>) {
    let site = Site::new();
    let path = site.write(directives);
    let output = maintd().arg("check").arg("-c").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let directory = format!("{}/", site.0.path().display());
    let lines = text.lines().map(|line| line.replace(&directory, ""));
    (output.status.code(), lines.collect())
}

#[test]
fn nginx_s_directives_are_right_as_they_stand() {
    for directives in [
        "pid /run/nginx.pid;\nerror_log DIR/error.log;\naccess_log DIR/access.log;",
        "error_log stderr info;\naccess_log stderr combined;",
        "error_log syslog:server=unix:/dev/log,severity=notice;\naccess_log syslog:server=[::1]:12,nohostname,tag=a combined;",
        "error_log syslog:;",
        "access_log off;",
        "error_log stderr debug_http debug_event;",
        "error_log /dev/null crit;\naccess_log /dev/null;",
    ] {
        let (status, lines) = check(directives);
        assert_eq!(status, Some(0), "{directives}: {lines:#?}");
        assert_eq!(
            lines,
            ["maintd: the configuration is valid"],
            "{directives}"
        );
    }
}

#[test]
fn differences_from_nginx_are_reported() {
    for (directives, expected_lines) in [
        (
            "access_log a combined buffer=32k flush=5m gzip if=$loggable;",
            &[
                "1:23: \"buffer=32k\" is ignored",
                "1:34: \"flush=5m\" is ignored",
                "1:43: \"gzip\" is ignored",
                "1:48: \"if=$loggable\" is ignored",
            ][..],
        ),
        (
            "log_format main '$remote_addr';\naccess_log a main;",
            &["2:14: log_format \"main\" is ignored: requests are logged as combined"],
        ),
        (
            "error_log a;\nerror_log b;",
            &[
                "2:11: a second error_log is ignored: maintd has one for all its messages, the first",
            ],
        ),
        (
            "access_log a;\naccess_log b;",
            &["2:12: a second access_log is ignored: every request is logged once, to the first"],
        ),
        (
            "server { listen 1; access_log a; return 503 x; }\nserver { listen 2; access_log b; return 503 x; }\n\
             server { listen 3; access_log off; return 503 x; }",
            &[
                "2:31: this access_log is ignored: all servers share one, the first",
                "3:31: access_log off is ignored: all servers share one log",
                "4:1: the requests of this server are logged too: all servers share one access_log",
            ],
        ),
    ] {
        let directives = directives.replace("return 503 x", "return 503 'page'");
        let (status, lines) = check(&directives);
        assert_eq!(status, Some(0), "{directives}: {lines:#?}");
        let expected: Vec<_> = expected_lines
            .iter()
            .map(|what| format!("maintd: warning: test.conf:{what}"))
            .collect();
        let warned = lines.iter().filter(|line| line.contains("warning"));
        assert_eq!(warned.cloned().collect::<Vec<_>>(), expected, "{lines:#?}");
    }
}

#[test]
fn errors_are_reported_at_their_positions() {
    for (directive, fault) in [
        ("pid;", "1:1: pid takes one value; write pid VALUE;"),
        ("pid a; pid b;", "1:8: a duplicate pid; delete one of them"),
        (
            "error_log;",
            "1:1: error_log without a target; write error_log FILE;",
        ),
        (
            "error_log a loud;",
            "1:13: wrong value \"loud\" for error_log; give one of debug, info, notice, warn, error, crit, alert and emerg",
        ),
        (
            "access_log;",
            "1:1: access_log without a target; write access_log FILE; or access_log off;",
        ),
        (
            "error_log a info debug_http;",
            "1:18: error_log takes a target and a level; write error_log FILE LEVEL;",
        ),
        (
            "access_log off combined;",
            "1:16: access_log off takes no options; write access_log off;",
        ),
        (
            "access_log a main;",
            "1:14: unknown log format \"main\"; give combined",
        ),
        (
            "access_log a combined color;",
            "1:23: unknown option \"color\" of access_log; delete it",
        ),
        (
            "access_log /log/$host;",
            "1:12: variables are not supported here; name one file",
        ),
        (
            "access_log syslog:server=a,facility=x;",
            "1:12: unknown facility \"x\" of syslog; give local7, daemon or another one",
        ),
    ] {
        let (status, lines) = check(directive);
        assert_eq!(status, Some(1), "{directive}");
        assert_eq!(lines[0], format!("maintd: test.conf:{fault}"));
    }
}

#[test]
fn a_log_that_could_not_be_opened_is_a_fault_and_no_file_is_made() {
    let (status, lines) = check("error_log DIR;\naccess_log no/access.log;");
    assert_eq!(status, Some(1));
    let faults: Vec<_> = lines
        .iter()
        .filter(|line| !line.contains("warning"))
        .collect();
    assert!(
        faults[0].starts_with("maintd: cannot open error_log \"")
            && faults[0].contains("\": is a directory; "),
        "{faults:?}"
    );
    assert_eq!(
        faults[1],
        "maintd: cannot open access_log \"no/access.log\": no such file or directory; check the path of access_log"
    );
    let site = Site::new();
    let path = site.write("error_log error.log;\naccess_log access.log;\npid pid;");
    let status = maintd().arg("check").arg("-c").arg(path).status().unwrap();
    assert!(status.success());
    assert_eq!(crate::logs::names(site.0.path()), ["test.conf"]);
}
