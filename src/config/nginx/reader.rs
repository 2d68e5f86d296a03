//! Reads a configuration file: applies its directives to a [`Config`].

use std::path::Path;
use std::slice;

use crate::config::control::ControlSocket;
use crate::config::limits::workers;
use crate::config::nginx::block::Server;
use crate::config::nginx::context::Context;
use crate::config::nginx::control::{MetricsDirectives, parse_control};
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::include::{File, Tree};
use crate::config::nginx::log::{
    ErrorLog, common_access_log, parse_log_format, set_access_log, set_error_log,
};
use crate::config::nginx::names::{OWN, report_unused};
use crate::config::nginx::process::{parse_chroot, parse_user};
use crate::config::nginx::server::parse_server;
use crate::config::nginx::sites;
use crate::config::nginx::switch::apply_block;
use crate::config::nginx::syntax::{ConfigError, Directive, Position};
use crate::config::nginx::value::{self, wrong_value};
use crate::config::server_name::SiteNumber;
use crate::config::settings::Config;
use crate::error::Error;

/// A configuration as read.
#[derive(Debug, Default)]
pub struct ParsedConfig {
    /// The settings; meaningful without errors only.
    pub config: Config,
    /// The files of the configuration.
    pub files: Vec<File>,
    /// The errors, in the order of the files.
    pub errors: Vec<ConfigError>,
    /// Ignored directives, and differences from nginx.
    pub remarks: Vec<ConfigError>,
}

/// Reads a configuration file.
///
/// # Errors
/// The file cannot be read. Other errors are returned in [`ParsedConfig::errors`].
pub fn read(path: &Path) -> Result<ParsedConfig, Error> {
    let Tree {
        files,
        directives,
        errors,
    } = Tree::read(path)?;
    let config = Config {
        control: ControlSocket::Default,
        ..Config::default()
    };
    let is_own = |directive: &Directive| OWN.contains(&directive.name.text.as_str());
    let mut reader = Reader {
        context: Context {
            directory: path.parent().unwrap_or(Path::new("")).to_owned(),
            diagnostics: Diagnostics {
                errors,
                remarks: Vec::new(),
            },
            timeouts: config.timeouts,
            max_requests: config.max_requests,
            log_formats: Vec::new(),
        },
        config,
        http: Server::new(Position::START),
        servers: Vec::new(),
        error_log: None,
        metrics: MetricsDirectives::default(),
        has_only_own: !directives.is_empty() && directives.iter().all(is_own),
    };
    for directive in &directives {
        reader.apply_top(directive);
    }
    Ok(reader.finish(files))
}

/// The settings so far.
struct Reader {
    context: Context,
    config: Config,
    /// The settings that servers inherit.
    http: Server,
    servers: Vec<Server>,
    error_log: Option<ErrorLog>,
    metrics: MetricsDirectives,
    /// The file has directives, and only those that nginx does not know.
    has_only_own: bool,
}

impl Reader {
    /// Applies a directive of the top level. It may be one of `http`: the file may be included there in nginx.
    fn apply_top(&mut self, directive: &Directive) {
        let directives = match directive.name.text.as_str() {
            "http" | "events" => value::block(directive),
            _ => Ok(slice::from_ref(directive)),
        };
        for directive in self.context.diagnostics.ok(directives).unwrap_or_default() {
            let applied = self.apply(directive);
            self.context.diagnostics.ok(applied);
        }
    }

    /// Applies a directive outside of servers.
    fn apply(&mut self, directive: &Directive) -> Result<(), ConfigError> {
        let (config, context) = (&mut self.config, &mut self.context);
        let diagnostics = &mut context.diagnostics;
        match directive.name.text.as_str() {
            "server" => self.servers.push(parse_server(directive, context)),
            "worker_connections" => config.max_connections = Some(value::number(directive)?),
            "worker_processes" => {
                let expected = "a number from 1 to 256, or auto";
                config.workers = workers(value::argument(directive)?)
                    .ok_or_else(|| wrong_value(directive, 0, expected))?;
            }
            "worker_rlimit_nofile" => config.max_descriptors = Some(value::number(directive)?),
            "user" => {
                if let Some(identity) = parse_user(directive, diagnostics)? {
                    config.identity = Some(identity);
                }
            }
            "chroot" => {
                if let Some(path) = parse_chroot(directive, context)? {
                    config.chroot = Some(path);
                }
            }
            "pid" if config.pid.is_some() => {
                let what = "a duplicate pid; delete one of them";
                return Err(directive.name.message(what));
            }
            "pid" => config.pid = Some(context.path(directive)?),
            "error_log" => set_error_log(&mut self.error_log, directive, context)?,
            "access_log" => set_access_log(&mut self.http.access_log, directive, context)?,
            "log_format" => context.log_formats.push(parse_log_format(directive)?),
            "placeholders" => config.placeholders = value::on_or_off(directive)?,
            "state_dir" => config.state_dir = context.path(directive)?,
            "switch" => apply_block(&mut config.switch, value::block(directive)?, diagnostics)?,
            "control" => config.control = parse_control(directive, context)?,
            "metrics" => self.metrics.set_metrics(directive)?,
            "health" => self.metrics.set_health(directive)?,
            name @ ("stream" | "mail") => {
                let what = format!("{name} is ignored: maintd supports only HTTP");
                diagnostics.remark(directive.name.message(what));
            }
            _ if self.http.set(directive, context)? => {}
            _ if context.set_connections(directive)? => {}
            _ => report_unused(directive, &mut context.diagnostics),
        }
        Ok(())
    }

    /// Combines the settings that depend on each other.
    fn finish(mut self, files: Vec<File>) -> ParsedConfig {
        self.finish_servers();
        let Self {
            context,
            mut config,
            error_log,
            metrics,
            ..
        } = self;
        let mut diagnostics = context.diagnostics;
        config.timeouts = context.timeouts;
        config.max_requests = context.max_requests;
        if let Some((target, level)) = error_log {
            (config.logs.error, config.logs.level) = (target, Some(level));
        }
        let metrics = metrics.listener(&config.endpoints);
        config.metrics = diagnostics.ok(metrics).flatten();
        let Diagnostics {
            mut errors,
            remarks,
        } = diagnostics;
        errors.sort_by_key(|error| error.position);
        ParsedConfig {
            config,
            files,
            errors,
            remarks,
        }
    }

    /// Makes sites and endpoints of the servers.
    fn finish_servers(&mut self) {
        let mut servers = std::mem::take(&mut self.servers);
        let http = &self.http;
        let config = &mut self.config;
        let diagnostics = &mut self.context.diagnostics;
        if servers.is_empty() && self.has_only_own {
            // The file only has settings such as those of the switch: the site is the default.
            if let Some(site) = config.sites.first_mut() {
                site.retry_after = http.retry_after.unwrap_or(site.retry_after);
                site.cors = http.cors.clone().unwrap_or_default();
            }
            return;
        }
        if servers.is_empty() && diagnostics.errors.is_empty() {
            let what = "no server; write server { listen 127.0.0.1:8080; return 503; }";
            diagnostics.error(Position::START.message(what));
        }
        if let Some(server) = servers.get(usize::from(SiteNumber::MAX)) {
            let what = "more servers than 65535; delete some";
            diagnostics.error(server.position.message(what));
            servers.truncate(usize::from(SiteNumber::MAX));
        }
        let logs = servers.iter().map(|server| {
            let log = server.access_log.as_ref().or(http.access_log.as_ref());
            (server.position, log)
        });
        config.logs.access = common_access_log(&logs.collect::<Vec<_>>(), diagnostics);
        for server in &mut servers {
            server.inherit(http);
            sites::complete(server);
        }
        let endpoints = sites::endpoints(&servers, diagnostics);
        if !endpoints.is_empty() {
            config.endpoints = endpoints;
            let (directory, placeholders) = (&self.context.directory, config.placeholders);
            let site = |server| sites::site(server, directory, placeholders, diagnostics);
            config.sites = servers.iter().map(site).collect();
        }
    }
}
