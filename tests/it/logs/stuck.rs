//! Logs that cannot be written: requests are answered, and the supervisor obeys its signals.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};

use crate::common::{Server, maintd, send_signal, wait_until};
use crate::logs::{Client, GET, Site, ask, ask_often};

#[test]
fn a_full_disk_costs_lines_and_no_request() {
    let site = Site::new();
    let mut server = site.start("error_log error.log warn;\naccess_log /dev/full;", &[]);
    for _ in 0..100 {
        ask(&server);
    }
    site.wait_for(
        "error.log",
        "[error] PID#0: cannot write access_log \"/dev/full\": no space left on device; lines are lost\n"
            .replace("PID", &server.pid().to_string())
            .as_str(),
    );
    server.signal(libc::SIGQUIT);
    assert!(server.wait().success());
    let text = site.read("error.log");
    assert!(
        text.ends_with("access_log \"/dev/full\": 100 lines lost\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_file_at_its_limit_costs_lines_and_no_request() {
    let site = Site::new();
    let path = site.write("error_log stderr;\naccess_log access.log;");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 1; exec \"$0\" serve -c \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_maintd")).arg(path);
    let mut server = Server::start_command(command, 1);
    for _ in 0..50 {
        ask(&server);
    }
    server.wait_for_stderr("access.log\": file too large; lines are lost\n");
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn messages_for_a_full_disk_stop_nothing() {
    let site = Site::new();
    let mut server = site.start("error_log /dev/full debug;", &[]);
    server.signal(libc::SIGHUP);
    ask(&server);
    server.signal(libc::SIGQUIT);
    assert!(server.wait().success());
}

#[test]
fn a_fifo_without_a_reader_is_waited_for_without_waiting() {
    let site = Site::new();
    let path = site.mkfifo("fifo");
    let mut server = site.start("error_log fifo info;\naccess_log fifo;", &[]);
    for _ in 0..10 {
        ask(&server);
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut fifo = options.open(&path).unwrap();
    let mut text = String::new();
    // Once a second maintd tries again to open the FIFO, if there are lines to write.
    wait_until(
        || {
            ask(&server);
            let mut bytes = [0; 4096];
            if let Ok(length) = fifo.read(&mut bytes) {
                text.push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
            text.contains("GET /path")
        },
        "nothing in the FIFO",
    );
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn a_reader_that_never_reads_does_not_delay_requests() {
    let site = Site::new();
    let path = site.mkfifo("fifo");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let _fifo = options.open(&path).unwrap();
    let mut server = site.start("error_log error.log info;\naccess_log fifo;", &[]);
    // More than both pipes and the worker's own memory hold.
    ask_often(&server, 1500);
    site.wait_for("error.log", "cannot write access_log");
    server.signal(libc::SIGHUP);
    site.wait_for("error.log", ": reloaded\n");
    ask(&server);
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    assert!(site.read("error.log").contains(" lines lost\n"));
}

#[test]
fn an_unread_stderr_does_not_delay_requests() {
    let site = Site::new();
    let path = site.write("access_log stderr;");
    let mut child = maintd()
        .args(["serve", "-v", "-c"])
        .arg(path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("maintd: listening on http://") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0);
    }
    let address = line.trim().rsplit_once('/').unwrap().1.parse().unwrap();
    let long = GET.replace("/path", &format!("/{}", "x".repeat(2000)));
    for _ in 0..200 {
        let mut client = Client::tcp(address);
        client.send(&long);
        assert_eq!(client.last_answer().status, 503);
    }
    for number in [libc::SIGUSR1, libc::SIGHUP, libc::SIGTERM] {
        send_signal(child.id(), number);
    }
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("127.0.0.1 - - ["), "{rest}");
}

#[test]
fn a_line_that_stderr_took_a_part_of_is_ended_before_the_next() {
    let site = Site::new();
    let path = site.mkfifo("fifo");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut fifo = options.open(&path).unwrap();
    let socket = site.path("socket");
    let mut child = maintd()
        .arg("serve")
        .arg("-c")
        .arg(site.write("error_log error.log info;\naccess_log stderr;"))
        .arg("--listen")
        .arg(format!("unix:{}", socket.display()))
        .stdout(Stdio::null())
        .stderr(OpenOptions::new().write(true).open(&path).unwrap())
        .spawn()
        .unwrap();
    let mut text = Vec::new();
    let mut read = || {
        let _ = fifo.read_to_end(&mut text);
        String::from_utf8(text.clone()).unwrap()
    };
    // A line that must not count against the later ones.
    wait_until(|| read().contains("listening on "), "no start");
    let ask_for = |path: &str| {
        let mut client = Client::unix(&socket);
        client.send(GET.replace("/path", path));
        assert_eq!(client.last_answer().status, 503);
    };
    // Three pieces each, and a pipe takes sixteen.
    for _ in 0..20 {
        ask_for(&format!("/{}", "x".repeat(8150)));
    }
    send_signal(child.id(), libc::SIGHUP);
    // By then as many lines as fit have been written.
    site.wait_for("error.log", ": reloaded\n");
    assert!(!read().ends_with('\n'));
    ask_for("/short");
    wait_until(|| read().contains("GET /short"), "no line after the others");
    send_signal(child.id(), libc::SIGTERM);
    assert!(child.wait().unwrap().success());
    let text = read();
    let short = text.lines().find(|line| line.contains("/short")).unwrap();
    assert!(short.starts_with("unix: - - ["), "{}", &short[..80]);
}

#[test]
fn a_supervisor_that_is_held_up_holds_up_no_worker_and_lines_are_counted() {
    let site = Site::new();
    let mut server = site.start("access_log access.log;\nerror_log error.log warn;", &[]);
    server.signal(libc::SIGSTOP);
    crate::common::process::wait_until_stopped(server.pid());
    // More than the pipe and the worker's own memory hold.
    ask_often(&server, 1500);
    server.signal(libc::SIGCONT);
    let text = site.wait_for(
        "error.log",
        " lines lost: they came faster than they were written\n",
    );
    let lost: usize = text
        .split_once("access_log: ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap();
    server.signal(libc::SIGQUIT);
    assert!(server.wait().success());
    let lines = site.read("access.log");
    assert_eq!(lines.lines().count() + lost, 1500);
    assert!(lines.lines().all(|line| line.ends_with("\"-\" \"-\"")));
}

#[test]
fn buffered_lines_are_written_before_exit() {
    let site = Site::new();
    let mut server = site.start("access_log access.log;", &[]);
    server.signal(libc::SIGSTOP);
    crate::common::process::wait_until_stopped(server.pid());
    // More than the pipe holds, and less than the worker's own memory.
    ask_often(&server, 240);
    server.signal(libc::SIGTERM);
    server.signal(libc::SIGCONT);
    assert!(server.wait().success());
    assert_eq!(site.read("access.log").lines().count(), 240);
}
