//! The directives of a `server` block.

use crate::config::nginx::block::{Server, parse_return};
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::listen::parse_listen;
use crate::config::nginx::location::add_location;
use crate::config::nginx::log::set_access_log;
use crate::config::nginx::names::{OWN, OWN_OF_SERVERS, report_unused};
use crate::config::nginx::syntax::{Directive, Position};
use crate::config::nginx::value;
use crate::config::server_name::ServerName;
use crate::sys;

pub(crate) fn parse_server(directive: &Directive, context: &mut Context) -> Server {
    let mut server = Server::new(directive.name.position);
    for directive in value::block(directive, &mut context.diagnostics) {
        apply(&mut server, directive, context);
    }
    server
}

fn apply(server: &mut Server, directive: &Directive, context: &mut Context) {
    let diagnostics = &mut context.diagnostics;
    let is_on = || {
        directive
            .arguments
            .first()
            .is_some_and(|word| word.text == "on")
    };
    match directive.name.text.as_str() {
        "listen" => server.listens.extend(parse_listen(directive, diagnostics)),
        "server_name" => server.names.extend(parse_names(directive, diagnostics)),
        "location" => add_location(server, directive, context),
        "return" => server.returns = Some(parse_return(directive, diagnostics)),
        "access_log" => set_access_log(&mut server.access_log, directive, context),
        "ssl" if is_on() => diagnostics.error(
            directive.name.position,
            "ssl on is gone from nginx too; write listen ADDR:PORT ssl;",
        ),
        name if OWN.contains(&name) && !OWN_OF_SERVERS.contains(&name) => diagnostics.error(
            directive.name.position,
            format!("{name} belongs at the top level; move it out of server"),
        ),
        _ if server.set(directive, context) => {}
        _ if context.set_connections(directive) => {}
        _ => report_unused(directive, &mut context.diagnostics),
    }
}

/// The names of a `server_name`, each with its position.
fn parse_names(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Vec<(ServerName, Position)> {
    if directive.arguments.is_empty() {
        diagnostics.error(
            directive.name.position,
            "server_name without a name; write server_name NAME;",
        );
    }
    let mut names = Vec::new();
    for word in &directive.arguments {
        let position = word.position;
        let name = if word.text.eq_ignore_ascii_case("$hostname") {
            sys::host_name().ok_or("this host has no name; write it in place of $hostname")
        } else {
            Ok(word.text.clone())
        };
        match name.and_then(|name| name.parse::<ServerName>()) {
            Ok(name) => names.push((name, position)),
            Err(what) => diagnostics.error(position, what),
        }
    }
    names
}
