//! Chromium, driven by its debugging pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Chromium with no window, spoken to as the DevTools protocol has it: JSON, each message ended by a NUL.
pub(crate) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    number: u64,
    _profile: TempDir,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let profile = TempDir::new().unwrap();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1")
            .arg("sh")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--ignore-certificate-errors",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            to,
            from: BufReader::new(from),
            number: 0,
            _profile: profile,
        }
    }

    /// Calls a method, in a page where a session is given, and returns its result.
    pub(crate) fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let result = self.try_call(session, method, parameters);
        result.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// As [`Self::call`], for what fails while a page is being replaced.
    pub(crate) fn try_call(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value, Value> {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.to
            .write_all(format!("{message}\0").as_bytes())
            .unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "chromium has ended");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.number {
                let error = answer["error"].take();
                return if error.is_null() {
                    Ok(answer["result"].take())
                } else {
                    Err(error)
                };
            }
        }
    }

    /// Opens a page of its own window.
    pub(crate) fn open(&mut self, address: &str) -> String {
        let opened = self.call(
            None,
            "Target.createTarget",
            json!({"url": address, "newWindow": true}),
        );
        opened["targetId"].as_str().unwrap().to_owned()
    }

    pub(crate) fn attach(&mut self, target: &str) -> String {
        let parameters = json!({"targetId": target, "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", parameters);
        attached["sessionId"].as_str().unwrap().to_owned()
    }

    /// The value of an expression, which may be a promise.
    pub(crate) fn evaluate(&mut self, session: &str, expression: &str) -> Value {
        let value = self.try_evaluate(session, expression);
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// As [`Self::evaluate`], for what fails while a page is being replaced.
    pub(crate) fn try_evaluate(&mut self, session: &str, expression: &str) -> Result<Value, Value> {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut result = self.try_call(Some(session), "Runtime.evaluate", parameters)?;
        let exception = result["exceptionDetails"].take();
        if exception.is_null() {
            Ok(result["result"]["value"].take())
        } else {
            Err(exception)
        }
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_until(&mut self, session: &str, expression: &str) {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let value = self.try_evaluate(session, expression);
            if value == Ok(Value::Bool(true)) {
                return;
            }
            assert!(Instant::now() < limit, "{expression}: {value:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks on the button of a page.
    pub(crate) fn click(&mut self, session: &str) {
        self.wait_until(session, "!!document.querySelector('button')");
        let _ = self.try_evaluate(session, "document.querySelector('button').click()");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
