//! `error_log`, `access_log`, `log_format` and `pid`.

use log::LevelFilter;

use super::Reader;
use super::block::{AccessLog, Server};
use crate::config::logs::{Syslog, SyslogServer, Target};
use crate::config::syntax::{Directive, Quoted, Word};

/// RFC 5424 6.2.1, by nginx's names, in the order of their numbers; those without a name are not to be had.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// RFC 5424 6.2.1, by nginx's names, in the order of their numbers.
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
];
/// nginx's own defaults: local7, and info.
const FACILITY: u8 = 23;
const SEVERITY: u8 = 6;
/// The longest tag that RFC 3164 5.3 allows.
const MAX_TAG: usize = 32;
/// The port of syslogd (RFC 3164 2).
const PORT: u16 = 514;

impl Reader {
    /// A directive about logs or the pid file, outside of servers.
    pub(super) fn log_directive(&mut self, http: &mut Server, directive: &Directive) -> bool {
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
    pub(super) fn access_log(&mut self, server: &mut Server, directive: &Directive) {
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
    pub(super) fn take_access_log(&mut self, servers: &[Server], http: &Server) {
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

/// What stands behind `syslog:`; nothing there means the system's own syslogd, which knows this host's name.
fn syslog(parameters: &str) -> Result<Syslog, String> {
    let mut syslog = Syslog {
        server: SyslogServer::Local,
        facility: FACILITY,
        severity: SEVERITY,
        tag: "maintd".to_owned(),
        with_host: true,
    };
    let mut server = None;
    for parameter in parameters.split(',').filter(|_| !parameters.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "server" if server.is_none() => server = Some(syslog_server(value)?),
            "server" => return Err("server for a second time; delete one of them".to_owned()),
            "facility" => {
                syslog.facility = number(&FACILITIES, value).ok_or_else(|| {
                    format!(
                        "unknown facility {} of syslog; give local7, daemon or another one",
                        Quoted(value)
                    )
                })?;
            }
            "severity" => {
                syslog.severity = number(&SEVERITIES, value).ok_or_else(|| {
                    format!(
                        "unknown severity {} of syslog; give one of {}",
                        Quoted(value),
                        SEVERITIES.join(", ")
                    )
                })?;
            }
            "tag" => {
                let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                if value.is_empty() || value.len() > MAX_TAG || !value.chars().all(fits) {
                    return Err(format!(
                        "wrong tag {} of syslog; give {MAX_TAG} letters, digits and _ at most",
                        Quoted(value)
                    ));
                }
                syslog.tag = value.to_owned();
            }
            "nohostname" if value.is_empty() => syslog.with_host = false,
            _ => {
                return Err(format!(
                    "unknown parameter {} of syslog; delete it",
                    Quoted(parameter)
                ));
            }
        }
    }
    syslog.with_host &= server.is_some();
    syslog.server = server.unwrap_or(SyslogServer::Local);
    Ok(syslog)
}

fn number(names: &[&str], name: &str) -> Option<u8> {
    let at = names.iter().position(|known| *known == name)?;
    u8::try_from(at).ok()
}

/// `ADDR`, `ADDR:PORT`, `NAME:PORT`, `[ADDR]:PORT` or `unix:PATH`.
fn syslog_server(text: &str) -> Result<SyslogServer, String> {
    let wrong = || {
        format!(
            "wrong server {} of syslog; give ADDR:PORT or unix:PATH",
            Quoted(text)
        )
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err(wrong())
        } else {
            Ok(SyslogServer::Unix(path.into()))
        };
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        Some(_) | None => (text, PORT),
    };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !is_bracketed) {
        return Err(wrong());
    }
    Ok(SyslogServer::Udp(format!("{host}:{port}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_syslogd_is_named_as_nginx_names_it() {
        let read = |text| {
            let read = syslog(text).unwrap();
            (read.server, read.facility, read.severity, read.with_host)
        };
        let udp = |text: &str| SyslogServer::Udp(text.to_owned());
        assert_eq!(read(""), (SyslogServer::Local, 23, 6, false));
        assert_eq!(
            read("server=unix:/dev/log,nohostname,severity=notice"),
            (SyslogServer::Unix("/dev/log".into()), 23, 5, false)
        );
        for (text, server) in [
            ("server=192.0.2.1", "192.0.2.1:514"),
            ("server=192.0.2.1:12345", "192.0.2.1:12345"),
            ("server=[2001:db8::1]:12", "[2001:db8::1]:12"),
            ("server=[2001:db8::1]", "[2001:db8::1]:514"),
            ("server=log.example.org", "log.example.org:514"),
        ] {
            assert_eq!(read(text), (udp(server), 23, 6, true), "{text}");
        }
        let daemon = read("server=a,facility=daemon,tag=b_1");
        assert_eq!(daemon.1, 3);
        assert_eq!(syslog("server=a,tag=b_1").unwrap().tag, "b_1");
    }

    #[test]
    fn what_no_syslogd_takes_is_told() {
        for text in [
            ",",
            "server=",
            "server=unix:",
            "server=a:b",
            "server=2001:db8::1",
            "server=a,server=b",
            "facility=x",
            "severity=",
            "tag=a-b",
            "tag=",
            "nohostname=1",
            "color=red",
        ] {
            assert!(syslog(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels_are_mapped_on_ours() {
        assert_eq!(level("crit"), Some(LevelFilter::Error));
        assert_eq!(level("notice"), Some(LevelFilter::Info));
        assert_eq!(level("debug_http"), Some(LevelFilter::Debug));
        assert_eq!(level("debug_all"), None);
        assert_eq!(level("loud"), None);
    }
}
