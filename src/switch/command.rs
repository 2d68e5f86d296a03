//! Runs commands of the system: by absolute path, without a shell, with a time limit and an empty environment.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::reason;
use crate::switch::error::SwitchError;

/// How long a command may take. Listing a million states takes pfctl a few seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// The time between two checks for a command's end.
const PAUSE: Duration = Duration::from_millis(2);

/// A command with its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its absolute path.
    pub(crate) program: PathBuf,
    /// One word each.
    pub(crate) arguments: Vec<String>,
    /// Its standard input.
    pub(crate) input: Option<String>,
}

/// What a command printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandOutput {
    /// The exit status; `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Call {
    pub(crate) fn new<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            input: None,
        }
    }

    pub(crate) fn with_input(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }

    /// What to install if the program is missing.
    fn package(&self) -> &'static str {
        match self.program.file_name().and_then(OsStr::to_str) {
            Some("nft") => "install the package nftables",
            Some("ss") => {
                "install the package iproute2, which Fedora and its relatives call iproute"
            }
            Some("pfctl") => "pf is part of OpenBSD and FreeBSD; on Linux use --backend nft",
            Some(_) | None => "install it",
        }
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// It cannot be started, or takes too long.
    pub(crate) fn run(&self) -> Result<CommandOutput, SwitchError> {
        let failed = |error: &io::Error| SwitchError::CannotRun {
            program: self.program.clone(),
            cause: reason(error),
            advice: if error.kind() == io::ErrorKind::NotFound {
                self.package()
            } else {
                "run it by hand to see why"
            },
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            // So that a terminal's Ctrl-C does not stop it half-way.
            .process_group(0)
            .stdin(if self.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (status, stdout, stderr) = thread::scope(|scope| {
            // One thread for each pipe, so that none of them fills while another is read.
            if let (Some(mut stdin), Some(input)) = (stdin, &self.input) {
                // A command that does not read its input reports the cause on stderr.
                scope.spawn(move || stdin.write_all(input.as_bytes()));
            }
            let stdout = scope.spawn(|| all_of(stdout));
            let stderr = scope.spawn(|| all_of(stderr));
            let status = wait(&mut child);
            (
                status,
                stdout.join().unwrap_or_default(),
                stderr.join().unwrap_or_default(),
            )
        });
        match status.map_err(|error| failed(&error))? {
            Some(status) => Ok(CommandOutput {
                status: status.code(),
                stdout,
                stderr: meaningful(&stderr),
            }),
            None => Err(SwitchError::CommandTimeout {
                command: self.to_string(),
                seconds: LIMIT.as_secs(),
            }),
        }
    }
}

/// Waits for the command's end. Kills it when the time is over and returns `None`.
fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

fn all_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // After a read error, the output before it is used.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without the lines that FreeBSD's pfctl prints with every command.
fn meaningful(stderr: &str) -> String {
    let is_noise = |line: &str| {
        line.ends_with("No ALTQ support in kernel")
            || line.ends_with("ALTQ related functions disabled")
    };
    stderr
        .lines()
        .filter(|line| !is_noise(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

impl CommandOutput {
    /// The output of a command that cannot be run, for callers that treat both errors alike.
    pub(crate) fn not_run(error: SwitchError) -> Self {
        Self {
            stderr: error.to_string(),
            ..Self::default()
        }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status == Some(0)
    }

    /// The error for a command that should have succeeded.
    pub(crate) fn failure_of(&self, call: &Call) -> SwitchError {
        let name = call.program.file_name().unwrap_or_default();
        let words = [&[name.to_string_lossy().into_owned()], &call.arguments[..]].concat();
        SwitchError::CommandFailed {
            task: format!("{} fails", words[0]),
            error_text: self.error_text(),
            by_hand: Some(words.join(" ")),
        }
    }

    /// The error for a command that could not do its task, as in "nft cannot change the sets".
    pub(crate) fn failure_to(&self, task: impl Into<String>) -> SwitchError {
        SwitchError::CommandFailed {
            task: task.into(),
            error_text: self.error_text(),
            by_hand: None,
        }
    }

    /// Its stderr as one line for a message; how it ended if that is empty.
    pub(crate) fn error_text(&self) -> String {
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        match (lines.is_empty(), self.status) {
            (false, _) => format!("\"{}\"", lines.join("; ")),
            (true, Some(status)) => format!("exit status {status}"),
            (true, None) => "ended by a signal".to_owned(),
        }
    }
}

/// A word quoted for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The command for a shell, with its input as a here-document.
impl fmt::Display for Call {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.program.display())?;
        for argument in &self.arguments {
            write!(to, " {}", quoted(argument))?;
        }
        if let Some(input) = &self.input {
            write!(to, " <<'END'\n{input}END")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Call {
        Call::new(Path::new("/bin/sh"), ["-c", script])
    }

    #[test]
    fn a_command_gets_its_input_and_returns_its_output() {
        let call = shell("cat; echo said >&2; exit 3").with_input("one\ntwo\n".to_owned());
        let output = call.run().unwrap();
        assert_eq!(output.status, Some(3));
        assert_eq!(output.stdout, "one\ntwo\n");
        assert_eq!(output.error_text(), "\"said\"");
    }

    #[test]
    fn large_input_and_output_do_not_deadlock() {
        let line = "0123456789abcdef\n";
        let call = shell("cat").with_input(line.repeat(100_000));
        assert_eq!(call.run().unwrap().stdout.len(), line.len() * 100_000);
        let unread = shell("exit 0").with_input(line.repeat(100_000));
        assert_eq!(unread.run().unwrap().status, Some(0));
    }

    #[test]
    fn the_callers_environment_is_not_passed() {
        let output = shell("env").run().unwrap();
        let odd = |line: &&str| {
            !["LC_ALL=C", "PWD=/"].contains(line)
                && !line.starts_with("_=")
                && !line.starts_with("SHLVL=")
                && !line.starts_with("OLDPWD")
        };
        assert_eq!(output.stdout.lines().find(odd), None);
    }

    #[test]
    fn a_missing_command_is_reported_with_its_package() {
        for (program, advice) in [
            ("ss", "install the package iproute2, "),
            ("nft", "install the package nftables"),
            (
                "pfctl",
                "pf is part of OpenBSD and FreeBSD; on Linux use --backend nft",
            ),
            ("other", "install it"),
        ] {
            let path = Path::new("/nowhere").join(program);
            let error = Call::new(&path, []).run().unwrap_err().to_string();
            let expected =
                format!("cannot run /nowhere/{program}: no such file or directory; {advice}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn an_error_text_is_one_line() {
        let output = CommandOutput {
            status: Some(1),
            stdout: String::new(),
            stderr: meaningful(
                "No ALTQ support in kernel\nALTQ related functions disabled\npfctl: a\npfctl: b\n",
            ),
        };
        assert_eq!(output.error_text(), "\"pfctl: a; pfctl: b\"");
        let silent = CommandOutput {
            status: Some(255),
            ..CommandOutput::default()
        };
        assert_eq!(silent.error_text(), "exit status 255");
    }

    #[test]
    fn a_call_is_printed_for_a_shell() {
        let call = Call::new(Path::new("/usr/bin/ss"), ["-K", "dst 192.0.2.1", "a'b", ""]);
        assert_eq!(
            call.to_string(),
            r"/usr/bin/ss -K 'dst 192.0.2.1' 'a'\''b' ''"
        );
        let call = Call::new(Path::new("/sbin/pfctl"), ["-f", "-"]).with_input("::/0\n".to_owned());
        assert_eq!(call.to_string(), "/sbin/pfctl -f - <<'END'\n::/0\nEND");
    }
}
