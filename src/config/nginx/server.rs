//! A `server` block: where it listens, by which certificate, and what it says beside the page.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::TlsVersions;
use crate::config::nginx::block::{Fields, Server};
use crate::config::nginx::syntax::{Directive, Position, Quoted, Word};
use crate::config::nginx::{OWN, OWN_OF_SERVERS, Reader};
use crate::config::server_name::ServerName;
use crate::sys;

impl Reader {
    /// A directive of a `server` block; what is not one is looked at as one of `http`.
    pub(crate) fn server_directive(&mut self, server: &mut Server, directive: &Directive) {
        match directive.name.text.as_str() {
            "listen" => self.listen(server, directive),
            "server_name" => self.server_name(server, directive),
            "location" => self.location(server, directive),
            "return" => server.returns = Some(self.returned(directive)),
            "access_log" => self.access_log(server, directive),
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
            name if OWN.contains(&name) && !OWN_OF_SERVERS.contains(&name) => {
                self.fault(
                    directive.name.place,
                    format!("{name} stands at the top level; move it out of server"),
                );
            }
            _ if self.page_directive(server, directive) => {}
            _ if self.shared_directive(directive) => {}
            _ => self.other(directive),
        }
    }

    /// A directive that `http` may have for its servers.
    pub(crate) fn page_directive(&mut self, server: &mut Server, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "root" => server.root = self.word(directive).cloned(),
            "index" => server.index = self.index(directive),
            "error_page" => self.error_page(server, directive),
            "ssl_certificate" => server.certificates.extend(self.placed_path(directive)),
            "ssl_certificate_key" => server.keys.extend(self.placed_path(directive)),
            "ssl_protocols" => server.versions = self.ssl_protocols(directive),
            "ssl_session_timeout" => server.session_timeout = self.duration(directive),
            "ssl_session_tickets" => match self.argument(directive) {
                Some("on") => server.session_tickets = Some(true),
                Some("off") => server.session_tickets = Some(false),
                Some(_) => self.wrong_value(directive, 0, "on or off"),
                None => {}
            },
            "retry_after" => {
                if let Some(seconds) = self.number(directive) {
                    server.retry_after = Some(Duration::from_secs(seconds.into()));
                }
            }
            "cors_origin" => self.cors_origin(server, directive),
            _ => return self.field_directive(&mut server.fields, directive),
        }
        true
    }

    /// A directive that sets fields of the answer, which each level may have.
    pub(crate) fn field_directive(&mut self, fields: &mut Fields, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "add_header" => fields.headers.extend(self.add_header(directive)),
            "default_type" => fields.default_type = self.argument(directive).map(str::to_owned),
            "charset" => self.charset(fields, directive),
            _ => return false,
        }
        true
    }

    fn charset(&mut self, fields: &mut Fields, directive: &Directive) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
        match self.argument(directive) {
            Some(name) if name.contains('$') => self.remark(
                directive.name.place,
                "a charset with a variable is ignored: the charset of the page is sent",
            ),
            Some(name) if name.is_empty() || !name.bytes().all(is_plain) => {
                self.wrong_value(directive, 0, "the name of a charset, or off");
            }
            name => fields.charset = name.map(str::to_owned),
        }
    }

    /// The path that a directive names, and the directive's place.
    fn placed_path(&mut self, directive: &Directive) -> Option<(PathBuf, Position)> {
        let path = self.argument(directive)?;
        Some((self.directory.join(path), directive.name.place))
    }

    fn server_name(&mut self, server: &mut Server, directive: &Directive) {
        if directive.arguments.is_empty() {
            self.fault(
                directive.name.place,
                "server_name without a name; write server_name NAME;",
            );
        }
        for word in &directive.arguments {
            let place = word.place;
            let name = if word.text.eq_ignore_ascii_case("$hostname") {
                sys::host_name().ok_or("this host has no name; write it in place of $hostname")
            } else {
                Ok(word.text.clone())
            };
            match name.and_then(|name| name.parse::<ServerName>()) {
                Ok(name) => server.names.push((name, place)),
                Err(what) => self.fault(place, what),
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

    /// The text of a `return 503` that has one; any other return would be no maintenance page.
    pub(crate) fn returned(&mut self, directive: &Directive) -> Option<Word> {
        match directive.arguments.as_slice() {
            [code] if code.text == "503" => None,
            [code, text] if code.text == "503" => Some(text.clone()),
            _ => {
                self.fault(
                    directive.name.place,
                    "return with another status than 503 is not possible: maintd answers everything with 503; write return 503;",
                );
                // So that it is not reported as missing as well.
                None
            }
        }
    }

    /// The versions that a list of protocols comes to.
    fn ssl_protocols(&mut self, directive: &Directive) -> Option<TlsVersions> {
        let (mut tls12, mut tls13, mut unknown) = (false, false, false);
        for protocol in &directive.arguments {
            match protocol.text.as_str() {
                "TLSv1.2" => tls12 = true,
                "TLSv1.3" => tls13 = true,
                "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {
                    self.remark(
                        protocol.place,
                        format!("{} is not offered: it is not safe", protocol.text),
                    );
                }
                text => {
                    unknown = true;
                    self.fault(
                        protocol.place,
                        format!("unknown protocol {}; give TLSv1.2 TLSv1.3", Quoted(text)),
                    );
                }
            }
        }
        match (tls12, tls13) {
            (true, true) => Some(TlsVersions::Both),
            (true, false) => Some(TlsVersions::Only12),
            (false, true) => Some(TlsVersions::Only13),
            (false, false) => {
                if !unknown {
                    self.fault(
                        directive.name.place,
                        "ssl_protocols leaves no protocol that is spoken here; add TLSv1.2 TLSv1.3",
                    );
                }
                None
            }
        }
    }
}
