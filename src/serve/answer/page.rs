//! Page files, and the read-only memory in which bodies are served.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use crate::error::{Error, reason};

/// The maximum length of a page.
pub const MAX_PAGE: u64 = 16 * 1024 * 1024;

/// The embedded page. Each answer contains it, so most of its comments are here:
///
/// - The script loads the site with `location.replace`: `reload` would send a form again (RFC 9110 9.2.2). Browsers do not
///   fetch a URL that differs from the current one only in its fragment, so the script changes the current one first.
/// - It does not follow a redirect (status 0): the site is back, and scripts may not be allowed to read the target.
/// - It measures time with `performance.now`: `Date.now` changes when the clock is set.
/// - `&#1;` in the refresh for browsers without scripts is this page's URL without a fragment. Without a URL, w3m sends a form
///   again; with an empty one, Chromium fetches nothing if the URL has a fragment.
pub const EMBEDDED: &[u8] = include_bytes!("../../../www/maintenance.html");

/// Reads a page from a file.
///
/// # Errors
/// The file cannot be read, is not a regular file, is empty, or is over [`MAX_PAGE`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let failed = |error: io::Error| {
        Error::Failed(format!(
            "cannot read page \"{name}\": {}; give a readable file",
            reason(&error)
        ))
    };
    let file = open_nonblocking(path).map_err(failed)?;
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

/// Opens a file for reading. Does not block on a FIFO without a writer.
fn open_nonblocking(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Bodies in an anonymous memory mapping that is read-only after it is filled.
///
/// It is not backed by a file, so truncating the page cannot cause SIGBUS. Its memory is prefaulted, and shared by forked
/// workers.
#[derive(Debug)]
pub struct Bodies {
    memory: Mmap,
    ranges: Vec<Range<usize>>,
}

impl Bodies {
    /// Copies bodies, of which at least one is not empty, into the mapping and makes it read-only.
    ///
    /// # Errors
    /// Those of mmap(2) and mprotect(2).
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

    /// The body at this index of the slice that was sealed.
    #[must_use]
    pub fn get(&self, body: usize) -> &[u8] {
        &self.memory[self.ranges[body].clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(path: &Path) -> String {
        read(path).unwrap_err().to_string()
    }

    #[test]
    fn an_unusable_page_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(error(&dir.path().join("none")).contains("no such file or directory; give"));
        assert!(error(dir.path()).contains("not a regular file"));
        assert!(error(Path::new("/dev/zero")).contains("not a regular file"));
        let file = dir.path().join("page");
        std::fs::write(&file, "").unwrap();
        assert!(error(&file).contains("is empty"));
        File::create(&file).unwrap().set_len(MAX_PAGE + 1).unwrap();
        assert!(error(&file).contains("over 16 MiB"));
        File::create(&file).unwrap().set_len(MAX_PAGE).unwrap();
        assert_eq!(read(&file).unwrap().len() as u64, MAX_PAGE);
    }

    #[test]
    fn bodies_are_stored_in_order() {
        let bodies = Bodies::seal(&[b"one", b"", b"three"]).unwrap();
        assert_eq!(bodies.get(0), b"one");
        assert_eq!(bodies.get(1), b"");
        assert_eq!(bodies.get(2), b"three");
    }
}
