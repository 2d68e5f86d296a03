//! Privilege drop: what a worker drops before it reads from the network.

use std::io;
use std::path::Path;
use std::ptr;

use crate::sys::syscall::{ConfinementError, at, check};
use crate::sys::system;
use crate::sys::system::Root;
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
use crate::sys::users::own_ids;

/// The privileges that a worker drops, prepared before the fork.
#[derive(Debug)]
pub(crate) struct Confinement {
    /// The change from root. A process that was not started as root keeps its user and its root directory.
    change: Option<UserChange>,
}

#[derive(Debug)]
struct UserChange {
    uid: u32,
    gid: u32,
    root: Root,
}

impl Confinement {
    /// For a supervisor that is not root and can change neither user nor root directory.
    pub(crate) const fn unprivileged() -> Self {
        Self { change: None }
    }

    /// For a supervisor that is root. Without `root` the root directory is an empty one, on systems with chroot.
    ///
    /// # Errors
    /// The directory cannot be opened, or is writable by others.
    pub(crate) fn new(uid: u32, gid: u32, root: Option<&Path>) -> io::Result<Self> {
        let root = Root::open(root)?;
        Ok(Self {
            change: Some(UserChange { uid, gid, root }),
        })
    }

    /// Drops the privileges of this process for good. It must have a single thread.
    ///
    /// # Errors
    /// The first step that the system refuses. The process must end then: it may have dropped a part.
    pub(crate) fn enter(self) -> Result<(), ConfinementError> {
        let is_change = self.change.is_some();
        if let Some(UserChange { uid, gid, root }) = self.change {
            root.enter().map_err(at("change the root directory"))?;
            system::limit_capabilities();
            leave_groups().map_err(at("leave root's groups"))?;
            become_user(uid, gid).map_err(at("become another user"))?;
            verify(uid, gid).map_err(at("become another user for good"))?;
        }
        // SAFETY: umask touches no memory and cannot fail.
        unsafe { libc::umask(0o077) };
        system::restrict_worker(is_change)
    }
}

fn leave_groups() -> io::Result<()> {
    // SAFETY: no group is read where the count is 0.
    check(unsafe { libc::setgroups(0, ptr::null()) })
}

/// Sets the real, effective and saved ids, the group's first: that needs root.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: it takes numbers only.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: it takes numbers only.
    check(unsafe { libc::setresuid(uid, uid, uid) })
}

/// As above: root's setuid(2) sets all three ids.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: it takes a number only.
    check(unsafe { libc::setgid(gid) })?;
    // SAFETY: it takes a number only.
    check(unsafe { libc::setuid(uid) })
}

/// The real, effective and saved ids of user and group.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn ids() -> io::Result<([u32; 3], [u32; 3])> {
    let (mut uids, mut gids) = ([0; 3], [0; 3]);
    let [real, effective, saved] = uids.each_mut().map(ptr::from_mut);
    // SAFETY: it writes three ids, and there is room for each.
    check(unsafe { libc::getresuid(real, effective, saved) })?;
    let [real, effective, saved] = gids.each_mut().map(ptr::from_mut);
    // SAFETY: it writes three ids, and there is room for each.
    check(unsafe { libc::getresgid(real, effective, saved) })?;
    Ok((uids, gids))
}

/// As above. The saved ids are unknown here; [`verify`] tries whether they are root's.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
fn ids() -> io::Result<([u32; 3], [u32; 3])> {
    // SAFETY: these touch no memory and cannot fail.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let (own_uid, own_gid) = own_ids();
    Ok(([uid, own_uid, own_uid], [gid, own_gid, own_gid]))
}

/// Checks that the ids are these, that no other group is left, and that root cannot be regained.
fn verify(uid: u32, gid: u32) -> io::Result<()> {
    let (uids, gids) = ids()?;
    let mut groups = [0; 2];
    // SAFETY: it writes at most two groups, for which there is room.
    let count = unsafe { libc::getgroups(2, groups.as_mut_ptr()) };
    // On FreeBSD the group itself is one of them.
    let groups_left = match usize::try_from(count) {
        Ok(count) => groups.iter().take(count).any(|group| *group != gid),
        Err(_) => true,
    };
    // SAFETY: they take a number only.
    let way_back = unsafe { libc::setuid(0) == 0 || libc::seteuid(0) == 0 };
    if uids != [uid; 3] || gids != [gid; 3] || groups_left || way_back {
        return Err(io::Error::other(
            "the system reported success, but privileges are left",
        ));
    }
    Ok(())
}
