//! The state that directives of every level share.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::limits::Timeouts;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::Directive;
use crate::config::nginx::value;

/// The state that directives of every level share.
#[derive(Debug)]
pub(crate) struct Context {
    /// The base of relative paths: the directory of the configuration file.
    pub(crate) directory: PathBuf,
    pub(crate) diagnostics: Diagnostics,
    /// nginx has these at several levels, maintd once.
    pub(crate) timeouts: Timeouts,
    pub(crate) max_requests: u32,
    /// The names of `log_format` directives.
    pub(crate) log_formats: Vec<String>,
}

impl Context {
    /// The path that a directive names, relative to the configuration file.
    pub(crate) fn path(&mut self, directive: &Directive) -> Option<PathBuf> {
        let path = value::argument(directive, &mut self.diagnostics)?;
        Some(self.directory.join(path))
    }

    /// Sets a timeout, or another setting of connections. Returns `false` if the directive is another one.
    pub(crate) fn set_connections(&mut self, directive: &Directive) -> bool {
        let timeouts = &mut self.timeouts;
        let timeout = match directive.name.text.as_str() {
            "keepalive_timeout" => &mut timeouts.keep_alive,
            "client_header_timeout" => &mut timeouts.head,
            "client_body_timeout" => &mut timeouts.body,
            "send_timeout" => &mut timeouts.write,
            "lingering_time" => &mut timeouts.linger_in_all,
            "lingering_timeout" => &mut timeouts.linger,
            "keepalive_requests" => {
                if let Some(number) = value::number(directive, &mut self.diagnostics) {
                    self.max_requests = number;
                }
                return true;
            }
            "ssl_ciphers" | "ssl_dhparam" | "ssl_session_cache" => {
                self.diagnostics.remark(
                    directive.name.position,
                    format!(
                        "{} is ignored: TLS here has only forward-secret AEAD suites, and tickets instead of a cache",
                        directive.name.text
                    ),
                );
                return true;
            }
            // maintd behaves as if these were set.
            "ssl_prefer_server_ciphers" | "server_tokens" => return true,
            _ => return false,
        };
        if let Some(duration) = value::duration(directive, &mut self.diagnostics) {
            *timeout = duration;
        }
        if self.timeouts.keep_alive == Duration::ZERO {
            // As in nginx, 0 disables keep-alive.
            self.timeouts.keep_alive = Timeouts::default().keep_alive;
            self.max_requests = 1;
        }
        true
    }
}
