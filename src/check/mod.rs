//! `maintd check`: checks the files that a configuration names, and reports all errors.

mod certificate;
mod csp;
mod pages;
mod references;

use std::time::SystemTime;

use crate::config::{CertificateFiles, Config};
use crate::error::Error;
use crate::serve;
use crate::serve::answer::load::PageFiles;
use crate::serve::tls;

/// Checks certificates, keys, pages and log files.
///
/// # Errors
/// The last error. The others are logged.
pub(crate) fn run(config: &Config) -> Result<(), Error> {
    let mut errors = tls::errors(config);
    let (pages, page_errors) = PageFiles::read(config);
    errors.extend(page_errors);
    errors.extend(serve::logs::collector::check(&config.logs));
    check_certificates(config);
    let findings = pages::check(config, &pages);
    for summary in &findings.summaries {
        log::info!("{summary}");
    }
    warn(&findings.warnings);
    let last = errors.pop();
    for error in errors {
        log::error!("{error}");
    }
    match last {
        Some(error) => Err(error),
        None => {
            log::info!("the configuration is valid");
            Ok(())
        }
    }
}

/// Logs the names and the expiry of each certificate, and the names of its site that it does not cover.
fn check_certificates(config: &Config) {
    let now = SystemTime::now();
    let mut seen: Vec<&CertificateFiles> = Vec::new();
    for site in &config.sites {
        for files in &site.certificates {
            // Unusable files are already reported as errors.
            let Some(chain) = tls::chain(files) else {
                continue;
            };
            let Some(report) = certificate::report(&files.chain, &chain, &site.names, now) else {
                continue;
            };
            // For a certificate of several sites, only the uncovered names are logged for each of them.
            if !seen.contains(&files) {
                seen.push(files);
                log::info!("{}", report.summary);
                warn(&report.warnings);
                // Clients that do not support this type of key get another certificate, if the site has one.
                if site.certificates.len() == 1 {
                    warn(report.key_type_warning.as_slice());
                }
            }
            warn(&report.uncovered_names);
        }
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        log::warn!("{warning}");
    }
}
