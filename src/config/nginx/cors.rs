//! `cors_origin`: which origins' scripts may read the answers.

use crate::config::nginx::Reader;
use crate::config::nginx::block::Server;
use crate::config::nginx::syntax::Directive;
use crate::config::{Cors, MAX_ORIGINS};

impl Reader {
    pub(crate) fn cors_origin(&mut self, server: &mut Server, directive: &Directive) {
        let place = directive.name.place;
        if server.cors.is_some() {
            self.fault(place, "a duplicate cors_origin; put all origins into one");
            return;
        }
        // So that the next one is told of in any case.
        server.cors = Some(Cors::None);
        let words = &directive.arguments;
        if words.is_empty() {
            self.fault(
                place,
                "cors_origin without an origin; write cors_origin https://app.example; or cors_origin *;",
            );
        } else if words.len() > MAX_ORIGINS {
            self.fault(
                place,
                format!("more origins than {MAX_ORIGINS}; delete some"),
            );
        } else if words.len() == 1 && words[0].text == "*" {
            server.cors = Some(Cors::Any);
        } else {
            let mut origins: Vec<String> = Vec::new();
            for (number, word) in words.iter().enumerate() {
                match origin(&word.text) {
                    Some(origin) if origins.contains(&origin) => {
                        self.fault(word.place, format!("a duplicate origin {origin}; delete it"));
                    }
                    Some(origin) => origins.push(origin),
                    None if word.text == "*" => {
                        self.fault(word.place, "* stands alone; delete the other origins, or it");
                    }
                    None => self.wrong_value(
                        directive,
                        number,
                        "an origin such as https://app.example or https://app.example:8443, without a path",
                    ),
                }
            }
            server.cors = Some(Cors::Origins(origins));
        }
    }
}

/// An origin as browsers send it (RFC 6454 6.2): in lower case, and without the port that is the scheme's own.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        // Of programs that show pages, such as capacitor://localhost.
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
        // Other letters are sent in their ASCII form (RFC 5890).
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
