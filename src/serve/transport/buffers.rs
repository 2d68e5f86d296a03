//! The buffers that all connections of a worker share.

use std::io::IoSlice;

use crate::serve::transport::tls::session::{MAX_PLAINTEXT, MAX_RECORD, Staged};

/// The most bytes read from a socket at once.
pub(crate) const READ: usize = 32 * 1024;

/// The buffers of a worker, used by each connection for one turn.
pub struct Buffers {
    /// Ciphertext as it is read.
    pub(crate) incoming: Box<[u8]>,
    /// Plaintext that is gathered for one record or one write.
    pub(crate) plain: Box<[u8]>,
    pub(crate) staged: Staged,
}

impl Buffers {
    /// The least length of the buffer that a connection reads into: it holds the plaintext of one read and of a record
    /// that was partial before.
    pub const PLAINTEXT: usize = READ + MAX_RECORD;
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            incoming: vec![0; READ].into_boxed_slice(),
            plain: vec![0; MAX_PLAINTEXT].into_boxed_slice(),
            staged: Staged::default(),
        }
    }
}

/// Copies the beginning of `slices` into `plain`, and returns the number of bytes copied.
pub(crate) fn gather(slices: &[IoSlice<'_>], plain: &mut [u8]) -> usize {
    let mut length = 0;
    for slice in slices {
        let part = slice.len().min(plain.len() - length);
        plain[length..length + part].copy_from_slice(&slice[..part]);
        length += part;
    }
    length
}
