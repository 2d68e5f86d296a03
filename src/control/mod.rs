//! The control socket's messages: one line of JSON to the daemon, and one back.
//!
//! The daemon's supervisor answers ([`crate::serve`]); the switch asks, through [`ask`].

mod client;

use serde_json::{Value, json};

use crate::clock;
use crate::window::{MAX_MESSAGE, Window};

pub(crate) use crate::control::client::{Failure, ask};

/// The longest line that is asked with, its end included: a message of which every byte is escaped, and some more.
pub(crate) const MAX_LINE: usize = 64 * 1024;

const _: () = assert!(6 * MAX_MESSAGE < MAX_LINE / 2);

/// What the daemon is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To announce this from now on; an empty window ends what was announced.
    Announce {
        window: Window,
        /// It is in the state too, where the daemon finds it again. Who speaks to the socket himself has not saved it.
        is_saved: bool,
    },
    /// What it does, in numbers.
    Status,
}

impl Request {
    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        let value = match self {
            Self::Announce { window, is_saved } => {
                let mut value = json!({ "command": "announce", "saved": is_saved });
                window.put_into(&mut value);
                value
            }
            Self::Status => json!({ "command": "status" }),
        };
        format!("{value}\n")
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|_| "not a line of JSON; write one object".to_owned())?;
        match value.get("command").and_then(Value::as_str) {
            Some("announce") => Self::announce(&value),
            Some("status") => Ok(Self::Status),
            Some(_) | None => Err("unknown command; write announce or status".to_owned()),
        }
    }

    fn announce(value: &Value) -> Result<Self, String> {
        let window =
            Window::of(value).ok_or("\"until\" is a number of seconds and \"message\" a text")?;
        if window
            .message
            .as_ref()
            .is_some_and(|text| text.len() > MAX_MESSAGE)
        {
            return Err(format!("the message is over {MAX_MESSAGE} bytes"));
        }
        if window.is_too_far(clock::seconds()) {
            return Err("\"until\" is more than a year ahead".to_owned());
        }
        let is_saved = match value.get("saved") {
            None | Some(Value::Null) => false,
            Some(saved) => saved.as_bool().ok_or("\"saved\" is true or false")?,
        };
        Ok(Self::Announce { window, is_saved })
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// It is done; an object, which has what was asked for.
    Done(Value),
    /// It is not, and why.
    Error(String),
}

impl Reply {
    /// It is done, and there is nothing to tell.
    pub(crate) fn done() -> Self {
        Self::Done(json!({}))
    }

    /// The line, with its end.
    pub(crate) fn line(self) -> String {
        let value = match self {
            Self::Done(mut value) => {
                value["ok"] = json!(true);
                value
            }
            Self::Error(what) => json!({ "ok": false, "fault": what }),
        };
        format!("{value}\n")
    }

    /// Reads a line; nothing where it is no answer.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        let object = value.as_object_mut()?;
        match object.remove("ok")?.as_bool()? {
            true => Some(Self::Done(value)),
            false => Some(Self::Error(object.get("fault")?.as_str()?.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_asked() {
        let longest = "\u{1}".repeat(MAX_MESSAGE);
        for request in [
            Request::Status,
            Request::Announce {
                window: Window::default(),
                is_saved: true,
            },
            Request::Announce {
                window: Window {
                    until: Some(1_795_528_800),
                    message: Some("back \"soon\"\n".to_owned()),
                },
                is_saved: false,
            },
            Request::Announce {
                window: Window {
                    until: None,
                    message: Some(longest),
                },
                is_saved: true,
            },
        ] {
            let line = request.line();
            let text = line.strip_suffix('\n').unwrap();
            assert!(!text.contains('\n') && line.len() <= MAX_LINE);
            assert_eq!(Request::parse(text.as_bytes()), Ok(request));
        }
    }

    #[test]
    fn what_is_no_request_is_told() {
        for (line, expected) in [
            ("", "not a line of JSON"),
            ("{", "not a line of JSON"),
            ("\u{7f}", "not a line of JSON"),
            ("[]", "unknown command"),
            ("{\"command\":\"off\"}", "unknown command"),
            ("{\"command\":1}", "unknown command"),
            (
                "{\"command\":\"announce\",\"until\":-1}",
                "\"until\" is a number",
            ),
            (
                "{\"command\":\"announce\",\"message\":[]}",
                "\"message\" a text",
            ),
            (
                "{\"command\":\"announce\",\"saved\":1}",
                "\"saved\" is true or false",
            ),
        ] {
            let told = Request::parse(line.as_bytes()).unwrap_err();
            assert!(told.contains(expected), "{line}: {told}");
        }
        let long = format!(
            "{{\"command\":\"announce\",\"message\":\"{}\"}}",
            "x".repeat(4097)
        );
        assert!(
            Request::parse(long.as_bytes())
                .unwrap_err()
                .contains("over 4096")
        );
    }

    #[test]
    fn an_end_that_no_maintenance_has_is_refused() {
        let now = clock::seconds();
        let line = |until: u64| format!("{{\"command\":\"announce\",\"until\":{until}}}");
        for until in [u64::MAX, 4_000_000_000_000, now + 367 * 24 * 3600] {
            let told = Request::parse(line(until).as_bytes()).unwrap_err();
            assert_eq!(told, "\"until\" is more than a year ahead");
        }
        for until in [0, now, now + 364 * 24 * 3600] {
            assert!(Request::parse(line(until).as_bytes()).is_ok(), "{until}");
        }
    }

    #[test]
    fn an_answer_arrives_as_it_was_given() {
        for reply in [
            Reply::done(),
            Reply::Done(json!({ "pid": 1 })),
            Reply::Error("not now".to_owned()),
        ] {
            let line = reply.clone().line();
            assert_eq!(Reply::parse(line.as_bytes()), Some(reply));
        }
        assert_eq!(Reply::parse(b"{}"), None);
        assert_eq!(Reply::parse(b"{\"ok\":false}"), None);
    }
}
