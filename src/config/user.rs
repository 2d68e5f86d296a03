//! Who a worker is, and what its root directory may be.

use std::path::Path;

use crate::config::nginx::syntax::Quoted;
use crate::error::reason;
use crate::sys;

/// The number that stands for "as it is" where an id is to be set (setresuid(2)), and so is nobody's.
const UNCHANGED: u32 = u32::MAX;
/// Who has nothing on any system, by number for those that have no list of users.
const NOBODY: Identity = Identity {
    uid: 65534,
    gid: 65534,
};

/// A user who is not root, and the user's only group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's number, never 0.
    pub uid: u32,
    /// The group's number, never 0.
    pub gid: u32,
}

impl Identity {
    /// Finds who is meant by the name or number of a user, and of a group unless it is to be the user's own. A user
    /// that the system does not know, and that is only a number, has the group of the same number.
    ///
    /// # Errors
    /// Nobody is, or it is root; what is wrong and what to do.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, String> {
        let failed = |what: &str, error: &std::io::Error| {
            format!("cannot look {what} up: {}; give a number", reason(error))
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
                "{what} {} is root's, and workers never run as root; give another",
                Quoted(name)
            ));
        }
        Ok(Self { uid, gid })
    }

    /// Finds who is meant by `NAME`, `UID` or `UID:GID`.
    ///
    /// # Errors
    /// As with [`Self::find`].
    pub fn find_pair(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((user, group)) => Self::find(user, Some(group)),
            None => Self::find(text, None),
        }
    }

    /// Who a worker is where nobody is named.
    ///
    /// # Errors
    /// As with [`Self::find`].
    pub fn unprivileged() -> Result<Self, String> {
        let known = Self::find(sys::DEFAULT_USER, None);
        if sys::DEFAULT_USER == "nobody" {
            return Ok(known.unwrap_or(NOBODY));
        }
        known
    }

    /// Whether this process runs as this user already.
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

/// Why workers keep the root directory, where they do.
pub(crate) fn ignored_chroot() -> Option<&'static str> {
    if !sys::HAS_CHROOT {
        Some("a worker here has no access to files at all")
    } else if !sys::is_root() {
        Some("only root can change the root directory; start as root")
    } else {
        None
    }
}

/// Looks at a directory that is to be a worker's root.
///
/// # Errors
/// Why it cannot be, and what to do.
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
            let told = Identity::find_pair(text).unwrap_err();
            assert!(told.contains("workers never run as root"), "{text}: {told}");
        }
        assert_ne!(Identity::unprivileged().unwrap().uid, 0);
    }

    #[test]
    fn what_is_nobody_is_told() {
        for (text, told) in [
            ("no-such-user", "user \"no-such-user\""),
            ("", "user \"\""),
            (":1", "user \"\""),
            ("1:", "group \"\""),
            ("1:no-such-group", "group \"no-such-group\""),
            ("-1", "user \"-1\""),
            ("+1", "user \"+1\""),
            // What would leave the ids as they are.
            ("4294967295", "user \"4294967295\""),
            ("1:4294967295", "group \"4294967295\""),
            ("4294967296", "user \"4294967296\""),
        ] {
            assert_eq!(
                Identity::find_pair(text),
                Err(format!("there is no {told}; create it, or give a number"))
            );
        }
    }
}
