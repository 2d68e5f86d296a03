//! Collects the errors and remarks of a configuration.

use crate::config::nginx::syntax::{ConfigError, Directive, Position, Quoted};

/// The errors and remarks so far. Each is kept once: a setting that servers inherit is evaluated for each of them.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) remarks: Vec<ConfigError>,
}

impl Diagnostics {
    /// Adds an error: the daemon does not start.
    pub(crate) fn error(&mut self, position: Position, what: impl Into<String>) {
        add(&mut self.errors, position, what.into());
    }

    /// Adds a remark: something is ignored, or different from nginx.
    pub(crate) fn remark(&mut self, position: Position, what: impl Into<String>) {
        add(&mut self.remarks, position, what.into());
    }

    /// Adds an error about an argument, the first of which has the index 0.
    pub(crate) fn wrong_value(&mut self, directive: &Directive, index: usize, expected: &str) {
        if let Some(argument) = directive.arguments.get(index) {
            let (value, name) = (Quoted(&argument.text), &directive.name.text);
            let what = format!("wrong value {value} for {name}; give {expected}");
            self.error(argument.position, what);
        }
    }
}

fn add(list: &mut Vec<ConfigError>, position: Position, what: String) {
    let entry = ConfigError { position, what };
    if !list.contains(&entry) {
        list.push(entry);
    }
}
