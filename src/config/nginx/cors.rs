//! `cors_origin`: the origins whose scripts may read the answers.

use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive};
use crate::config::nginx::value::wrong_value;
use crate::config::site::{Cors, MAX_ORIGINS};

pub(crate) fn parse_cors_origin(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Cors, ConfigError> {
    let words = &directive.arguments;
    if words.is_empty() {
        return Err(directive.name.message(
            "cors_origin without an origin; write cors_origin https://app.example; or cors_origin *;",
        ));
    }
    if words.len() > MAX_ORIGINS {
        let what = format!("more origins than {MAX_ORIGINS}; delete some");
        return Err(directive.name.message(what));
    }
    if words.len() == 1 && words[0].text == "*" {
        return Ok(Cors::Any);
    }
    let mut origins: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        diagnostics.error(match origin(&word.text) {
            Some(origin) if !origins.contains(&origin) => {
                origins.push(origin);
                continue;
            }
            Some(origin) => word.message(format!("a duplicate origin {origin}; delete it")),
            None if word.text == "*" => {
                word.message("* excludes other origins; delete them, or the *")
            }
            None => wrong_value(
                directive,
                index,
                "an origin such as https://app.example or https://app.example:8443, without a path",
            ),
        });
    }
    Ok(Cors::Origins(origins))
}

/// An origin as browsers send it (RFC 6454 6.2): in lower case, without the default port of the scheme.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        // Schemes of embedded browsers, such as capacitor://localhost.
        _ => "",
    };
    let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let rest = rest.strip_suffix(own_port).unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        Some(_) | None => (rest, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        // Internationalized names are sent in ASCII (RFC 5890).
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    (is_scheme && is_host && port.is_none_or(is_port)).then(|| format!("{scheme}://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(origin(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example:",
            "https://app.example:x",
            "https://app.example:65536",
            "https://*.example",
            "https://user@app.example",
            "https://b\u{fc}cher.example",
            "://app.example",
            "1://app.example",
            "https://[app]",
            "https://a b",
        ] {
            assert_eq!(origin(text), None, "{text}");
        }
    }
}
