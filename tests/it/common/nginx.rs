//! Debian's nginx, as the reference, or as the site that returns.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};

use crate::common::wait_until;

/// nginx, ended with the test.
pub(crate) struct Nginx(Child);

impl Nginx {
    /// nginx accepts the bare block only inside of `http`.
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
        wait_until(
            || TcpStream::connect(address).is_ok(),
            "nginx does not listen",
        );
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
