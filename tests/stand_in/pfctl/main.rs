//! A stand-in for pfctl(8): pf's tables, rules' labels and states as a file next to the name that it is called by. Called as
//! `ifconfig` or `route` it prints what stands in the same file.
//!
//! Texts, streams and exit statuses match pfctl on OpenBSD and on FreeBSD 15.1, where they were recorded on running
//! kernels. `pf.json` holds what the kernel would hold:
//!
//! ```text
//! system   "openbsd", "old" (its messages end in a dot) or "freebsd"
//! dev_pf   false: not open to the caller           enabled, securelevel, limit (of states), used (more than are listed)
//! since    null: pf was enabled or disabled just now
//! tables   { NAME: { "flags": "-pa-r-C", "entries": ["0.0.0.0/0", "!192.0.2.10"] } }
//! labels   ["www-normal 10 20 2000 10 1000 10 1000 30"], a line for each rule
//! rules, nat     a line for each rule, as `-s rules` and `-s nat` print them
//! interfaces, route   what ifconfig and route print; route fails where it is null
//! states   [{ "label": "www-normal", "line": "all tcp ..." }]
//! returning  the same with "times": comes again after that many kills of its label
//! faults   [{ "call": "-T replace", "from": 1, "to": 2, ... }], of the calls that contain these words the first two:
//!          "status", "stdout", "stderr": that is all it does; "lies": it does nothing and reports success;
//!          "dies": by a signal; "waits": makes the file "waiting" and goes on once there is a file "go"
//! ```
//!
//! Each call is a line of `calls`: `{"args": [...], "input": "..."}`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program may"
)]

mod table;

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The parsed arguments.
#[derive(Default)]
struct Options {
    quiet: bool,
    verbose: bool,
    /// `-t`
    table: Option<String>,
    /// `-T`
    command: Option<String>,
    /// `-s`
    show: Option<String>,
    /// `-f`
    file: Option<String>,
    /// Each `-k`.
    kill: Vec<String>,
    operands: Vec<String>,
}

/// The output of pfctl: results, and messages.
#[derive(Default)]
struct Output {
    stdout: String,
    stderr: String,
}

/// pf as it is on disk.
struct Pf {
    directory: PathBuf,
    kernel: Value,
    input: String,
    output: Output,
    quiet: bool,
}

fn main() {
    let mut args = env::args();
    // Not the executable's own place: it is called by a link.
    let name = PathBuf::from(args.next().unwrap());
    let args: Vec<String> = args.collect();
    let directory = name.parent().unwrap().to_owned();
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).unwrap();
    let program = name.file_name().unwrap().to_str().unwrap();
    let called: Vec<String> = match program {
        "pfctl" => args.clone(),
        other => std::iter::once(other.to_owned())
            .chain(args.clone())
            .collect(),
    };
    log(&directory, &called, &input);
    let mut pf = Pf {
        kernel: serde_json::from_str(&fs::read_to_string(directory.join("pf.json")).unwrap())
            .unwrap(),
        directory,
        input,
        output: Output::default(),
        quiet: false,
    };
    let status = pf
        .fault(&called.join(" "))
        .unwrap_or_else(|| match program {
            "ifconfig" => pf.ifconfig(&args),
            "route" => pf.route(&args),
            _ => pf.run(args),
        });
    print!("{}", pf.output.stdout);
    eprint!("{}", pf.output.stderr);
    process::exit(status);
}

fn log(directory: &Path, args: &[String], input: &str) {
    let mut options = OpenOptions::new();
    let path = directory.join("calls");
    let mut file = options.create(true).append(true).open(path).unwrap();
    writeln!(file, "{}", json!({ "args": args, "input": input })).unwrap();
}

/// The options as getopt(3) takes them, as far as maintd has use for them.
fn options(args: Vec<String>) -> Option<Options> {
    let mut options = Options::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Some(letters) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            options.operands = std::iter::once(arg).chain(args).collect();
            break;
        };
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            match letter {
                'q' => options.quiet = true,
                'v' => options.verbose = true,
                't' | 'T' | 's' | 'f' | 'k' => {
                    let rest: String = letters.by_ref().collect();
                    let value = if rest.is_empty() { args.next()? } else { rest };
                    match letter {
                        't' => options.table = Some(value),
                        'T' => options.command = Some(value),
                        's' => options.show = Some(value),
                        'f' => options.file = Some(value),
                        _ => options.kill.push(value),
                    }
                }
                _ => return None,
            }
        }
    }
    Some(options)
}

impl Pf {
    /// The fault that is set for this call: its exit status, where it does nothing else.
    fn fault(&mut self, call: &str) -> Option<i32> {
        let calls = fs::read_to_string(self.directory.join("calls")).unwrap();
        let faults = self.kernel["faults"].as_array()?.clone();
        let is_due = |fault: &&Value| {
            let words = fault["call"].as_str().unwrap();
            let words_of = |line: &str| -> String {
                let line: Value = serde_json::from_str(line).unwrap();
                let args = line["args"].as_array().unwrap().iter();
                args.map(|arg| arg.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let times = calls.lines().filter(|line| words_of(line).contains(words));
            let number = times.count() as u64;
            let within =
                fault["from"].as_u64().unwrap_or(1)..=fault["to"].as_u64().unwrap_or(u64::MAX);
            call.contains(words) && within.contains(&number)
        };
        let fault = faults.iter().find(is_due)?;
        if fault["dies"] == true {
            process::abort();
        }
        if fault["waits"] == true {
            fs::write(self.directory.join("waiting"), "").unwrap();
            while !self.directory.join("go").exists() {
                thread::sleep(Duration::from_millis(1));
            }
            return None;
        }
        if fault["lies"] == true {
            return Some(0);
        }
        self.output.stdout = fault["stdout"].as_str().unwrap_or_default().to_owned();
        self.output.stderr = fault["stderr"].as_str().unwrap_or_default().to_owned();
        Some(i32::try_from(fault["status"].as_i64().unwrap()).unwrap())
    }

    fn run(&mut self, args: Vec<String>) -> i32 {
        let Some(options) = options(args) else {
            self.complain("usage: pfctl [-deghNnPqrvz] ...");
            return 1;
        };
        self.quiet = options.quiet;
        if self.kernel["system"] == "freebsd" && options.verbose {
            self.complain("No ALTQ support in kernel");
            self.complain("ALTQ related functions disabled");
        }
        if self.kernel["dev_pf"] == false {
            self.complain("pfctl: /dev/pf: Permission denied");
            return 1;
        }
        // In this order, whatever that of the arguments.
        if !options.kill.is_empty() {
            if options.command.as_deref() == Some("show") {
                // It has opened /dev/pf for reading alone.
                self.complain("pfctl: DIOCKILLSTATES: Permission denied");
                return 1;
            }
            let status = self.kill(&options.kill);
            if status != 0 {
                return status;
            }
        }
        if let Some(what) = &options.show {
            return self.show(what, options.verbose);
        }
        if options.command.is_some() {
            return self.table(&options);
        }
        i32::from(options.kill.is_empty())
    }

    fn complain(&mut self, line: &str) {
        self.output.stderr.push_str(line);
        self.output.stderr.push('\n');
    }

    /// A message that `-q` drops.
    fn report(&mut self, line: &str) {
        if !self.quiet {
            self.complain(line);
        }
    }

    fn print(&mut self, line: &str) {
        self.output.stdout.push_str(line);
        self.output.stdout.push('\n');
    }

    fn save(&self) {
        let beside = self.directory.join("pf.json.new");
        fs::write(&beside, self.kernel.to_string()).unwrap();
        fs::rename(beside, self.directory.join("pf.json")).unwrap();
    }

    /// `-k label -k LABEL`
    fn kill(&mut self, words: &[String]) -> i32 {
        let [kind, label] = words else {
            self.complain("pfctl: -k takes a label here");
            return 1;
        };
        assert_eq!(kind, "label", "only labels are known here");
        if self.is_secure() {
            self.complain(match self.is_freebsd() {
                true => "pfctl: DIOCKILLSTATES",
                false => "pfctl: DIOCKILLSTATES: Operation not permitted",
            });
            return 1;
        }
        let states = self.kernel["states"].as_array_mut().unwrap();
        let before = states.len();
        states.retain(|state| state["label"] != label.as_str());
        let killed = before - states.len();
        let mut again = Vec::new();
        for state in self.kernel["returning"].as_array_mut().unwrap() {
            let times = state["times"].as_u64().unwrap();
            if state["label"] == label.as_str() && times > 0 {
                state["times"] = json!(times - 1);
                again.push(state.clone());
            }
        }
        self.kernel["states"].as_array_mut().unwrap().extend(again);
        self.save();
        self.report(&format!("killed {killed} states"));
        0
    }

    /// `-s`
    fn show(&mut self, what: &str, verbose: bool) -> i32 {
        let lines = |list: &Value, line: fn(&Value) -> &Value| -> Vec<String> {
            let lines = list.as_array().unwrap().iter();
            lines
                .map(|value| line(value).as_str().unwrap().to_owned())
                .collect()
        };
        let lines = match what {
            "info" => self.info(),
            "memory" => vec![
                format!("states        hard limit {:>8}", self.kernel["limit"]),
                "src-nodes     hard limit    10000".to_owned(),
                "frags         hard limit    65536".to_owned(),
                "tables        hard limit     1000".to_owned(),
                "table-entries hard limit   200000".to_owned(),
            ],
            "labels" => lines(&self.kernel["labels"], |line| line),
            "rules" => lines(&self.kernel["rules"], |line| line),
            "nat" if self.is_freebsd() => lines(&self.kernel["nat"], |line| line),
            "states" => lines(&self.kernel["states"], |state| &state["line"]),
            "Tables" => {
                let tables = self.kernel["tables"].as_object().unwrap().iter();
                tables
                    .map(|(name, table)| match verbose {
                        true => format!("{}\t{name}", table["flags"].as_str().unwrap()),
                        false => name.clone(),
                    })
                    .collect()
            }
            _ => {
                self.complain(&format!("pfctl: Unknown show modifier '{what}'"));
                return 1;
            }
        };
        for line in lines {
            self.print(&line);
        }
        0
    }

    fn is_freebsd(&self) -> bool {
        self.kernel["system"] == "freebsd"
    }

    /// The securelevel forbids to kill states, and FreeBSD's to change tables.
    fn is_secure(&self) -> bool {
        self.kernel["securelevel"].as_i64() > Some(1)
    }

    /// `ifconfig -a`
    fn ifconfig(&mut self, args: &[String]) -> i32 {
        assert_eq!(args, ["-a"]);
        self.output.stdout = self.kernel["interfaces"].as_str().unwrap().to_owned();
        0
    }

    /// `route -n get -inet default`
    fn route(&mut self, args: &[String]) -> i32 {
        let Some(text) = self.kernel["route"].as_str() else {
            self.complain("route: route has not been found");
            return 1;
        };
        assert_eq!([&args[0], &args[1], &args[3]], ["-n", "get", "default"]);
        self.output.stdout = text.to_owned();
        0
    }

    fn info(&self) -> Vec<String> {
        // FreeBSD's does not see it at securelevel 3, and reports it in no other way.
        let is_hidden = self.is_freebsd() && self.kernel["securelevel"].as_i64() > Some(2);
        let is_just_now = self.kernel["since"].is_null();
        let status = match self.kernel["enabled"] == true && !is_hidden {
            true if is_just_now => "Enabled",
            false if is_just_now => "Disabled",
            true => "Enabled for 0 days 01:02:03",
            false => "Disabled for 0 days 00:00:09",
        };
        let listed = self.kernel["states"].as_array().unwrap().len() as u64;
        let used = self.kernel["used"].as_u64().unwrap_or(listed);
        [
            format!("Status: {status:<35} Debug: err"),
            String::new(),
            "State Table                          Total             Rate".to_owned(),
            format!("  current entries               {used:>14}               "),
            "  half-open tcp                          0               ".to_owned(),
            "  searches                           43210           12.3/s".to_owned(),
        ]
        .to_vec()
    }
}
