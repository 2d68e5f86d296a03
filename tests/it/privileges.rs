//! What a worker has given up when it serves, as `/proc` shows it. Started as root, it runs as another user, in an empty directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::certificates::p256;
use crate::common::client::connect;
use crate::common::{Port, Server, maintd, process, require_tool, skip, wait_until};
use tempfile::TempDir;

const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// A user id without an entry in passwd(5).
const STRANGER: u32 = 2_000_012_345;

/// Only root has privileges to give up.
fn is_root() -> bool {
    // The owner of /proc/self is this process's user.
    fs::metadata("/proc/self").unwrap().uid() == 0 || skip("only root can become another user")
}

/// A field of /proc/PID/status, its words joined by single spaces.
fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let words: Vec<&str> = value.unwrap().split_whitespace().collect();
    words.join(" ")
}

/// No new privileges, and both filters.
#[track_caller]
fn assert_locked_in(worker: u32) {
    assert_eq!(status(worker, "NoNewPrivs"), "1");
    assert_eq!(status(worker, "Seccomp"), "2");
    assert_eq!(status(worker, "Seccomp_filters"), "2");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(worker, set), "0000000000000000", "{set}");
    }
}

#[track_caller]
fn assert_is(worker: u32, uid: u32, gid: u32) {
    assert_eq!(status(worker, "Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(status(worker, "Gid"), format!("{gid} {gid} {gid} {gid}"));
    assert_eq!(status(worker, "Groups"), "");
    assert_eq!(status(worker, "CapBnd"), "0000000000000000");
}

#[track_caller]
fn assert_answers(server: &Server) {
    for port in [Port::Plaintext, Port::Tls] {
        let mut client = connect(server, port);
        client.send(GET);
        assert_eq!(client.last_answer().status, 503);
    }
}

/// Runs `maintd serve` with more arguments, which must make it end by itself with a fault; returns its only line.
#[track_caller]
fn refused(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("listening on"), "{stderr}");
    stderr
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = maintd();
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-listen",
            "127.0.0.1:0",
        ])
        .args(arguments);
    command
}

#[test]
fn a_worker_has_neither_root_nor_files() {
    if !is_root() {
        return;
    }
    let server = Server::start(&[]);
    let worker = server.worker();
    assert_is(worker, 65534, 65534);
    assert_locked_in(worker);
    for link in ["root", "cwd"] {
        let link = PathBuf::from(format!("/proc/{worker}/{link}"));
        let target = fs::read_link(&link).unwrap();
        let target = target.to_str().unwrap();
        assert!(target.ends_with(" (deleted)"), "{target}");
        let name = target.strip_suffix(" (deleted)").unwrap();
        assert!(!Path::new(name).exists(), "{name} was left behind");
        assert_eq!(fs::read_dir(&link).unwrap().count(), 0);
        assert!(fs::write(link.join("file"), "").is_err());
    }
    // No descriptor leads out of the chroot.
    for entry in fs::read_dir(format!("/proc/{worker}/fd")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!fs::metadata(&path).unwrap().is_dir(), "{path:?}");
    }
    assert_answers(&server);
    // The supervisor keeps its user.
    assert_eq!(status(server.pid(), "Uid"), "0 0 0 0");
}

#[test]
fn every_worker_is_locked_in() {
    if !is_root() {
        return;
    }
    let server = Server::start(&["--workers", "3"]);
    let workers = process::children(server.pid());
    assert_eq!(workers.len(), 3);
    for worker in workers {
        assert_is(worker, 65534, 65534);
        assert_locked_in(worker);
    }
}

#[test]
fn a_user_may_be_a_number_that_no_list_has() {
    if !is_root() {
        return;
    }
    let (both, one) = (format!("{STRANGER}:12346"), STRANGER.to_string());
    for (user, gid) in [(both, 12346), (one, STRANGER)] {
        let server = Server::start(&["--user", &user]);
        assert_is(server.worker(), STRANGER, gid);
        assert_answers(&server);
    }
}

#[test]
fn the_file_names_user_group_root_and_descriptors() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("mark"), "").unwrap();
    let path = directory.path().join("test.conf");
    let start = |lines: &str, flags: &[&str]| {
        fs::write(
            &path,
            format!("{lines} server {{ listen 127.0.0.1:0; return 503; }}"),
        )
        .unwrap();
        let mut command = maintd();
        command.arg("serve").arg("-c").arg(&path).args(flags);
        Server::start_command(command, 1)
    };
    let server = start("user daemon; chroot .; worker_rlimit_nofile 123;", &[]);
    assert_is(server.worker(), 1, 1);
    let root = fs::read_link(format!("/proc/{}/root", server.worker())).unwrap();
    assert_eq!(root, directory.path());
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.worker())).unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    assert_eq!(files.unwrap().split_whitespace().next(), Some("123"));

    assert_is(start("user daemon nogroup;", &[]).worker(), 1, 65534);
    assert_is(start("user daemon 12346;", &[]).worker(), 1, 12346);
    // Flags win.
    let server = start("user daemon;", &["--user", "12345:12346"]);
    assert_is(server.worker(), 12345, 12346);
}

#[test]
fn users_and_directories_that_cannot_be_are_faults_at_their_position() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("open")).unwrap();
    fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(at("owned")).unwrap();
    chown(at("owned"), Some(STRANGER), None).unwrap();

    let directories = [
        ("none", "no such file or directory"),
        ("file", "not a directory"),
        ("open", "others than root may write to it"),
        ("owned", "not owned by root"),
    ];
    for (name, cause) in directories {
        let what = format!(
            "cannot use \"{}\" as root directory: {cause}; give a directory that root alone may write to\n",
            at(name)
        );
        assert_eq!(
            refused(serve(&["--chroot", &at(name)])),
            format!("maintd: {what}")
        );
        let text = format!("\n chroot {name}; server {{ listen 127.0.0.1:0; return 503; }}");
        fs::write(at("test.conf"), text).unwrap();
        let mut command = maintd();
        command.arg("check").arg("-c").arg(at("test.conf"));
        let message = refused(command);
        let line = format!("maintd: {}:2:9: {what}", at("test.conf"));
        assert!(message.contains(&line), "{message}");
    }

    let unknown = "there is no user \"no-such-user\"; create it, or give a number\n";
    let roots = "user \"root\" is root, and workers never run as root; give another user\n";
    for (user, what) in [("no-such-user", unknown), ("root", roots)] {
        assert_eq!(
            refused(serve(&["--user", user])),
            format!("maintd: wrong value for --user: {what}")
        );
        let text = format!("user {user}; server {{ listen 127.0.0.1:0; return 503; }}");
        fs::write(at("test.conf"), text).unwrap();
        let mut command = maintd();
        command.arg("check").arg("-c").arg(at("test.conf"));
        let message = refused(command);
        let line = format!("maintd: {}:1:6: {what}", at("test.conf"));
        assert!(message.contains(&line), "{message}");
    }
}

/// Root that lacks a right, as in a container, must not end up serving as root.
#[test]
fn a_worker_that_cannot_be_locked_in_never_serves() {
    if !is_root() || !require_tool("setpriv") {
        return;
    }
    for (right, step) in [
        ("sys_chroot", "change the root directory"),
        ("setgid", "leave root's groups"),
        ("setuid", "become another user"),
    ] {
        let mut command = Command::new("setpriv");
        command
            .args(["--bounding-set", &format!("-{right}")])
            .args(["--inh-caps", &format!("-{right}")])
            .arg("--")
            .arg(env!("CARGO_BIN_EXE_maintd"))
            .args(["serve", "--listen", "127.0.0.1:0"]);
        let message = refused(command);
        let expected = format!(
            "maintd: cannot confine a worker: it cannot {step}: operation not permitted; start as root with all of its capabilities, or as another user\n"
        );
        assert!(message.starts_with(&expected), "{message}");
    }
}

/// As under systemd, with the capabilities of the unit in packaging/.
#[test]
fn the_rights_to_change_user_and_root_directory_are_enough() {
    if !is_root() || !require_tool("setpriv") {
        return;
    }
    let rights = "-all,+net_bind_service,+setuid,+setgid,+sys_chroot,+kill";
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", rights, "--inh-caps", rights])
        .args(["--no-new-privs", "--"])
        .arg(env!("CARGO_BIN_EXE_maintd"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--tls-listen", "127.0.0.1:0"]);
    let server = Server::start_command(command, 2);
    let worker = server.worker();
    assert_eq!(status(worker, "Uid"), "65534 65534 65534 65534");
    assert_eq!(status(worker, "Groups"), "");
    assert_locked_in(worker);
    assert_answers(&server);
}

/// Without root, user and directory stay, and the rest is given up.
#[test]
fn without_root_a_worker_is_filtered_all_the_same() {
    if !is_root() {
        return;
    }
    // The build's directories may be closed to others.
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("maintd");
    // Not by this process: a child forked meanwhile would hold it open for writing, and it could not be run (ETXTBSY).
    let copied = Command::new("cp")
        .args([env!("CARGO_BIN_EXE_maintd"), program.to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    let file = directory.path().join("test.conf");
    let limit = u32::MAX;
    fs::write(
        &file,
        format!(
            "user daemon;\nchroot none;\nworker_rlimit_nofile {limit};\nserver {{ listen 127.0.0.1:0; return 503; }}"
        ),
    )
    .unwrap();
    let mut command = Command::new(program);
    command
        .uid(STRANGER)
        .gid(STRANGER)
        .args(["serve", "--user", "daemon", "--chroot", "none", "-c"])
        .arg(&file);
    let server = Server::start_command(command, 1);
    let stderr = server.stderr();
    let file = file.display();
    for warning in [
        &format!("{file}:1:1: user is ignored: only root can become another user; start as root\n"),
        &format!(
            "{file}:2:1: chroot is ignored: only root can change the root directory; start as root\n"
        ),
        "--user is ignored: only root can become another user; start as root\n",
        "--chroot is ignored: only root can change the root directory; start as root\n",
        "worker_rlimit_nofile 4294967295 is more than the system allows: it is ",
    ] {
        let warning = format!("maintd: warning: {warning}");
        assert!(stderr.contains(&warning), "no {warning:?} in {stderr}");
    }
    let worker = server.worker();
    assert_eq!(
        status(worker, "Uid"),
        format!("{STRANGER} {STRANGER} {STRANGER} {STRANGER}")
    );
    assert_locked_in(worker);
    let mut client = connect(&server, Port::Plaintext);
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
}

/// A reload reads the key again as root.
#[test]
fn a_reload_picks_up_a_renewed_certificate_whose_key_is_roots_alone() {
    if !is_root() {
        return;
    }
    let (old, new) = (p256(&["localhost"]), p256(&["localhost"]));
    fs::set_permissions(&old.key, Permissions::from_mode(0o600)).unwrap();
    let shown = |server: &Server| {
        let client = connect(server, Port::Tls);
        let certificates = client.session().unwrap().peer_certificates().unwrap();
        crate::common::certificates::pem("CERTIFICATE", &certificates[0])
    };
    let server = Server::start(&old.flags());
    assert_is(server.worker(), 65534, 65534);
    assert_eq!(shown(&server), fs::read_to_string(&old.cert).unwrap());

    fs::copy(&new.cert, &old.cert).unwrap();
    fs::copy(&new.key, &old.key).unwrap();
    let key = fs::metadata(&old.key).unwrap();
    fs::set_permissions(&old.key, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(key.uid(), 0);
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded\n");
    // An old worker accepts until it has read its order.
    wait_until(
        || shown(&server) == fs::read_to_string(&new.cert).unwrap(),
        "the old certificate is still shown",
    );
    wait_until(
        || process::children(server.pid()).len() == 1,
        "the old worker is still there",
    );
    assert_is(server.worker(), 65534, 65534);
    assert_locked_in(server.worker());
}
