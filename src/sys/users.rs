//! Users and groups: the ids of this process, and look-ups in the user database.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The longest entry of passwd or group that is read.
const MAX_ENTRY: usize = 1 << 20;

/// Whether this process runs as root.
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
/// The user database cannot be read. An unknown name is no error.
pub(crate) fn find_user(name: &str) -> io::Result<Option<(u32, u32)>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    entry(|passwd: *mut libc::passwd, buffer, size, found| {
        // SAFETY: `name` ends in NUL; the other arguments are those of `entry`, which are valid.
        unsafe { libc::getpwnam_r(name.as_ptr(), passwd, buffer, size, found) }
    })
    .map(|passwd| passwd.map(|passwd| (passwd.pw_uid, passwd.pw_gid)))
}

/// The group of the user with this id (getpwuid(3)).
///
/// # Errors
/// Those of [`find_user`].
pub(crate) fn find_group_of(uid: u32) -> io::Result<Option<u32>> {
    entry(|passwd: *mut libc::passwd, buffer, size, found| {
        // SAFETY: the arguments are those of `entry`, which are valid.
        unsafe { libc::getpwuid_r(uid, passwd, buffer, size, found) }
    })
    .map(|passwd| passwd.map(|passwd| passwd.pw_gid))
}

/// A group's id by its name (getgrnam(3)).
///
/// # Errors
/// Those of [`find_user`].
pub(crate) fn find_group(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    entry(|group: *mut libc::group, buffer, size, found| {
        // SAFETY: `name` ends in NUL; the other arguments are those of `entry`, which are valid.
        unsafe { libc::getgrnam_r(name.as_ptr(), group, buffer, size, found) }
    })
    .map(|group| group.map(|group| group.gr_gid))
}

/// Looks up an entry, with a buffer that grows as needed. The entry's pointers dangle when this returns.
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
            // SAFETY: a `found` that is not null is the pointer to `entry`, which the call has filled in.
            0 if !found.is_null() => return Ok(Some(unsafe { entry.assume_init() })),
            libc::ERANGE if buffer.len() < MAX_ENTRY => buffer.resize(buffer.len() * 2, 0),
            libc::EINTR => {}
            libc::EIO | libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ERANGE => {
                return Err(io::Error::from_raw_os_error(status));
            }
            // The systems have several numbers for "no such entry" and "no such file" (getpwnam(3)).
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        assert_eq!(find_user("root").unwrap(), Some((0, 0)));
        assert_eq!(find_group_of(0).unwrap(), Some(0));
        for unknown in ["", "no such user", "no\0body"] {
            assert_eq!(find_user(unknown).unwrap(), None, "{unknown:?}");
            assert_eq!(find_group(unknown).unwrap(), None, "{unknown:?}");
        }
        assert_eq!(find_group_of(4_000_000_000).unwrap(), None);
    }
}
