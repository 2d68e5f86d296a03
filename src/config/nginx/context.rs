//! The state that directives of every level share.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::limits::Timeouts;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive};
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
    pub(crate) fn path(&self, directive: &Directive) -> Result<PathBuf, ConfigError> {
        Ok(self.directory.join(value::argument(directive)?))
    }

    /// Sets a timeout, or another setting of connections. Returns `false` if the directive is another one.
    pub(crate) fn set_connections(&mut self, directive: &Directive) -> Result<bool, ConfigError> {
        let timeouts = &mut self.timeouts;
        let timeout = match directive.name.text.as_str() {
            "keepalive_timeout" => &mut timeouts.keep_alive,
            "client_header_timeout" => &mut timeouts.head,
            "client_body_timeout" => &mut timeouts.body,
            "send_timeout" => &mut timeouts.write,
            "lingering_time" => &mut timeouts.linger_total,
            "lingering_timeout" => &mut timeouts.linger,
            "keepalive_requests" => {
                self.max_requests = value::number(directive)?;
                return Ok(true);
            }
            name @ ("ssl_ciphers" | "ssl_dhparam" | "ssl_session_cache") => {
                self.diagnostics.remark(directive.name.message(format!(
                    "{name} is ignored: TLS here has only forward-secret AEAD suites, and tickets instead of a cache"
                )));
                return Ok(true);
            }
            // maintd behaves as if these were set.
            "ssl_prefer_server_ciphers" | "server_tokens" => return Ok(true),
            _ => return Ok(false),
        };
        *timeout = value::duration(directive)?;
        if timeouts.keep_alive == Duration::ZERO {
            // As in nginx, 0 disables keep-alive.
            timeouts.keep_alive = Timeouts::default().keep_alive;
            self.max_requests = 1;
        }
        Ok(true)
    }
}
