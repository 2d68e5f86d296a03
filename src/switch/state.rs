//! What was switched, kept on disk: a packet filter forgets its tables in a reboot. And the lock that keeps two switches
//! apart.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::config::network::Network;
use crate::error::reason;
use crate::switch::plan::Moved;
use crate::window;
use crate::window::Window;

/// How often it is looked whether the lock is free.
const PAUSE: Duration = Duration::from_millis(50);

/// What was switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Since when, in seconds since 1970.
    pub(crate) since: u64,
    pub(crate) window: Window,
    pub(crate) moved: Moved,
    /// Where the live site accepted connections before; nothing where that is not known, as in what older versions saved.
    pub(crate) live: Option<Vec<SocketAddr>>,
}

/// The directory of the state.
#[derive(Clone, Debug)]
pub(crate) struct Store(PathBuf);

/// Nobody else switches while this is there.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closed, it is free")] File);

impl Store {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Where it is.
    pub(crate) fn file(&self) -> PathBuf {
        window::state_file(&self.0)
    }

    fn make_directory(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.0)
    }

    /// Another switch that is under way longer than `patience` is an error. Nothing where there can be no lock, on a file
    /// system that cannot be written; that is told.
    ///
    /// # Errors
    /// Who has it; what to do.
    pub(crate) fn lock(&self, patience: Duration) -> Result<Option<Lock>, String> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let opened = self.make_directory().and_then(|()| options.open(&path));
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                log::warn!(
                    "switching without a lock: cannot open \"{}\": {}; set state_dir to a directory of root's",
                    path.display(),
                    reason(&error)
                );
                return Ok(None);
            }
        };
        let end = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let mut owner = String::new();
                    let _ = (&file).take(32).read_to_string(&mut owner);
                    return Err(format!(
                        "another maintd is switching (process {}); wait for it, or look with \"maintd status\"",
                        owner.trim()
                    ));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(format!(
                        "cannot lock \"{}\": {}",
                        path.display(),
                        reason(&error)
                    ));
                }
            }
        }
        // For the message above alone.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Some(Lock(file)))
    }

    /// What was switched on last and not off since.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(crate) fn load(&self) -> Result<Option<Saved>, String> {
        let path = self.file();
        let failed = |cause: String| {
            format!(
                "cannot read \"{}\": {cause}; delete it, and switch anew",
                path.display()
            )
        };
        let Some(text) = window::read_state(&path).map_err(&failed)? else {
            return Ok(None);
        };
        parse(&text)
            .map(Some)
            .ok_or_else(|| failed("it is damaged".to_owned()))
    }

    /// Saves what is switched on: written beside, and renamed, so that there is always all of one or all of the other.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn save(&self, saved: &Saved) -> Result<(), String> {
        let path = self.file();
        self.make_directory()
            .and_then(|()| write(&path, &print(saved)))
            .map_err(|error| format!("cannot save \"{}\": {}", path.display(), reason(&error)))
    }

    /// Forgets it: nothing is switched on.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn clear(&self) -> Result<(), String> {
        let path = self.file();
        match fs::remove_file(&path) {
            Ok(()) => sync(&self.0),
            // On a file system that cannot be written the reason is another, also where there is nothing to delete.
            Err(_) if is_nothing(&path) => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| format!("cannot delete \"{}\": {}", path.display(), reason(&error)))
    }
}

/// There is no such file, nor can there be one where its directory is none.
fn is_nothing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.mode(0o644).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Has a directory's entries outlive a loss of power.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn print(saved: &Saved) -> String {
    let texts = |networks: &[Network]| networks.iter().map(Network::to_string).collect::<Vec<_>>();
    let mut value = json!({
        "version": 1,
        "since": saved.since,
        "entries": texts(&saved.moved.entries),
        "except": texts(&saved.moved.except),
    });
    if let Some(live) = &saved.live {
        value["live"] = live.iter().map(SocketAddr::to_string).collect();
    }
    saved.window.put_into(&mut value);
    format!("{value:#}\n")
}

/// Reads a text as a saved state, which reads the same when it is printed.
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
        window: Window::of(&value)?,
        moved: Moved::new(networks("entries")?, networks("except")?).ok()?,
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
            window: Window {
                until: Some(1_795_528_800),
                message: Some("back \"soon\"\n".to_owned()),
            },
            moved: Moved::new(
                vec![Family::Inet.everybody(), Family::Inet6.everybody()],
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
    fn what_is_saved_is_loaded_and_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("a/b"));
        assert_eq!(store.load(), Ok(None));
        assert_eq!(store.clear(), Ok(()));
        store.save(&saved()).unwrap();
        assert_eq!(store.load(), Ok(Some(saved())));
        let plain = Saved {
            window: Window::default(),
            live: None,
            ..saved()
        };
        store.save(&plain).unwrap();
        assert_eq!(store.load(), Ok(Some(plain)));
        store.clear().unwrap();
        assert_eq!(store.load(), Ok(None));
    }

    #[test]
    fn a_damaged_file_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        for text in [
            "",
            "{",
            "{\"version\": 2}",
            "{\"version\":1,\"since\":1,\"entries\":[\"x\"],\"except\":[]}",
            "{\"version\":1,\"since\":1,\"entries\":[],\"except\":[],\"live\":[\"x\"]}",
        ] {
            fs::write(store.file(), text).unwrap();
            assert!(
                store
                    .load()
                    .unwrap_err()
                    .contains("it is damaged; delete it"),
                "{text}"
            );
        }
    }

    #[test]
    fn two_switches_are_kept_apart() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let lock = store.lock(Duration::ZERO).unwrap();
        assert!(lock.is_some());
        let fault = store.lock(Duration::ZERO).unwrap_err();
        let number = std::process::id();
        assert!(
            fault.starts_with(&format!("another maintd is switching (process {number});")),
            "{fault}"
        );
        drop(lock);
        assert!(store.lock(Duration::ZERO).unwrap().is_some());
    }
}
