//! A web host: pf, the live server, the responder and maintd's configuration, all in a directory and on loopback.

use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::common::{Ended, default_signals, wait_until};

/// What ifconfig lists, in the form of OpenBSD's.
const INTERFACES: &str = "lo0: flags=2008049<UP,LOOPBACK,RUNNING,MULTICAST,LRO> mtu 32768
\tindex 3 priority 0 llprio 3
\tgroups: lo
\tinet 127.0.0.1 netmask 0xff000000
em0: flags=808843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,AUTOCONF4> mtu 1500
\tlladdr fe:e1:bb:d1:00:01
\tgroups: egress
\tinet 203.0.113.1 netmask 0xffffff00 broadcast 203.0.113.255
\tinet6 fe80::fce1:bbff:fed1:1%em0 prefixlen 64 scopeid 0x1
\tinet6 2001:db8:1::1 prefixlen 64
";

pub(crate) struct Host {
    directory: TempDir,
    pub(crate) live: Port,
    pub(crate) responder: Responder,
}

/// A port of both loopback addresses: taken, but connections are refused until it listens.
pub(crate) struct Port {
    pub(crate) number: u16,
    sockets: [Socket; 2],
}

/// Answers every request with the same status.
pub(crate) struct Responder {
    pub(crate) port: Port,
    status: Arc<AtomicU16>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Port {
    pub(crate) fn taken() -> Self {
        loop {
            let bound = |ip: IpAddr, number| {
                let address = SocketAddr::new(ip, number);
                let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
                if ip.is_ipv6() {
                    socket.set_only_v6(true).unwrap();
                }
                socket.bind(&address.into()).map(|()| socket)
            };
            let v4 = bound(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
            let number = v4.local_addr().unwrap().as_socket().unwrap().port();
            // Another process may have the port there.
            if let Ok(v6) = bound(Ipv6Addr::LOCALHOST.into(), number) {
                return Self {
                    number,
                    sockets: [v4, v6],
                };
            }
        }
    }

    /// Connections are accepted from now on: by the kernel, without an answer.
    pub(crate) fn listen(&self) {
        for socket in &self.sockets {
            socket.listen(128).unwrap();
        }
    }
}

impl Responder {
    fn new() -> Self {
        Self {
            port: Port::taken(),
            status: Arc::new(AtomicU16::new(503)),
            ended: Arc::default(),
            threads: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self) {
        self.start_on([true, true]);
    }

    /// It listens on 127.0.0.1, and on ::1.
    pub(crate) fn start_on(&mut self, families: [bool; 2]) {
        for (socket, _) in self.port.sockets.iter().zip(families).filter(|one| one.1) {
            socket.listen(128).unwrap();
            let listener = TcpListener::from(socket.try_clone().unwrap());
            let (status, ended) = (Arc::clone(&self.status), Arc::clone(&self.ended));
            self.threads.push(thread::spawn(move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    answer(stream.unwrap(), status.load(Ordering::SeqCst));
                }
            }));
        }
    }

    pub(crate) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

/// A client that disconnects is no error.
fn answer(mut stream: TcpStream, status: u16) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            let _ = TcpStream::connect((address, self.port.number));
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// A program of tests/stand_in: the test binary is in `deps`, next to `examples`.
fn stand_in(name: &str) -> PathBuf {
    let own = env::current_exe().unwrap();
    let path = own.parent().unwrap().with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "{path:?} is not built; run \"cargo build --examples\""
    );
    path
}

impl Host {
    /// pf runs with its rules loaded, none is moved, both servers answer.
    pub(crate) fn new() -> Self {
        let mut host = Self::quiet();
        host.live.listen();
        host.responder.start();
        host
    }

    /// The same, and neither of the servers listens.
    pub(crate) fn quiet() -> Self {
        let host = Self {
            directory: TempDir::new().unwrap(),
            live: Port::taken(),
            responder: Responder::new(),
        };
        for name in ["pfctl", "ifconfig", "route"] {
            symlink(stand_in("stand_in_pfctl"), host.path(name)).unwrap();
        }
        let states: Vec<Value> = ["198.51.100.7", "2001:db8::7"]
            .map(|peer| host.live_state(peer))
            .to_vec();
        let pf = json!({
            "system": "openbsd",
            "enabled": true,
            "securelevel": 1,
            "since": "an hour",
            "limit": 100_000,
            "tables": { "maintenance": { "flags": "-pa-r-C", "entries": [] } },
            "labels": [
                "www-maintenance 4 3 300 2 200 1 100 7",
                "www-maintenance 4 1 50 1 50 0 0 1",
                "www-normal 10 20 2000 10 1000 10 1000 30",
                "www-normal 10 1 40 1 40 0 0 1",
                "www-stale 10 1 40 1 40 0 0 1",
            ],
            "rules": host.rules("egress", "maintenance", "www-maintenance", "www-normal"),
            "nat": [],
            "interfaces": INTERFACES,
            "route": null,
            "states": states,
            "returning": [],
            "faults": [],
        });
        fs::write(host.path("pf.json"), pf.to_string()).unwrap();
        host.configure("");
        host
    }

    /// The rules that `maintd rules` prints, as OpenBSD's pfctl lists them.
    pub(crate) fn rules(
        &self,
        interface: &str,
        table: &str,
        maintenance: &str,
        normal: &str,
    ) -> Vec<String> {
        let (live, page) = (self.live.number, self.responder.port.number);
        let moving = [("inet", "127.0.0.1"), ("inet6", "::1")].map(|(family, target)| {
            format!("pass in quick on {interface} {family} proto tcp from <{table}> to ({interface}) port = {live} flags S/SA keep state (tcp.closed 2, tcp.finwait 5) label \"{maintenance}\" rdr-to {target} port {page}")
        });
        let others = [
            format!(
                "pass in quick on {interface} proto tcp from any to ({interface}) port = {live} flags S/SA label \"{normal}\""
            ),
            format!(
                "block return in quick on {interface} proto tcp from any to ({interface}) port = {live} label \"www-stale\""
            ),
        ];
        moving.into_iter().chain(others).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the configuration again, with this too in `switch { }`.
    pub(crate) fn configure(&self, more: &str) {
        let (live, page) = (self.live.number, self.responder.port.number);
        self.configure_all(&format!(
            "server {{ listen 127.0.0.1:{page}; listen [::1]:{page}; return 503; }}\nstate_dir state;\nswitch {{ backend pf; redirect {live} {page}; live 127.0.0.1; {more} }}\n"
        ));
    }

    pub(crate) fn configure_all(&self, text: &str) {
        fs::write(self.path("maintd.conf"), text).unwrap();
    }

    /// A visitor's connection to the live site, as pf has it.
    pub(crate) fn live_state(&self, peer: &str) -> Value {
        let port = self.live.number;
        let line = if peer.contains(':') {
            format!("all tcp 2001:db8:1::1[{port}] <- {peer}[50000]       ESTABLISHED:ESTABLISHED")
        } else {
            format!("all tcp 203.0.113.1:{port} <- {peer}:50000       ESTABLISHED:ESTABLISHED")
        };
        json!({ "label": "www-normal", "line": line })
    }

    /// A visitor's connection to the page.
    pub(crate) fn page_state(&self, peer: &str) -> Value {
        let (port, page) = (self.live.number, self.responder.port.number);
        let line = format!(
            "all tcp 127.0.0.1:{page} (203.0.113.1:{port}) <- {peer}:50001       ESTABLISHED:ESTABLISHED"
        );
        json!({ "label": "www-maintenance", "line": line })
    }

    pub(crate) fn pf(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path("pf.json")).unwrap()).unwrap()
    }

    pub(crate) fn set(&self, name: &str, value: Value) {
        let mut pf = self.pf();
        pf[name] = value;
        fs::write(self.path("pf.json"), pf.to_string()).unwrap();
    }

    pub(crate) fn fault(&self, fault: Value) {
        self.set("faults", json!([fault]));
    }

    pub(crate) fn faults(&self, faults: &[Value]) {
        self.set("faults", json!(faults));
    }

    /// The table's entries.
    pub(crate) fn table(&self) -> Vec<String> {
        let pf = self.pf();
        let entries = pf["tables"]["maintenance"]["entries"].as_array().unwrap();
        let text = |entry: &Value| entry.as_str().unwrap().to_owned();
        entries.iter().map(text).collect()
    }

    pub(crate) fn set_table(&self, entries: &[&str]) {
        self.set(
            "tables",
            json!({ "maintenance": { "flags": "-pa-r-C", "entries": entries } }),
        );
    }

    /// The states that have a label.
    pub(crate) fn states(&self, label: &str) -> usize {
        let pf = self.pf();
        let states = pf["states"].as_array().unwrap().iter();
        states.filter(|state| state["label"] == label).count()
    }

    /// The arguments of each call of pfctl since this was last asked.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.calls_with_input().into_iter();
        calls.map(|(args, _)| args).collect()
    }

    /// The same, each with its input.
    pub(crate) fn calls_with_input(&self) -> Vec<(String, String)> {
        let path = self.path("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let call = |line: &str| {
            let call: Value = serde_json::from_str(line).unwrap();
            let args = call["args"].as_array().unwrap().iter();
            let args: Vec<&str> = args.map(|arg| arg.as_str().unwrap()).collect();
            (args.join(" "), call["input"].as_str().unwrap().to_owned())
        };
        text.lines().map(call).collect()
    }

    /// The state file.
    pub(crate) fn saved(&self) -> Option<Value> {
        let text = fs::read_to_string(self.path("state/state.json")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// maintd with the words of a command line; the configuration is named behind the first.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(stand_in("stand_in_maintd"));
        default_signals(&mut command)
            .arg(words[0])
            .arg("-c")
            .arg(self.path("maintd.conf"))
            .args(&words[1..])
            .env("MAINTD_PFCTL", self.path("pfctl"))
            .env("MAINTD_IFCONFIG", self.path("ifconfig"))
            .env("MAINTD_ROUTE", self.path("route"))
            .envs((self.pf()["system"] == "freebsd").then_some(("MAINTD_PF_OF_FREEBSD", "1")))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn maintd(&self, words: &[&str]) -> Ended {
        Ended::of(self.command(words).spawn().unwrap())
    }

    /// The same, which must succeed.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> Ended {
        let ended = self.maintd(words);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended
    }

    /// It ends with status 1 and prints exactly this line.
    #[track_caller]
    pub(crate) fn assert_fault(&self, words: &[&str], line: &str) {
        let ended = self.maintd(words);
        assert_eq!(ended.stderr, format!("maintd: {line}\n"));
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    }

    /// The name of the responder's port at an address, as messages have it.
    pub(crate) fn page_at(&self, address: &str) -> String {
        format!("{address}:{}", self.responder.port.number)
    }

    /// Waits until there is a file.
    pub(crate) fn wait_for(&self, name: &str) {
        wait_for(&self.path(name));
    }
}

pub(crate) fn wait_for(path: &Path) {
    wait_until(|| path.exists(), &format!("there is no {path:?}"));
}
