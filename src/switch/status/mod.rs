//! `maintd status`: the state of the switch, its servers and the daemon, as a table, as JSON, or on a screen that updates.

mod daemon;
mod format;
mod json;
mod query;
mod screen;
mod table;
mod watch;

pub use crate::switch::status::json::to_json;
pub use crate::switch::status::query::{Status, query};
pub use crate::switch::status::table::to_table;
pub use crate::switch::status::watch::watch;
