//! Why a connection is closed. Each reason has a counter of the same name.

/// The reason for a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client asked for a close with its last request, and has its answer.
    Answered,
    /// The client closed first, between requests or within one.
    ClientClosed,
    /// The request is answered, and the input after it must not be read (a long or malformed body, `Expect`).
    BodyUnread,
    /// The connection reached the limit of requests.
    RequestLimit,
    /// The request was refused: 400, 414, 431, 501 or 505.
    Refused,
    /// The client broke the TLS protocol, or shares no version or cipher suite with us.
    TlsFault,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The head took too long.
    HeadTimeout,
    /// No further request came.
    KeepAliveTimeout,
    /// The body took too long.
    BodyTimeout,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
    /// The connection limit was reached, and another connection took its place.
    Evicted,
    /// The worker is draining, and this was the last request of the connection.
    Retired,
    /// The connection failed: reset by the client, or lost.
    Broken,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 14] = [
        Self::Answered,
        Self::ClientClosed,
        Self::BodyUnread,
        Self::RequestLimit,
        Self::Refused,
        Self::TlsFault,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::KeepAliveTimeout,
        Self::BodyTimeout,
        Self::WriteTimeout,
        Self::Evicted,
        Self::Retired,
        Self::Broken,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ClientClosed => "client_closed",
            Self::BodyUnread => "body_unread",
            Self::RequestLimit => "request_limit",
            Self::Refused => "refused",
            Self::TlsFault => "tls_fault",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Evicted => "evicted",
            Self::Retired => "retired",
            Self::Broken => "broken",
        }
    }
}
