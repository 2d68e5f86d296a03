//! Formats values for messages.

use std::env;
use std::fmt::Write as _;

use crate::clock;
use crate::switch::clients::ClientSet;
use crate::switch::command::quoted;
use crate::switch::state::Saved;
use crate::switch::tools::BecomeRoot;

/// Which clients get the page, or are only redirected to it if there is an obstacle, and the announced end if it is saved.
pub(crate) fn summary(saved: &Saved, is_saved: bool, has_obstacle: bool) -> String {
    let mut text = format!(
        "{} the page",
        clients_with_verb(&saved.clients, has_obstacle)
    );
    if !saved.clients.except.is_empty() {
        let _ = write!(text, ", but for {}", list(&saved.clients.except));
    }
    if let Some(until) = saved.announcement.until.filter(|_| is_saved) {
        let _ = write!(text, "; announced until {}", clock::terminal(until));
    }
    text
}

/// "all visitors get", "192.0.2.1 gets".
pub(crate) fn clients_with_verb(clients: &ClientSet, has_obstacle: bool) -> String {
    let (singular, plural) = if has_obstacle {
        ("is redirected to", "are redirected to")
    } else {
        ("gets", "get")
    };
    let all = clients
        .entries
        .iter()
        .filter(|entry| entry.is_all_addresses());
    match (all.count(), clients.entries.as_slice()) {
        (2, _) => format!("all visitors {plural}"),
        (_, []) => format!("no visitor {singular}"),
        (_, [one]) => format!("{one} {singular}"),
        (_, several) => format!("{} {plural}", list(several)),
    }
}

/// `a, b and c`; only the first of many.
pub(crate) fn list(items: &[impl ToString]) -> String {
    const SHOWN: usize = 8;
    let mut texts: Vec<String> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    if items.len() > SHOWN {
        texts.push(format!("{} more", items.len() - SHOWN));
    }
    match texts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => String::new(),
    }
}

/// A duration in its two largest units.
pub(crate) fn length(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A text on one line, with spaces for control characters.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// The error for a user who is not root. doas(1) compares the command as it is typed, with all arguments. The proposed rule
/// requires a password for `run` and `--config`: with these a user could run any command as root.
pub(crate) fn needs_root(program: BecomeRoot) -> String {
    let words: Vec<String> = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let all = |quote: fn(&str) -> String| {
        words
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let command = format!("maintd {}", all(quoted));
    match program {
        BecomeRoot::Doas => {}
        BecomeRoot::Sudo => return format!("only root can switch; run \"sudo {command}\""),
        BecomeRoot::Su => {
            return format!("only root can switch; become root with su(1) and run \"{command}\"");
        }
    }
    let runs_any_command =
        |word: &String| word == "run" || word.starts_with("-c") || word.starts_with("--config");
    let nopass = if words.iter().any(runs_any_command) {
        ""
    } else {
        "nopass "
    };
    let is_plain = |name: &String| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let user = env::var("LOGNAME").ok().filter(is_plain);
    let user = user.unwrap_or_else(|| ":wheel".to_owned());
    format!(
        "only root can switch; run \"doas {command}\", which /etc/doas.conf allows by: permit {nopass}{user} as root cmd maintd args {}",
        all(quoted_for_doas)
    )
}

/// A word quoted for doas.conf(5).
fn quoted_for_doas(word: &str) -> String {
    if quoted(word) == word {
        word.to_owned()
    } else {
        format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::Network;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_duration_has_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7_500, "2 h 5 min"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(length(seconds), expected);
        }
    }

    #[test]
    fn clients_have_a_verb() {
        for (entries, expected) in [
            (&["0.0.0.0/0", "::/0"][..], "all visitors get"),
            (&["0.0.0.0/0"], "0.0.0.0/0 gets"),
            (
                &["192.0.2.0/24", "2001:db8::/32"],
                "192.0.2.0/24 and 2001:db8::/32 get",
            ),
            (&[], "no visitor gets"),
        ] {
            let clients = ClientSet::new(networks(entries), Vec::new()).unwrap();
            assert_eq!(clients_with_verb(&clients, false), expected);
            let redirected = expected.replace(" gets", " is redirected to");
            let redirected = redirected.replace(" get", " are redirected to");
            assert_eq!(clients_with_verb(&clients, true), redirected);
        }
        let many: Vec<String> = (0..10)
            .map(|number| format!("192.0.2.{}", 2 * number))
            .collect();
        let many = networks(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(
            list(&many).ends_with("192.0.2.14 and 2 more"),
            "{}",
            list(&many)
        );
    }
}
