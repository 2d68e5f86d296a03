//! The file in which others find the number of the supervisor's process.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, reason};

/// A file with the number of this process; dropped, it is removed if that still stands in it.
///
/// A forked process has another number, and so removes nothing.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file, in place of any other one.
    ///
    /// # Errors
    /// What the system says against it.
    pub(crate) fn write(path: &Path) -> Result<Self, Error> {
        replace(path).map_err(|error| {
            Error::Failed(format!(
                "cannot write pid file \"{}\": {}; change pid or its directory",
                path.display(),
                reason(&error)
            ))
        })?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_ours(&self.0).unwrap_or(false) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Writes a new file beside and renames it. So nobody reads half a number, and a link that somebody has laid in the way,
/// in a directory that is anybody's, is replaced and not followed.
fn replace(path: &Path) -> io::Result<()> {
    let number = std::process::id();
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let beside = path.with_file_name(format!(".{}.{number}", name.to_string_lossy()));
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&beside)?;
    let done = writeln!(file, "{number}").and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done
}

/// Whether this process's number stands in the file.
fn is_ours(path: &Path) -> io::Result<bool> {
    let mut text = String::new();
    let mut options = OpenOptions::new();
    // Something else may stand there by now: neither a link nor a FIFO is to be gone into.
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)?.take(64).read_to_string(&mut text)?;
    Ok(text.trim_end() == std::process::id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_our_number_and_goes_with_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (
            directory.path().join("pid"),
            directory.path().join("victim"),
        );
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert!(path.symlink_metadata().unwrap().is_file());
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn anothers_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_directory_in_the_way_is_told() {
        let directory = tempfile::tempdir().unwrap();
        assert!(PidFile::write(directory.path()).is_err());
        let missing = directory.path().join("no/pid");
        let told = PidFile::write(&missing).unwrap_err().to_string();
        assert!(told.contains("no such file or directory"), "{told}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
