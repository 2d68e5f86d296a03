//! The root directory of a worker: which directories are safe, and the change to one.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use crate::sys::syscall::check;

/// The bits of a file's mode that let others than its owner write (stat(2)).
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Checks that only root can write to a directory: a worker must not be able to put anything into its root.
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

/// A path as an argument of a system call.
#[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
pub(crate) fn c_path(path: &std::path::Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

/// Makes a directory the root and the working directory of this process (chroot(2), chdir(2)).
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) fn chroot(directory: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: `directory` ends in NUL.
    check(unsafe { libc::chroot(directory.as_ptr()) })?;
    // SAFETY: the literal ends in NUL.
    check(unsafe { libc::chdir(c"/".as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_directory_is_writable_by_root_alone() {
        let error = |path: &str| {
            let checked = check_root(&std::fs::metadata(path).unwrap());
            checked.err().map(|error| error.to_string())
        };
        assert_eq!(error("/"), None);
        assert_eq!(error("/dev/null").as_deref(), Some("not a directory"));
        assert_eq!(
            error("/tmp").as_deref(),
            Some("others than root may write to it")
        );
    }
}
