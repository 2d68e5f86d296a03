//! What a configuration in nginx's grammar means for a maintenance page: the tree of directives in, a [`Config`] and what
//! is to be said of it out.

mod block;
pub(crate) mod control;
mod cors;
mod header;
pub mod include;
mod listen;
mod location;
mod log;
mod process;
mod server;
mod sites;
mod switch;
pub mod syntax;
mod syslog;
mod value;

use std::path::Path;
use std::sync::LazyLock;

use crate::config::nginx::block::Server;
use crate::config::nginx::control::Operation;
pub(crate) use crate::config::nginx::control::{METRICS_PATH, socket_path};
use crate::config::nginx::include::{File, Tree};
use crate::config::nginx::syntax::{ConfigError, Directive, Position, Quoted};
pub(crate) use crate::config::nginx::value::time;
use crate::config::{Config, ControlSocket, Timeouts, workers};
use crate::error;
use crate::spelling::distance;

/// A configuration as it was read.
#[derive(Debug)]
pub struct Checked {
    /// The values; of use where there are no faults.
    pub config: Config,
    /// The files that were read.
    pub files: Vec<File>,
    /// What is wrong, in the order of the files.
    pub faults: Vec<ConfigError>,
    /// What is ignored here, or different from nginx.
    pub remarks: Vec<ConfigError>,
}

/// Reads a configuration file, as far as that goes.
///
/// # Errors
/// The file itself cannot be read.
pub fn read(path: &Path) -> Result<Checked, error::Error> {
    let Tree {
        files,
        directives,
        faults,
    } = Tree::read(path)?;
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut reader = Reader {
        config: Config {
            control: ControlSocket::Default,
            ..Config::default()
        },
        faults,
        remarks: Vec::new(),
        directory,
        servers: Vec::new(),
        log_formats: Vec::new(),
        is_ours_alone: !directives.is_empty() && directives.iter().all(is_ours),
        error_log_is_set: false,
        operation: Operation::default(),
    };
    let mut http = Server::new(Position {
        file: 0,
        line: 1,
        column: 1,
    });
    reader.top(&mut http, &directives);
    reader.take_servers(&http);
    reader.take_operation();
    let Reader {
        config,
        mut faults,
        remarks,
        ..
    } = reader;
    faults.sort_by_key(|fault| fault.place);
    Ok(Checked {
        config,
        files,
        faults,
        remarks,
    })
}

/// What has been understood so far.
struct Reader {
    config: Config,
    faults: Vec<ConfigError>,
    remarks: Vec<ConfigError>,
    /// The directory of the configuration file, from which relative paths start.
    directory: std::path::PathBuf,
    servers: Vec<Server>,
    /// The names that `log_format` has given.
    log_formats: Vec<String>,
    /// There is something, and nothing but our own directives.
    is_ours_alone: bool,
    /// An `error_log` has been seen.
    error_log_is_set: bool,
    operation: Operation,
}

/// The names that nginx knows, without the third parties'.
static NGINX: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("directives.txt").lines().collect());

/// Our own names beside nginx's.
pub const OWN: [&str; 9] = [
    "control",
    "metrics",
    "health",
    "chroot",
    "state_dir",
    "placeholders",
    "retry_after",
    "cors_origin",
    "switch",
];

/// Those of our own that stand in a server.
const OWN_OF_SERVERS: [&str; 2] = ["retry_after", "cors_origin"];

/// What would change what visitors see.
const CHANGES_ANSWERS: [&str; 13] = [
    "proxy_pass",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "if",
    "autoindex",
    "empty_gif",
    "stub_status",
    "mirror",
    "sub_filter",
    "auth_basic",
];

fn is_ours(directive: &Directive) -> bool {
    OWN.contains(&directive.name.text.as_str())
}

impl Reader {
    /// Adds an error, once: what servers inherit is read once and comes to each of them.
    fn fault(&mut self, place: Position, what: impl Into<String>) {
        let what = what.into();
        let fault = ConfigError { place, what };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Adds a warning, once as well.
    fn remark(&mut self, place: Position, what: impl Into<String>) {
        let what = what.into();
        let remark = ConfigError { place, what };
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// The top of the file: nginx's main context, or a bare `server`, or ours.
    fn top(&mut self, http: &mut Server, directives: &[Directive]) {
        for directive in directives {
            match directive.name.text.as_str() {
                "http" | "events" => self.in_block(directive, |reader, block| {
                    for directive in block {
                        reader.http_directive(http, directive);
                    }
                }),
                _ => self.http_directive(http, directive),
            }
        }
    }

    /// Runs `read` over a directive's block, which it must have.
    fn in_block(&mut self, directive: &Directive, read: impl FnOnce(&mut Self, &[Directive])) {
        match &directive.block {
            Some(block) => read(self, block),
            None => {
                let name = &directive.name.text;
                self.fault(
                    directive.name.place,
                    format!("{name} without a block; write {name} {{ ... }}"),
                );
            }
        }
    }

    /// A directive outside of servers. What servers inherit is kept for them.
    fn http_directive(&mut self, http: &mut Server, directive: &Directive) {
        let place = directive.name.place;
        match directive.name.text.as_str() {
            "server" => {
                let mut server = Server::new(place);
                self.in_block(directive, |reader, block| {
                    for directive in block {
                        reader.server_directive(&mut server, directive);
                    }
                });
                self.servers.push(server);
            }
            "worker_connections" => {
                if let Some(number) = self.number(directive) {
                    self.config.max_connections = Some(number);
                }
            }
            "worker_processes" => {
                if let Some(text) = self.argument(directive) {
                    match workers(text) {
                        Some(workers) => self.config.workers = workers,
                        None => self.wrong_value(directive, 0, "a number from 1 to 256, or auto"),
                    }
                }
            }
            "placeholders" => match self.argument(directive) {
                Some("on") => self.config.placeholders = true,
                Some("off") => self.config.placeholders = false,
                Some(_) => self.wrong_value(directive, 0, "on or off"),
                None => {}
            },
            "stream" | "mail" => self.remark(
                place,
                format!("{} is ignored: maintd speaks HTTP", directive.name.text),
            ),
            _ if self.log_directive(http, directive) => {}
            _ if self.page_directive(http, directive) => {}
            _ if self.shared_directive(directive) => {}
            _ if self.process_directive(directive) => {}
            _ if self.switch_directive(directive) => {}
            _ if self.operation_directive(directive) => {}
            _ => self.other(directive),
        }
    }

    /// A directive that nginx takes at several levels and that holds for all of maintd.
    fn shared_directive(&mut self, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "keepalive_timeout" => {
                self.time(directive, |config| &mut config.timeouts.keep_alive);
                if self.config.timeouts.keep_alive.is_zero() {
                    // As nginx has it: no connection is kept.
                    self.config.timeouts.keep_alive = Timeouts::default().keep_alive;
                    self.config.max_requests = 1;
                }
            }
            "client_header_timeout" => self.time(directive, |config| &mut config.timeouts.head),
            "client_body_timeout" => self.time(directive, |config| &mut config.timeouts.body),
            "send_timeout" => self.time(directive, |config| &mut config.timeouts.write),
            "lingering_time" => self.time(directive, |config| &mut config.timeouts.linger_in_all),
            "lingering_timeout" => self.time(directive, |config| &mut config.timeouts.linger),
            "keepalive_requests" => {
                if let Some(number) = self.number(directive) {
                    self.config.max_requests = number;
                }
            }
            "ssl_ciphers" | "ssl_dhparam" | "ssl_session_cache" => self.remark(
                directive.name.place,
                format!(
                    "{} is ignored: TLS here has only forward-secret AEAD suites, and tickets instead of a cache",
                    directive.name.text
                ),
            ),
            // It is so anyway.
            "ssl_prefer_server_ciphers" | "server_tokens" => {}
            _ => return false,
        }
        true
    }

    /// A directive that is none of ours: an error where it would change the answer, or is not known to nginx either.
    fn other(&mut self, directive: &Directive) {
        let name = directive.name.text.as_str();
        let place = directive.name.place;
        if CHANGES_ANSWERS.contains(&name) {
            self.fault(
                place,
                format!("{name} is not possible: maintd answers everything with 503; delete it"),
            );
        } else if NGINX.binary_search(&name).is_ok() || OWN.contains(&name) {
            self.remark(place, format!("{name} is ignored"));
        } else {
            let advice = match suggestion(name) {
                Some(other) => format!("did you mean \"{other}\"?"),
                None => "delete it".to_owned(),
            };
            self.fault(
                place,
                format!("unknown directive {}; {advice}", Quoted(name)),
            );
        }
    }
}

/// The known name that is nearest to a wrong one, where one is near.
fn suggestion(name: &str) -> Option<&'static str> {
    let near = NGINX
        .iter()
        .chain(&OWN)
        .map(|known| (distance(name, known), *known))
        .min()?;
    (near.0 <= 1 + name.len() / 6).then_some(near.1)
}
