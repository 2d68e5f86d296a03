//! What the blocks of a configuration say, before it is known what that comes to.

use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use crate::config::names::ServerName;
use crate::config::syntax::{Place, Word};
use crate::config::{Cors, Endpoint, Target, TlsVersions};

/// What a `listen` says.
#[derive(Clone, Debug)]
pub(super) struct Listen {
    pub(super) place: Place,
    /// Of no site yet; several where the place is a name.
    pub(super) endpoints: Vec<Endpoint>,
    /// The IPv4 halves of endpoints that are to have both.
    pub(super) twins: Vec<Endpoint>,
    /// Where it says `default_server`.
    pub(super) default: Option<Place>,
    /// `backlog=`.
    pub(super) backlog: Option<(i32, Place)>,
}

/// What a `server` block says, or what `http` says for all of them.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) listens: Vec<Listen>,
    pub(super) names: Vec<(ServerName, Place)>,
    pub(super) root: Option<Word>,
    /// The files that stand for a directory, in their order.
    pub(super) index: Option<Vec<String>>,
    /// The target of `error_page 503`.
    pub(super) error_page: Option<(String, Place)>,
    pub(super) locations: Vec<Location>,
    /// `return 503`, with its text where it has one.
    pub(super) returns: Option<Option<Word>>,
    /// Each with the place of its directive, and so are the keys.
    pub(super) certificates: Vec<(PathBuf, Place)>,
    pub(super) keys: Vec<(PathBuf, Place)>,
    pub(super) fields: Fields,
    pub(super) retry_after: Option<Duration>,
    pub(super) cors: Option<Cors>,
    pub(super) versions: Option<TlsVersions>,
    pub(super) session_timeout: Option<Duration>,
    pub(super) session_tickets: Option<bool>,
    pub(super) access_log: Option<AccessLog>,
}

impl Server {
    pub(super) fn new(place: Place) -> Self {
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
    pub(super) fn inherit(&mut self, http: &Self) {
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
pub(super) struct Fields {
    pub(super) headers: Vec<Header>,
    pub(super) default_type: Option<String>,
    pub(super) charset: Option<String>,
}

impl Fields {
    /// Takes from the level around it what this one does not set. One `add_header` replaces all of them, as in nginx.
    pub(super) fn inherit(&mut self, outer: &Self) {
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
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: Word,
    /// It is for every status, and so for a 503 in nginx too.
    pub(super) always: bool,
    pub(super) place: Place,
}

/// What `access_log` says.
#[derive(Clone, Debug)]
pub(super) struct AccessLog {
    /// Where the lines go; `off` without one.
    pub(super) target: Option<Target>,
    pub(super) place: Place,
}

/// A `location` block, as far as it can lead to the page.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) pattern: Pattern,
    pub(super) root: Option<Word>,
    pub(super) alias: Option<Word>,
    pub(super) index: Option<Vec<String>>,
    pub(super) fields: Fields,
    /// `return 503`, with its text where it has one.
    pub(super) returns: Option<Option<Word>>,
    /// Where its `rewrite` leads, or its `try_files`: the first file that is there.
    pub(super) steps: Vec<Step>,
}

/// The paths that a location is for.
#[derive(Debug)]
pub(super) enum Pattern {
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
pub(super) struct Step {
    pub(super) file: String,
    /// The location that serves it is searched for; without that it is this one.
    pub(super) is_searched: bool,
}
