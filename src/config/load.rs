//! Loads the configuration file and logs its errors and remarks.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::config::nginx;
use crate::config::nginx::ParsedConfig;
use crate::config::nginx::syntax::ConfigError;
use crate::config::settings::Config;
use crate::error::Error;

/// The configuration file that is read if none is given.
const DEFAULT_FILE: &str = "/etc/maintd.conf";

/// A configuration as read, with its errors and remarks. Without a file it has the defaults.
#[derive(Debug)]
pub(crate) struct Loaded {
    path: PathBuf,
    parsed: ParsedConfig,
}

/// Reads a configuration file; without one, the default file if it exists.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn load(file: Option<PathBuf>) -> Result<Loaded, Error> {
    let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
    Ok(match file.or_else(default) {
        Some(path) => Loaded {
            parsed: nginx::read(&path)?,
            path,
        },
        None => Loaded {
            path: PathBuf::new(),
            parsed: ParsedConfig::default(),
        },
    })
}

impl Loaded {
    /// Logs the remarks: ignored directives, and differences from nginx.
    pub(crate) fn log_remarks(&self) {
        for remark in &self.parsed.remarks {
            self.log(log::Level::Warn, remark);
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// The configuration has errors. Each of them is logged.
    pub(crate) fn into_config(self) -> Result<Config, Error> {
        for error in &self.parsed.errors {
            self.log(log::Level::Error, error);
        }
        let count = match self.parsed.errors.len() {
            0 => return Ok(self.parsed.config),
            1 => "1 error; fix it".to_owned(),
            count => format!("{count} errors; fix them"),
        };
        let path = self.path.display();
        Err(Error::Failed(format!("{path}: {count} and run again")))
    }

    fn log(&self, level: log::Level, error: &ConfigError) {
        let position = error.position;
        let file = self.parsed.files.get(position.file);
        let path = file.map_or(Path::new("?"), |file| &file.path).display();
        let (line, column, what) = (position.line, position.column, &error.what);
        log::log!(level, "{path}:{line}:{column}: {what}");
        if let Some(file) = file {
            show_line(&file.text, line, column);
        }
    }
}

/// Prints the line and a caret below the column, if stderr is a terminal.
fn show_line(text: &str, line: u32, column: u32) {
    let mut stderr = io::stderr();
    if !stderr.is_terminal() || log::max_level() < log::Level::Warn {
        return;
    }
    let index = |number: u32| usize::try_from(number).unwrap_or(1).saturating_sub(1);
    let Some(line) = text.lines().nth(index(line)) else {
        return;
    };
    // Tabs before the column are kept, so that the caret is below it.
    let blank: String = line
        .chars()
        .take(index(column))
        .map(|letter| if letter == '\t' { '\t' } else { ' ' })
        .collect();
    let line: String = line
        .chars()
        .filter(|letter| !letter.is_control() || *letter == '\t')
        .collect();
    let _ = writeln!(stderr, "    {line}\n    {blank}^");
}
