//! The running daemon is told what is announced, so that the page shows it.

use std::time::Duration;

use crate::control::{Failure, Reply, Request, ask};
use crate::switch::Switch;
use crate::window::Window;

/// How long the daemon may take to have new workers.
const LIMIT: Duration = Duration::from_secs(25);

/// Why the daemon does not show what it was told.
enum Untold {
    /// There is no daemon with this socket.
    Nobody(String),
    /// It said so.
    Refused(String),
}

impl Switch {
    /// Has the page show the window. That it does not is no reason to leave visitors where they are.
    pub(crate) fn announce(&self, window: &Window, is_saved: bool) {
        match self.tell_daemon(window, is_saved) {
            Ok(()) => {}
            // There is nothing that it could show.
            Err(Untold::Nobody(_)) if window.is_empty() => {}
            Err(Untold::Nobody(cause)) => log::warn!(
                "the page does not show what is announced: no daemon at \"{}\": {cause}; give \"maintd serve\" a configuration or --control, or send it HUP",
                self.control.display()
            ),
            Err(Untold::Refused(cause)) => log::warn!(
                "the page does not show what is announced: {cause}; send HUP to \"maintd serve\" when that is mended"
            ),
        }
    }

    /// Has the page show no window any more.
    pub(crate) fn end_announcement(&self) {
        match self.tell_daemon(&Window::default(), true) {
            Ok(()) | Err(Untold::Nobody(_)) => {}
            Err(Untold::Refused(cause)) => log::warn!(
                "the page may still show what was announced: {cause}; send HUP to \"maintd serve\" when that is mended"
            ),
        }
    }

    fn tell_daemon(&self, window: &Window, is_saved: bool) -> Result<(), Untold> {
        let request = Request::Announce {
            window: window.clone(),
            is_saved,
        };
        match ask(&self.control, &request, LIMIT) {
            Ok(Reply::Done(_)) => Ok(()),
            Ok(Reply::Error(what)) => Err(Untold::Refused(what)),
            Err(Failure::Nobody(cause)) => Err(Untold::Nobody(cause)),
            Err(Failure::Failed(cause)) => Err(Untold::Refused(format!(
                "the daemon at \"{}\": {cause}",
                self.control.display()
            ))),
        }
    }
}
