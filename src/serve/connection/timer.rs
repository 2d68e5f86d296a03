//! The timers of a connection, one of which runs at any time.

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The TLS handshake, from accept to its end.
    Handshake,
    /// A whole head, from its first byte (the first one from accept). Further bytes do not prolong it.
    Head,
    /// The next request, from the end of the last answer.
    KeepAlive,
    /// Progress of a blocked answer.
    Write,
    /// A whole request body, from the end of the answer.
    Body,
    /// The client's close, from ours or from the last byte after it; with a second limit from our close on.
    Linger,
}

impl Timer {
    /// The number of timers.
    pub const COUNT: usize = 6;

    /// All timers, in the order of their counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Handshake,
        Self::Head,
        Self::KeepAlive,
        Self::Write,
        Self::Body,
        Self::Linger,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::KeepAlive => "keep_alive",
            Self::Write => "write",
            Self::Body => "body",
            Self::Linger => "linger",
        }
    }
}
