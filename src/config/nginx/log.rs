//! `error_log`, `access_log`, `log_format` and `pid`.

use log::LevelFilter;

use crate::config::logs::Target;
use crate::config::nginx::Reader;
use crate::config::nginx::block::{AccessLog, Server};
use crate::config::nginx::syntax::{Directive, Quoted, Word};
use crate::config::nginx::syslog::syslog;

impl Reader {
    /// A directive about logs or the pid file, outside of servers.
    pub(crate) fn log_directive(&mut self, http: &mut Server, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "error_log" => self.error_log(directive),
            "access_log" => self.access_log(http, directive),
            "log_format" => self.log_format(directive),
            "pid" => self.pid(directive),
            _ => return false,
        }
        true
    }

    fn pid(&mut self, directive: &Directive) {
        if self.config.pid.is_some() {
            self.fault(
                directive.name.place,
                "pid for a second time; delete one of them",
            );
        } else if let Some(path) = self.argument(directive) {
            self.config.pid = Some(self.directory.join(path));
        }
    }

    fn error_log(&mut self, directive: &Directive) {
        let Some((first, options)) = directive.arguments.split_first() else {
            self.fault(
                directive.name.place,
                "error_log without a target; write error_log FILE;",
            );
            return;
        };
        let level = match options {
            // nginx's own default.
            [] => Some(LevelFilter::Error),
            [word] => level(&word.text),
            // nginx's levels for debugging a part of it may stand together.
            all if all.iter().all(|word| is_debugging(&word.text)) => Some(LevelFilter::Debug),
            [_, more, ..] => {
                self.fault(
                    more.place,
                    "error_log takes a target and a level; write error_log FILE LEVEL;",
                );
                return;
            }
        };
        let Some(level) = level else {
            return self.wrong_value(
                directive,
                1,
                "one of debug, info, notice, warn, error, crit, alert and emerg",
            );
        };
        if first.text.starts_with("memory:") {
            self.remark(first.place, "error_log to memory is ignored");
            return;
        }
        let Some(target) = self.target_of_log(first) else {
            return;
        };
        let chosen = (target, Some(level));
        let logs = &mut self.config.logs;
        // What is said first holds: nginx's main level comes before http.
        match self.error_log_is_set {
            false => {
                (logs.error, logs.level) = chosen;
                self.error_log_is_set = true;
            }
            true if (&logs.error, &logs.level) == (&chosen.0, &chosen.1) => {}
            true => self.remark(
                first.place,
                "a second error_log is ignored: maintd has one for all its messages, the first",
            ),
        }
    }

    /// `access_log`, of `http` or of one server.
    pub(crate) fn access_log(&mut self, server: &mut Server, directive: &Directive) {
        let Some((first, rest)) = directive.arguments.split_first() else {
            self.fault(
                directive.name.place,
                "access_log without a target; write access_log FILE; or access_log off;",
            );
            return;
        };
        let place = first.place;
        if first.text == "off" {
            if let Some(more) = rest.first() {
                self.fault(
                    more.place,
                    "access_log off takes nothing else; write access_log off;",
                );
            }
            // nginx's way: it takes back what stands beside it.
            server.access_log = Some(AccessLog {
                target: None,
                place,
            });
            return;
        }
        let Some(target) = self.target_of_log(first) else {
            return;
        };
        let options = match rest.split_first() {
            Some((format, options)) if !is_option(format) => {
                self.format(format);
                options
            }
            Some(_) | None => rest,
        };
        for option in options {
            if is_option(option) {
                let option_text = Quoted(&option.text).to_string();
                self.remark(option.place, format!("{option_text} is ignored"));
            } else {
                self.fault(
                    option.place,
                    format!(
                        "unknown option {} of access_log; delete it",
                        Quoted(&option.text)
                    ),
                );
            }
        }
        match &server.access_log {
            Some(AccessLog {
                target: Some(other),
                ..
            }) if *other != target => self.remark(
                place,
                "a second access_log is ignored: every request is written once, to the first",
            ),
            Some(_) => {}
            None => {
                server.access_log = Some(AccessLog {
                    target: Some(target),
                    place,
                });
            }
        }
    }

    /// The format of an access log: we have one.
    fn format(&mut self, word: &Word) {
        if word.text == "combined" {
            return;
        }
        let name = Quoted(&word.text).to_string();
        if self.log_formats.contains(&word.text) {
            self.remark(
                word.place,
                format!("log_format {name} is ignored: requests are written as combined"),
            );
        } else {
            self.fault(
                word.place,
                format!("unknown log format {name}; give combined"),
            );
        }
    }

    fn log_format(&mut self, directive: &Directive) {
        match directive.arguments.first() {
            Some(name) => self.log_formats.push(name.text.clone()),
            None => self.fault(
                directive.name.place,
                "log_format without a name; write log_format NAME '...'; or delete it",
            ),
        }
    }

    /// Makes one access log of those of the servers.
    pub(crate) fn take_access_log(&mut self, servers: &[Server], http: &Server) {
        let said = |server: &Server| server.access_log.clone().or(http.access_log.clone());
        let logs: Vec<_> = servers.iter().map(said).collect();
        let first = logs.iter().flatten().find(|log| log.target.is_some());
        let target = first.and_then(|log| log.target.clone());
        let mut told = Vec::new();
        for (server, other) in servers.iter().zip(&logs) {
            let (place, what) = match other {
                _ if other.as_ref().and_then(|log| log.target.as_ref()) == target.as_ref() => {
                    continue;
                }
                Some(AccessLog {
                    target: Some(_),
                    place,
                }) => (
                    *place,
                    "this access_log is ignored: all servers here share one, the first",
                ),
                Some(AccessLog {
                    target: None,
                    place,
                }) => (
                    *place,
                    "access_log off is ignored: all servers here share one log",
                ),
                None => (
                    server.place,
                    "the requests of this server are logged too: all servers here share one access_log",
                ),
            };
            // What http says, it says for several servers.
            if !told.contains(&place) {
                told.push(place);
                self.remark(place, what);
            }
        }
        self.config.logs.access = target;
    }

    fn target_of_log(&mut self, word: &Word) -> Option<Target> {
        let text = word.text.as_str();
        if text == "stderr" {
            return Some(Target::Stderr);
        }
        if let Some(parameters) = text.strip_prefix("syslog:") {
            return match syslog(parameters) {
                Ok(syslog) => Some(Target::Syslog(syslog)),
                Err(what) => {
                    self.fault(word.place, what);
                    None
                }
            };
        }
        if text.contains('$') {
            self.fault(word.place, "variables are not possible here; name one file");
            None
        } else if text.is_empty() {
            self.fault(word.place, "a log without a name; name a file");
            None
        } else {
            Some(Target::File(self.directory.join(text)))
        }
    }
}

/// What nginx's access_log takes behind the format.
fn is_option(word: &Word) -> bool {
    word.text == "gzip"
        || word
            .text
            .split_once('=')
            .is_some_and(|(name, _)| ["buffer", "flush", "gzip", "if"].contains(&name))
}

/// nginx's levels as ours.
fn level(text: &str) -> Option<LevelFilter> {
    match text {
        "debug" => Some(LevelFilter::Debug),
        "info" | "notice" => Some(LevelFilter::Info),
        "warn" => Some(LevelFilter::Warn),
        "error" | "crit" | "alert" | "emerg" => Some(LevelFilter::Error),
        part if is_debugging(part) => Some(LevelFilter::Debug),
        _ => None,
    }
}

/// Whether it is nginx's level for debugging one part of nginx.
fn is_debugging(text: &str) -> bool {
    let parts = ["core", "alloc", "mutex", "event", "http", "mail", "stream"];
    text.strip_prefix("debug_")
        .is_some_and(|part| parts.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_mapped_on_ours() {
        assert_eq!(level("crit"), Some(LevelFilter::Error));
        assert_eq!(level("notice"), Some(LevelFilter::Info));
        assert_eq!(level("debug_http"), Some(LevelFilter::Debug));
        assert_eq!(level("debug_all"), None);
        assert_eq!(level("loud"), None);
    }
}
