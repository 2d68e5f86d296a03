//! `maintd run`: on, a command with its own terminal, off however it ends.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::error::{Error, reason};
use crate::switch::command::quoted;
use crate::switch::execute::{Extent, Unfinished};
use crate::switch::{Switch, Wish};
use crate::sys;

/// There is no such command (POSIX 2.8.2).
const NOT_FOUND: u8 = 127;
/// It cannot be run.
const NOT_EXECUTABLE: u8 = 126;
/// What is added to the number of the signal that ended it.
const BY_SIGNAL: i32 = 128;

/// How long another switch, which is under way when the command ends, is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

/// How it ended.
#[derive(Debug)]
pub struct Ending {
    /// The exit status.
    pub status: u8,
    /// What is to be told last and loudest: visitors are still on the page.
    pub fault: Option<Error>,
}

impl Switch {
    /// Switches on, runs a command to its end and switches off.
    ///
    /// Signals that would end us end the command in our place, if they have not reached it already.
    ///
    /// # Errors
    /// It could not be switched on: then the command has not been run.
    pub fn run(&mut self, wish: &Wish, command: &[OsString]) -> Result<Ending, Error> {
        let status = match self.switch_on(wish) {
            // Who was interrupted while it was switched on wants to run nothing more.
            Ok(()) => match sys::take_held_signal() {
                Some(signal) => Ok(as_number(BY_SIGNAL + signal)),
                None => start(command).and_then(wait),
            },
            Err(Unfinished { fault, extent }) => match (extent, fault) {
                (_, Error::Usage(what)) => return Err(Error::Usage(what)),
                (Extent::Nothing, Error::Failed(what)) => {
                    return Err(Error::Failed(not_run(&what)));
                }
                // Visitors are not to be left on the page for a command that is not run.
                (Extent::Unknown | Extent::Visitors, Error::Failed(what)) => {
                    Err((1, not_run(&what)))
                }
            },
        };
        let status = status.unwrap_or_else(|(status, what)| {
            log::error!("{what}");
            status
        });
        // Switching off is not to be interrupted.
        self.world.heed_signals(false);
        let fault = self.switch_off(false, PATIENCE).err().map(loud);
        Ok(Ending {
            status: if status == 0 && fault.is_some() {
                1
            } else {
                status
            },
            fault,
        })
    }

    /// What [`Self::run`] would run, as text.
    ///
    /// # Errors
    /// What was asked for cannot be done.
    pub fn dry_run(&self, wish: &Wish, command: &[OsString]) -> Result<String, Error> {
        let words: Vec<String> = command
            .iter()
            .map(|word| quoted(&word.to_string_lossy()))
            .collect();
        Ok(format!(
            "{}{}\n{}",
            self.dry_on(wish)?,
            words.join(" "),
            self.dry_off(false)
        ))
    }
}

fn not_run(what: &str) -> String {
    format!("the command was not run: {what}")
}

/// What is told last, and cannot be overlooked where visitors are still on the page.
fn loud(Unfinished { fault, extent }: Unfinished) -> Error {
    let command = "\"maintd off\"";
    Error::Failed(match extent {
        Extent::Visitors => fault.to_string(),
        Extent::Unknown => format!("VISITORS MAY STILL GET THE PAGE: {fault}"),
        Extent::Nothing => format!("VISITORS STILL GET THE PAGE: {fault}; then run {command}"),
    })
}

/// Starts the command with our own terminal, environment and directory.
fn start(command: &[OsString]) -> Result<Child, (u8, String)> {
    let Some((program, arguments)) = command.split_first() else {
        return Err((
            NOT_FOUND,
            "no command to run; write one behind \"--\"".to_owned(),
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
        Ok(status) => Ok(as_shells_have_it(status)),
        Err(error) => Err((
            1,
            format!("cannot wait for the command: {}", reason(&error)),
        )),
    }
}

fn as_shells_have_it(status: ExitStatus) -> u8 {
    let number = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => BY_SIGNAL + signal,
        (None, None) => 1,
    };
    as_number(number)
}

fn as_number(status: i32) -> u8 {
    u8::try_from(status).unwrap_or(1)
}
