//! The announcement of a maintenance: its end and a message. It switches nothing by itself.
//!
//! It is stored in the state file only: the switch writes it, and the daemon reads it at start and at each reload.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::reason;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 4096;
/// The farthest end. A later one is a typing error, or this host's clock is wrong.
pub(crate) const MAX_AHEAD: Duration = Duration::from_hours(24 * 30);
/// The longest state file that is read, in bytes.
const MAX_STATE: u64 = 1024 * 1024;

/// What the pages announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// The end, in seconds since 1970.
    pub until: Option<u64>,
    /// The administrator's message, unescaped.
    pub message: Option<String>,
}

impl Announcement {
    /// Nothing is announced.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.until.is_none() && self.message.is_none()
    }

    /// Its members as a JSON object.
    pub(crate) fn json(&self) -> Value {
        let mut object = json!({});
        self.put_into(&mut object);
        object
    }

    /// Sets its members in a JSON object.
    pub(crate) fn put_into(&self, object: &mut Value) {
        object["until"] = json!(self.until);
        object["message"] = json!(self.message);
    }

    /// Its members in a JSON object; `None` if one has the wrong type.
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

/// The state file in the switch's directory.
pub(crate) fn state_file(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

/// Reads the state file; `None` if it does not exist.
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

/// The announcement in the state file of a directory; empty if the switch is off. `now` is in seconds since 1970.
///
/// # Errors
/// The file exists and cannot be used, as a message.
pub(crate) fn saved(directory: &Path, now: u64) -> Result<Announcement, String> {
    let path = state_file(directory);
    let farthest = now.saturating_add(MAX_AHEAD.as_secs());
    let announcement = read_state(&path).and_then(|text| {
        let Some(text) = text else {
            return Ok(Announcement::default());
        };
        let state = serde_json::from_str(&text).ok();
        match state.as_ref().and_then(Announcement::of) {
            None => Err("it is damaged".to_owned()),
            Some(announcement) if announcement.until.is_some_and(|until| until > farthest) => {
                let days = MAX_AHEAD.as_secs() / 86_400;
                Err(format!("its end is more than {days} days ahead"))
            }
            Some(announcement) => Ok(announcement),
        }
    });
    announcement.map_err(|cause| {
        format!(
            "cannot read what is announced from \"{}\": {cause}; switch on again, or delete it",
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
    fn the_announcement_is_read_from_the_state_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(saved(path, NOW), Ok(Announcement::default()));
        assert_eq!(saved(&path.join("no"), NOW), Ok(Announcement::default()));
        for (text, until, message) in [
            (
                "{\"version\":1,\"until\":7,\"message\":\"m\"}",
                Some(7),
                Some("m"),
            ),
            ("{\"until\":null}", None, None),
            ("{\"until\":1798156800}", Some(NOW + 30 * 24 * 3600), None),
        ] {
            std::fs::write(state_file(path), text).unwrap();
            let expected = Announcement {
                until,
                message: message.map(str::to_owned),
            };
            assert_eq!(saved(path, NOW), Ok(expected));
        }
        for until in [u64::MAX, 9_000_000_000, NOW + 30 * 24 * 3600 + 1] {
            std::fs::write(state_file(path), format!("{{\"until\":{until}}}")).unwrap();
            let error = saved(path, NOW).unwrap_err();
            assert!(
                error
                    .ends_with("its end is more than 30 days ahead; switch on again, or delete it"),
                "{error}"
            );
        }
        for text in ["", "{", "{\"until\":\"soon\"}", "{\"message\":1}"] {
            std::fs::write(state_file(path), text).unwrap();
            let error = saved(path, NOW).unwrap_err();
            assert!(
                error.ends_with("it is damaged; switch on again, or delete it"),
                "{error}"
            );
        }
    }
}
