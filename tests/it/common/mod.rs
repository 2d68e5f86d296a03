//! What the integration tests share: the real binary as a child process, raw clients, and temporary certificates.

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod nginx;
#[cfg(target_os = "linux")]
pub(crate) mod process;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use client::{Answer, Client};

/// How long an event may take that a test waits for. It bounds failures only: the machine may be loaded.
const LIMIT: Duration = Duration::from_secs(60);

const LISTENING: &str = "maintd: listening on ";

/// Which of the two listeners of a [`Server`] a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// `--listen`: plaintext HTTP.
    Plaintext,
    /// `--tls-listen`: HTTPS.
    Tls,
}

/// A running `maintd serve`, killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    ended: bool,
    stderr: Arc<Stderr>,
    /// The URLs of the listening lines in their order, e.g. `http://127.0.0.1:41234`.
    pub(crate) listening: Vec<String>,
    /// The first plaintext listener that is not a Unix socket (unspecified where there is none).
    pub(crate) http: SocketAddr,
    /// The first TLS listener that is not a Unix socket (unspecified where there is none).
    pub(crate) https: SocketAddr,
}

/// The child's stderr so far, filled by a thread so that the child never blocks on the pipe.
#[derive(Default)]
struct Stderr {
    state: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Stderr {
    fn fill_from(&self, pipe: ChildStderr) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = pipe.read_until(b'\n', &mut line).unwrap_or(0);
            let mut state = self.state.lock().unwrap();
            state.0.push_str(&String::from_utf8_lossy(&line));
            state.1 = read == 0;
            self.changed.notify_all();
            if state.1 {
                return;
            }
        }
    }

    /// Waits until `enough` is true of the text, the pipe has ended or `limit` is over.
    fn wait_until(&self, limit: Duration, enough: impl Fn(&str) -> bool) -> String {
        let state = self.state.lock().unwrap();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |(text, ended)| !*ended && !enough(text))
            .unwrap();
        state.0.clone()
    }
}

/// An address that is free now, and that no client of another test is given meanwhile: its port lies below the ones that the
/// system hands out (32768 and above on Linux, 49152 on others; tests that need one port twice cannot use port 0).
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let process = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    (0..COUNT)
        .map(|_| FIRST + ((process * 5) % COUNT + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .expect("a free port")
}

/// A command that runs the binary under test.
pub(crate) fn maintd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maintd"));
    command.stdin(Stdio::null());
    command
}

impl Server {
    /// `maintd serve` on a free port for each of HTTP and HTTPS of 127.0.0.1, and `args`.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut all = vec!["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
        all.extend(args);
        Self::start_raw(&all)
    }

    /// `maintd serve` with exactly `args`, one listening line expected for each listener in them.
    pub(crate) fn start_raw(args: &[&str]) -> Self {
        let mut command = maintd();
        command.arg("serve").args(args);
        let listeners = args
            .iter()
            .filter(|arg| arg.starts_with("--listen") || arg.starts_with("--tls-listen"))
            .count();
        Self::start_command(command, listeners)
    }

    /// Runs `command`, which must be a `maintd serve` of some kind, and waits for `listeners`
    /// listening lines.
    pub(crate) fn start_command(mut command: Command, listeners: usize) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start_with_its_streams(command, listeners)
    }

    /// As [`Self::start_command`], with the stdin and stdout that `command` has.
    pub(crate) fn start_with_its_streams(mut command: Command, listeners: usize) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let pipe = child.stderr.take().unwrap();
        let stderr = Arc::new(Stderr::default());
        let filler = Arc::clone(&stderr);
        thread::spawn(move || filler.fill_from(pipe));

        let text = stderr.wait_until(LIMIT, |text| urls(text).count() >= listeners);
        let listening: Vec<String> = urls(&text).map(str::to_owned).collect();
        let server = Self {
            child,
            ended: false,
            stderr,
            http: first_address(&listening, "http://"),
            https: first_address(&listening, "https://"),
            listening,
        };
        assert_eq!(
            server.listening.len(),
            listeners,
            "listening lines of {command:?}; its stderr:\n{text}"
        );
        server
    }

    /// The address of one of the two listeners.
    pub(crate) fn address(&self, port: Port) -> SocketAddr {
        match port {
            Port::Plaintext => self.http,
            Port::Tls => self.https,
        }
    }

    /// The child's process id: the supervisor's.
    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of the only worker.
    #[cfg(target_os = "linux")]
    pub(crate) fn worker(&self) -> u32 {
        let workers = process::children(self.pid());
        assert_eq!(workers.len(), 1, "workers: {workers:?}");
        workers[0]
    }

    /// Everything that the child has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.state.lock().unwrap().0.clone()
    }

    /// Waits (60 s at most) until the child's stderr contains `text`; returns all of it.
    pub(crate) fn wait_for_stderr(&self, text: &str) -> String {
        let all = self
            .stderr
            .wait_until(LIMIT, |stderr| stderr.contains(text));
        assert!(all.contains(text), "no {text:?} in stderr:\n{all}");
        all
    }

    /// The number of its messages about a reload.
    pub(crate) fn reloads(&self) -> usize {
        self.stderr().matches("maintd: reloaded\n").count()
    }

    /// Reloads and waits until new workers have taken over.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let before = self.reloads();
        self.signal(libc::SIGHUP);
        wait_until(|| self.reloads() > before, "it has not reloaded");
    }

    /// Sends a signal, e.g. `libc::SIGTERM`, to the child alone.
    pub(crate) fn signal(&self, signal: i32) {
        // It has not been waited for, so the number is still its own.
        assert!(!self.ended);
        send_signal(self.child.id(), signal);
    }

    /// Waits (60 s at most) for the child's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                return status;
            }
            assert!(Instant::now() < limit, "maintd has not exited");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the child is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        !self.ended && self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let died = !self.ended && !matches!(self.child.try_wait(), Ok(None));
        // Both fail harmlessly where the child has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let stderr = self.stderr.wait_until(LIMIT, |_| false);
        if thread::panicking() {
            eprintln!("maintd's stderr:\n{stderr}");
        } else {
            assert!(!died, "maintd died under the test; its stderr:\n{stderr}");
            assert!(!stderr.contains("panicked at"), "maintd:\n{stderr}");
        }
    }
}

/// The exit status and the output of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Waits, 60 s at most, for the end of a process that must end by itself.
    #[track_caller]
    pub(crate) fn of(mut child: Child) -> Self {
        // Messages are much shorter than the buffer of a pipe, so nothing blocks.
        let limit = Instant::now() + LIMIT;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > limit {
                child.kill().unwrap();
                panic!("it has not ended: {:?}", child.wait_with_output());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// For programs whose output may be any bytes.
    pub(crate) fn from_output(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// stdout, stderr and the exit status, for tools that print results to both.
    pub(crate) fn all(&self) -> String {
        format!(
            "{}\n{}\nexit status {:?}",
            self.stdout, self.stderr, self.status
        )
    }

    /// The one line on stderr, without its end; nothing else was printed.
    #[track_caller]
    pub(crate) fn line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n');
        let line = line.unwrap_or_else(|| panic!("no whole line on stderr: {self:?}"));
        assert!(!line.contains('\n'), "not one line: {self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        line
    }
}

/// Runs a command with the default dispositions of the signals that end it. A shell starts `cargo test &` with SIGINT and
/// SIGQUIT ignored, nohup(1) ignores SIGHUP, and execve(2) keeps that.
pub(crate) fn default_signals(command: &mut Command) -> &mut Command {
    let reset = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            // SAFETY: signal is async-signal-safe, as the time between fork and exec requires.
            #[expect(unsafe_code, reason = "std sets no dispositions")]
            let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
            if before == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: `reset` calls nothing but signal.
    #[expect(unsafe_code, reason = "std sets no dispositions")]
    unsafe {
        command.pre_exec(reset)
    }
}

/// Waits, 60 s at most, until a condition is true.
#[track_caller]
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool, failure: &str) {
    let limit = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < limit, "{failure}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to the child of a test, or to a child of that.
pub(crate) fn send_signal(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: `kill` touches no memory of ours.
    #[expect(unsafe_code, reason = "std sends no signal but SIGKILL")]
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "cannot send signal {signal} to {pid}");
}

/// The URLs of the complete listening lines.
fn urls(stderr: &str) -> impl Iterator<Item = &str> {
    stderr
        .split_inclusive('\n')
        .filter_map(|line| line.strip_prefix(LISTENING)?.strip_suffix('\n'))
}

fn first_address(listening: &[String], scheme: &str) -> SocketAddr {
    listening
        .iter()
        .find_map(|url| url.strip_prefix(scheme)?.parse().ok())
        .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Whether `tool` is installed. If not, the test must return at once; it fails where CI=true.
pub(crate) fn require_tool(tool: &str) -> bool {
    let is_installed = |path: OsString| env::split_paths(&path).any(|it| it.join(tool).is_file());
    env::var_os("PATH").is_some_and(is_installed) || skip(&format!("{tool} is not installed"))
}

/// Counts a skipped test; fails it where CI=true. Always false.
pub(crate) fn skip(reason: &str) -> bool {
    let ci = env::var("CI").as_deref() == Ok("true");
    assert!(!ci, "{reason}, and CI=true allows no skipped test");
    count_skipped(reason);
    false
}

/// Why tests were skipped, and how often.
static SKIPPED: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Counts a test that is skipped at least in part. The end of the test run prints all reasons in one line.
pub(crate) fn count_skipped(reason: &str) {
    static REGISTERED: Once = Once::new();
    // SAFETY: the function is extern "C", takes and returns nothing, and does not unwind.
    #[expect(unsafe_code, reason = "libtest has no hook at its end")]
    REGISTERED.call_once(|| assert_eq!(unsafe { libc::atexit(print_skipped) }, 0));
    *SKIPPED
        .lock()
        .unwrap()
        .entry(reason.to_owned())
        .or_default() += 1;
}

extern "C" fn print_skipped() {
    let Ok(skipped) = SKIPPED.lock() else {
        return;
    };
    let count: usize = skipped.values().sum();
    let reasons: Vec<_> = skipped
        .iter()
        .map(|(why, count)| format!("{why} ({count})"))
        .collect();
    // Unlike eprintln!, this is not captured by libtest.
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: {count} tests: {}",
        reasons.join("; ")
    );
}
