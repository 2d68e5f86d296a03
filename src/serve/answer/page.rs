//! The page: read once, then kept in a sealed mapping that nothing on the disk can reach.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use crate::error::{Error, reason};

/// The most bytes of a page.
pub const MAX_PAGE: u64 = 16 * 1024 * 1024;

/// The page that maintd brings along. Each answer carries it, so most of its reasons stand here:
///
/// - The script loads the site by `location.replace`: `reload` would send a visitor's form again (RFC 9110 9.2.2). A URL that
///   differs from the current one in its fragment alone is not fetched, so the current one is changed first.
/// - It does not follow a redirect (status 0): the site is back, and the target may forbid scripts to read it.
/// - It measures time by `performance.now`: `Date.now` changes when the clock is set.
/// - `&#1;` in the refresh for browsers without scripts is this page's URL without a fragment. Without a URL w3m sends a form
///   again, and with an empty one Chromium fetches nothing where the URL has a fragment.
pub const EMBEDDED: &[u8] = include_bytes!("../../../www/maintenance.html");

/// Reads a page from a file.
///
/// # Errors
/// A file that cannot be read, is not a regular one, is empty, or is over [`MAX_PAGE`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let failed = |error: io::Error| {
        Error::Failed(format!(
            "cannot read page \"{name}\": {}; give a readable file",
            reason(&error)
        ))
    };
    let file = open_without_waiting(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::Failed(format!(
            "page \"{name}\" is not a regular file; give a file"
        )));
    }
    let mut bytes = Vec::new();
    file.take(MAX_PAGE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err(Error::Failed(format!(
            "page \"{name}\" is empty; put the page into it"
        ))),
        1..=MAX_PAGE => Ok(bytes),
        _ => Err(Error::Failed(format!(
            "page \"{name}\" is over 16 MiB; give a smaller one"
        ))),
    }
}

/// Opens a file for reading; a FIFO that nobody writes to does not hold us up.
fn open_without_waiting(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Bodies, one after the other in an anonymous mapping that is read-only once it is filled.
///
/// No file is behind it, so an editor that truncates the page cannot make us die of SIGBUS, and its memory is touched
/// already, so no answer waits for a page fault. Forked workers share it.
#[derive(Debug)]
pub struct Bodies {
    memory: Mmap,
    ranges: Vec<Range<usize>>,
}

impl Bodies {
    /// Copies bodies, of which one at least is not empty, into the mapping and seals it.
    ///
    /// # Errors
    /// What mmap(2) and mprotect(2) say.
    pub fn seal(bodies: &[&[u8]]) -> io::Result<Self> {
        let mut memory = MmapMut::map_anon(bodies.iter().map(|body| body.len()).sum())?;
        let mut ranges = Vec::with_capacity(bodies.len());
        let mut start = 0;
        for body in bodies {
            let range = start..start + body.len();
            memory[range.clone()].copy_from_slice(body);
            start = range.end;
            ranges.push(range);
        }
        Ok(Self {
            memory: memory.make_read_only()?,
            ranges,
        })
    }

    /// The body of this number, in the order in which they were given.
    #[must_use]
    pub fn get(&self, body: usize) -> &[u8] {
        &self.memory[self.ranges[body].clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(path: &Path) -> String {
        read(path).unwrap_err().to_string()
    }

    #[test]
    fn a_page_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fault(&dir.path().join("none")).contains("no such file or directory; give"));
        assert!(fault(dir.path()).contains("not a regular file"));
        assert!(fault(Path::new("/dev/zero")).contains("not a regular file"));
        let file = dir.path().join("page");
        std::fs::write(&file, "").unwrap();
        assert!(fault(&file).contains("is empty"));
        File::create(&file).unwrap().set_len(MAX_PAGE + 1).unwrap();
        assert!(fault(&file).contains("over 16 MiB"));
        File::create(&file).unwrap().set_len(MAX_PAGE).unwrap();
        assert_eq!(read(&file).unwrap().len() as u64, MAX_PAGE);
    }

    #[test]
    fn bodies_lie_side_by_side() {
        let bodies = Bodies::seal(&[b"one", b"", b"three"]).unwrap();
        assert_eq!(bodies.get(0), b"one");
        assert_eq!(bodies.get(1), b"");
        assert_eq!(bodies.get(2), b"three");
    }
}
