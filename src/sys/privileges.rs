//! Who a worker is, and what it gives up before it reads a byte of the network: what the systems have in common.

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use std::ffi::CStr;
use std::ffi::CString;
use std::fs::Metadata;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::ptr;

use crate::sys::system;
use crate::sys::system::Root;

/// The longest entry of passwd or group that is looked at.
const MAX_ENTRY: usize = 1 << 20;
/// The bits of a file's mode that let others than its owner write (stat(2)).
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Whether this process may change who it is.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid touches no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The ids of the user and the group that this process runs as.
pub(crate) fn own_ids() -> (u32, u32) {
    // SAFETY: these touch no memory and cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// A user's own id and that of its group, by the user's name (getpwnam(3)).
///
/// # Errors
/// The table of users cannot be read. That there is none is no error.
pub(crate) fn find_user(name: &str) -> io::Result<Option<(u32, u32)>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    entry(|passwd: *mut libc::passwd, buffer, size, found| {
        // SAFETY: `name` ends in NUL; the others are those that `entry` lends, with the size that it says.
        unsafe { libc::getpwnam_r(name.as_ptr(), passwd, buffer, size, found) }
    })
    .map(|passwd| passwd.map(|passwd| (passwd.pw_uid, passwd.pw_gid)))
}

/// The group of the user with this id (getpwuid(3)).
///
/// # Errors
/// As with [`find_user`].
pub(crate) fn find_group_of(uid: u32) -> io::Result<Option<u32>> {
    entry(|passwd: *mut libc::passwd, buffer, size, found| {
        // SAFETY: they are those that `entry` lends, with the size that it says.
        unsafe { libc::getpwuid_r(uid, passwd, buffer, size, found) }
    })
    .map(|passwd| passwd.map(|passwd| passwd.pw_gid))
}

/// A group's id by its name (getgrnam(3)).
///
/// # Errors
/// As with [`find_user`].
pub(crate) fn find_group(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    entry(|group: *mut libc::group, buffer, size, found| {
        // SAFETY: `name` ends in NUL; the others are those that `entry` lends, with the size that it says.
        unsafe { libc::getgrnam_r(name.as_ptr(), group, buffer, size, found) }
    })
    .map(|group| group.map(|group| group.gr_gid))
}

/// Looks an entry up, with a buffer as large as it needs. What its pointers point to is gone when this returns.
fn entry<T>(
    look_up: impl Fn(*mut T, *mut libc::c_char, usize, *mut *mut T) -> libc::c_int,
) -> io::Result<Option<T>> {
    let mut entry = MaybeUninit::<T>::uninit();
    let mut buffer: Vec<libc::c_char> = vec![0; 1024];
    loop {
        let mut found = ptr::null_mut();
        let status = look_up(
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        );
        match status {
            // SAFETY: the call says by this pointer, which is that of `entry`, that it has filled it in.
            0 if !found.is_null() => return Ok(Some(unsafe { entry.assume_init() })),
            libc::ERANGE if buffer.len() < MAX_ENTRY => buffer.resize(buffer.len() * 2, 0),
            libc::EINTR => {}
            libc::EIO | libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ERANGE => {
                return Err(io::Error::from_raw_os_error(status));
            }
            // The systems have many a number for "no such entry" or "no such file" (getpwnam(3)).
            _ => return Ok(None),
        }
    }
}

/// Whether a directory may be a worker's root: nobody who is like the worker can put anything there.
pub(crate) fn check_root(directory: &Metadata) -> io::Result<()> {
    let wrong = if !directory.is_dir() {
        "not a directory"
    } else if directory.uid() != 0 {
        "not owned by root"
    } else if directory.mode() & WRITABLE_BY_OTHERS != 0 {
        "others than root may write to it"
    } else {
        return Ok(());
    };
    Err(io::Error::other(wrong))
}

/// What a worker is to give up, made ready before the fork.
#[derive(Debug)]
pub(crate) struct Confinement {
    /// What root becomes, and where. A process that was not started as root stays who and where it is.
    change: Option<Change>,
}

#[derive(Debug)]
struct Change {
    uid: u32,
    gid: u32,
    root: Root,
}

/// What the system did not let a worker give up.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// As in "cannot ...".
    pub(crate) step: &'static str,
    /// What the system says.
    pub(crate) cause: io::Error,
}

/// Names the step that an error belongs to.
pub(crate) fn at(step: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |cause| Refusal { step, cause }
}

impl Confinement {
    /// For a supervisor that is not root: there is neither another user nor another root directory to be had.
    pub(crate) const fn unprivileged() -> Self {
        Self { change: None }
    }

    /// For a supervisor that is root. Without a directory it is an empty one, where the system has one to give.
    ///
    /// # Errors
    /// The directory cannot be had, or must not be used.
    pub(crate) fn new(uid: u32, gid: u32, root: Option<&Path>) -> io::Result<Self> {
        let root = Root::open(root)?;
        Ok(Self {
            change: Some(Change { uid, gid, root }),
        })
    }

    /// Gives all of it up for this process, which must have one thread only, and has it back never.
    ///
    /// # Errors
    /// What the system refuses; the process must end then, since it may have given up a part.
    pub(crate) fn enter(self) -> Result<(), Refusal> {
        let is_change = self.change.is_some();
        if let Some(Change { uid, gid, root }) = self.change {
            root.enter().map_err(at("change the root directory"))?;
            system::limit_capabilities();
            leave_groups().map_err(at("leave root's groups"))?;
            become_user(uid, gid).map_err(at("become another user"))?;
            verify(uid, gid).map_err(at("become another user for good"))?;
        }
        // SAFETY: umask touches no memory and cannot fail.
        unsafe { libc::umask(0o077) };
        system::lock_in(is_change)
    }
}

/// Turns a system call's status into a result.
pub(crate) fn done(status: libc::c_int) -> io::Result<()> {
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn leave_groups() -> io::Result<()> {
    // SAFETY: no group is read where the count is 0.
    done(unsafe { libc::setgroups(0, ptr::null()) })
}

/// Real, effective and saved ids at once, the group first: later there would be no right to it.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: it takes numbers only.
    done(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: it takes numbers only.
    done(unsafe { libc::setresuid(uid, uid, uid) })
}

/// Where the calls above are missing root's setuid(2) sets all three ids too.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: it takes a number only.
    done(unsafe { libc::setgid(gid) })?;
    // SAFETY: it takes a number only.
    done(unsafe { libc::setuid(uid) })
}

/// The real, effective and saved ids of user and group.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn ids() -> io::Result<([u32; 3], [u32; 3])> {
    let (mut uids, mut gids) = ([0; 3], [0; 3]);
    let [real, effective, saved] = uids.each_mut().map(ptr::from_mut);
    // SAFETY: it writes three ids, and there is room for each.
    done(unsafe { libc::getresuid(real, effective, saved) })?;
    let [real, effective, saved] = gids.each_mut().map(ptr::from_mut);
    // SAFETY: as above.
    done(unsafe { libc::getresgid(real, effective, saved) })?;
    Ok((uids, gids))
}

/// The saved ids are not told here; whether they are root's is seen from whether there is a way back.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
fn ids() -> io::Result<([u32; 3], [u32; 3])> {
    // SAFETY: these touch no memory and cannot fail.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let (own_uid, own_gid) = own_ids();
    Ok(([uid, own_uid, own_uid], [gid, own_gid, own_gid]))
}

/// Asks the system whether it is so, and whether there is a way back.
fn verify(uid: u32, gid: u32) -> io::Result<()> {
    let (uids, gids) = ids()?;
    let mut groups = [0; 2];
    // SAFETY: it writes as many groups as there is room for, or none and fails.
    let count = unsafe { libc::getgroups(2, groups.as_mut_ptr()) };
    // The group itself is among them on FreeBSD.
    let groups_left = match usize::try_from(count) {
        Ok(count) => groups.iter().take(count).any(|group| *group != gid),
        Err(_) => true,
    };
    // SAFETY: they take a number only.
    let way_back = unsafe { libc::setuid(0) == 0 || libc::seteuid(0) == 0 };
    if uids != [uid; 3] || gids != [gid; 3] || groups_left || way_back {
        return Err(io::Error::other("the system did not do what it said"));
    }
    Ok(())
}

/// A path as the system's calls take it.
#[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Makes a directory the root of this process (chroot(2)), and nothing above it be within reach.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) fn chroot(directory: &CStr) -> io::Result<()> {
    // SAFETY: `directory` ends in NUL.
    done(unsafe { libc::chroot(directory.as_ptr()) })?;
    // SAFETY: the literal ends in NUL.
    done(unsafe { libc::chdir(c"/".as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        assert_eq!(find_user("root").unwrap(), Some((0, 0)));
        assert_eq!(find_group_of(0).unwrap(), Some(0));
        for nobody in ["", "no such user", "no\0body"] {
            assert_eq!(find_user(nobody).unwrap(), None, "{nobody:?}");
            assert_eq!(find_group(nobody).unwrap(), None, "{nobody:?}");
        }
        assert_eq!(find_group_of(4_000_000_000).unwrap(), None);
    }

    #[test]
    fn a_root_directory_is_roots_alone() {
        let told = |path: &str| {
            let found = check_root(&std::fs::metadata(path).unwrap());
            found.err().map(|error| error.to_string())
        };
        assert_eq!(told("/"), None);
        assert_eq!(told("/dev/null").as_deref(), Some("not a directory"));
        assert_eq!(
            told("/tmp").as_deref(),
            Some("others than root may write to it")
        );
    }
}
