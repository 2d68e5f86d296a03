//! The pid file: contains the process id of the supervisor.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, reason};

/// A file with the id of this process. When dropped, it is removed if it still contains that id: a forked process, which has
/// another id, removes nothing.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file, and replaces an existing one.
    ///
    /// # Errors
    /// The file cannot be written.
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

    /// Its path.
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

/// Writes a temporary file and renames it: readers never get a part of the id, and a symbolic link in a directory that others
/// may write to is replaced and not followed.
fn replace(path: &Path) -> io::Result<()> {
    let id = std::process::id();
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let temporary = path.with_file_name(format!(".{}.{id}", name.to_string_lossy()));
    let _ = fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&temporary)?;
    let done = writeln!(file, "{id}").and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// Whether the file contains the id of this process.
fn is_ours(path: &Path) -> io::Result<bool> {
    let mut text = String::new();
    let mut options = OpenOptions::new();
    // Another file may have replaced it: follows no symbolic link, and does not block on a FIFO.
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
    fn the_file_contains_our_id_and_is_removed_at_exit() {
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
    fn a_symbolic_link_is_replaced_and_not_followed() {
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
    fn a_file_of_another_process_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(PidFile::write(directory.path()).is_err());
        let missing = directory.path().join("no/pid");
        let error = PidFile::write(&missing).unwrap_err().to_string();
        assert!(error.contains("no such file or directory"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
