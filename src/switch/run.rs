//! `maintd run`: on, a command with its own terminal, and off when it ends.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::error::{Error, reason};
use crate::switch::command::quoted;
use crate::switch::on_off::{Completion, OnRequest, Switch, SwitchFailure};
use crate::sys;

/// The exit status for a command that is not found (POSIX 2.8.2).
const NOT_FOUND: u8 = 127;
/// The exit status for a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Added to the number of the signal that ended the command.
const BY_SIGNAL: i32 = 128;

/// How long to wait for another switch that runs when the command ends.
const LOCK_TIMEOUT: Duration = Duration::from_mins(2);

/// The end of `maintd run`.
#[derive(Debug)]
pub struct Ending {
    /// The exit status.
    pub status: u8,
    /// The last message: visitors are still on the page.
    pub error: Option<Error>,
}

/// Switches on, runs a command to its end and switches off.
///
/// Signals that would end this process are sent to the command, unless they have reached it already.
///
/// # Errors
/// It could not be switched on, so the command was not run.
pub fn run(
    switch: &mut Switch,
    request: &OnRequest,
    command: &[OsString],
) -> Result<Ending, Error> {
    let status = match switch.switch_on(request) {
        // A signal during `on` means that the command is not run.
        Ok(()) => match sys::take_held_signal() {
            Some(signal) => Ok(exit_status(BY_SIGNAL + signal)),
            None => start(command).and_then(wait),
        },
        Err(SwitchFailure { error, completion }) => match (completion, error) {
            (_, Error::Usage(what)) => return Err(Error::Usage(what)),
            (Completion::Nothing, Error::Failed(what)) => {
                return Err(Error::Failed(not_run(&what)));
            }
            // Visitors must not stay on the page for a command that is not run.
            (Completion::Unknown | Completion::NewConnections, Error::Failed(what)) => {
                Err((1, not_run(&what)))
            }
        },
    };
    let status = status.unwrap_or_else(|(status, what)| {
        log::error!("{what}");
        status
    });
    // A signal must not stop `off`.
    switch.system.ignore_signals();
    let error = switch
        .switch_off(false, LOCK_TIMEOUT)
        .err()
        .map(last_message);
    Ok(Ending {
        status: if status == 0 && error.is_some() {
            1
        } else {
            status
        },
        error,
    })
}

/// What [`run`] would run, as text.
///
/// # Errors
/// The request is invalid.
pub fn dry_run(
    switch: &Switch,
    request: &OnRequest,
    command: &[OsString],
) -> Result<String, Error> {
    let words: Vec<String> = command
        .iter()
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    Ok(format!(
        "{}{}\n{}",
        switch.dry_on(request)?,
        words.join(" "),
        switch.dry_off(false)
    ))
}

fn not_run(what: &str) -> String {
    format!("the command was not run: {what}")
}

/// The message after a failed `off`, in capitals if visitors are still on the page.
fn last_message(SwitchFailure { error, completion }: SwitchFailure) -> Error {
    let command = "\"maintd off\"";
    Error::Failed(match completion {
        Completion::NewConnections => error.to_string(),
        Completion::Unknown => format!("VISITORS MAY STILL GET THE PAGE: {error}"),
        Completion::Nothing => format!("VISITORS STILL GET THE PAGE: {error}; then run {command}"),
    })
}

/// Starts the command with the terminal, environment and directory of this process.
fn start(command: &[OsString]) -> Result<Child, (u8, String)> {
    let Some((program, arguments)) = command.split_first() else {
        return Err((
            NOT_FOUND,
            "no command to run; write one after \"--\"".to_owned(),
        ));
    };
    Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|error| {
            let name = program.to_string_lossy();
            if error.kind() == io::ErrorKind::NotFound {
                let what = format!("cannot run \"{name}\": not found; write its whole path");
                (NOT_FOUND, what)
            } else {
                let why = reason(&error);
                let what = format!("cannot run \"{name}\": {why}; name a program that can be run");
                (NOT_EXECUTABLE, what)
            }
        })
}

/// Waits for the command's end.
fn wait(mut child: Child) -> Result<u8, (u8, String)> {
    sys::forward_signals_to(Some(child.id()));
    let status = child.wait();
    sys::forward_signals_to(None);
    match status {
        Ok(status) => Ok(shell_status(status)),
        Err(error) => Err((
            1,
            format!("cannot wait for the command: {}", reason(&error)),
        )),
    }
}

/// The exit status that a shell reports.
fn shell_status(status: ExitStatus) -> u8 {
    let number = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => BY_SIGNAL + signal,
        (None, None) => 1,
    };
    exit_status(number)
}

fn exit_status(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(1)
}
