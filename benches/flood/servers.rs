//! The servers that are compared: each with the same page and one worker, without an access log, on a CPU of its own.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::configuration;
use crate::failure;
use crate::process;

const START_LIMIT: Duration = Duration::from_secs(20);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Maintd,
    Nginx,
    Haproxy,
    /// The least that answering costs, of `bare.c`: a connection for each request.
    BareClose,
    /// The same on connections that stay.
    BareKeep,
}

impl Kind {
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

    /// The program that must be installed; for the bare limit the compiler.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Maintd => env!("CARGO_BIN_EXE_maintd"),
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::BareClose | Self::BareKeep => "cc",
        }
    }

    /// What it says of its version.
    pub fn version(self) -> Option<String> {
        let flag = match self {
            Self::Maintd | Self::BareClose | Self::BareKeep => "--version",
            Self::Nginx | Self::Haproxy => "-v",
        };
        let output = Command::new(self.program()).arg(flag).output().ok()?;
        // nginx says it on stderr.
        let text = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&text).lines().next()?.to_owned();
        Some(line)
    }
}

/// A port of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Clear,
    /// TLS with a P-256 certificate.
    P256,
    /// TLS with an RSA-2048 certificate.
    Rsa,
}

/// What all servers are started with: files, and the CPU.
#[derive(Clone)]
pub struct Site {
    pub directory: PathBuf,
    /// The CPU of the servers, as taskset(1) takes it; the load has another one.
    pub cpus: String,
    /// That one and the load's.
    pub all_cpus: String,
    pub workers: u32,
    /// What each may open.
    pub descriptors: u64,
    pub request_length: usize,
}

/// A running server, ended when it is dropped.
pub struct Server {
    pub kind: Kind,
    child: Child,
    ports: [u16; 3],
    /// All of its processes.
    pub pids: Vec<u32>,
    /// From its start to its first answer.
    pub start: Duration,
}

impl Server {
    /// Starts a server and waits for its first answer.
    pub fn start(kind: Kind, site: &Site) -> io::Result<Self> {
        let ports = [free_port()?, free_port()?, free_port()?];
        let words = words(kind, site, ports)?;
        let log = fs::File::create(site.directory.join(format!("{kind:?}.log")))?;
        let began = Instant::now();
        // Should this process be killed, the server ends too.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", &site.cpus])
            .args(&words)
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
        server.wait_until_it_answers(began)?;
        server.start = began.elapsed();
        // Workers of servers that answer before all of them are there.
        thread::sleep(Duration::from_millis(100));
        server.pids = process::family(server.child.id());
        Ok(server)
    }

    fn wait_until_it_answers(&mut self, began: Instant) -> io::Result<()> {
        loop {
            if let Ok(stream) = TcpStream::connect(self.address(Port::Clear)) {
                stream.set_read_timeout(Some(START_LIMIT))?;
                return crate::answer::read_one(stream).map(drop);
            }
            if self.child.try_wait()?.is_some() || began.elapsed() > START_LIMIT {
                return Err(failure(&format!(
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

    /// The process that answers: the last one to be started.
    pub fn worker(&self) -> u32 {
        self.pids.last().copied().unwrap_or_else(|| self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that those with a supervisor take their workers along.
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

/// The command line of a server, whose files are written.
fn words(kind: Kind, site: &Site, ports: [u16; 3]) -> io::Result<Vec<String>> {
    let path = |name: &str| site.directory.join(name).display().to_string();
    let write = |name: &str, text: String| fs::write(path(name), text).map(|()| path(name));
    let program = kind.program().to_owned();
    Ok(match kind {
        Kind::Maintd => {
            let file = write("maintd.conf", configuration::maintd(site, ports))?;
            vec![program, "serve".to_owned(), "-c".to_owned(), file]
        }
        Kind::Nginx => {
            let file = write("nginx.conf", configuration::nginx(site, ports))?;
            vec![
                program,
                "-e".to_owned(),
                path("nginx.errors"),
                "-c".to_owned(),
                file,
            ]
        }
        Kind::Haproxy => {
            let file = write("haproxy.cfg", configuration::haproxy(site, ports))?;
            vec![program, "-db".to_owned(), "-f".to_owned(), file]
        }
        Kind::BareClose | Kind::BareKeep => {
            let mode = if kind == Kind::BareClose {
                "CLOSE"
            } else {
                "KEEP"
            };
            vec![
                path("bare"),
                ports[0].to_string(),
                site.request_length.to_string(),
                path("answer"),
                mode.to_owned(),
            ]
        }
    })
}

/// A port that is free now, below those that the system gives to clients.
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
            return Err(failure("no port is free"));
        }
    }
}

/// Makes the certificates and the bare responder.
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
    if Kind::BareClose.version().is_some() {
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
    Err(failure(&format!("{command:?}: {}", stderr.trim())))
}
