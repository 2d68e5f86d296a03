//! maintd under a service manager: socket activation (sd_listen_fds(3)) and notifications (sd_notify(3)).

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::client::connect;
use crate::common::{Client, Port, Server, count_skipped, maintd, require_tool};
use tempfile::TempDir;

const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";

/// `maintd` with these arguments, and with sockets as a service manager hands them over. They come through the shell's
/// stdin and stdout: Rust's standard library passes no others without unsafe code.
fn activated(first: OwnedFd, second: Option<OwnedFd>, names: &str, args: &[&str]) -> Command {
    let count = 1 + usize::from(second.is_some());
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "LISTEN_PID=$$ exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null",
        ])
        .args(["sh", env!("CARGO_BIN_EXE_maintd")])
        .args(args)
        .env("LISTEN_FDS", count.to_string())
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::from(first))
        .stdout(second.map_or(Stdio::null(), Stdio::from));
    command
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    (listener, place)
}

fn copy(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().unwrap().into()
}

#[track_caller]
fn assert_answers(mut client: Client) {
    client.send(GET);
    assert_eq!(client.last_answer().status, 503);
}

#[track_caller]
fn assert_refused(mut command: Command, line: &str) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("maintd: {line}\n")
    );
    assert_eq!(output.status.code(), Some(1));
}

/// The server listens on these two addresses, and answers on both.
#[track_caller]
fn assert_serves(server: &Server, http: &str, https: &str) {
    assert_eq!(
        server.listening,
        [format!("http://{http}"), format!("https://{https}")]
    );
    assert_answers(connect(server, Port::Plaintext));
    assert_answers(connect(server, Port::Tls));
}

/// The test holds on to them, as the service manager does, so that binding again would fail.
#[test]
fn inherited_sockets_are_listened_on() {
    let (plaintext, http) = listener();
    let (tls, https) = listener();
    let args = ["serve", "--listen", &http, "--tls-listen", &https];
    // Not in the order of the flags: sockets are matched by their addresses.
    let command = activated(copy(&tls), Some(copy(&plaintext)), "", &args);
    let server = Server::start_with_its_streams(command, 2);
    assert_serves(&server, &http, &https);
}

#[test]
fn listeners_without_an_inherited_socket_are_bound() {
    let (plaintext, http) = listener();
    let args = ["serve", "--listen", "127.0.0.1:0", "--listen", &http];
    let server = Server::start_with_its_streams(activated(copy(&plaintext), None, "", &args), 2);
    assert_eq!(server.listening[1], format!("http://{http}"));
    assert_ne!(server.listening[0], server.listening[1]);
    assert_answers(connect(&server, Port::Plaintext));
}

/// The names of the sockets select the protocol where neither a flag nor the file does.
#[test]
fn without_a_configuration_inherited_sockets_take_the_place_of_the_defaults() {
    let (plaintext, http) = listener();
    let (tls, https) = listener();
    let command = activated(copy(&plaintext), Some(copy(&tls)), "http:https", &["serve"]);
    let server = Server::start_with_its_streams(command, 2);
    assert_serves(&server, &http, &https);
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded");
    assert_answers(connect(&server, Port::Plaintext));
    assert_answers(connect(&server, Port::Tls));
}

/// The manager keeps its socket, so a connection to it would wait forever.
#[test]
fn reload_that_leaves_an_inherited_socket_without_a_listener_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("maintd.conf");
    let (socket, place) = listener();
    let write = |listeners: &str| {
        let text = format!("server {{ listen 127.0.0.1:0; {listeners} return 503; }}");
        fs::write(&path, text).unwrap();
    };
    write(&format!("listen {place};"));
    let args = ["serve", "-v", "-c", path.to_str().unwrap()];
    let server = Server::start_with_its_streams(activated(copy(&socket), None, "", &args), 2);
    let visit = || {
        let mut client = Client::tcp(socket.local_addr().unwrap());
        client.send(GET);
        client
    };
    assert_answers(visit());
    write("");
    server.signal(libc::SIGHUP);
    server.wait_for_stderr(&format!(
        "maintd: not reloaded: the service manager's socket {place} fits no listener; \
         listen on {place} too or take it out of the socket unit and restart that and maintd\n"
    ));
    assert_answers(visit());
    write(&format!("listen {place};"));
    server.signal(libc::SIGHUP);
    server.wait_for_stderr("maintd: reloaded\n");
    assert_answers(visit());
}

#[test]
fn several_workers_share_an_inherited_socket() {
    let (socket, place) = listener();
    let args = ["serve", "--workers", "2", "--listen", &place];
    let server = Server::start_with_its_streams(activated(copy(&socket), None, "", &args), 1);
    for _ in 0..20 {
        assert_answers(connect(&server, Port::Plaintext));
    }
}

#[test]
fn file_of_an_inherited_unix_socket_is_left() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let place = format!("unix:{}", path.display());
    let args = ["serve", "--listen", &place];
    let command = activated(socket.try_clone().unwrap().into(), None, "", &args);
    let mut server = Server::start_with_its_streams(command, 1);
    assert_answers(Client::unix(&path));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(path.exists(), "the manager's socket file is gone");
    // Connections wait on it for the next maintd.
    let mut waiting = Client::unix(&path);
    waiting.send(GET);
    let command = activated(socket.into(), None, "", &args);
    let _server = Server::start_with_its_streams(command, 1);
    assert_eq!(waiting.last_answer().status, 503);
}

#[test]
fn inherited_socket_that_fits_no_listener_is_a_fault() {
    let (socket, place) = listener();
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let line = format!(
        "the service manager's socket {place} fits no listener; \
         listen on {place} too or take it out of the socket unit and restart that and maintd"
    );
    assert_refused(activated(copy(&socket), None, "", &args), &line);
    // The same address twice: the second socket is unused.
    let args = ["serve", "--listen", &place];
    let command = activated(copy(&socket), Some(copy(&socket)), "", &args);
    assert_refused(command, &line);
}

#[test]
fn inherited_socket_for_both_families_is_a_fault() {
    let Ok(socket) = TcpListener::bind("[::]:0") else {
        count_skipped("no IPv6");
        return;
    };
    let place = socket.local_addr().unwrap().to_string();
    let args = ["serve", "--listen", &place];
    let line = format!(
        "the service manager's socket {place} takes IPv4 too; \
         write \"BindIPv6Only=ipv6-only\" into the socket unit, and a ListenStream for each family"
    );
    assert_refused(activated(copy(&socket), None, "", &args), &line);
}

#[test]
fn inherited_descriptor_that_does_not_listen_is_a_fault() {
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for (descriptor, reason) in [
        (OwnedFd::from(datagram), "not a listening stream socket"),
        (OwnedFd::from(file), "socket operation on non-socket"),
    ] {
        let line = format!(
            "cannot listen on descriptor 3 of the service manager: {reason}; \
             give ListenStream in the socket unit"
        );
        assert_refused(activated(descriptor, None, "", &["serve"]), &line);
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let mut command = maintd();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", "1");
    assert_answers(connect(&Server::start_command(command, 1), Port::Plaintext));
}

/// systemd-socket-activate(1), which starts maintd at the first connection.
#[test]
fn systemd_socket_activate_starts_it() {
    if !require_tool("systemd-socket-activate") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(&path).args([
        "--fdname=http",
        env!("CARGO_BIN_EXE_maintd"),
        "serve",
    ]);
    let server = Server::start_command(command, 0);
    server.wait_for_stderr("Listening on ");
    assert_answers(Client::unix(&path));
    let stderr = server.wait_for_stderr("maintd: listening on ");
    let url = format!("maintd: listening on http://unix:{}\n", path.display());
    assert!(stderr.contains(&url), "{stderr}");
}

/// A service manager that receives maintd's notifications.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _directory: TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            name: path.to_str().unwrap().to_owned(),
            _directory: directory,
        }
    }

    fn start(&self, args: &[&str]) -> Server {
        let mut command = maintd();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .env("NOTIFY_SOCKET", &self.name);
        Server::start_command(command, 1)
    }

    /// The next message.
    fn next(&self) -> String {
        let limit = Some(Duration::from_secs(20));
        self.socket.set_read_timeout(limit).unwrap();
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[track_caller]
fn assert_notifies(manager: &Manager, signal: i32) {
    let next = || manager.next();
    let mut server = manager.start(&[]);
    assert_eq!(next(), "READY=1");
    assert_answers(connect(&server, Port::Plaintext));
    server.signal(libc::SIGHUP);
    let reloading = next();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)),
        "{reloading}"
    );
    assert_eq!(next(), "READY=1");
    server.signal(signal);
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
}

/// A client that waits for the reload's end must not wait forever.
#[test]
fn the_service_manager_is_notified_of_the_end_of_a_failed_reload() {
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, "page").unwrap();
    let manager = Manager::new();
    let server = manager.start(&["--page", page.to_str().unwrap()]);
    assert_eq!(manager.next(), "READY=1");
    fs::remove_file(&page).unwrap();
    server.signal(libc::SIGHUP);
    assert!(manager.next().starts_with("RELOADING=1\n"));
    assert_eq!(manager.next(), "READY=1");
    server.wait_for_stderr("maintd: not reloaded: ");
}

#[test]
fn the_service_manager_is_notified_of_each_state() {
    assert_notifies(&Manager::new(), libc::SIGTERM);
    assert_notifies(&Manager::new(), libc::SIGQUIT);
}

#[cfg(target_os = "linux")]
#[test]
fn the_service_manager_may_have_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;
    let name = format!("maintd-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager {
        socket: UnixDatagram::bind_addr(&address).unwrap(),
        name: format!("@{name}"),
        ..Manager::new()
    };
    assert_notifies(&manager, libc::SIGTERM);
}

/// maintd serves all the same.
#[test]
fn an_unreachable_service_manager_stops_nothing() {
    for name in ["/nonexistent/notify", "@no-listener-here", "odd", ""] {
        let mut command = maintd();
        command
            .args(["-v", "serve", "--listen", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", name);
        let server = Server::start_command(command, 1);
        assert_answers(connect(&server, Port::Plaintext));
        let line = format!("cannot notify the service manager at \"{name}\": ");
        if name.is_empty() {
            assert!(!server.stderr().contains(&line));
        } else {
            server.wait_for_stderr(&line);
        }
    }
}
