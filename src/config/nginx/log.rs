//! `error_log`, `access_log` and `log_format`.

use log::LevelFilter;

use crate::config::logs::Target;
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{Directive, Position, Quoted, Word};
use crate::config::nginx::syslog::parse_syslog;

/// The target and level of the first `error_log`: maintd has one for all its messages.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog(Option<(Target, LevelFilter)>);

impl ErrorLog {
    /// The first directive wins: in nginx the main level precedes `http`.
    pub(crate) fn set(&mut self, directive: &Directive, context: &mut Context) {
        let Some((first, level)) = parse_level(directive, &mut context.diagnostics) else {
            return;
        };
        if first.text.starts_with("memory:") {
            let what = "error_log to memory is ignored";
            context.diagnostics.remark(first.position, what);
            return;
        }
        let Some(target) = parse_target(first, context) else {
            return;
        };
        let chosen = (target, level);
        if *self.0.get_or_insert_with(|| chosen.clone()) != chosen {
            context.diagnostics.remark(
                first.position,
                "a second error_log is ignored: maintd has one for all its messages, the first",
            );
        }
    }

    pub(crate) fn take(self) -> Option<(Target, LevelFilter)> {
        self.0
    }
}

/// The word of the target, and the level.
fn parse_level<'a>(
    directive: &'a Directive,
    diagnostics: &mut Diagnostics,
) -> Option<(&'a Word, LevelFilter)> {
    let Some((first, options)) = directive.arguments.split_first() else {
        diagnostics.error(
            directive.name.position,
            "error_log without a target; write error_log FILE;",
        );
        return None;
    };
    let level = match options {
        // The default of nginx.
        [] => Some(LevelFilter::Error),
        [word] => level(&word.text),
        // nginx accepts several levels that debug a part of it.
        all if all.iter().all(|word| is_debugging(&word.text)) => Some(LevelFilter::Debug),
        [_, more, ..] => {
            diagnostics.error(
                more.position,
                "error_log takes a target and a level; write error_log FILE LEVEL;",
            );
            return None;
        }
    };
    if level.is_none() {
        let levels = "one of debug, info, notice, warn, error, crit, alert and emerg";
        diagnostics.wrong_value(directive, 1, levels);
    }
    Some((first, level?))
}

/// An `access_log` directive.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    /// The target; `None` is `off`.
    target: Option<Target>,
    position: Position,
}

/// Applies an `access_log` directive to those that precede it at the same level.
pub(crate) fn set_access_log(
    current: &mut Option<AccessLog>,
    directive: &Directive,
    context: &mut Context,
) {
    let Some((first, rest)) = directive.arguments.split_first() else {
        context.diagnostics.error(
            directive.name.position,
            "access_log without a target; write access_log FILE; or access_log off;",
        );
        return;
    };
    let position = first.position;
    if first.text == "off" {
        if let Some(more) = rest.first() {
            context.diagnostics.error(
                more.position,
                "access_log off takes no options; write access_log off;",
            );
        }
        // As in nginx, it cancels the others of its level.
        *current = Some(AccessLog {
            target: None,
            position,
        });
        return;
    }
    let Some(target) = parse_target(first, context) else {
        return;
    };
    let options = match rest.split_first() {
        Some((format, options)) if !is_option(format) => {
            check_format(format, context);
            options
        }
        Some(_) | None => rest,
    };
    let diagnostics = &mut context.diagnostics;
    for option in options {
        let text = Quoted(&option.text);
        if is_option(option) {
            diagnostics.remark(option.position, format!("{text} is ignored"));
        } else {
            let what = format!("unknown option {text} of access_log; delete it");
            diagnostics.error(option.position, what);
        }
    }
    match current {
        Some(AccessLog {
            target: Some(other),
            ..
        }) if *other != target => diagnostics.remark(
            position,
            "a second access_log is ignored: every request is logged once, to the first",
        ),
        Some(_) => {}
        None => {
            *current = Some(AccessLog {
                target: Some(target),
                position,
            });
        }
    }
}

/// Checks the format of an access log: maintd has only `combined`.
fn check_format(word: &Word, context: &mut Context) {
    if word.text == "combined" {
        return;
    }
    let name = Quoted(&word.text);
    if context.log_formats.contains(&word.text) {
        let what = format!("log_format {name} is ignored: requests are logged as combined");
        context.diagnostics.remark(word.position, what);
    } else {
        let what = format!("unknown log format {name}; give combined");
        context.diagnostics.error(word.position, what);
    }
}

pub(crate) fn add_log_format(directive: &Directive, context: &mut Context) {
    match directive.arguments.first() {
        Some(name) => context.log_formats.push(name.text.clone()),
        None => context.diagnostics.error(
            directive.name.position,
            "log_format without a name; write log_format NAME '...'; or delete it",
        ),
    }
}

/// The access log of all servers: the first target. Differing servers, given by position and directive, are reported.
pub(crate) fn common_access_log(
    servers: &[(Position, Option<&AccessLog>)],
    diagnostics: &mut Diagnostics,
) -> Option<Target> {
    let mut targets = servers
        .iter()
        .filter_map(|(_, log)| log.and_then(|log| log.target.as_ref()));
    let target = targets.next();
    let mut reported = Vec::new();
    for (server, log) in servers {
        let (position, what) = match log {
            _ if log.and_then(|log| log.target.as_ref()) == target => continue,
            Some(log) if log.target.is_some() => (
                log.position,
                "this access_log is ignored: all servers share one, the first",
            ),
            Some(log) => (
                log.position,
                "access_log off is ignored: all servers share one log",
            ),
            None => (
                *server,
                "the requests of this server are logged too: all servers share one access_log",
            ),
        };
        // Servers inherit that of http.
        if !reported.contains(&position) {
            reported.push(position);
            diagnostics.remark(position, what);
        }
    }
    target.cloned()
}

fn parse_target(word: &Word, context: &mut Context) -> Option<Target> {
    let text = word.text.as_str();
    let error = if text == "stderr" {
        return Some(Target::Stderr);
    } else if let Some(parameters) = text.strip_prefix("syslog:") {
        match parse_syslog(parameters) {
            Ok(syslog) => return Some(Target::Syslog(syslog)),
            Err(what) => what,
        }
    } else if text.contains('$') {
        "variables are not possible here; name one file".to_owned()
    } else if text.is_empty() {
        "a log without a name; name a file".to_owned()
    } else {
        return Some(Target::File(context.directory.join(text)));
    };
    context.diagnostics.error(word.position, error);
    None
}

/// An option of `access_log`, which follows the format.
fn is_option(word: &Word) -> bool {
    word.text == "gzip"
        || word
            .text
            .split_once('=')
            .is_some_and(|(name, _)| ["buffer", "flush", "gzip", "if"].contains(&name))
}

/// The level for one of nginx.
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

/// A level that debugs one part of nginx.
fn is_debugging(text: &str) -> bool {
    let parts = ["core", "alloc", "mutex", "event", "http", "mail", "stream"];
    text.strip_prefix("debug_")
        .is_some_and(|part| parts.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_nginx_are_mapped() {
        assert_eq!(level("crit"), Some(LevelFilter::Error));
        assert_eq!(level("notice"), Some(LevelFilter::Info));
        assert_eq!(level("debug_http"), Some(LevelFilter::Debug));
        assert_eq!(level("debug_all"), None);
        assert_eq!(level("loud"), None);
    }
}
