//! Firefox, driven by its Marionette protocol: JSON over TCP, each message after its length and a colon.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A failure limit only.
const LIMIT: Duration = Duration::from_secs(60);

/// Firefox without a window, ended with the test.
pub(crate) struct Firefox {
    child: Child,
    stream: BufReader<TcpStream>,
    number: u64,
    _profile: TempDir,
}

impl Firefox {
    pub(crate) fn start(has_scripts: bool) -> Self {
        let profile = TempDir::new().unwrap();
        let preferences = format!(
            "user_pref(\"marionette.port\", 0);\nuser_pref(\"javascript.enabled\", {has_scripts});\n"
        );
        fs::write(profile.path().join("user.js"), preferences).unwrap();
        let mut child = Command::new("firefox-esr")
            .args(["--headless", "--marionette", "--no-remote", "--profile"])
            .arg(profile.path())
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port(&profile.path().join("MarionetteActivePort"), &mut child);
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut firefox = Self {
            child,
            stream: BufReader::new(stream),
            number: 0,
            _profile: profile,
        };
        let greeting = firefox.receive();
        assert_eq!(greeting["marionetteProtocol"], 3);
        firefox.call("WebDriver:NewSession", json!({}));
        firefox
    }

    fn receive(&mut self) -> Value {
        let mut length = Vec::new();
        self.stream.read_until(b':', &mut length).unwrap();
        assert_eq!(length.pop(), Some(b':'), "firefox has ended");
        let length = str::from_utf8(&length).unwrap().parse().unwrap();
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message).unwrap();
        serde_json::from_slice(&message).unwrap()
    }

    /// Calls a command of WebDriver and returns its result.
    pub(crate) fn call(&mut self, command: &str, parameters: Value) -> Value {
        let result = self.try_call(command, parameters);
        result.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// As [`Self::call`], for what fails while a page is being replaced.
    pub(crate) fn try_call(&mut self, command: &str, parameters: Value) -> Result<Value, Value> {
        self.number += 1;
        let message = json!([0, self.number, command, parameters]).to_string();
        write!(self.stream.get_mut(), "{}:{message}", message.len()).unwrap();
        let mut response = self.receive();
        assert_eq!(response[1], self.number, "{command}");
        let error = response[2].take();
        if error.is_null() {
            Ok(response[3].take())
        } else {
            Err(error)
        }
    }

    /// Clicks on the first element of that kind.
    pub(crate) fn click(&mut self, selector: &str) {
        let parameters = json!({"using": "css selector", "value": selector});
        let found = self.call("WebDriver:FindElement", parameters);
        let id = found["value"].as_object().unwrap().values().next().unwrap();
        self.call("WebDriver:ElementClick", json!({"id": id}));
    }
}

/// The port that Firefox listens on, once it has written it to this file.
fn port(file: &Path, child: &mut Child) -> u16 {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Ok(text) = fs::read_to_string(file)
            && let Ok(port) = text.trim().parse()
        {
            return port;
        }
        assert_eq!(child.try_wait().unwrap(), None, "firefox has ended");
        assert!(Instant::now() < limit, "firefox does not listen");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
