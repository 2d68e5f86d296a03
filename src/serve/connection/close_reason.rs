//! Why a connection is closed. Each reason has a counter of the same name.

use crate::named_enum::named_enum;

named_enum! {
    /// The reason for a close.
    CloseReason {
        /// The client asked for a close with its last request, and has its answer.
        Answered = "answered",
        /// The client closed first, between requests or within one.
        ClientClosed = "client_closed",
        /// The request is answered, and the input after it must not be read (a long or malformed body, `Expect`).
        BodyUnread = "body_unread",
        /// The connection reached the limit of requests.
        RequestLimit = "request_limit",
        /// The request was refused: 400, 414, 431, 501 or 505.
        Refused = "refused",
        /// The client broke the TLS protocol, or shares no version or cipher suite with us.
        TlsFault = "tls_fault",
        /// The handshake took too long.
        HandshakeTimeout = "handshake_timeout",
        /// The head took too long.
        HeadTimeout = "head_timeout",
        /// No further request came.
        KeepAliveTimeout = "keep_alive_timeout",
        /// The body took too long.
        BodyTimeout = "body_timeout",
        /// The client took nothing of its answer for too long.
        WriteTimeout = "write_timeout",
        /// The connection limit was reached, and another connection took its place.
        Evicted = "evicted",
        /// The worker is draining, and this was the last request of the connection.
        Retired = "retired",
        /// The connection failed: reset by the client, or lost.
        Broken = "broken",
    }
}
