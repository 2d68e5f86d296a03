//! The state directory: the file that `on --resume` reads after a reboot, in which a packet filter loses its tables, and the
//! lock that excludes a second switch.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::announcement;
use crate::announcement::Announcement;
use crate::config::network::Network;
use crate::error::reason;
use crate::switch::clients::ClientSet;
use crate::switch::error::SwitchError;

/// The time between two attempts to take the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// What was switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The start, in seconds since 1970.
    pub(crate) since: u64,
    pub(crate) announcement: Announcement,
    pub(crate) clients: ClientSet,
    /// The servers of the live site that accepted connections before. None if unknown, as in files of older versions.
    pub(crate) live: Option<Vec<SocketAddr>>,
}

#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

/// Excludes other switches while it exists.
#[derive(Debug)]
pub(crate) struct SwitchLock(#[expect(dead_code, reason = "closing it releases the lock")] File);

impl StateDir {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The path of the state file.
    pub(crate) fn file(&self) -> PathBuf {
        announcement::state_file(&self.0)
    }

    /// Takes the lock, and waits for another switch up to `timeout`. None, with a warning, if the lock file cannot be created,
    /// as on a read-only file system.
    ///
    /// # Errors
    /// Another process has it.
    pub(crate) fn lock(&self, timeout: Duration) -> Result<Option<SwitchLock>, SwitchError> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let opened = make_directory(&self.0).and_then(|()| options.open(&path));
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                log::warn!(
                    "switching without a lock: cannot open \"{}\": {}; set state_dir to a directory that root owns",
                    path.display(),
                    reason(&error)
                );
                return Ok(None);
            }
        };
        let end = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    thread::sleep(LOCK_INTERVAL)
                }
                Err(TryLockError::WouldBlock) => {
                    let mut owner = String::new();
                    let _ = (&file).take(32).read_to_string(&mut owner);
                    return Err(SwitchError::Locked {
                        owner: owner.trim().to_owned(),
                    });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(failure_to("lock", path, &error));
                }
            }
        }
        // For the message above.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Some(SwitchLock(file)))
    }

    /// Reads what is switched on.
    ///
    /// # Errors
    /// The file exists but cannot be read.
    pub(crate) fn load(&self) -> Result<Option<Saved>, SwitchError> {
        let path = self.file();
        let text = match announcement::read_state(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(cause) => return Err(SwitchError::UnreadableState { path, cause }),
        };
        let cause = "it is damaged".to_owned();
        let saved = parse(&text).map(Some);
        saved.ok_or(SwitchError::UnreadableState { path, cause })
    }

    /// Replaces the state file atomically.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self, saved: &Saved) -> Result<(), SwitchError> {
        let path = self.file();
        make_directory(&self.0)
            .and_then(|()| write(&path, &print(saved)))
            .map_err(|error| failure_to("save", path, &error))
    }

    /// Deletes the state file: nothing is switched on.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub(crate) fn clear(&self) -> Result<(), SwitchError> {
        let path = self.file();
        match fs::remove_file(&path) {
            Ok(()) => sync(&self.0),
            // On a read-only file system the error does not show that there is no file.
            Err(_) if is_missing(&path) => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| failure_to("delete", path, &error))
    }
}

fn failure_to(task: &'static str, path: PathBuf, error: &io::Error) -> SwitchError {
    SwitchError::StateFile {
        task,
        path,
        cause: reason(error),
    }
}

/// Creates a directory and its parents, readable for the daemon, which may run as another user, whatever the umask is.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        make_directory(parent)?;
    }
    match fs::create_dir(path) {
        // Another process has created it in the meantime.
        Err(_) if path.is_dir() => Ok(()),
        created => created,
    }?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// There is no such file, or its directory is a file.
fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.mode(0o644).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(&new)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Writes a directory's entries to the disk, so that they survive a power failure.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn print(saved: &Saved) -> String {
    let texts = |networks: &[Network]| networks.iter().map(Network::to_string).collect::<Vec<_>>();
    let mut value = json!({
        "version": 1,
        "since": saved.since,
        "entries": texts(&saved.clients.entries),
        "except": texts(&saved.clients.except),
    });
    if let Some(live) = &saved.live {
        value["live"] = live.iter().map(SocketAddr::to_string).collect();
    }
    saved.announcement.put_into(&mut value);
    format!("{value:#}\n")
}

/// Parses a text as a state file, and checks that printing and parsing it gives the same state. For fuzzing.
pub(crate) fn read_everything(text: &str) {
    if let Some(saved) = parse(text) {
        assert_eq!(parse(&print(&saved)), Some(saved));
    }
}

fn parse(text: &str) -> Option<Saved> {
    let value: Value = serde_json::from_str(text).ok()?;
    if value.get("version")?.as_u64()? != 1 {
        return None;
    }
    let networks = |name: &str| -> Option<Vec<Network>> {
        let texts = value.get(name)?.as_array()?.iter();
        texts.map(|text| text.as_str()?.parse().ok()).collect()
    };
    let live = match value.get("live") {
        Some(live) => {
            let texts = live.as_array()?.iter();
            Some(
                texts
                    .map(|text| text.as_str()?.parse().ok())
                    .collect::<Option<_>>()?,
            )
        }
        None => None,
    };
    Some(Saved {
        since: value.get("since")?.as_u64()?,
        announcement: Announcement::of(&value)?,
        clients: ClientSet::new(networks("entries")?, networks("except")?).ok()?,
        live,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::Family;

    fn saved() -> Saved {
        Saved {
            since: 1_795_521_600,
            announcement: Announcement {
                until: Some(1_795_528_800),
                message: Some("back \"soon\"\n".to_owned()),
            },
            clients: ClientSet::new(
                vec![Family::Inet.all_addresses(), Family::Inet6.all_addresses()],
                vec!["192.0.2.10".parse().unwrap()],
            )
            .unwrap(),
            live: Some(vec![
                "192.0.2.1:443".parse().unwrap(),
                "[2001:db8::1]:443".parse().unwrap(),
            ]),
        }
    }

    #[test]
    fn saved_state_is_loaded_and_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().join("a/b"));
        assert_eq!(state.load(), Ok(None));
        assert_eq!(state.clear(), Ok(()));
        state.save(&saved()).unwrap();
        assert_eq!(state.load(), Ok(Some(saved())));
        let plain = Saved {
            announcement: Announcement::default(),
            live: None,
            ..saved()
        };
        state.save(&plain).unwrap();
        assert_eq!(state.load(), Ok(Some(plain)));
        state.clear().unwrap();
        assert_eq!(state.load(), Ok(None));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().to_owned());
        for text in [
            "",
            "{",
            "{\"version\": 2}",
            "{\"version\":1,\"since\":1,\"entries\":[\"x\"],\"except\":[]}",
            "{\"version\":1,\"since\":1,\"entries\":[],\"except\":[],\"live\":[\"x\"]}",
        ] {
            fs::write(state.file(), text).unwrap();
            assert!(
                state
                    .load()
                    .unwrap_err()
                    .to_string()
                    .contains("it is damaged; delete it"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_lock_excludes_a_second_switch() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().to_owned());
        let lock = state.lock(Duration::ZERO).unwrap();
        assert!(lock.is_some());
        let error = state.lock(Duration::ZERO).unwrap_err().to_string();
        let number = std::process::id();
        assert!(
            error.starts_with(&format!("another maintd is switching (process {number});")),
            "{error}"
        );
        drop(lock);
        assert!(state.lock(Duration::ZERO).unwrap().is_some());
    }
}
