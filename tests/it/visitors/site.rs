//! A site: nginx on 80 and 443, `maintd serve` on 8080 and 8443, nft's rules, and clients at the other end of a veth pair.

use std::env;
use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::certificates::{CertificateFiles, p256};
use crate::common::{Ended, Server};
use crate::visitors::namespaces::Namespace;
use crate::visitors::site_client::SiteClient;

/// The site's addresses.
pub(crate) const SERVER: [&str; 2] = ["198.51.100.1", "2001:db8::1"];

/// A failure limit for every wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Where the responder listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Responder {
    Everywhere,
    OnLoopback,
}

/// Where the live site listens in most tests. On port 443 one socket serves both families, as some live servers do.
const EVERYWHERE: &str = "listen 80; listen [::]:80; listen [::]:443 ssl ipv6only=off;";

/// All of it.
pub(crate) struct Site {
    // In the order in which they are to end.
    _maintd: Server,
    nginx: Option<Nginx>,
    pub(crate) client_side: Namespace,
    pub(crate) server: Namespace,
    directory: TempDir,
    _certificate: CertificateFiles,
}

impl Site {
    /// A site with its rules loaded, and none moved.
    pub(crate) fn new() -> Self {
        let site = Self::without_rules(Responder::Everywhere);
        site.load_rules();
        site
    }

    pub(crate) fn without_rules(responder: Responder) -> Self {
        Self::build(responder, None, EVERYWHERE)
    }

    /// One whose live site has these directives `listen`.
    pub(crate) fn with_live(listen: &str) -> Self {
        let site = Self::build(Responder::Everywhere, None, listen);
        site.load_rules();
        site
    }

    /// The same, with the live site in a namespace of its own.
    pub(crate) fn with_live_in(container: &Namespace, listen: &str) -> Self {
        let site = Self::build(Responder::Everywhere, Some(container), listen);
        site.load_rules();
        site
    }

    fn build(responder: Responder, container: Option<&Namespace>, listen: &str) -> Self {
        let (server, client_side) = (Namespace::new("server"), Namespace::new("clients"));
        server.connect(
            &["198.51.100.1/24", "2001:db8::1/64"],
            &client_side,
            &["198.51.100.2/24", "2001:db8::2/64"],
        );
        let link = "to-server";
        for number in 7..=20 {
            let v4 = format!("198.51.100.{number}/24");
            let v6 = format!("2001:db8::{number}/64");
            client_side.ip(&["addr", "add", &v4, "dev", link]);
            client_side.ip(&["addr", "add", &v6, "dev", link, "nodad"]);
        }
        let directory = TempDir::new().unwrap();
        let certificate = p256(&["localhost"]);
        fs::write(
            directory.path().join("maintd.conf"),
            configuration(responder, &directory, &certificate),
        )
        .unwrap();
        let nginx = Nginx::start(
            container.unwrap_or(&server),
            &directory,
            &certificate,
            listen,
        );
        let mut serve = server.command(env!("CARGO_BIN_EXE_maintd"));
        serve
            .args(["serve", "-c"])
            .arg(directory.path().join("maintd.conf"));
        Self {
            _maintd: Server::start_command(serve, 4),
            nginx: Some(nginx),
            client_side,
            server,
            directory,
            _certificate: certificate,
        }
    }

    /// Adds this to `switch { }`.
    pub(crate) fn configure(&self, more: &str) {
        let file = self.directory.path().join("maintd.conf");
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("backend nft;", &format!("backend nft; {more}"));
        fs::write(file, text).unwrap();
    }

    /// What `on` saves.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.directory.path().join("state/state.json")
    }

    /// Loads what `maintd rules` prints.
    pub(crate) fn load_rules(&self) {
        let rules = self.maintd(&["rules"]);
        assert_eq!(rules.status, Some(0), "{}", rules.stderr);
        let file = self.directory.path().join("maintd.nft");
        fs::write(&file, rules.stdout).unwrap();
        self.server.run("nft", &["-f", file.to_str().unwrap()]);
    }

    /// Loads NAT rules of another program into a table of their own.
    pub(crate) fn load_nat(&self, name: &str, rules: &str) {
        let file = self.directory.path().join(format!("{name}.nft"));
        let text = format!(
            "table inet {name} {{\nchain prerouting {{\ntype nat hook prerouting priority dstnat;\n{rules}\n}}\n}}\n"
        );
        fs::write(&file, text).unwrap();
        self.server.run("nft", &["-f", file.to_str().unwrap()]);
    }

    /// A maintd that is run where the site is, with its configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_maintd"), arguments)
    }

    fn command_of(&self, maintd: &str, arguments: &[&str]) -> Command {
        let mut command = self.server.command(maintd);
        // Behind "--" there is another's command line.
        let (name, rest) = arguments.split_first().unwrap();
        command
            .args([name, "-c"])
            .arg(self.directory.path().join("maintd.conf"))
            .args(rest)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The same, with each call of nft and ss written to a file; see [`Self::calls`].
    pub(crate) fn logged_command(&self, arguments: &[&str]) -> Command {
        // The test binary is in `deps`, next to `examples`.
        let own = env::current_exe().unwrap();
        let maintd = own
            .parent()
            .unwrap()
            .with_file_name("examples/stand_in_maintd");
        let mut command = self.command_of(maintd.to_str().unwrap(), arguments);
        command.env("MAINTD_OWN_ADDRESSES", "1");
        for (variable, name) in [("MAINTD_NFT", "nft"), ("MAINTD_SS", "ss")] {
            let script = self.directory.path().join(name);
            let log = self.directory.path().join("calls");
            let text = format!(
                "#!/bin/sh\necho {name} >>{}\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec {name} \"$@\"\n",
                log.display()
            );
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
            command.env(variable, script);
        }
        command
    }

    /// How often a logged command has called this program since the last call of this.
    pub(crate) fn calls(&self, program: &str) -> usize {
        let log = self.directory.path().join("calls");
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(log).unwrap();
        text.lines().filter(|line| *line == program).count()
    }

    /// Runs maintd to its end.
    pub(crate) fn maintd(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).spawn().unwrap())
    }

    /// Runs maintd, which must succeed.
    pub(crate) fn switch(&self, arguments: &[&str]) {
        let ended = self.maintd(arguments);
        assert_eq!(
            ended.status,
            Some(0),
            "maintd {arguments:?}: {}",
            ended.stderr
        );
    }

    /// The exit status of `maintd status`, and its table.
    pub(crate) fn status(&self) -> (i32, String) {
        let ended = self.maintd(&["status"]);
        (ended.status.unwrap(), ended.stdout)
    }

    /// Ends the live site.
    pub(crate) fn stop_nginx(&mut self) {
        self.nginx = None;
    }

    /// The clients of this number: over IPv4 and IPv6, plaintext and TLS.
    pub(crate) fn clients(&self, number: u8) -> Vec<SiteClient<'_>> {
        let from = [
            format!("198.51.100.{number}"),
            format!("2001:db8::{number}"),
        ];
        let of_port = |port: u16| {
            let pairs = from.iter().zip(SERVER);
            pairs.map(move |(from, to)| self.client(from, to, port))
        };
        [80, 443].into_iter().flat_map(of_port).collect()
    }

    /// One client.
    pub(crate) fn client(&self, from: &str, to: &str, port: u16) -> SiteClient<'_> {
        let to = SocketAddr::new(to.parse().unwrap(), port);
        SiteClient::new(&self.client_side, from.parse::<IpAddr>().unwrap(), to)
    }
}

fn configuration(
    responder: Responder,
    directory: &TempDir,
    certificate: &CertificateFiles,
) -> String {
    let [v4, v6] = match responder {
        Responder::Everywhere => ["0.0.0.0", "[::]"],
        Responder::OnLoopback => ["127.0.0.1", "[::1]"],
    };
    format!(
        "state_dir {}/state; control control.sock;\nswitch {{ backend nft; }}\n\
         server {{\n listen {v4}:8080; listen {v6}:8080; listen {v4}:8443 ssl; listen {v6}:8443 ssl;\n \
         ssl_certificate {}; ssl_certificate_key {};\n \
         keepalive_requests 1000000; keepalive_timeout 600s;\n location / {{ return 503; }}\n}}\n",
        directory.path().display(),
        certificate.cert.display(),
        certificate.key.display()
    )
}

/// The live site.
struct Nginx(Child);

impl Nginx {
    fn start(
        namespace: &Namespace,
        directory: &TempDir,
        certificate: &CertificateFiles,
        listen: &str,
    ) -> Self {
        let path = directory.path().display();
        let file = directory.path().join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; client_body_temp_path {path}; proxy_temp_path {path}; fastcgi_temp_path {path};\n \
             uwsgi_temp_path {path}; scgi_temp_path {path}; keepalive_requests 1000000; keepalive_timeout 600s;\n \
             server {{ {listen}\n \
             ssl_certificate {}; ssl_certificate_key {}; return 200 \"live\\n\"; }} }}\n",
            certificate.cert.display(),
            certificate.key.display()
        );
        fs::write(&file, text).unwrap();
        let mut command = namespace.command("nginx");
        let nginx = Self(command.arg("-c").arg(&file).spawn().unwrap());
        let limit = Instant::now() + LIMIT;
        // It writes its process id once it listens.
        while fs::read_to_string(directory.path().join("pid"))
            .unwrap_or_default()
            .is_empty()
        {
            assert!(Instant::now() < limit, "nginx does not listen");
            thread::sleep(Duration::from_millis(10));
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
