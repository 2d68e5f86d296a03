//! The settings of `server` and `location` blocks as parsed, with their inheritance.

use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use crate::config::nginx::context::Context;
use crate::config::nginx::cors::parse_cors_origin;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::header::AnswerFields;
use crate::config::nginx::listen::Listen;
use crate::config::nginx::log::AccessLogDirective;
use crate::config::nginx::syntax::{ConfigError, Directive, Position, Word};
use crate::config::nginx::{tls, value};
use crate::config::server_name::ServerName;
use crate::config::site::{Cors, TlsVersions};
use crate::quote::Quoted;

/// A `server` block, or the settings of `http`, which all servers inherit.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) position: Position,
    pub(crate) listens: Vec<Listen>,
    pub(crate) names: Vec<(ServerName, Position)>,
    pub(crate) root: Option<Word>,
    /// The index files of a directory, in their order.
    pub(crate) index: Option<Vec<String>>,
    /// The target of `error_page 503`.
    pub(crate) error_page: Option<(String, Position)>,
    pub(crate) locations: Vec<Location>,
    /// `return 503`, with its text if it has one.
    pub(crate) returns: Option<Option<Word>>,
    /// Certificates and keys, each with the position of its directive.
    pub(crate) certificates: Vec<(PathBuf, Position)>,
    pub(crate) keys: Vec<(PathBuf, Position)>,
    pub(crate) fields: AnswerFields,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cors: Option<Cors>,
    pub(crate) versions: Option<TlsVersions>,
    pub(crate) session_timeout: Option<Duration>,
    pub(crate) session_tickets: Option<bool>,
    pub(crate) access_log: Option<AccessLogDirective>,
}

impl Server {
    pub(crate) fn new(position: Position) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Applies a directive that `http`, a server and a location may have. Returns `false` if it is another one.
    pub(crate) fn set(
        &mut self,
        directive: &Directive,
        context: &mut Context,
    ) -> Result<bool, ConfigError> {
        let position = directive.name.position;
        let diagnostics = &mut context.diagnostics;
        match directive.name.text.as_str() {
            "root" => self.root = Some(value::word(directive)?.clone()),
            "index" => self.index = Some(parse_index(directive)?),
            "error_page" => {
                if let Some(target) = parse_error_page(directive, diagnostics)? {
                    self.error_page = Some(target);
                }
            }
            "ssl_certificate" => self.certificates.push((context.path(directive)?, position)),
            "ssl_certificate_key" => self.keys.push((context.path(directive)?, position)),
            "ssl_protocols" => self.versions = tls::parse_protocols(directive, diagnostics)?,
            "ssl_session_timeout" => self.session_timeout = Some(value::duration(directive)?),
            "ssl_session_tickets" => self.session_tickets = Some(value::on_or_off(directive)?),
            "retry_after" => {
                let seconds = value::number(directive)?;
                self.retry_after = Some(Duration::from_secs(seconds.into()));
            }
            "cors_origin" if self.cors.is_some() => {
                let what = "a duplicate cors_origin; put all origins into one";
                return Err(directive.name.message(what));
            }
            "cors_origin" => {
                // Set even after an error, so that a duplicate is reported.
                self.cors = Some(Cors::None);
                self.cors = Some(parse_cors_origin(directive, diagnostics)?);
            }
            _ => return self.fields.set(directive, diagnostics),
        }
        Ok(true)
    }

    /// Inherits from `http` what the block does not set itself, directive by directive as in nginx.
    pub(crate) fn inherit(&mut self, http: &Self) {
        self.root = self.root.take().or_else(|| http.root.clone());
        self.index = self.index.take().or_else(|| http.index.clone());
        self.error_page = self.error_page.take().or_else(|| http.error_page.clone());
        self.fields.inherit(&http.fields);
        self.retry_after = self.retry_after.or(http.retry_after);
        self.cors = self.cors.take().or_else(|| http.cors.clone());
        self.versions = self.versions.or(http.versions);
        self.session_timeout = self.session_timeout.or(http.session_timeout);
        self.session_tickets = self.session_tickets.or(http.session_tickets);
        for (own, shared) in [
            (&mut self.certificates, &http.certificates),
            (&mut self.keys, &http.keys),
        ] {
            if own.is_empty() {
                own.clone_from(shared);
            }
        }
    }
}

/// A `location` block, as far as it can lead to the page.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) pattern: Pattern,
    pub(crate) root: Option<Word>,
    pub(crate) alias: Option<Word>,
    pub(crate) index: Option<Vec<String>>,
    pub(crate) fields: AnswerFields,
    /// `return 503`, with its text if it has one.
    pub(crate) returns: Option<Option<Word>>,
    /// The targets of its `rewrite` or `try_files`: the first existing file is served.
    pub(crate) steps: Vec<Step>,
}

/// The paths of a location.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// `@NAME`: the target of an internal redirect.
    Named(String),
    /// `= PATH`
    Exact(String),
    /// `PATH` or `^~ PATH`: every path that begins with it. The latter is final: no expression is tried.
    Prefix { path: String, is_final: bool },
    /// `~ EXPRESSION` or `~* EXPRESSION`; `None` if it is not supported.
    Expression(Option<Regex>),
}

/// A file that `rewrite` or `try_files` names for every request.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) file: String,
    /// The path is matched against the locations again. Otherwise this location serves it.
    pub(crate) is_internal_redirect: bool,
}

/// `index FILE ...`; files with variables are skipped.
pub(crate) fn parse_index(directive: &Directive) -> Result<Vec<String>, ConfigError> {
    if directive.arguments.is_empty() {
        let what = "index without a file; write index FILE;";
        return Err(directive.name.message(what));
    }
    let files = directive.arguments.iter().map(|word| word.text.clone());
    Ok(files.filter(|file| !file.contains('$')).collect())
}

/// The text of `return 503 TEXT`. A `return` with another status is an error, and counts as a `return 503` from then on.
pub(crate) fn parse_return(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<Word> {
    match directive.arguments.as_slice() {
        [code] if code.text == "503" => None,
        [code, text] if code.text == "503" => Some(text.clone()),
        _ => {
            diagnostics.error(directive.name.message(
                "return with another status than 503 is not possible: maintd answers everything with 503; write return 503;",
            ));
            None
        }
    }
}

/// The target of an `error_page` for the status 503, and its position.
fn parse_error_page(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Option<(String, Position)>, ConfigError> {
    let Some((target, codes)) = directive.arguments.split_last() else {
        let what = "error_page without a page; write error_page 503 /FILE;";
        return Err(directive.name.message(what));
    };
    let Some(at) = codes.iter().position(|code| code.text == "503") else {
        return Ok(None);
    };
    if let Some(code) = codes.get(at + 1)
        && code.text.starts_with('=')
        && code.text != "=503"
    {
        let what = format!("{} is ignored: maintd answers with 503", Quoted(&code.text));
        diagnostics.remark(code.message(what));
    }
    if target.text.contains("://") {
        let what = "a page on another host cannot be served; give a file of this host";
        return Err(target.message(what));
    }
    if target.text.contains('$') {
        return Err(target.message("variables are not supported here; name one file"));
    }
    Ok(Some((target.text.clone(), target.position)))
}
