//! Collects errors and remarks. Positions come from `syntax/lexer`; `config/load` prints them.

use crate::config::nginx::syntax::ConfigError;

/// The errors and remarks so far. Each is kept once: a setting that servers inherit is evaluated for each of them.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) remarks: Vec<ConfigError>,
}

impl Diagnostics {
    /// Adds an error: the daemon does not start.
    pub(crate) fn error(&mut self, error: ConfigError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Adds a remark: something is ignored, or different from nginx.
    pub(crate) fn remark(&mut self, remark: ConfigError) {
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// The value. An error is added.
    pub(crate) fn ok<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.error(error)).ok()
    }
}
