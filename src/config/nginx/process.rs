//! `user` and `chroot`: the user and the root directory of the workers.

use std::path::PathBuf;

use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::Directive;
use crate::config::user;
use crate::config::user::Identity;
use crate::sys;

pub(crate) fn parse_user(directive: &Directive, diagnostics: &mut Diagnostics) -> Option<Identity> {
    let position = directive.name.position;
    let (user, group) = match directive.arguments.as_slice() {
        [user] => (user, None),
        [user, group] => (user, Some(group)),
        _ => {
            diagnostics.error(
                position,
                "user takes a user and an optional group; write user NAME [GROUP];",
            );
            return None;
        }
    };
    let found = match group {
        Some(group) => Identity::find(&user.text, Some(&group.text)),
        None => Identity::find_pair(&user.text),
    };
    // As in nginx, the directive has no effect without root, so the user need not exist.
    if !sys::is_root() {
        if !found.is_ok_and(Identity::is_own) {
            diagnostics.remark(
                position,
                "user is ignored: only root can become another user; start as root",
            );
        }
        return None;
    }
    found
        .map_err(|what| diagnostics.error(user.position, what))
        .ok()
}

pub(crate) fn parse_chroot(directive: &Directive, context: &mut Context) -> Option<PathBuf> {
    let path = context.path(directive)?;
    let position = directive.name.position;
    if let Some(ignored) = user::ignored_chroot() {
        let what = format!("chroot is ignored: {ignored}");
        context.diagnostics.remark(position, what);
        return None;
    }
    if let Err(what) = user::check_chroot(&path) {
        let argument = directive.arguments.first();
        let position = argument.map_or(position, |word| word.position);
        context.diagnostics.error(position, what);
        return None;
    }
    Some(path)
}
