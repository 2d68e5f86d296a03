//! The directives of a `server` block.

use crate::config::nginx::block::{Server, parse_return};
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::listen::parse_listen;
use crate::config::nginx::location::add_location;
use crate::config::nginx::log::set_access_log;
use crate::config::nginx::names::{OWN, SERVER_ONLY, report_unused};
use crate::config::nginx::syntax::{ConfigError, Directive, Position};
use crate::config::nginx::value;
use crate::config::server_name::ServerName;
use crate::sys;

pub(crate) fn parse_server(directive: &Directive, context: &mut Context) -> Server {
    let mut server = Server::new(directive.name.position);
    for directive in context
        .diagnostics
        .ok(value::block(directive))
        .unwrap_or_default()
    {
        let applied = apply(&mut server, directive, context);
        context.diagnostics.ok(applied);
    }
    server
}

fn apply(
    server: &mut Server,
    directive: &Directive,
    context: &mut Context,
) -> Result<(), ConfigError> {
    let diagnostics = &mut context.diagnostics;
    match directive.name.text.as_str() {
        "listen" => server.listens.push(parse_listen(directive, diagnostics)?),
        "server_name" => server.names.extend(parse_names(directive, diagnostics)?),
        "location" => add_location(server, directive, context)?,
        "return" => server.returns = Some(parse_return(directive, diagnostics)),
        "access_log" => set_access_log(&mut server.access_log, directive, context)?,
        "ssl"
            if directive
                .arguments
                .first()
                .is_some_and(|it| it.text == "on") =>
        {
            let what = "ssl on is gone from nginx too; write listen ADDR:PORT ssl;";
            return Err(directive.name.message(what));
        }
        name if OWN.contains(&name) && !SERVER_ONLY.contains(&name) => {
            let what = format!("{name} belongs at the top level; move it out of server");
            return Err(directive.name.message(what));
        }
        _ if server.set(directive, context)? => {}
        _ if context.set_connections(directive)? => {}
        _ => report_unused(directive, &mut context.diagnostics),
    }
    Ok(())
}

/// The names of a `server_name`, each with its position.
fn parse_names(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Vec<(ServerName, Position)>, ConfigError> {
    if directive.arguments.is_empty() {
        let what = "server_name without a name; write server_name NAME;";
        return Err(directive.name.message(what));
    }
    let names = directive.arguments.iter().filter_map(|word| {
        let name = if word.text.eq_ignore_ascii_case("$hostname") {
            sys::host_name().ok_or("this host has no name; write it in place of $hostname")
        } else {
            Ok(word.text.clone())
        };
        let name = name.and_then(|name| name.parse());
        let name = diagnostics.ok(name.map_err(|what: &str| word.message(what)))?;
        Some((name, word.position))
    });
    Ok(names.collect())
}
