//! The user and the root directory of the workers.

use std::path::Path;

use crate::error::reason;
use crate::quote::Quoted;
use crate::sys;

/// The id that setresuid(2) reads as "unchanged": no user has it.
const UNCHANGED: u32 = u32::MAX;
/// The user `nobody`, by number for systems without a list of users.
const NOBODY: Identity = Identity {
    uid: 65534,
    gid: 65534,
};

/// A user other than root, and the only group of its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's number, never 0.
    pub uid: u32,
    /// The group's number, never 0.
    pub gid: u32,
}

impl Identity {
    /// Finds a user by name or number, and a group; without one, the user's own group. For a number
    /// without an entry in the user database, the group has the same number.
    ///
    /// # Errors
    /// The user or group does not exist, or is root.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, String> {
        let failed = |what: &str, error: &std::io::Error| {
            format!("cannot look up {what}: {}; give a number", reason(error))
        };
        let known = sys::find_user(user).map_err(|error| failed("the user", &error))?;
        let (uid, own_group) = match (known, id(user)) {
            (Some((uid, gid)), _) => (uid, gid),
            (None, Some(uid)) => {
                let gid = sys::find_group_of(uid).map_err(|error| failed("the user", &error))?;
                (uid, gid.unwrap_or(uid))
            }
            (None, None) => return Err(unknown("user", user)),
        };
        let gid = match group {
            None => own_group,
            Some(group) => sys::find_group(group)
                .map_err(|error| failed("the group", &error))?
                .or_else(|| id(group))
                .ok_or_else(|| unknown("group", group))?,
        };
        if uid == 0 || gid == 0 {
            let (what, name) = if uid == 0 {
                ("user", user)
            } else {
                ("group", group.unwrap_or("0"))
            };
            return Err(format!(
                "{what} {} is root, and workers never run as root; give another user",
                Quoted(name)
            ));
        }
        Ok(Self { uid, gid })
    }

    /// Finds the user of `NAME`, `UID` or `UID:GID`.
    ///
    /// # Errors
    /// The same as [`Self::find`].
    pub fn find_pair(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((user, group)) => Self::find(user, Some(group)),
            None => Self::find(text, None),
        }
    }

    /// The user of the workers if none is configured.
    ///
    /// # Errors
    /// The same as [`Self::find`].
    pub fn unprivileged() -> Result<Self, String> {
        let known = Self::find(sys::DEFAULT_USER, None);
        if sys::DEFAULT_USER == "nobody" {
            return Ok(known.unwrap_or(NOBODY));
        }
        known
    }

    /// This process runs as this user.
    #[must_use]
    pub fn is_own(self) -> bool {
        (self.uid, self.gid) == sys::own_ids()
    }
}

fn id(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    let id = digits.then(|| text.parse().ok()).flatten();
    id.filter(|id| *id != UNCHANGED)
}

fn unknown(what: &str, name: &str) -> String {
    format!(
        "there is no {what} {}; create it, or give a number",
        Quoted(name)
    )
}

/// The reason why the setting has no effect, if it has none.
pub(crate) fn ignored_chroot() -> Option<&'static str> {
    if !sys::HAS_CHROOT {
        Some("a worker here has no access to files at all")
    } else if !sys::is_root() {
        Some("only root can change the root directory; start as root")
    } else {
        None
    }
}

/// Checks that a directory can be the root directory of the workers.
///
/// # Errors
/// It cannot; the message says why.
pub(crate) fn check_chroot(path: &Path) -> Result<(), String> {
    let found = path.metadata();
    found
        .and_then(|directory| sys::check_root(&directory))
        .map_err(|error| {
            format!(
                "cannot use {} as root directory: {}; give a directory that root alone may write to",
                Quoted(&path.to_string_lossy()),
                reason(&error)
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_no_list_of_users() {
        for (text, uid, gid) in [
            ("4000000001:4000000002", 4_000_000_001, 4_000_000_002),
            ("4000000001", 4_000_000_001, 4_000_000_001),
        ] {
            assert_eq!(Identity::find_pair(text), Ok(Identity { uid, gid }));
        }
    }

    #[test]
    fn a_worker_is_never_root() {
        for text in ["root", "0", "0:1", "1:0", "00", "4000000001:0"] {
            let error = Identity::find_pair(text).unwrap_err();
            assert!(
                error.contains("workers never run as root"),
                "{text}: {error}"
            );
        }
        assert_ne!(Identity::unprivileged().unwrap().uid, 0);
    }

    #[test]
    fn an_unknown_user_or_group_is_an_error() {
        for (text, unknown) in [
            ("no-such-user", "user \"no-such-user\""),
            ("", "user \"\""),
            (":1", "user \"\""),
            ("1:", "group \"\""),
            ("1:no-such-group", "group \"no-such-group\""),
            ("-1", "user \"-1\""),
            ("+1", "user \"+1\""),
            // setresuid(2) would leave the ids unchanged.
            ("4294967295", "user \"4294967295\""),
            ("1:4294967295", "group \"4294967295\""),
            ("4294967296", "user \"4294967296\""),
        ] {
            assert_eq!(
                Identity::find_pair(text),
                Err(format!(
                    "there is no {unknown}; create it, or give a number"
                ))
            );
        }
    }
}
