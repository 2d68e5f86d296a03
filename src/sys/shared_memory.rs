//! Memory shared with forked processes.

use std::io;
use std::sync::atomic::AtomicU64;

/// Counters, all 0, that this process shares with its later children (mmap(2), `MAP_SHARED` and `MAP_ANON`). They are never
/// unmapped.
///
/// # Errors
/// Of mmap(2).
pub(crate) fn shared_counters(count: usize) -> io::Result<&'static [AtomicU64]> {
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
    fn shared_counters_begin_at_0() {
        let counters = shared_counters(1000).unwrap();
        assert_eq!(counters.len(), 1000);
        assert!(
            counters
                .iter()
                .all(|counter| counter.load(Ordering::Relaxed) == 0)
        );
    }
}
