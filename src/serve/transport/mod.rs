//! The byte stream of a connection: a plaintext socket, or TLS over one.
//!
//! A transport is a view made for one turn of one connection: it borrows the socket, the connection's TLS session, and
//! buffers that all connections of a worker share.

mod buffers;
mod plain;
mod tls;
mod traits;

pub use crate::serve::transport::buffers::Buffers;
pub use crate::serve::transport::plain::Plain;
pub use crate::serve::transport::tls::{Tls, TlsStream};
pub use crate::serve::transport::traits::{BROKEN_PROTOCOL, HandshakeOutcome, Socket, Transport};
