//! A `server` block: where it listens, by which certificate, and what it says beside the page.

use std::time::Duration;

use super::Reader;
use super::block::Server;
use crate::config::syntax::{Directive, Place, Quoted};
use crate::config::{CertificateFiles, Endpoint, PageSource, Where};

impl Reader {
    /// A directive of a `server` block; what is not one is looked at as one of `http`.
    pub(super) fn server_directive(&mut self, server: &mut Server, directive: &Directive) {
        match directive.name.text.as_str() {
            "listen" => self.listen(server, directive),
            "server_name" => self.server_name(directive),
            "location" => self.location(server, directive),
            "return" => self.returned(server, directive),
            "ssl"
                if directive
                    .arguments
                    .first()
                    .is_some_and(|word| word.text == "on") =>
            {
                self.fault(
                    directive.name.place,
                    "ssl on is gone from nginx too; write listen ADDR:PORT ssl;",
                );
            }
            _ if self.page_directive(server, directive) => {}
            _ if self.shared_directive(directive) => {}
            _ => self.other(directive),
        }
    }

    /// A directive that `http` may have for its servers.
    pub(super) fn page_directive(&mut self, server: &mut Server, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "root" => {
                server.root = self
                    .argument(directive)
                    .map(|path| self.directory.join(path))
            }
            "error_page" => self.error_page(server, directive),
            "ssl_certificate" => {
                server.certificates.extend(
                    self.argument(directive)
                        .map(|path| self.directory.join(path)),
                );
            }
            "ssl_certificate_key" => {
                server.keys.extend(
                    self.argument(directive)
                        .map(|path| self.directory.join(path)),
                );
            }
            "ssl_protocols" => self.ssl_protocols(directive),
            "add_header" => self.add_header(server, directive),
            "default_type" => server.default_type = self.argument(directive).map(str::to_owned),
            "charset" => server.charset = self.argument(directive).map(str::to_owned),
            "retry_after" => {
                if let Some(seconds) = self.number(directive) {
                    self.config.retry_after = Duration::from_secs(seconds.into());
                }
            }
            _ => return false,
        }
        true
    }

    fn listen(&mut self, server: &mut Server, directive: &Directive) {
        let Some((first, options)) = directive.arguments.split_first() else {
            self.fault(
                directive.name.place,
                "listen without a place; write listen ADDR:PORT;",
            );
            return;
        };
        let (mut secure, mut twin) = (false, false);
        for option in options {
            match option.text.as_str() {
                "ssl" => secure = true,
                "ipv6only=off" => twin = true,
                "default_server" | "default" | "reuseport" | "deferred" | "bind"
                | "ipv6only=on" => {}
                "proxy_protocol" => {
                    self.fault(option.place, "proxy_protocol is not spoken here; delete it");
                }
                "http2" | "quic" | "spdy" => {
                    self.remark(
                        option.place,
                        format!("{} is ignored: HTTP/1.1 is spoken here", option.text),
                    );
                }
                text if text.split_once('=').is_some_and(|(name, _)| {
                    [
                        "backlog",
                        "rcvbuf",
                        "sndbuf",
                        "setfib",
                        "fastopen",
                        "accept_filter",
                        "so_keepalive",
                        "ipv6only",
                    ]
                    .contains(&name)
                }) =>
                {
                    self.remark(option.place, format!("{} is ignored", Quoted(text)));
                }
                text => {
                    self.fault(
                        option.place,
                        format!("unknown option {} of listen; delete it", Quoted(text)),
                    );
                }
            }
        }
        match place(&first.text) {
            Some(place) => {
                let endpoints = place.endpoints(secure);
                // Our IPv6 sockets take IPv6 alone, so the other half is a socket of its own.
                let twins = endpoints
                    .iter()
                    .filter(|_| twin)
                    .filter_map(Endpoint::ipv4_twin);
                let twins: Vec<_> = twins.collect();
                server.endpoints.extend(endpoints.into_iter().chain(twins));
            }
            None => self.wrong_value(directive, 0, "PORT, ADDR:PORT, [ADDR]:PORT or unix:PATH"),
        }
    }

    fn server_name(&mut self, directive: &Directive) {
        for name in &directive.arguments {
            if name.text.starts_with('~') {
                self.fault(
                    name.place,
                    "a server_name by regular expression is not possible here; list the names",
                );
            } else if !self.config.server_names.contains(&name.text) {
                self.config.server_names.push(name.text.clone());
            }
        }
    }

    fn error_page(&mut self, server: &mut Server, directive: &Directive) {
        let Some((target, codes)) = directive.arguments.split_last() else {
            self.fault(
                directive.name.place,
                "error_page without a page; write error_page 503 /FILE;",
            );
            return;
        };
        let Some(at) = codes.iter().position(|code| code.text == "503") else {
            return;
        };
        if let Some(code) = codes
            .get(at + 1)
            .filter(|code| code.text.starts_with('=') && code.text != "=503")
        {
            self.remark(
                code.place,
                format!("{} is ignored: maintd answers with 503", Quoted(&code.text)),
            );
        }
        if target.text.contains("://") {
            self.fault(
                target.place,
                "a page elsewhere cannot be shown from here; give a file of this host",
            );
        } else if target.text.contains('$') {
            self.fault(
                target.place,
                "variables are not possible here; name one file",
            );
        } else {
            server.error_page = Some((target.text.clone(), target.place));
        }
    }

    /// `return 503`, alone or with a text; any other return would be no maintenance page.
    pub(super) fn returned(&mut self, server: &mut Server, directive: &Directive) {
        match directive.arguments.as_slice() {
            [code] if code.text == "503" => server.returns = Some(None),
            [code, text] if code.text == "503" => server.returns = Some(Some(text.text.clone())),
            _ => {
                self.fault(
                    directive.name.place,
                    "return with another status than 503 is not possible: maintd answers everything with 503; write return 503;",
                );
                // So that it is not told to be missing as well.
                server.returns = Some(None);
            }
        }
    }

    fn ssl_protocols(&mut self, directive: &Directive) {
        for protocol in &directive.arguments {
            match protocol.text.as_str() {
                "TLSv1.2" | "TLSv1.3" => {}
                "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {
                    self.remark(
                        protocol.place,
                        format!("{} is not offered: it is not safe", protocol.text),
                    );
                }
                text => self.fault(
                    protocol.place,
                    format!("unknown protocol {}; give TLSv1.2 TLSv1.3", Quoted(text)),
                ),
            }
        }
    }

    fn add_header(&mut self, server: &mut Server, directive: &Directive) {
        let (name, value) = match directive.arguments.as_slice() {
            [name, value] => (name, value),
            [name, value, always] if always.text == "always" => (name, value),
            _ => {
                self.fault(
                    directive.name.place,
                    "add_header takes a name and a value; write add_header NAME VALUE;",
                );
                return;
            }
        };
        let token =
            |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        if name.text.is_empty() || !name.text.chars().all(token) {
            self.wrong_value(directive, 0, "the name of a field");
        } else if value.text.contains('$') {
            self.fault(
                value.place,
                "variables are not possible here; give one value",
            );
        } else if value.text.chars().any(char::is_control) {
            self.wrong_value(directive, 1, "a value of one line");
        } else {
            server.headers.push((name.text.clone(), value.text.clone()));
        }
    }

    /// Makes one configuration of the servers.
    pub(super) fn take_servers(&mut self, http: &Server) {
        let servers = std::mem::take(&mut self.servers);
        if servers.is_empty() && !self.has_faults() {
            let place = Place {
                file: 0,
                line: 1,
                column: 1,
            };
            self.fault(
                place,
                "no server; write server { listen 127.0.0.1:8080; return 503; }",
            );
        }
        let mut endpoints: Vec<Endpoint> = Vec::new();
        let mut pages: Option<(PageSource, Vec<CertificateFiles>)> = None;
        for mut server in servers {
            server.inherit(http);
            if server.endpoints.is_empty() {
                // nginx's own default.
                server.endpoints = place("80")
                    .map(|place| place.endpoints(false))
                    .unwrap_or_default();
            }
            let new = server
                .endpoints
                .iter()
                .filter(|endpoint| !endpoints.contains(endpoint));
            let new: Vec<_> = new.cloned().collect();
            endpoints.extend(new);
            let certificates = self.certificates(&server);
            let page = self.page(&server);
            self.texts(&server);
            match &pages {
                None => pages = Some((page, certificates)),
                Some(first) if *first != (page, certificates) => self.fault(
                    server.place,
                    "a server with a page or certificate of its own is not possible yet; give all servers the same",
                ),
                Some(_) => {}
            }
        }
        let (page, certificates) = pages.unwrap_or((PageSource::Embedded, Vec::new()));
        self.config.endpoints = endpoints;
        self.config.page = page;
        self.config.certificates = certificates;
    }

    fn certificates(&mut self, server: &Server) -> Vec<CertificateFiles> {
        let secure = server.endpoints.iter().any(|endpoint| endpoint.secure);
        if secure && server.certificates.is_empty() {
            self.fault(
                server.place,
                "listen ... ssl without a certificate; add \"ssl_certificate FILE;\"",
            );
        } else if server.certificates.len() != server.keys.len() {
            let what = "ssl_certificate without ssl_certificate_key, or the other way round; add \"ssl_certificate_key FILE;\"";
            self.fault(server.place, what);
        }
        let pairs = server.certificates.iter().zip(&server.keys);
        pairs
            .map(|(chain, key)| CertificateFiles {
                chain: chain.clone(),
                key: key.clone(),
            })
            .collect()
    }

    /// What the answer says beside the page: `add_header`, `default_type` and `charset`.
    fn texts(&mut self, server: &Server) {
        for (name, value) in &server.headers {
            if name.eq_ignore_ascii_case("retry-after") {
                match value.trim().parse() {
                    Ok(seconds) => self.config.retry_after = Duration::from_secs(seconds),
                    Err(_) => self.remark(
                        server.place,
                        "Retry-After as a date is ignored: give seconds",
                    ),
                }
            } else if [
                "content-length",
                "content-type",
                "connection",
                "transfer-encoding",
                "date",
            ]
            .iter()
            .any(|fixed| name.eq_ignore_ascii_case(fixed))
            {
                self.remark(
                    server.place,
                    format!("add_header {name} is ignored: maintd says that itself"),
                );
            } else {
                let header = (name.clone(), value.clone());
                if !self.config.headers.contains(&header) {
                    self.config.headers.push(header);
                }
            }
        }
        self.config.default_type.clone_from(&server.default_type);
        self.config.charset.clone_from(&server.charset);
    }
}

/// A place as nginx writes it: also a port or an address alone, `*`, and `localhost`.
fn place(text: &str) -> Option<Where> {
    if text.starts_with("unix:") {
        return text.parse().ok();
    }
    if text.parse::<u16>().is_ok() {
        return format!("0.0.0.0:{text}").parse().ok();
    }
    if let Some(port) = text.strip_prefix("*:") {
        return format!("0.0.0.0:{port}").parse().ok();
    }
    let with_port = if text.contains(':') && !text.ends_with(']') {
        text.to_owned()
    } else {
        format!("{text}:80")
    };
    with_port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_may_be_written_short() {
        for (text, long) in [
            ("8080", "0.0.0.0:8080"),
            ("*:81", "0.0.0.0:81"),
            ("192.0.2.1", "192.0.2.1:80"),
            ("[::]:82", "[::]:82"),
            ("[::1]", "[::1]:80"),
            ("192.0.2.1:83", "192.0.2.1:83"),
            ("unix:/run/x", "unix:/run/x"),
        ] {
            let endpoints = place(text)
                .map(|place| place.endpoints(false))
                .unwrap_or_default();
            assert_eq!(
                endpoints.first().map(|endpoint| endpoint.place.to_string()),
                Some(long.to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            place("localhost:84").map(|place| place.endpoints(true).len()),
            Some(2)
        );
        for wrong in ["", "x", "example.org:80", "99999", "[::", "unix:"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
