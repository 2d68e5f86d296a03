//! The parameters of `syslog:` targets.

use crate::config::logs::{Syslog, SyslogServer};
use crate::quote::Quoted;

/// nginx's names of the facilities, indexed by their numbers (RFC 5424 6.2.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// nginx's names of the severities, indexed by their numbers (RFC 5424 6.2.1).
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
];
/// nginx's defaults: local7 and info.
const FACILITY: u8 = 23;
const SEVERITY: u8 = 6;
/// The longest tag that RFC 3164 5.3 allows.
const MAX_TAG: usize = 32;
/// The port of syslogd (RFC 3164 2).
const PORT: u16 = 514;

/// Parses the parameters after `syslog:`. Without a server it is the local syslogd, which adds the host name itself.
pub(crate) fn parse_syslog(parameters: &str) -> Result<Syslog, String> {
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
            "server" if server.is_none() => server = Some(parse_server(value)?),
            "server" => return Err("a duplicate server; delete one of them".to_owned()),
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
fn parse_server(text: &str) -> Result<SyslogServer, String> {
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
mod tests {
    use super::*;

    #[test]
    fn parameters_are_parsed_as_in_nginx() {
        let read = |text| {
            let read = parse_syslog(text).unwrap();
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
        assert_eq!(parse_syslog("server=a,tag=b_1").unwrap().tag, "b_1");
    }

    #[test]
    fn wrong_parameters_are_errors() {
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
            assert!(parse_syslog(text).is_err(), "{text}");
        }
    }
}
