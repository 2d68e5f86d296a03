//! What the blocks of a configuration say, before it is known what that comes to.

use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use crate::config::nginx::syntax::{Position, Word};
use crate::config::server_name::ServerName;
use crate::config::{Cors, Endpoint, Target, TlsVersions};

/// What a `listen` says.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) place: Position,
    /// Of no site yet; several where the place is a name.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The IPv4 halves of endpoints that are to have both.
    pub(crate) twins: Vec<Endpoint>,
    /// Where it says `default_server`.
    pub(crate) default: Option<Position>,
    /// `backlog=`.
    pub(crate) backlog: Option<(i32, Position)>,
}

/// What a `server` block says, or what `http` says for all of them.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) place: Position,
    pub(crate) listens: Vec<Listen>,
    pub(crate) names: Vec<(ServerName, Position)>,
    pub(crate) root: Option<Word>,
    /// The files that stand for a directory, in their order.
    pub(crate) index: Option<Vec<String>>,
    /// The target of `error_page 503`.
    pub(crate) error_page: Option<(String, Position)>,
    pub(crate) locations: Vec<Location>,
    /// `return 503`, with its text where it has one.
    pub(crate) returns: Option<Option<Word>>,
    /// Each with the place of its directive, and so are the keys.
    pub(crate) certificates: Vec<(PathBuf, Position)>,
    pub(crate) keys: Vec<(PathBuf, Position)>,
    pub(crate) fields: Fields,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cors: Option<Cors>,
    pub(crate) versions: Option<TlsVersions>,
    pub(crate) session_timeout: Option<Duration>,
    pub(crate) session_tickets: Option<bool>,
    pub(crate) access_log: Option<AccessLog>,
}

impl Server {
    pub(crate) fn new(place: Position) -> Self {
        Self {
            place,
            listens: Vec::new(),
            names: Vec::new(),
            root: None,
            index: None,
            error_page: None,
            locations: Vec::new(),
            returns: None,
            certificates: Vec::new(),
            keys: Vec::new(),
            fields: Fields::default(),
            retry_after: None,
            cors: None,
            versions: None,
            session_timeout: None,
            session_tickets: None,
            access_log: None,
        }
    }

    /// Takes from `http` what the block does not say itself, directive by directive as nginx does.
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

/// The fields of the answer that one level sets: `http`, a server or a location.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) headers: Vec<Header>,
    pub(crate) default_type: Option<String>,
    pub(crate) charset: Option<String>,
}

impl Fields {
    /// Takes from the level around it what this one does not set. One `add_header` replaces all of them, as in nginx.
    pub(crate) fn inherit(&mut self, outer: &Self) {
        if self.headers.is_empty() {
            self.headers.clone_from(&outer.headers);
        }
        self.default_type = self
            .default_type
            .take()
            .or_else(|| outer.default_type.clone());
        self.charset = self.charset.take().or_else(|| outer.charset.clone());
    }
}

/// What `add_header` says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: Word,
    /// It is for every status, and so for a 503 in nginx too.
    pub(crate) always: bool,
    pub(crate) place: Position,
}

/// What `access_log` says.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    /// Where the lines go; `off` without one.
    pub(crate) target: Option<Target>,
    pub(crate) place: Position,
}

/// A `location` block, as far as it can lead to the page.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) pattern: Pattern,
    pub(crate) root: Option<Word>,
    pub(crate) alias: Option<Word>,
    pub(crate) index: Option<Vec<String>>,
    pub(crate) fields: Fields,
    /// `return 503`, with its text where it has one.
    pub(crate) returns: Option<Option<Word>>,
    /// Where its `rewrite` leads, or its `try_files`: the first file that is there.
    pub(crate) steps: Vec<Step>,
}

/// The paths that a location is for.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// `@NAME`: no path, but a name that others lead to.
    Named(String),
    /// `= PATH`
    Exact(String),
    /// `PATH`, or `^~ PATH`: what begins with it; with the latter no expression is tried.
    Prefix { path: String, is_final: bool },
    /// `~ EXPRESSION` or `~* EXPRESSION`; nothing where it cannot be read.
    Expression(Option<Regex>),
}

/// A file to which `rewrite` or `try_files` leads whatever the request is.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) file: String,
    /// The location that serves it is searched for; without that it is this one.
    pub(crate) is_searched: bool,
}
