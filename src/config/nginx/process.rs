//! `user` and `chroot`: the user and the root directory of the workers.

use std::path::PathBuf;

use crate::config::nginx::context::Context;
use crate::config::nginx::diagnostics::Diagnostics;
use crate::config::nginx::syntax::{ConfigError, Directive};
use crate::config::user::{self, Identity};
use crate::sys;

/// The user; `None` without root, which cannot change it.
pub(crate) fn parse_user(
    directive: &Directive,
    diagnostics: &mut Diagnostics,
) -> Result<Option<Identity>, ConfigError> {
    let name = &directive.name;
    let (user, found) = match directive.arguments.as_slice() {
        [user] => (user, Identity::find_pair(&user.text)),
        [user, group] => (user, Identity::find(&user.text, Some(&group.text))),
        _ => {
            let what = "user takes a user and an optional group; write user NAME [GROUP];";
            return Err(name.message(what));
        }
    };
    // As in nginx, the directive has no effect without root, so the user need not exist.
    if !sys::is_root() {
        if !found.is_ok_and(Identity::is_own) {
            let what = "user is ignored: only root can become another user; start as root";
            diagnostics.remark(name.message(what));
        }
        return Ok(None);
    }
    found.map(Some).map_err(|what| user.message(what))
}

/// The root directory; `None` if it cannot be changed.
pub(crate) fn parse_chroot(
    directive: &Directive,
    context: &mut Context,
) -> Result<Option<PathBuf>, ConfigError> {
    let path = context.path(directive)?;
    if let Some(ignored) = user::ignored_chroot() {
        let remark = format!("chroot is ignored: {ignored}");
        context.diagnostics.remark(directive.name.message(remark));
        return Ok(None);
    }
    match user::check_chroot(&path) {
        Ok(()) => Ok(Some(path)),
        Err(what) => Err(directive.arguments[0].message(what)),
    }
}
