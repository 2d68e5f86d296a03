//! `location`: the paths of a location, and its directives.

use regex::bytes::{Regex, RegexBuilder};

use crate::config::nginx::block::{Location, Pattern, Server, Step, parse_index, parse_return};
use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::header::AnswerFields;
use crate::config::nginx::names::{SERVER_ONLY, report_unused};
use crate::config::nginx::syntax::{ConfigError, Directive};
use crate::config::nginx::value;
use crate::quote::Quoted;

/// Adds a location and those that are nested in it to a server.
pub(crate) fn add_location(
    server: &mut Server,
    directive: &Directive,
    context: &mut Context,
) -> Result<(), ConfigError> {
    let pattern = parse_pattern(directive, &mut context.diagnostics);
    let what = "location without a path; write location /PATH { ... }";
    let mut location = Location {
        pattern: pattern.ok_or_else(|| directive.name.message(what))?,
        root: None,
        alias: None,
        index: None,
        fields: AnswerFields::default(),
        returns: None,
        steps: Vec::new(),
    };
    let first_inner = server.locations.len();
    let block = context.diagnostics.ok(value::block(directive));
    for directive in block.unwrap_or_default() {
        let applied = apply(server, &mut location, directive, context);
        context.diagnostics.ok(applied);
    }
    for inner in server.locations.iter_mut().skip(first_inner) {
        inner.fields.inherit(&location.fields);
    }
    server.locations.push(location);
    Ok(())
}

/// The paths of a location. As in nginx, the blank after the modifier may be missing.
fn parse_pattern(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<Pattern> {
    let (modifier, path, word) = match directive.arguments.as_slice() {
        [word] => {
            let modifiers = ["=", "^~", "~*", "~"].into_iter();
            let mut found = modifiers.filter(|it| word.text.starts_with(it));
            let (modifier, path) = word.text.split_at(found.next().map_or(0, str::len));
            (modifier, path.to_owned(), word)
        }
        [modifier, word] => (modifier.text.as_str(), word.text.clone(), word),
        _ => return None,
    };
    Some(match modifier {
        "=" => Pattern::Exact(path),
        "~" | "~*" => {
            let expression = parse_expression(&path, modifier == "~*");
            if expression.is_none() {
                diagnostics.remark(word.message(format!(
                    "the expression {} is not supported, so the location is ignored; if it serves the page, write a path",
                    Quoted(&path)
                )));
            }
            Pattern::Expression(expression)
        }
        "" if path.starts_with('@') => Pattern::Named(path),
        modifier => Pattern::Prefix {
            path,
            is_final: modifier == "^~",
        },
    })
}

/// Compiles a regular expression, which matches bytes as in nginx. Lookaround and backreferences are not supported.
fn parse_expression(text: &str, ignore_case: bool) -> Option<Regex> {
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).case_insensitive(ignore_case);
    builder.build().ok()
}

fn apply(
    server: &mut Server,
    location: &mut Location,
    directive: &Directive,
    context: &mut Context,
) -> Result<(), ConfigError> {
    let diagnostics = &mut context.diagnostics;
    match directive.name.text.as_str() {
        "root" => location.root = Some(value::word(directive)?.clone()),
        "alias" => location.alias = Some(value::word(directive)?.clone()),
        "index" => location.index = Some(parse_index(directive)?),
        "rewrite" => location.steps = vec![parse_rewrite(directive)?],
        "try_files" => location.steps = parse_try_files(directive),
        "return" => location.returns = Some(parse_return(directive, diagnostics)),
        "location" => add_location(server, directive, context)?,
        "internal" | "break" => {}
        name if SERVER_ONLY.contains(&name) => {
            let what = format!("{name} belongs in server; move it out of location");
            return Err(directive.name.message(what));
        }
        _ if location.fields.set(directive, diagnostics)? => {}
        _ if server.set(directive, context)? => {}
        _ if context.set_connections(directive)? => {}
        _ => report_unused(directive, &mut context.diagnostics),
    }
    Ok(())
}

fn parse_rewrite(directive: &Directive) -> Result<Step, ConfigError> {
    let target = directive.arguments.get(1).ok_or_else(|| {
        let what = "rewrite without a target; write rewrite ^ /FILE break;";
        directive.name.message(what)
    })?;
    if target.text.contains('$') {
        return Err(target.message("variables are not supported here; name one file"));
    }
    let flag = directive.arguments.get(2);
    Ok(Step {
        file: target.text.clone(),
        is_internal_redirect: flag.is_none_or(|flag| flag.text != "break"),
    })
}

/// The files that do not depend on the request: `$uri` would be a page of the live site. The last argument is the target of an
/// internal redirect, and so may be a directory or a location.
fn parse_try_files(directive: &Directive) -> Vec<Step> {
    let files = (1..).zip(&directive.arguments);
    let steps = files.map(|(number, word)| Step {
        file: word.text.clone(),
        is_internal_redirect: number == directive.arguments.len(),
    });
    let is_fixed = |step: &Step| {
        let is_file = step.is_internal_redirect || !step.file.ends_with('/');
        is_file && !step.file.contains('$') && !step.file.starts_with('=')
    };
    steps.filter(is_fixed).collect()
}
