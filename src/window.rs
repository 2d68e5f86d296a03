//! The maintenance window: what is announced of it. Nothing ever switches by itself.
//!
//! The switch writes it down with the rest of what it did, and the daemon reads it there.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::reason;

/// The longest message of an administrator, in bytes: some sentences for a page.
pub const MAX_MESSAGE: usize = 4096;

/// The farthest end: what is beyond it is a slip, and no maintenance.
const FARTHEST: Duration = Duration::from_hours(24 * 366);

/// The largest state that is read.
const MAX_STATE: u64 = 1024 * 1024;

/// Until when a maintenance is to last, and what its administrator says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The end, in seconds since 1970.
    pub until: Option<u64>,
    /// The administrator's words, as they were typed.
    pub message: Option<String>,
}

impl Window {
    /// Nothing is announced.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.until.is_none() && self.message.is_none()
    }

    /// Its end is so far away that it cannot be meant.
    pub(crate) fn is_too_far(&self, now: u64) -> bool {
        let farthest = now.saturating_add(FARTHEST.as_secs());
        self.until.is_some_and(|until| until > farthest)
    }

    /// Puts its members into a JSON object.
    pub(crate) fn put_into(&self, object: &mut Value) {
        object["until"] = json!(self.until);
        object["message"] = json!(self.message);
    }

    /// Its members in a JSON object; nothing where one of them is no such thing.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let until = match object.get("until") {
            None | Some(Value::Null) => None,
            Some(until) => Some(until.as_u64()?),
        };
        let message = match object.get("message") {
            None | Some(Value::Null) => None,
            Some(message) => Some(message.as_str()?.to_owned()),
        };
        Some(Self { until, message })
    }
}

/// The file in which the switch keeps what is on, in its directory.
pub(crate) fn state_file(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

/// Reads the whole of that file; nothing where there is none, nor can there be one.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn read_state(path: &Path) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(reason(&error)),
    };
    let mut text = String::new();
    file.take(MAX_STATE)
        .read_to_string(&mut text)
        .map_err(|error| reason(&error))?;
    Ok(Some(text))
}

/// What is announced by the state in a directory: nothing where it is off. An end is held against `now`, in seconds since 1970.
///
/// # Errors
/// The file is there and cannot be used, as a message.
pub(crate) fn saved(directory: &Path, now: u64) -> Result<Window, String> {
    let path = state_file(directory);
    let window = read_state(&path).and_then(|text| match text {
        None => Ok(Window::default()),
        Some(text) => serde_json::from_str(&text)
            .ok()
            .and_then(|state| Window::of(&state))
            .ok_or_else(|| "it is damaged".to_owned()),
    });
    let window = window.and_then(|window| match window.is_too_far(now) {
        true => Err("its end is more than a year ahead".to_owned()),
        false => Ok(window),
    });
    window.map_err(|cause| {
        format!(
            "cannot read what is announced from \"{}\": {cause}; switch anew, or delete it",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25, in seconds since 1970.
    const NOW: u64 = 1_795_564_800;

    #[test]
    fn what_is_announced_is_read_from_the_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(saved(path, NOW), Ok(Window::default()));
        assert_eq!(saved(&path.join("no"), NOW), Ok(Window::default()));
        for (text, until, message) in [
            (
                "{\"version\":1,\"until\":7,\"message\":\"m\"}",
                Some(7),
                Some("m"),
            ),
            ("{\"until\":null}", None, None),
        ] {
            std::fs::write(state_file(path), text).unwrap();
            let expected = Window {
                until,
                message: message.map(str::to_owned),
            };
            assert_eq!(saved(path, NOW), Ok(expected));
        }
        for until in [u64::MAX, 9_000_000_000] {
            std::fs::write(state_file(path), format!("{{\"until\":{until}}}")).unwrap();
            let told = saved(path, NOW).unwrap_err();
            assert!(
                told.ends_with("its end is more than a year ahead; switch anew, or delete it"),
                "{told}"
            );
        }
        for text in ["", "{", "{\"until\":\"soon\"}", "{\"message\":1}"] {
            std::fs::write(state_file(path), text).unwrap();
            let told = saved(path, NOW).unwrap_err();
            assert!(
                told.ends_with("it is damaged; switch anew, or delete it"),
                "{told}"
            );
        }
    }
}
