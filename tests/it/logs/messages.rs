//! Messages in the `error_log`; the pid file.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Stdio;
use std::time::Duration;

use crate::common::process::children;
use crate::common::{Client, maintd, send_signal, wait_until};
use crate::logs::{GET, Site, ask, names};

#[test]
fn messages_stand_in_the_file_and_the_listening_lines_on_stderr_too() {
    let site = Site::new();
    let mut server = site.start("error_log error.log info;", &[]);
    let text = site.wait_for("error.log", "listening on http://127.0.0.1:");
    let line = text
        .lines()
        .find(|line| line.contains("listening"))
        .unwrap();
    let (time, rest) = line.split_at(20);
    let shape: String = time
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    assert_eq!(shape, "0000/00/00 00:00:00 ");
    assert!(
        rest.starts_with(&format!("[info] {}#0: listening on ", server.pid())),
        "{line}"
    );
    server.signal(libc::SIGHUP);
    site.wait_for("error.log", ": reloaded\n");
    wait_until(
        || children(server.pid()).len() == 1,
        "the old worker has not gone",
    );
    let worker = children(server.pid())[0];
    send_signal(worker, libc::SIGKILL);
    let text = site.wait_for("error.log", "killed by signal 9");
    assert!(text.contains(&format!("[error] {}#0: worker {worker} died", server.pid())));
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    let stderr = server.stderr();
    assert!(
        !stderr.contains("reloaded") && !stderr.contains("died"),
        "{stderr}"
    );
}

#[test]
fn the_level_is_nginx_s_and_the_command_line_wins() {
    for (directive, flags, expected) in [
        ("error_log error.log;", &[][..], false),
        ("error_log error.log warn;", &[], false),
        ("error_log error.log notice;", &[], true),
        ("error_log error.log crit;", &["-v"], true),
        ("error_log error.log debug;", &["-q"], false),
    ] {
        let site = Site::new();
        let socket = site.path("socket");
        let mut server = maintd()
            .arg("serve")
            .arg("-c")
            .arg(site.write(directive))
            .arg("--listen")
            .arg(format!("unix:{}", socket.display()))
            .args(flags)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(|| UnixStream::connect(&socket).is_ok(), "no socket");
        let mut client = Client::unix(&socket);
        client.send(GET);
        client.last_answer();
        // An error is logged at every level, and earlier messages are written before it.
        site.write("nonsense;");
        send_signal(server.id(), libc::SIGHUP);
        site.wait_for("error.log", "not reloaded");
        send_signal(server.id(), libc::SIGTERM);
        assert!(server.wait().unwrap().success());
        let text = site.read("error.log");
        assert_eq!(
            text.contains("listening"),
            expected,
            "{directive} {flags:?}"
        );
    }
}

#[test]
fn a_fault_of_the_start_is_on_stderr_and_in_the_log() {
    let site = Site::new();
    let path = site.write("error_log error.log;");
    let output = maintd()
        .arg("serve")
        .arg("-c")
        .arg(&path)
        .args(["--page", "/nonexistent/page"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("maintd: cannot read page"), "{stderr}");
    assert!(site.read("error.log").contains("#0: cannot read page"));
}

#[test]
fn a_log_that_cannot_be_opened_ends_the_start_and_not_a_reload() {
    let site = Site::new();
    let start = |directives| {
        let path = site.write(directives);
        maintd().arg("serve").arg("-c").arg(path).output().unwrap()
    };
    for (directive, fault) in [
        (
            "error_log no/error.log;",
            "maintd: cannot open error_log \"DIR/no/error.log\": no such file or directory; check the path of error_log\n",
        ),
        (
            "access_log DIR;",
            "maintd: cannot open access_log \"DIR\": is a directory; check the path of access_log\n",
        ),
    ] {
        let output = start(directive);
        assert_eq!(output.status.code(), Some(1));
        let fault = fault.replace("DIR", site.0.path().to_str().unwrap());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.ends_with(&fault), "{stderr}");
    }
    let server = site.start("access_log access.log;", &[]);
    site.write("access_log no/access.log;");
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("not reloaded: cannot open access_log");
    ask(&server);
    site.lines("access.log", 1);
}

#[test]
fn a_reload_changes_and_removes_logs() {
    let site = Site::new();
    let server = site.start("access_log one.log;", &[]);
    ask(&server);
    site.lines("one.log", 1);
    site.write("access_log two.log;");
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded\n");
    ask(&server);
    site.lines("two.log", 1);
    site.write("error_log error.log info;");
    server.signal(libc::SIGHUP);
    site.wait_for("error.log", "reloaded");
    ask(&server);
    site.write("access_log two.log;");
    server.signal(libc::SIGHUP);
    wait_until(
        || server.stderr().matches("reloaded").count() == 2,
        "no second reload on stderr",
    );
    // A worker without log lines may still accept the next connection.
    wait_until(
        || children(server.pid()).len() == 1,
        "the old worker has not gone",
    );
    ask(&server);
    assert_eq!(site.lines("two.log", 2).len(), 2);
    assert_eq!(site.read("one.log").lines().count(), 1);
}

#[test]
fn usr1_reopens_the_files() {
    let site = Site::new();
    let server = site.start("error_log error.log info;\naccess_log access.log;", &[]);
    ask(&server);
    site.lines("access.log", 1);
    for name in ["error.log", "access.log"] {
        fs::rename(site.path(name), site.path(&format!("{name}.0"))).unwrap();
    }
    server.signal(libc::SIGUSR1);
    site.wait_for("error.log", "reopened the logs");
    ask(&server);
    assert_eq!(site.lines("access.log", 1).len(), 1);
    assert_eq!(site.lines("access.log.0", 1).len(), 1);
    // If a file cannot be opened, the old one stays in use.
    fs::rename(site.path("access.log"), site.path("access.log.1")).unwrap();
    fs::create_dir(site.path("access.log")).unwrap();
    server.signal(libc::SIGUSR1);
    site.wait_for("error.log", "is a directory; writing to the old file");
    ask(&server);
    assert_eq!(
        site.read("error.log").matches("reopened the logs").count(),
        1,
        "reported although one was not"
    );
    assert_eq!(site.lines("access.log.1", 2).len(), 2);
    // No process keeps the renamed file open.
    let open = |pid: u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let files = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        files
            .filter(|path| path.to_string_lossy().contains(".log"))
            .count()
    };
    assert_eq!(open(server.pid()), 2);
    assert_eq!(open(children(server.pid())[0]), 0);
}

/// The next datagram that is of interest.
fn next(mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>, wanted: &str) -> String {
    loop {
        let mut bytes = [0; 4096];
        let length = receive(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if text.contains(wanted) {
            return text;
        }
    }
}

#[test]
fn a_syslogd_gets_messages_and_requests() {
    let site = Site::new();
    let unix = UnixDatagram::bind(site.path("log")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    unix.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let directives = format!(
        "error_log syslog:server=unix:DIR/log,nohostname,facility=daemon info;\n\
         access_log syslog:server={},tag=web,severity=notice combined;",
        udp.local_addr().unwrap()
    );
    let server = site.start(&directives, &[]);
    let message = next(|bytes| unix.recv(bytes), "listening");
    // Daemon is 3 and info 6.
    assert!(message.starts_with("<30>"), "{message}");
    assert!(
        message.contains(" maintd: listening on http://127.0.0.1:"),
        "{message}"
    );
    ask(&server);
    let line = next(|bytes| udp.recv(bytes), "GET");
    assert!(line.starts_with("<189>"), "{line}");
    assert!(line.contains(" web: 127.0.0.1 - - ["), "{line}");
    assert!(
        line.ends_with("\"GET /path HTTP/1.1\" 503 4 \"-\" \"-\""),
        "{line}"
    );
    // A restarted syslogd has a new socket.
    drop(unix);
    fs::remove_file(site.path("log")).unwrap();
    let unix = UnixDatagram::bind(site.path("log")).unwrap();
    unix.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    server.signal(libc::SIGHUP);
    assert!(next(|bytes| unix.recv(bytes), "reloaded").starts_with("<30>"));
}

#[test]
fn the_pid_file_is_there_as_long_as_the_supervisor() {
    for last in [libc::SIGTERM, libc::SIGQUIT] {
        let site = Site::new();
        fs::write(site.path("pid"), "1\n").unwrap();
        let mut server = site.start("pid pid;", &[]);
        assert_eq!(site.read("pid"), format!("{}\n", server.pid()));
        send_signal(children(server.pid())[0], libc::SIGKILL);
        server.wait_for_stderr("starting another one");
        site.write("pid other;");
        server.signal(libc::SIGHUP);
        server.wait_for_stderr("maintd: reloaded\n");
        assert_eq!(site.read("other"), format!("{}\n", server.pid()));
        assert_eq!(names(site.0.path()), ["maintd.sock", "other", "test.conf"]);
        server.signal(last);
        assert!(server.wait().success());
        assert_eq!(names(site.0.path()), ["test.conf"]);
    }
}

#[test]
fn a_pid_file_of_another_process_is_not_removed() {
    let site = Site::new();
    let mut server = site.start("pid pid;", &[]);
    fs::write(site.path("pid"), "1\n").unwrap();
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    assert_eq!(site.read("pid"), "1\n");
}

#[test]
fn a_pid_file_that_cannot_be_written_ends_the_start() {
    let site = Site::new();
    let path = site.write("pid no/pid;");
    let output = maintd().arg("serve").arg("-c").arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cannot write pid file"), "{stderr}");
    assert!(!stderr.contains("listening"), "{stderr}");
}
