//! Addresses that cannot be bound: exit status 1, and all other listeners are closed.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tempfile::TempDir;

use crate::common::client::connect;
use crate::common::{Client, Port, Server, certificates, count_skipped, free_address};
use crate::faults::{GET, assert_fault, run_maintd, system_reason};

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A directory for a socket, and the path of one in it.
fn socket_path() -> (TempDir, std::path::PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    (directory, path)
}

#[track_caller]
fn assert_answers(mut client: Client) {
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
}

/// `--listen unix:PATH` and then a faulty listener: the line, and no socket file afterwards.
#[track_caller]
fn assert_fault_after_a_socket(flag: &str, address: &str, line: &str) {
    let (_directory, path) = socket_path();
    let socket = unix(&path);
    assert_fault(["serve", "--listen", &socket, flag, address], 1, line);
    assert!(!path.exists(), "the socket file is left");
}

#[test]
fn port_in_use() {
    let other = Server::start(&[]);
    let reason = system_reason(libc::EADDRINUSE);
    for (flag, address) in [
        ("--listen", other.http),
        ("--tls-listen", other.http),
        ("--listen", other.https),
        ("--tls-listen", other.https),
    ] {
        let line =
            format!("cannot listen on {address}: {reason}; stop the other server or change {flag}");
        assert_fault_after_a_socket(flag, &address.to_string(), &line);
    }
    // The first server is not affected.
    assert_answers(connect(&other, Port::Plaintext));
    assert_answers(connect(&other, Port::Tls));
}

/// The BSDs allow a wildcard address and a specific one on the same port.
#[cfg(target_os = "linux")]
#[test]
fn port_in_use_on_one_address() {
    let other = Server::start(&[]);
    let address = format!("0.0.0.0:{}", other.http.port());
    let reason = system_reason(libc::EADDRINUSE);
    let line =
        format!("cannot listen on {address}: {reason}; stop the other server or change --listen");
    assert_fault_after_a_socket("--listen", &address, &line);
    assert_answers(connect(&other, Port::Plaintext));
}

#[test]
fn port_in_use_leaves_the_other_port_unbound() {
    let other = Server::start(&[]);
    let free = free_address();
    let reason = system_reason(libc::EADDRINUSE);
    let line = format!(
        "cannot listen on {}: {reason}; stop the other server or change --tls-listen",
        other.https
    );
    let args = [
        "serve".to_owned(),
        "--listen".to_owned(),
        free.to_string(),
        "--tls-listen".to_owned(),
        other.https.to_string(),
    ];
    assert_fault(&args, 1, &line);
    TcpListener::bind(free).unwrap();
}

/// The message names the setting to change: the flag was not given.
#[test]
fn port_in_use_by_a_configuration_file() {
    let other = Server::start(&[]);
    let reason = system_reason(libc::EADDRINUSE);
    let certificate = certificates::p256(&["localhost"]);
    let (_directory, path) = socket_path();
    for (address, option) in [(other.http, ""), (other.https, " ssl")] {
        let (cert, key) = (certificate.cert.display(), certificate.key.display());
        let text = format!(
            "server {{ listen {address}{option}; return 503; \
             ssl_certificate {cert}; ssl_certificate_key {key}; }}"
        );
        fs::write(&path, text).unwrap();
        let line = format!(
            "cannot listen on {address}: {reason}; stop the other server or change \"listen\""
        );
        assert_fault(["-q", "serve", "-c", path.to_str().unwrap()], 1, &line);
    }
}

#[test]
fn same_address_twice() {
    let free = free_address().to_string();
    let reason = system_reason(libc::EADDRINUSE);
    let line =
        format!("cannot listen on {free}: {reason}; stop the other server or change --tls-listen");
    let args = ["serve", "--listen", &free, "--tls-listen", &free];
    assert_fault(args, 1, &line);

    let (_directory, path) = socket_path();
    let address = unix(&path);
    let line =
        format!("cannot listen on {address}: {reason}; stop the other server or change --listen");
    let args = ["serve", "--listen", &address, "--listen", &address];
    assert_fault(args, 1, &line);
    assert!(!path.exists(), "the socket file is left");
}

#[test]
fn address_not_of_this_host() {
    // RFC 5737: for documentation, so that no host has it.
    let reason = system_reason(libc::EADDRNOTAVAIL);
    for flag in ["--listen", "--tls-listen"] {
        let line = format!(
            "cannot listen on 198.51.100.7:0: {reason}; give an address of this host with {flag}"
        );
        assert_fault_after_a_socket(flag, "198.51.100.7:0", &line);
    }
}

/// A configured address must be bound; only one of the two of `localhost` may be missing.
#[test]
fn ipv6_address_not_of_this_host() {
    if TcpListener::bind("[::1]:0").is_err() {
        count_skipped("no IPv6");
        return;
    }
    let reason = system_reason(libc::EADDRNOTAVAIL);
    let line = format!(
        "cannot listen on [2001:db8::7]:0: {reason}; give an address of this host with --listen"
    );
    assert_fault_after_a_socket("--listen", "[2001:db8::7]:0", &line);
}

#[test]
fn unix_socket_in_a_missing_directory() {
    let directory = TempDir::new().unwrap();
    let address = unix(&directory.path().join("none/socket"));
    let reason = system_reason(libc::ENOENT);
    let line = format!("cannot listen on {address}: {reason}; change --tls-listen");
    assert_fault_after_a_socket("--tls-listen", &address, &line);
    assert!(!directory.path().join("none").exists());
}

#[test]
fn unix_socket_path_too_long() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s".repeat(120));
    let ended = run_maintd(["serve", "--listen", &unix(&path)]);
    let begin = format!("maintd: cannot listen on {}: ", unix(&path));
    assert!(ended.line().starts_with(&begin), "{ended:?}");
    assert!(ended.line().ends_with("; change --listen"), "{ended:?}");
    assert_eq!(ended.status, Some(1));
}

#[test]
fn unix_socket_of_a_running_maintd() {
    let (_directory, path) = socket_path();
    let address = unix(&path);
    let _other = Server::start_raw(&["--listen", &address]);
    let reason = system_reason(libc::EADDRINUSE);
    let line =
        format!("cannot listen on {address}: {reason}; stop the other server or change --listen");
    assert_fault_after_a_socket("--listen", &address, &line);
    // Neither its socket nor its file was touched.
    assert_answers(Client::unix(&path));
}

/// A running server whose backlog is full still owns its socket file, and the probe of it does not block.
#[cfg(target_os = "linux")]
#[test]
fn unix_socket_of_a_busy_server() {
    let (_directory, path) = socket_path();
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let listener = listener.unwrap();
    let address = socket2::SockAddr::unix(&path).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    // unix(7): connect blocks when the backlog is full, so fill it without blocking.
    let mut waiting = Vec::new();
    loop {
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let client = client.unwrap();
        client.set_nonblocking(true).unwrap();
        let connected = client.connect(&address);
        waiting.push(client);
        if connected.is_err() {
            break;
        }
    }
    assert!(waiting.len() > 1);
    let address = unix(&path);
    let reason = system_reason(libc::EADDRINUSE);
    let line =
        format!("cannot listen on {address}: {reason}; stop the other server or change --listen");
    assert_fault_after_a_socket("--listen", &address, &line);
    assert!(path.exists());
}

/// The socket file of a killed server is replaced.
#[test]
fn unix_socket_left_behind_is_taken_over() {
    let (_directory, path) = socket_path();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(UnixStream::connect(&path).is_err());

    let mut server = Server::start_raw(&["--listen", &unix(&path)]);
    assert_answers(Client::unix(&path));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists());
}

/// A maintd that was killed by SIGKILL leaves such a file.
#[test]
fn unix_socket_of_a_killed_maintd_is_taken_over() {
    let (_directory, path) = socket_path();
    let address = unix(&path);
    let mut killed = Server::start_raw(&["--listen", &address]);
    killed.signal(libc::SIGKILL);
    killed.wait();
    assert!(path.exists());
    let _next = Server::start_raw(&["--listen", &address]);
    assert_answers(Client::unix(&path));
}

/// Only sockets are ever removed.
#[test]
fn file_at_the_path_of_a_unix_socket_is_left_alone() {
    let (_directory, path) = socket_path();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"precious").unwrap();
    let address = unix(&path);
    let reason = system_reason(libc::EADDRINUSE);
    let line = format!(
        "cannot listen on {address}: {reason}; remove the file in its place or change --listen"
    );
    assert_fault(["serve", "--listen", &address], 1, &line);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}
