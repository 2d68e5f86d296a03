//! What people are told of the switch.

use std::env;
use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::clock;
use crate::config::network::Network;
use crate::switch::command::quoted;
use crate::switch::filter::Filter;
use crate::switch::filter::means::{BecomeRoot, Means};
use crate::switch::plan::{Moved, Plan, Step};
use crate::switch::state::Saved;

/// The commands of a plan, as a shell takes them; what is no command is a comment.
pub(crate) fn commands(plan: &Plan, filter: &Filter) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let line = match filter.means(step) {
            Means::Call(call) => call.to_string(),
            Means::Calls(calls) => {
                let lines: Vec<_> = calls.iter().map(ToString::to_string).collect();
                lines.join("\n")
            }
            Means::AskForPage { server, .. } => format!("# {server} must answer with 503"),
            Means::Connect(server) => format!("# {server} must accept connections"),
            Means::ConnectToAny {
                servers,
                is_required: true,
            } => format!("# one of {} must accept connections", places(&servers)),
            Means::ConnectToAny {
                servers,
                is_required: false,
            } => format!(
                "# warns where none of {} accepts connections",
                places(&servers)
            ),
            Means::Files(paths) => {
                let names: Vec<_> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                format!("# reads {}", names.join(" and "))
            }
            Means::Nothing => continue,
        };
        let _ = writeln!(text, "{line}");
        if matches!(step, Step::Redirects { .. }) && matches!(filter, Filter::Pf(_)) {
            text.push_str("# each address that these rules redirect to must answer with 503\n");
        }
    }
    text
}

/// Who gets the page, or is only redirected to it where something is in the way, and until when that is announced.
pub(crate) fn summary(saved: &Saved, has_obstacle: bool) -> String {
    let mut text = format!("{} the page", who(&saved.moved, has_obstacle));
    if !saved.moved.except.is_empty() {
        let _ = write!(text, ", but for {}", list(&saved.moved.except));
    }
    if let Some(until) = saved.window.until {
        let _ = write!(text, "; announced until {}", clock::terminal(until));
    }
    text
}

/// Who is moved, with the verb.
pub(crate) fn who(moved: &Moved, has_obstacle: bool) -> String {
    let (one_is, several_are) = if has_obstacle {
        ("is redirected to", "are redirected to")
    } else {
        ("gets", "get")
    };
    let everybody = moved.entries.iter().filter(|entry| entry.is_everybody());
    match (everybody.count(), moved.entries.as_slice()) {
        (2, _) => format!("everybody {one_is}"),
        (_, []) => format!("nobody {one_is}"),
        (_, [one]) => format!("{one} {one_is}"),
        (_, several) => format!("{} {several_are}", list(several)),
    }
}

/// `a, b and c`, of many only the first.
pub(crate) fn list(networks: &[Network]) -> String {
    first_of(networks)
}

/// The same, of servers.
pub(crate) fn places(servers: &[SocketAddr]) -> String {
    first_of(servers)
}

fn first_of(items: &[impl ToString]) -> String {
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

/// A length of time, as precise as people want it.
pub(crate) fn length(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// What an administrator has written, without what would move a terminal's cursor.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// What to do for those who are not root. doas(1) compares the command as it is typed, and all of its arguments. Who runs a
/// command of their own by it, or with a configuration of their own, is root, and is to be asked for a password.
pub(crate) fn needs_root(means: BecomeRoot) -> String {
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
    match means {
        BecomeRoot::Doas => {}
        BecomeRoot::Sudo => return format!("only root can switch; run \"sudo {command}\""),
        BecomeRoot::Su => {
            return format!("only root can switch; become root with su(1) and run \"{command}\"");
        }
    }
    let is_own =
        |word: &String| word == "run" || word.starts_with("-c") || word.starts_with("--config");
    let nopass = if words.iter().any(is_own) {
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

/// A word as doas.conf(5) takes it.
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

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_length_of_time_is_as_precise_as_need_be() {
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
    fn who_gets_the_page_is_told_in_words() {
        for (entries, expected) in [
            (&["0.0.0.0/0", "::/0"][..], "everybody gets"),
            (&["0.0.0.0/0"], "0.0.0.0/0 gets"),
            (
                &["192.0.2.0/24", "2001:db8::/32"],
                "192.0.2.0/24 and 2001:db8::/32 get",
            ),
            (&[], "nobody gets"),
        ] {
            let moved = Moved::new(networks(entries), Vec::new()).unwrap();
            assert_eq!(who(&moved, false), expected);
            let redirected = expected.replace(" gets", " is redirected to");
            let redirected = redirected.replace(" get", " are redirected to");
            assert_eq!(who(&moved, true), redirected);
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
