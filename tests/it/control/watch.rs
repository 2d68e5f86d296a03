//! `maintd status --watch`: a table where stdout is no terminal, and a full screen on a terminal, which is restored.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::{default_signals, maintd, require_tool, send_signal};
use crate::control::Daemon;

#[test]
fn a_pipe_gets_a_row_each_second_across_a_restart() {
    let mut daemon = Daemon::plain();
    let mut command = maintd();
    command
        .args(["status", "--watch", "-c"])
        .arg(daemon.path("maintd.conf"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("requests/s"));
    assert_eq!(next().split_whitespace().count(), 7);
    daemon.server().signal(libc::SIGTERM);
    daemon.server_mut().wait();
    while !next().contains("waiting for one") {}
    daemon.run();
    while next().split_whitespace().count() != 7 {}
    send_signal(child.id(), libc::SIGTERM);
    assert!(child.wait().unwrap().success());
}

/// script(1) of util-linux is the terminal. Ctrl-C reaches the shell too, which must survive it.
#[test]
fn a_terminal_is_drawn_on_and_left_as_it_was() {
    if !require_tool("script") {
        return;
    }
    let daemon = Daemon::plain();
    let watch = format!(
        "trap : INT; stty rows 24 cols 80; before=$(stty -g); '{}' status --watch -c '{}'; echo \"status $?\"; test \"$before\" = \"$(stty -g)\" && echo restored",
        env!("CARGO_BIN_EXE_maintd"),
        daemon.path("maintd.conf").display()
    );
    for key in [&b"q"[..], b"\x03"] {
        let mut child = default_signals(&mut Command::new("script"))
            .args(["-q", "-c", &watch, "/dev/null"])
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut seen, mut buffer) = (String::new(), [0; 4096]);
        while !seen.contains("q quits") {
            let length = stdout.read(&mut buffer).unwrap();
            assert!(length > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        thread::sleep(Duration::from_millis(100));
        stdin.write_all(key).unwrap();
        stdout.read_to_string(&mut seen).unwrap();
        drop(stdin);
        child.wait().unwrap();
        for expected in [
            "\u{1b}[?1049h",
            "requests",
            "\u{1b}[?1049l",
            "status 0",
            "restored",
        ] {
            assert!(seen.contains(expected), "{expected}: {seen}");
        }
    }
}
