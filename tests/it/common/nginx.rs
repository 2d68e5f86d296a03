//! Debian's nginx, to be compared with, or to come back.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// nginx, ended with the test.
pub(crate) struct Nginx(Child);

impl Nginx {
    /// The bare block is taken by nginx only inside of `http`.
    pub(crate) fn start(directory: &Path, file: &Path, address: SocketAddr) -> Self {
        let wrapper = directory.join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;\nevents {{ }}\n\
             http {{ access_log off; client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; \
             uwsgi_temp_path {0}; scgi_temp_path {0}; default_type text/html; include {1}; }}\n",
            directory.display(),
            file.display()
        );
        fs::write(&wrapper, text).unwrap();
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&wrapper)
            .spawn()
            .unwrap();
        let nginx = Self(child);
        let limit = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < limit, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody uses at the moment on any address. It is none of those that the system gives to clients, of which
/// one could take it before it is listened on.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin elsewhere.
    let start = u16::try_from(std::process::id() % 12_000).unwrap();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + number) % 12_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
