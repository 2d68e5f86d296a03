//! The timers of a connection, one of which runs at any time.

use crate::named_enum::named_enum;

named_enum! {
    /// What a connection waits for.
    Timer {
        /// The TLS handshake, from accept to its end.
        Handshake = "handshake",
        /// A whole head, from its first byte (the first one from accept). Further bytes do not prolong it.
        Head = "head",
        /// The next request, from the end of the last answer.
        KeepAlive = "keep_alive",
        /// Progress of a blocked answer.
        Write = "write",
        /// A whole request body, from the end of the answer.
        Body = "body",
        /// The client's close, from the shutdown or the last byte after it; a second limit counts from the shutdown.
        Linger = "linger",
    }
}

impl Timer {
    /// The number of timers.
    pub const COUNT: usize = Self::ALL.len();
}
