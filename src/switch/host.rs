//! The host that a plan is executed on: its commands, files and servers. Tests use a scripted one.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::switch::command::{Call, CommandOutput};
use crate::switch::error::SwitchError;

/// A host. [`crate::switch::system::System`] is the real one.
pub(crate) trait Host {
    /// Runs a command. An exit status other than 0 is no error.
    fn run(&mut self, call: &Call) -> Result<CommandOutput, SwitchError>;

    /// Reads a small file.
    fn read(&mut self, path: &Path) -> io::Result<String>;

    /// Checks that a server answers with 503.
    fn check_page(&mut self, server: SocketAddr) -> Result<(), SwitchError>;

    /// Connects to a server.
    fn connect(&mut self, server: SocketAddr) -> Result<(), SwitchError>;

    /// The servers that accept connections; all are tried at once.
    fn accepting(&mut self, servers: &[SocketAddr]) -> Vec<SocketAddr>;

    /// A signal has arrived.
    fn is_interrupted(&mut self) -> bool;

    fn sleep(&mut self, time: Duration);
}
