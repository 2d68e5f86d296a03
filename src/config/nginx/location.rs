//! `location`: the paths of a location, and its directives.

use regex::bytes::{Regex, RegexBuilder};

use crate::config::nginx::block::{Location, Pattern, Server, Step, parse_index, parse_return};
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::names::{OWN_OF_SERVERS, report_unused};
use crate::config::nginx::syntax::{Directive, Position, Quoted};
use crate::config::nginx::value;

/// Adds a location and those that are nested in it to a server.
pub(crate) fn add_location(server: &mut Server, directive: &Directive, context: &mut Context) {
    let Some(pattern) = parse_pattern(directive, &mut context.diagnostics) else {
        context.diagnostics.error(
            directive.name.position,
            "location without a path; write location /PATH { ... }",
        );
        return;
    };
    let mut location = Location::new(pattern);
    let first_inner = server.locations.len();
    for directive in value::block(directive, &mut context.diagnostics) {
        apply(server, &mut location, directive, context);
    }
    for inner in server.locations.iter_mut().skip(first_inner) {
        inner.fields.inherit(&location.fields);
    }
    server.locations.push(location);
}

/// The paths of a location. As in nginx, the blank after the modifier may be missing.
fn parse_pattern(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<Pattern> {
    let (modifier, path, position) = match directive.arguments.as_slice() {
        [word] => {
            let modifiers = ["=", "^~", "~*", "~"].into_iter();
            let mut found = modifiers.filter(|it| word.text.starts_with(it));
            let (modifier, path) = word.text.split_at(found.next().map_or(0, str::len));
            (modifier, path.to_owned(), word.position)
        }
        [modifier, word] => (modifier.text.as_str(), word.text.clone(), word.position),
        _ => return None,
    };
    Some(match modifier {
        "=" => Pattern::Exact(path),
        "~" | "~*" => {
            let ignore_case = modifier == "~*";
            Pattern::Expression(parse_expression(&path, ignore_case, position, diagnostics))
        }
        "" if path.starts_with('@') => Pattern::Named(path),
        modifier => Pattern::Prefix {
            path,
            is_final: modifier == "^~",
        },
    })
}

/// Compiles a regular expression, which matches bytes as in nginx. Lookaround and backreferences are not supported.
fn parse_expression(
    text: &str,
    ignore_case: bool,
    position: Position,
    diagnostics: &mut Diagnostics,
) -> Option<Regex> {
    let expression = RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(ignore_case)
        .build();
    if expression.is_err() {
        diagnostics.remark(
            position,
            format!(
                "the expression {} is not supported, so the location is ignored; if it serves the page, write a path",
                Quoted(text)
            ),
        );
    }
    expression.ok()
}

fn apply(
    server: &mut Server,
    location: &mut Location,
    directive: &Directive,
    context: &mut Context,
) {
    let diagnostics = &mut context.diagnostics;
    match directive.name.text.as_str() {
        "root" => location.root = value::word(directive, diagnostics).cloned(),
        "alias" => location.alias = value::word(directive, diagnostics).cloned(),
        "index" => location.index = parse_index(directive, diagnostics),
        "rewrite" => {
            if let Some(step) = parse_rewrite(directive, diagnostics) {
                location.steps = vec![step];
            }
        }
        "try_files" => location.steps = parse_try_files(directive),
        "return" => location.returns = Some(parse_return(directive, diagnostics)),
        "location" => add_location(server, directive, context),
        "internal" | "break" => {}
        name if OWN_OF_SERVERS.contains(&name) => diagnostics.error(
            directive.name.position,
            format!("{name} belongs in server; move it out of location"),
        ),
        _ if location.fields.set(directive, diagnostics) => {}
        _ if server.set(directive, context) => {}
        _ if context.set_connections(directive) => {}
        _ => report_unused(directive, &mut context.diagnostics),
    }
}

fn parse_rewrite(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<Step> {
    let Some(target) = directive.arguments.get(1) else {
        diagnostics.error(
            directive.name.position,
            "rewrite without a target; write rewrite ^ /FILE break;",
        );
        return None;
    };
    if target.text.contains('$') {
        diagnostics.error(
            target.position,
            "variables are not possible here; name one file",
        );
        return None;
    }
    let flag = directive.arguments.get(2);
    Some(Step {
        file: target.text.clone(),
        is_searched: flag.is_none_or(|flag| flag.text != "break"),
    })
}

/// The files that do not depend on the request: `$uri` would be a page of the live site. The last argument is the target of an
/// internal redirect, and so may be a directory or a location.
fn parse_try_files(directive: &Directive) -> Vec<Step> {
    let files = (1..).zip(&directive.arguments);
    let steps = files.map(|(number, word)| Step {
        file: word.text.clone(),
        is_searched: number == directive.arguments.len(),
    });
    let is_fixed = |step: &Step| {
        let is_file = step.is_searched || !step.file.ends_with('/');
        is_file && !step.file.contains('$') && !step.file.starts_with('=')
    };
    steps.filter(is_fixed).collect()
}
