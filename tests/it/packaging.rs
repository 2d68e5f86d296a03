//! The files of packaging/ agree with the program: the manual has every flag and directive and no other, the completions
//! are generated, the configurations are valid.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{maintd, require_tool};
use clap_complete::Shell;
use maintd::cli;
use maintd::config::nginx;
use tempfile::TempDir;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(packaging(file)).unwrap()
}

/// `MAINTD_BLESS=1 cargo test --test it packaging::` writes them again.
#[test]
fn completions_are_those_of_the_command_line() {
    for (shell, file) in [
        (Shell::Bash, "completions/maintd.bash"),
        (Shell::Fish, "completions/maintd.fish"),
        (Shell::Zsh, "completions/_maintd"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut cli::command(), "maintd", &mut script);
        // Some lines of the generators end in blanks.
        let script: String = String::from_utf8(script)
            .unwrap()
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        if std::env::var_os("MAINTD_BLESS").is_some() {
            fs::write(packaging(file), &script).unwrap();
        }
        assert!(
            read(file) == script,
            "{file} is not the command line's; run MAINTD_BLESS=1 cargo test --test it packaging::"
        );
    }
}

/// The completions in a real bash: candidates for a line that ends in the word to be completed.
#[test]
fn bash_completes_commands_and_flags() {
    if !require_tool("bash") {
        return;
    }
    let complete = |words: &[&str]| {
        let script = format!(
            ". '{}'; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
             _maintd maintd \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            packaging("completions/maintd.bash").display()
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &script, "bash", "maintd"])
            .args(words)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["ser"]), ["serve"]);
    assert_eq!(complete(&["serve", "--tls"]), ["--tls-listen"]);
    assert_eq!(complete(&["on", "--exc"]), ["--except"]);
    assert_eq!(
        complete(&["serve", "--color", ""]),
        ["auto", "always", "never"]
    );
}

/// The completions in a real fish, which prints the description of a candidate behind a tab.
#[test]
fn fish_completes_commands_and_flags() {
    if !require_tool("fish") {
        return;
    }
    let complete = |line: &str| {
        let script = packaging("completions/maintd.fish");
        let home = TempDir::new().unwrap();
        let output = Command::new("fish")
            .env("HOME", home.path())
            .args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"])
            .arg(script)
            .arg(line)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words = text.lines().filter_map(|line| line.split('\t').next());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("maintd ser"), ["serve"]);
    assert_eq!(complete("maintd serve --tls"), ["--tls-listen"]);
    assert_eq!(complete("maintd on --exc"), ["--except"]);
    assert_eq!(
        complete("maintd serve --color "),
        ["always", "auto", "never"]
    );
}

/// The manual names exactly what the program has.
#[track_caller]
fn assert_same(documented: &BTreeSet<String>, known: &BTreeSet<String>) {
    let missing: Vec<_> = known.difference(documented).collect();
    let superfluous: Vec<_> = documented.difference(known).collect();
    assert!(
        missing.is_empty() && superfluous.is_empty(),
        "not in the manual: {missing:?}; not in the program: {superfluous:?}"
    );
}

/// The flags of a command of the definition, in all of their forms, without `--help` and `--version`.
fn flags(command: &clap::Command) -> BTreeSet<String> {
    let mut command = command.clone();
    command.build();
    let shorts = command.get_arguments().filter_map(|flag| flag.get_short());
    let longs = command.get_arguments().filter_map(|flag| flag.get_long());
    shorts
        .map(|short| format!("-{short}"))
        .chain(longs.map(|long| format!("--{long}")))
        .collect()
}

/// The flags that the lines of a manual page name: the words behind `Fl`.
fn flags_of_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for line in lines {
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            if word.trim_start_matches('.') != "Fl" {
                continue;
            }
            // "Fl tqv" are three, "Fl -page" is one.
            match words.next().unwrap() {
                long if long.starts_with('-') => flags.extend([format!("-{long}")]),
                shorts => flags.extend(shorts.chars().map(|short| format!("-{short}"))),
            }
        }
    }
    flags
}

#[test]
fn manual_knows_every_flag_and_no_other() {
    let page = read("man/maintd.8");
    let items = page.lines().filter(|line| line.starts_with(".It Fl "));
    let mut definition = cli::command();
    definition.build();
    let mut known = flags(&definition);
    for command in definition.get_subcommands() {
        if command.get_name() != "help" {
            known.extend(flags(command));
        }
    }
    assert_same(&flags_of_lines(items), &known);
}

/// Each command has its lines in the SYNOPSIS, which name its own flags, one form of each at least.
#[test]
fn synopsis_has_every_command_with_its_flags() {
    let page = read("man/maintd.8");
    let (_, synopsis) = page.split_once(".Sh SYNOPSIS\n").unwrap();
    let (synopsis, _) = synopsis.split_once(".Sh ").unwrap();
    let blocks: Vec<_> = synopsis.split(".Nm\n").skip(1).collect();
    let mut definition = cli::command();
    definition.build();
    let commands: Vec<_> = definition
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .collect();
    assert_eq!(blocks.len(), commands.len());
    for (block, command) in blocks.into_iter().zip(commands) {
        let name = command.get_name();
        assert!(
            block.starts_with(&format!(".Cm {name}\n")),
            "{name}: {block}"
        );
        let documented = flags_of_lines(block.lines());
        for flag in command.get_arguments() {
            if flag.is_positional() || flag.is_global_set() || flag.get_id() == "help" {
                continue;
            }
            let short = flag.get_short().map(|short| format!("-{short}"));
            let long = flag.get_long().map(|long| format!("--{long}"));
            let forms = [short, long];
            assert!(
                forms.iter().flatten().any(|form| documented.contains(form)),
                "{name} {forms:?} is not in the SYNOPSIS"
            );
        }
        let known = flags(command);
        assert!(documented.is_subset(&known), "{name}: {documented:?}");
    }
}

/// The directives that have an effect here: all but the ones of nginx that are ignored or refused.
fn honoured() -> BTreeSet<String> {
    let names = include_str!("../../src/config/nginx/directives.txt").lines();
    let names: Vec<_> = names.chain(nginx::OWN).collect();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("test.conf");
    let mut honoured = BTreeSet::new();
    for (before, after) in [
        ("", ""),
        ("http {", "}"),
        ("server {", "}"),
        ("server { location / {", "} }"),
    ] {
        // One directive a line, so that the line of a message identifies it.
        let text = format!("{before}\n{};\n{after}\n", names.join(";\n"));
        fs::write(&path, text).unwrap();
        let checked = nginx::read(&path).unwrap();
        for (number, name) in (2..).zip(&names) {
            let mut documented = checked.errors.iter().chain(&checked.remarks);
            let nothing = documented.any(|message| {
                message.position.line == number
                    && (message.what == format!("{name} is ignored")
                        || message.what.starts_with(&format!("{name} is not possible"))
                        || message
                            .what
                            .starts_with(&format!("{name} belongs at the top level"))
                        || message.what.starts_with("unknown directive"))
            });
            if !nothing {
                honoured.insert((*name).to_owned());
            }
        }
    }
    honoured
}

#[test]
fn manual_knows_every_directive_and_no_other() {
    let page = read("man/maintd.conf.5");
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Ic "));
    let documented: BTreeSet<_> = items
        .filter_map(|item| item.split(' ').next().map(str::to_owned))
        .collect();
    assert_same(&documented, &honoured());
}

/// The directives of "switch" have their own list, in the order of the message that names them.
#[test]
fn manual_knows_every_directive_of_the_switch_and_no_other() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("test.conf");
    fs::write(&path, "switch { nothing; }").unwrap();
    let checked = nginx::read(&path).unwrap();
    let fault = checked.errors.iter().map(|error| error.what.as_str());
    let known = fault
        .filter_map(|what| what.split_once("; write one of "))
        .flat_map(|(_, names)| names.split(", ").map(str::to_owned))
        .collect();
    let page = read("man/maintd.conf.5");
    let (_, section) = page.split_once(".Sh SWITCH\n").unwrap();
    let (section, _) = section.split_once(".Sh ").unwrap();
    let items = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "));
    let documented = items
        .filter_map(|item| item.split(' ').next().map(str::to_owned))
        .collect();
    assert_same(&documented, &known);
}

/// The manual lists the members of the JSON that "status" prints.
#[test]
fn manual_knows_every_member_of_the_status() {
    let page = read("man/maintd.8");
    let (_, section) = page.split_once(".Ss Status as JSON\n").unwrap();
    let (section, _) = section.split_once(".Ss ").unwrap();
    let items = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "));
    let mut documented: BTreeSet<String> = items
        .filter_map(|item| item.split_once(" No ("))
        .flat_map(|(names, _)| names.split(" , ").map(str::to_owned))
        .collect();
    // These stand in a sentence.
    documented.extend(["used", "limit"].map(str::to_owned));
    let json = include_str!("../../src/switch/status/json.rs");
    let json = json.split("#[cfg(test)]").next().unwrap();
    // The member "daemon" is the daemon's own.
    let daemon = include_str!("../../src/serve/metrics/report.rs");
    let json = format!("{json}{daemon}");
    let words = json
        .split('"')
        .skip(1)
        .step_by(2)
        .zip(json.split('"').skip(2).step_by(2));
    let known = words
        .filter(|(_, behind)| behind.starts_with(':'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_same(&documented, &known);
}

/// The shipped configurations, with the paths of the test's files.
#[test]
fn packed_configurations_are_right() {
    let certificate = crate::common::certificates::p256(&["example.org", "www.example.org"]);
    let [_, chain, _, key] = certificate.flags();
    let directory = TempDir::new().unwrap();
    fs::write(
        directory.path().join("maintenance.html"),
        "<h1>Back soon</h1>",
    )
    .unwrap();
    let text = read("maintd.conf")
        .replace("/etc/ssl/example.org.fullchain.pem", chain)
        .replace("/etc/ssl/private/example.org.key", key)
        .replace("/var/www/htdocs", directory.path().to_str().unwrap());
    let path = directory.path().join("maintd.conf");
    fs::write(&path, text).unwrap();
    let output = maintd().arg("check").arg("-c").arg(&path).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("warning"), "{stderr}");
}
