//! `error_log`, `access_log` and `log_format`.

use log::LevelFilter;

use crate::config::logs::Target;
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive, Position, Word};
use crate::config::nginx::syslog::parse_syslog;
use crate::config::nginx::value::wrong_value;
use crate::quote::Quoted;

/// The target and level of an `error_log`.
pub(crate) type ErrorLog = (Target, LevelFilter);

/// Sets the error log, unless it is set: maintd has one for all its messages. In nginx the main level precedes `http`.
pub(crate) fn set_error_log(
    current: &mut Option<ErrorLog>,
    directive: &Directive,
    context: &mut Context,
) -> Result<(), ConfigError> {
    let Some((first, options)) = directive.arguments.split_first() else {
        let what = "error_log without a target; write error_log FILE;";
        return Err(directive.name.message(what));
    };
    let level = match options {
        // The default of nginx.
        [] => Some(LevelFilter::Error),
        [word] => level(&word.text),
        // nginx accepts several levels that debug a part of it.
        all if all.iter().all(|word| is_debugging(&word.text)) => Some(LevelFilter::Debug),
        [_, more, ..] => {
            let what = "error_log takes a target and a level; write error_log FILE LEVEL;";
            return Err(more.message(what));
        }
    };
    let levels = "one of debug, info, notice, warn, error, crit, alert and emerg";
    let level = level.ok_or_else(|| wrong_value(directive, 1, levels))?;
    if first.text.starts_with("memory:") {
        let remark = first.message("error_log to memory is ignored");
        context.diagnostics.remark(remark);
        return Ok(());
    }
    let chosen = (parse_target(first, context)?, level);
    if current.get_or_insert_with(|| chosen.clone()) != &chosen {
        context.diagnostics.remark(first.message(
            "a second error_log is ignored: maintd has one for all its messages, the first",
        ));
    }
    Ok(())
}

/// An `access_log` directive.
#[derive(Clone, Debug)]
pub(crate) struct AccessLogDirective {
    /// The target; `None` is `off`.
    target: Option<Target>,
    position: Position,
}

/// Applies an `access_log` directive to those that precede it at the same level.
pub(crate) fn set_access_log(
    current: &mut Option<AccessLogDirective>,
    directive: &Directive,
    context: &mut Context,
) -> Result<(), ConfigError> {
    let Some((first, rest)) = directive.arguments.split_first() else {
        let what = "access_log without a target; write access_log FILE; or access_log off;";
        return Err(directive.name.message(what));
    };
    let position = first.position;
    if first.text == "off" {
        // As in nginx, it cancels the others of its level.
        *current = Some(AccessLogDirective {
            target: None,
            position,
        });
        let what = "access_log off takes no options; write access_log off;";
        return rest.first().map_or(Ok(()), |more| Err(more.message(what)));
    }
    let target = parse_target(first, context)?;
    let (format, options) = match rest.split_first() {
        Some((format, options)) if !is_option(format) => (Some(format), options),
        Some(_) | None => (None, rest),
    };
    if let Some(format) = format {
        check_format(format, context);
    }
    let diagnostics = &mut context.diagnostics;
    for option in options {
        let text = Quoted(&option.text);
        if is_option(option) {
            diagnostics.remark(option.message(format!("{text} is ignored")));
        } else {
            let what = format!("unknown option {text} of access_log; delete it");
            diagnostics.error(option.message(what));
        }
    }
    let log = current.get_or_insert_with(|| AccessLogDirective {
        target: Some(target.clone()),
        position,
    });
    if log.target.as_ref().is_some_and(|other| *other != target) {
        let what = "a second access_log is ignored: every request is logged once, to the first";
        diagnostics.remark(first.message(what));
    }
    Ok(())
}

/// Checks the format of an access log: maintd has only `combined`.
fn check_format(word: &Word, context: &mut Context) {
    let name = Quoted(&word.text);
    if word.text == "combined" {
        return;
    }
    if context.log_formats.contains(&word.text) {
        let what = format!("log_format {name} is ignored: requests are logged as combined");
        context.diagnostics.remark(word.message(what));
    } else {
        let what = format!("unknown log format {name}; give combined");
        context.diagnostics.error(word.message(what));
    }
}

/// The name of a `log_format`.
pub(crate) fn parse_log_format(directive: &Directive) -> Result<String, ConfigError> {
    let name = directive.arguments.first().map(|name| name.text.clone());
    let what = "log_format without a name; write log_format NAME '...'; or delete it";
    name.ok_or_else(|| directive.name.message(what))
}

/// The access log of all servers: the first target. Differing servers, given by position and directive, are reported.
pub(crate) fn common_access_log(
    servers: &[(Position, Option<&AccessLogDirective>)],
    diagnostics: &mut Diagnostics,
) -> Option<Target> {
    let target_of = |log: &Option<&AccessLogDirective>| log.and_then(|log| log.target.clone());
    let target = servers.iter().find_map(|(_, log)| target_of(log));
    let mut reported = Vec::new();
    for (server, log) in servers {
        let (position, what) = match log {
            _ if target_of(log) == target => continue,
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
            diagnostics.remark(position.message(what));
        }
    }
    target
}

fn parse_target(word: &Word, context: &Context) -> Result<Target, ConfigError> {
    let text = word.text.as_str();
    if text == "stderr" {
        return Ok(Target::Stderr);
    }
    if let Some(parameters) = text.strip_prefix("syslog:") {
        let syslog = parse_syslog(parameters).map_err(|what| word.message(what))?;
        return Ok(Target::Syslog(syslog));
    }
    if text.contains('$') {
        return Err(word.message("variables are not supported here; name one file"));
    }
    if text.is_empty() {
        return Err(word.message("a log without a name; name a file"));
    }
    Ok(Target::File(context.directory.join(text)))
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
