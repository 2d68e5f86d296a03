//! The control socket: path, owner, and removal with the daemon.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use tempfile::TempDir;

use crate::common::{Server, maintd};
use crate::control::Daemon;

#[test]
fn only_the_owner_may_connect_and_it_is_removed_with_the_daemon() {
    for signal in [libc::SIGTERM, libc::SIGQUIT] {
        let mut daemon = Daemon::plain();
        let data = fs::symlink_metadata(daemon.socket()).unwrap();
        assert!(data.file_type().is_socket());
        assert_eq!(data.permissions().mode() & 0o777, 0o600);
        daemon.server().signal(signal);
        assert!(daemon.server_mut().wait().success());
        assert!(!daemon.socket().exists());
    }
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let mut daemon = Daemon::plain();
    daemon.server().signal(libc::SIGKILL);
    daemon.server_mut().wait();
    assert!(daemon.socket().exists());
    daemon.run();
    daemon.status();
}

/// The worker has closed its copy of the socket, so the socket is free as soon as the supervisor has ended.
#[test]
fn workers_do_not_hold_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let mut server = Server::start(&["--control", path.to_str().unwrap()]);
    assert_eq!(
        crate::control::ask(&path, "{\"command\":\"status\"}\n")["ok"],
        true
    );
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    assert!(!path.exists());
}

#[track_caller]
fn assert_refused(path: &str, what: &str) {
    let mut command = maintd();
    command.args(["serve", "--listen", "127.0.0.1:0", "--control", path]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "maintd: cannot open the control socket \"{path}\": {what}; change \"control\" or --control\n"
    );
    assert_eq!(stderr, expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_configured_socket_that_cannot_be_bound_is_an_error() {
    let directory = TempDir::new().unwrap();
    let name = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let live = name("live");
    let _listener = UnixListener::bind(&live).unwrap();
    assert_refused(&live, "another maintd has it");
    let file = name("file");
    fs::write(&file, "mine").unwrap();
    assert_refused(&file, "the file exists and is not a socket");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_refused(&name("no/socket"), "no such file or directory");
}

#[test]
fn a_path_that_no_socket_can_have_is_wrong_usage() {
    let long = format!("/{}", "x".repeat(103));
    for path in ["/", long.as_str()] {
        let output = maintd()
            .args(["serve", "--control", path])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{path}");
    }
}

/// Without a configuration and without --control nothing is opened.
#[test]
fn a_daemon_without_a_configuration_has_none() {
    let server = Server::start(&[]);
    assert!(!server.stderr().contains("control"), "{}", server.stderr());
}

#[test]
fn a_reload_moves_it() {
    let daemon = Daemon::plain();
    let text = fs::read_to_string(daemon.path("maintd.conf")).unwrap();
    let text = text.replace("control.sock", "other.sock");
    fs::write(daemon.path("maintd.conf"), text).unwrap();
    daemon.reload();
    assert!(!daemon.socket().exists());
    let answer = crate::control::ask(&daemon.path("other.sock"), "{\"command\":\"status\"}\n");
    assert_eq!(answer["ok"], true);
}

#[test]
fn a_reload_restores_a_removed_socket() {
    let daemon = Daemon::plain();
    fs::remove_file(daemon.socket()).unwrap();
    daemon.reload();
    daemon.status();
}
