//! Makes the running daemon reload, so that its pages show the announcement in the state file, and reports a failure.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::announcement::Announcement;
use crate::control::{ControlError, ControlRequest, Reply, ask};

/// How long the daemon may take to report its announcement.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the daemon may take to reply to a reload: longer than it lets its client wait, since its reply has the cause.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(25);

/// Makes the daemon show `announcement`, which is in the state file if `is_saved`. Warns if the page does not show it: that is
/// no reason to undo the switch.
pub(crate) fn reload_daemon(control: &Path, announcement: &Announcement, is_saved: bool) {
    let cause = match update(control, announcement, is_saved) {
        Ok(()) => return,
        Err(ControlError::NoDaemon(_)) if announcement.is_empty() => return,
        Err(ControlError::NoDaemon(cause)) => format!(
            "no daemon at \"{}\": {cause}; give \"maintd serve\" a configuration or --control, or send it HUP",
            control.display()
        ),
        Err(ControlError::Failed(cause)) => cause,
    };
    if announcement.is_empty() {
        log::warn!("the page may still show what was announced: {cause}");
    } else {
        log::warn!("the page does not show what is announced: {cause}");
    }
}

fn update(control: &Path, announcement: &Announcement, is_saved: bool) -> Result<(), ControlError> {
    let failed = |cause: &str| Err(ControlError::Failed(cause.to_owned()));
    let announces = |reply: &Value| {
        reply.get("announced").and_then(Announcement::of).as_ref() == Some(announcement)
    };
    match ask(control, ControlRequest::Status, STATUS_TIMEOUT) {
        // It has nothing to reload.
        Ok(Reply::Done(status)) if announces(&status) => return Ok(()),
        Err(error @ ControlError::NoDaemon(_)) if is_saved || announcement.is_empty() => {
            return Err(error);
        }
        Ok(_) | Err(_) if !is_saved => {
            return failed("the state could not be saved; switch again when that is fixed");
        }
        // A daemon that is too busy to report may still reload.
        Ok(_) | Err(_) => {}
    }
    match ask(control, ControlRequest::Reload, RELOAD_TIMEOUT) {
        Ok(Reply::Done(reply)) if announces(&reply) => Ok(()),
        Ok(Reply::Done(_)) => failed(
            "the daemon cannot read the state file, or has another state_dir; see its error_log",
        ),
        Ok(Reply::Error(cause)) => failed(&cause),
        Err(ControlError::Failed(cause)) => failed(&format!(
            "the daemon at \"{}\": {cause}; check \"maintd serve\", and send it HUP",
            control.display()
        )),
        Err(error @ ControlError::NoDaemon(_)) => Err(error),
    }
}
