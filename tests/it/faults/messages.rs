//! Help and version on stdout, `--quiet`, and colour only on request or on a terminal.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _, pipe};
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::{Client, Server, maintd};
use crate::faults::{GET, run, run_maintd};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// A command that fails, and its error line.
const NO_PAGE: [&str; 3] = ["serve", "--page", "/dev/null"];
const NO_PAGE_LINE: &str = "page \"/dev/null\" is not a regular file; give a file";

#[test]
fn help_goes_to_stdout() {
    for (args, part) in [
        (&["--help"][..], "serve"),
        (&["-h"], "serve"),
        (&["help"], "serve"),
        (&["serve", "--help"], "--tls-listen"),
        (&["serve", "-h"], "--retry-after"),
        (&["help", "serve"], "--page"),
    ] {
        let ended = run_maintd(args);
        assert_eq!(ended.status, Some(0), "{args:?}: {ended:?}");
        assert_eq!(ended.stderr, "", "{args:?}");
        assert!(ended.stdout.contains(part), "{args:?}: {ended:?}");
        assert!(ended.stdout.contains("Usage: maintd"), "{args:?}");
    }
}

#[test]
fn version_goes_to_stdout() {
    for flag in ["--version", "-V"] {
        let ended = run_maintd([flag]);
        assert_eq!(ended.status, Some(0));
        assert_eq!(ended.stderr, "");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(ended.stdout, format!("maintd {version}\n"));
    }
}

/// As with `maintd --help | head -1`.
#[test]
fn help_into_a_closed_pipe_is_no_fault() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = maintd();
    command.arg("--help").stdout(writer).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Neither the listening lines nor the warning of a temporary certificate.
#[test]
fn quiet_prints_nothing_without_errors() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    for flag in ["--quiet", "-q"] {
        let mut command = maintd();
        command.args(["serve", flag, "--tls-listen", "127.0.0.1:0", "--listen"]);
        command.arg(format!("unix:{}", path.display()));
        let mut server = Server::start_command(command, 0);
        let limit = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(&path).is_err() {
            assert!(Instant::now() < limit, "no listener");
            thread::sleep(Duration::from_millis(5));
        }
        let mut client = Client::unix(&path);
        client.send(GET);
        assert_eq!(client.last_answer().status, 503);
        server.signal(libc::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn quiet_still_prints_errors() {
    let ended = run_maintd(NO_PAGE.iter().chain(&["--quiet"]));
    assert_eq!(ended.line(), format!("maintd: {NO_PAGE_LINE}"));
    assert_eq!(ended.status, Some(1));
}

#[test]
fn color_always_is_obeyed() {
    let coloured = format!("{RED}maintd: {PLAIN}{NO_PAGE_LINE}");
    let plain = format!("maintd: {NO_PAGE_LINE}");
    for (when, expected) in [("always", &coloured), ("never", &plain), ("auto", &plain)] {
        let ended = run_maintd(NO_PAGE.iter().chain(&["--color", when]));
        assert_eq!(ended.line(), expected, "--color {when}");
        assert_eq!(ended.status, Some(1));
    }
}

#[test]
fn color_of_a_warning() {
    let server = Server::start(&["--color", "always"]);
    let warning = format!("{YELLOW}maintd: warning: {PLAIN}using the embedded page");
    server.wait_for_stderr(&warning);
    // Other output is not coloured, so that tools can parse it.
    assert!(server.stderr().contains("\nmaintd: listening on http://"));
}

#[test]
fn no_color_does_not_overrule_the_flag() {
    let mut command = maintd();
    command.args(NO_PAGE).args(["--color", "always"]);
    command.env("NO_COLOR", "1");
    let ended = run(command);
    assert!(ended.line().starts_with(RED), "{ended:?}");
}

#[test]
fn color_by_itself_on_a_terminal_alone() {
    for (no_color, flags, coloured) in [
        (None, &[][..], true),
        (None, &["--color", "auto"], true),
        (None, &["--color", "never"], false),
        (Some("1"), &[], false),
        // https://no-color.org: when present and not an empty string.
        (Some(""), &[], true),
        (Some("1"), &["--color", "always"], true),
    ] {
        let (mut terminal, stderr) = terminal();
        let mut command = maintd();
        command.args(NO_PAGE).args(flags).env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        command.stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        // The command holds our descriptor of the other side: the read ends only when it is closed.
        drop(command);
        let mut text = Vec::new();
        if let Err(error) = terminal.read_to_end(&mut text) {
            // Linux, once the other side is closed; elsewhere that is an end.
            assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
        }
        let text = String::from_utf8(text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let expected = if coloured {
            format!("{RED}maintd: {PLAIN}{NO_PAGE_LINE}\r\n")
        } else {
            format!("maintd: {NO_PAGE_LINE}\r\n")
        };
        assert_eq!(text, expected, "NO_COLOR={no_color:?} {flags:?}");
    }
}

/// A terminal's two sides. Neither is inherited by the children of other tests.
fn terminal() -> (File, File) {
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    // SAFETY: posix_openpt touches no memory of ours.
    #[expect(unsafe_code, reason = "std knows no terminals")]
    let ours = unsafe { libc::posix_openpt(flags | libc::O_CLOEXEC) };
    assert!(ours >= 0, "{}", io::Error::last_os_error());
    // SAFETY: posix_openpt has just opened it, and nothing else owns it.
    #[expect(unsafe_code, reason = "std knows no terminals")]
    let terminal = unsafe { File::from_raw_fd(ours) };
    // SAFETY: `ours` is open; ptsname returns null or a string that stands until the next call,
    // and this function alone, in one test alone, calls it.
    #[expect(unsafe_code, reason = "std knows no terminals")]
    let theirs = unsafe {
        assert_eq!(libc::grantpt(ours), 0);
        assert_eq!(libc::unlockpt(ours), 0);
        let name = libc::ptsname(ours);
        assert!(!name.is_null());
        CStr::from_ptr(name).to_owned()
    };
    let theirs = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(theirs.to_str().unwrap())
        .unwrap();
    (terminal, theirs)
}
