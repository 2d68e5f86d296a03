//! Network namespaces with a veth pair between them, removed on drop.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// One network namespace.
pub(crate) struct Namespace {
    pub(crate) name: String,
    file: File,
}

impl Namespace {
    /// An empty one, but for its loopback.
    pub(crate) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("maintd-{}-{number}-{role}", id());
        ip(&["netns", "add", &name]);
        let file = File::open(format!("/run/netns/{name}")).unwrap();
        let namespace = Self { name, file };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Runs ip(8) in here.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    /// A command that is run in here, by the same process id.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .stdin(Stdio::null());
        command
    }

    /// Runs a command in here, and returns what it prints.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let ended = output.status;
        assert!(
            ended.success(),
            "{program} {arguments:?}: {ended}: {stderr}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs an action in this namespace. A socket stays in the namespace where it was made.
    pub(crate) fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            // SAFETY: setns touches no memory; it moves this thread alone, which is a new one and ends with the action.
            #[expect(unsafe_code, reason = "std knows no namespaces")]
            let moved = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(moved, 0, "setns: {}", std::io::Error::last_os_error());
            action()
        };
        thread::scope(|scope| scope.spawn(entered).join().unwrap())
    }

    /// Makes a veth pair to another namespace; its ends have these addresses.
    pub(crate) fn connect(&self, own: &[&str], other: &Self, others: &[&str]) {
        let (here, there) = (format!("to-{}", tail(other)), format!("to-{}", tail(self)));
        let words = format!(
            "link add {here} netns {} type veth peer name {there} netns {}",
            self.name, other.name
        );
        ip(&words.split(' ').collect::<Vec<_>>());
        for (namespace, link, addresses) in [(self, &here, own), (other, &there, others)] {
            namespace.ip(&["link", "set", link, "up"]);
            for address in addresses {
                // Duplicate address detection takes a second, and no other host is here.
                let nodad: &[&str] = if address.contains(':') {
                    &["nodad"]
                } else {
                    &[]
                };
                namespace.ip(&[&["addr", "add", address, "dev", link], nodad].concat());
            }
        }
    }
}

/// The role, which is short enough for the name of a link.
fn tail(namespace: &Namespace) -> &str {
    namespace.name.rsplit_once('-').unwrap().1
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its links go with it, on both ends.
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {stderr}");
}
