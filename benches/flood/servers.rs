//! The servers that are compared: each with the same page and one worker, without an access log, on its own CPU.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::answer;
use crate::configuration;
use crate::configuration::Setup;
use crate::process;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerKind {
    Maintd,
    Nginx,
    Haproxy,
    /// The lower bound of `bare.c`: a connection for each request.
    BareClose,
    /// The same on persistent connections.
    BareKeep,
}

impl ServerKind {
    pub const ALL: [Self; 5] = [
        Self::Maintd,
        Self::Nginx,
        Self::Haproxy,
        Self::BareClose,
        Self::BareKeep,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Maintd => "maintd",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::BareClose | Self::BareKeep => "bare limit",
        }
    }

    /// The program that must be installed; the compiler for the bare limit.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Maintd => env!("CARGO_BIN_EXE_maintd"),
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::BareClose | Self::BareKeep => "cc",
        }
    }

    /// The first line of its version output.
    pub fn version(self) -> Option<String> {
        let flag = match self {
            Self::Maintd | Self::BareClose | Self::BareKeep => "--version",
            Self::Nginx | Self::Haproxy => "-v",
        };
        let output = Command::new(self.program()).arg(flag).output().ok()?;
        // nginx prints it on stderr.
        let text = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&text).lines().next()?.to_owned();
        Some(line)
    }
}

/// A listener of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Clear,
    /// TLS with a P-256 certificate.
    P256,
    /// TLS with an RSA-2048 certificate.
    Rsa,
}

/// A running server, terminated on drop.
pub struct Server {
    pub kind: ServerKind,
    child: Child,
    ports: [u16; 3],
    /// All of its processes.
    pub pids: Vec<u32>,
    /// From its start to its first answer.
    pub start: Duration,
}

impl Server {
    /// Starts a server and waits for its first answer.
    pub fn start(kind: ServerKind, setup: &Setup) -> io::Result<Self> {
        let ports = [free_port()?, free_port()?, free_port()?];
        let command_line = command_line(kind, setup, ports)?;
        let log = fs::File::create(setup.directory.join(format!("{kind:?}.log")))?;
        let began = Instant::now();
        // If this process is killed, the server ends too.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", &setup.cpus])
            .args(&command_line)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            kind,
            child,
            ports,
            pids: Vec::new(),
            start: Duration::ZERO,
        };
        server.wait_for_answer(began)?;
        server.start = began.elapsed();
        // Some servers answer before all of their workers run.
        thread::sleep(Duration::from_millis(100));
        server.pids = process::family(server.child.id());
        Ok(server)
    }

    fn wait_for_answer(&mut self, began: Instant) -> io::Result<()> {
        loop {
            if let Ok(stream) = TcpStream::connect(self.address(Port::Clear)) {
                stream.set_read_timeout(Some(START_LIMIT))?;
                return answer::exchange(stream, answer::KEEP).map(drop);
            }
            if self.child.try_wait()?.is_some() || began.elapsed() > START_LIMIT {
                return Err(io::Error::other(format!(
                    "{} does not start; see its log",
                    self.kind.name()
                )));
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    pub fn address(&self, port: Port) -> SocketAddr {
        let port = match port {
            Port::Clear => self.ports[0],
            Port::P256 => self.ports[1],
            Port::Rsa => self.ports[2],
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// The process that answers: the last one started.
    pub fn worker(&self) -> u32 {
        self.pids.last().copied().unwrap_or_else(|| self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that a supervisor ends its workers.
        process::signal(self.child.id(), "TERM");
        let limit = Instant::now() + Duration::from_secs(5);
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > limit {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Writes the files of a server, and returns its command line.
fn command_line(kind: ServerKind, setup: &Setup, ports: [u16; 3]) -> io::Result<Vec<String>> {
    let path = |name: &str| setup.directory.join(name).display().to_string();
    let write = |name: &str, text: String| fs::write(path(name), text).map(|()| path(name));
    let program = kind.program().to_owned();
    Ok(match kind {
        ServerKind::Maintd => {
            let file = write("maintd.conf", configuration::maintd(setup, ports))?;
            vec![program, "serve".to_owned(), "-c".to_owned(), file]
        }
        ServerKind::Nginx => {
            let file = write("nginx.conf", configuration::nginx(setup, ports))?;
            vec![
                program,
                "-e".to_owned(),
                path("nginx.errors"),
                "-c".to_owned(),
                file,
            ]
        }
        ServerKind::Haproxy => {
            let file = write("haproxy.cfg", configuration::haproxy(setup, ports))?;
            vec![program, "-db".to_owned(), "-f".to_owned(), file]
        }
        ServerKind::BareClose | ServerKind::BareKeep => {
            let mode = if kind == ServerKind::BareClose {
                "CLOSE"
            } else {
                "KEEP"
            };
            vec![
                path("bare"),
                ports[0].to_string(),
                setup.request_length.to_string(),
                path("answer"),
                mode.to_owned(),
            ]
        }
    })
}

/// A free port below the ephemeral ports.
fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const COUNT: u32 = 12_000;
    let start = u16::try_from(std::process::id() % COUNT).map_err(io::Error::other)?;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + number) % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
        if number > 10_000 {
            return Err(io::Error::other("no port is free"));
        }
    }
}

/// Creates the certificates and compiles the bare limit.
pub fn prepare(directory: &Path) -> io::Result<()> {
    for (name, kind) in [("p256", "ec"), ("rsa", "rsa:2048")] {
        let file = |ending: &str| directory.join(format!("{name}.{ending}"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "30", "-newkey", kind]);
        if kind == "ec" {
            openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        }
        openssl
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .arg("-keyout")
            .arg(file("key"))
            .arg("-out")
            .arg(file("pem"));
        run(&mut openssl)?;
        let both = [fs::read(file("pem"))?, fs::read(file("key"))?].concat();
        fs::write(file("both"), both)?;
    }
    if ServerKind::BareClose.version().is_some() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/flood/bare.c");
        let mut compiler = Command::new("cc");
        compiler
            .arg("-O2")
            .arg("-o")
            .arg(directory.join("bare"))
            .arg(source);
        run(&mut compiler)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", stderr.trim())))
}
