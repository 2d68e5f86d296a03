//! Memory that forked processes share.

use std::io;
use std::sync::atomic::AtomicU64;

/// Numbers, all 0, that this process and its later children share, for as long as any of them lives (mmap(2),
/// `MAP_SHARED` and `MAP_ANON`).
///
/// # Errors
/// What mmap(2) says.
pub(crate) fn shared_numbers(count: usize) -> io::Result<&'static [AtomicU64]> {
    // SAFETY: a new mapping at no fixed address touches no memory that is in use.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            count * size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, large enough, never unmapped, all zeroes, which is a valid AtomicU64, and only
    // ever reached through shared references to atomics.
    Ok(unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), count) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn shared_numbers_begin_at_nought() {
        let numbers = shared_numbers(1000).unwrap();
        assert_eq!(numbers.len(), 1000);
        assert!(
            numbers
                .iter()
                .all(|number| number.load(Ordering::Relaxed) == 0)
        );
    }
}
