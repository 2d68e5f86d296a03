//! `maintd check`: everything that can be wrong is told in one run.

mod certificate;
mod csp;
mod pages;
mod references;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::nginx;
use crate::config::nginx::Checked;
use crate::config::nginx::syntax::ConfigError;
use crate::config::{CertificateFiles, Config};
use crate::error::Error;
use crate::serve;

/// The configuration that is read where none is named.
const DEFAULT_FILE: &str = "/etc/maintd.conf";

/// Reads a configuration and tells all that is to be said of it; without a file, the default one if it is there.
///
/// # Errors
/// The configuration is faulty; what is wrong has been told.
pub(crate) fn read(file: Option<PathBuf>) -> Result<Config, Error> {
    read_and_tell(file, true)
}

/// The same for commands that have nothing to do with what is ignored or different: only faults are told.
///
/// # Errors
/// As with [`read`].
pub(crate) fn read_quietly(file: Option<PathBuf>) -> Result<Config, Error> {
    read_and_tell(file, false)
}

fn read_and_tell(file: Option<PathBuf>, with_remarks: bool) -> Result<Config, Error> {
    let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
    let Some(file) = file.or_else(default) else {
        return Ok(Config::default());
    };
    let checked = nginx::read(&file)?;
    for remark in checked.remarks.iter().filter(|_| with_remarks) {
        log::warn!("{}", located(&checked, remark));
        show_line(&checked, remark);
    }
    for fault in &checked.faults {
        log::error!("{}", located(&checked, fault));
        show_line(&checked, fault);
    }
    match checked.faults.len() {
        0 => Ok(checked.config),
        1 => Err(faulty(&file, "1 fault")),
        count => Err(faulty(&file, &format!("{count} faults"))),
    }
}

fn faulty(file: &Path, count: &str) -> Error {
    Error::Failed(format!(
        "{} has {count}; mend what is told above",
        file.display()
    ))
}

/// Checks what the configuration names: certificates, keys and the page, all of them.
///
/// # Errors
/// The last fault; those before it have been told.
pub(crate) fn run(config: &Config) -> Result<(), Error> {
    let mut faults = Vec::new();
    faults.extend(serve::tls::faults(config));
    let (library, wrong) = serve::answer::load::PageFiles::read(config);
    faults.extend(wrong);
    faults.extend(serve::logs::collector::check(&config.logs));
    look_at_certificates(config);
    let pages = pages::check(config, &library);
    for summary in &pages.summaries {
        log::info!("{summary}");
    }
    tell(&pages.warnings);
    let last = faults.pop();
    for fault in faults {
        log::error!("{fault}");
    }
    match last {
        Some(fault) => Err(fault),
        None => {
            log::info!("the configuration is right");
            Ok(())
        }
    }
}

/// Tells for what names each certificate is good, until when, and for whom it is not: of the names of its own site alone.
fn look_at_certificates(config: &Config) {
    let now = SystemTime::now();
    let mut seen: Vec<&CertificateFiles> = Vec::new();
    for site in &config.sites {
        for files in &site.certificates {
            // What is wrong with the files is reported as a fault, and a warning of the same could be misleading.
            let Some(chain) = serve::tls::chain(files) else {
                continue;
            };
            let Some(report) = certificate::report(&files.chain, &chain, &site.names, now) else {
                continue;
            };
            // A certificate of several sites is told of once, and what each of them lacks.
            if !seen.contains(&files) {
                seen.push(files);
                log::info!("{}", report.summary);
                tell(&report.warnings);
                if site.certificates.len() == 1 {
                    tell(report.few_clients.as_slice());
                }
            }
            tell(&report.missing);
        }
    }
}

fn tell(warnings: &[String]) {
    for warning in warnings {
        log::warn!("{warning}");
    }
}

fn located(checked: &Checked, fault: &ConfigError) -> String {
    let file = checked
        .files
        .get(fault.place.file)
        .map_or(Path::new("?"), |file| &file.path);
    format!(
        "{}:{}:{}: {}",
        file.display(),
        fault.place.line,
        fault.place.column,
        fault.what
    )
}

/// Shows the line and points at the place, to somebody who sits before it.
fn show_line(checked: &Checked, fault: &ConfigError) {
    let mut stderr = io::stderr();
    if !stderr.is_terminal() || log::max_level() < log::Level::Warn {
        return;
    }
    let Some(file) = checked.files.get(fault.place.file) else {
        return;
    };
    let number = usize::try_from(fault.place.line)
        .unwrap_or(1)
        .saturating_sub(1);
    let Some(line) = file.text.lines().nth(number) else {
        return;
    };
    let column = usize::try_from(fault.place.column)
        .unwrap_or(1)
        .saturating_sub(1);
    // A tab before the place stands before the caret too, so that both are as wide.
    let blank: String = line
        .chars()
        .take(column)
        .map(|letter| if letter == '\t' { '\t' } else { ' ' })
        .collect();
    let line: String = line
        .chars()
        .filter(|letter| !letter.is_control() || *letter == '\t')
        .collect();
    let _ = writeln!(stderr, "    {line}\n    {blank}^");
}
