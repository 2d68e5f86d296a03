//! What is seen: lines of text that fit a terminal, made of nothing but what the daemon tells.

use std::env;

use crate::clock;
use crate::switch::status::daemon;
use crate::switch::status::daemon::{Daemon, Line, rate, short, short_count};

/// The columns of a name.
const NAME: usize = 13;
/// The columns of a rate, and of a total.
const NUMBER: usize = 11;
/// The heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same where the terminal shows ASCII alone.
const ASCII_BARS: [char; 8] = ['.', ':', '-', '=', '+', '*', '%', '#'];
/// The least columns of each half where two lists stand side by side.
const HALF: usize = 38;
/// More of them would only part names from their numbers.
const WIDEST: usize = 60;

/// Whether the terminal shows more than ASCII, as the environment has it (locale(1)).
pub(crate) fn is_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let set = names.iter().filter_map(|name| env::var(name).ok());
    let locale = set.into_iter().find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8")
}

/// The lines of a screen of this size.
pub(crate) fn render(
    seen: &Result<Daemon, String>,
    (width, height): (usize, usize),
    now: u64,
    utf8: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    match seen {
        Ok(daemon) => {
            head(&mut lines, daemon, width, now);
            rates(
                &mut lines,
                daemon,
                width,
                if utf8 { BARS } else { ASCII_BARS },
            );
            lines.push(String::new());
            let open = daemon.open();
            let all: u64 = open.iter().map(|(_, count)| count).sum();
            let states = open.iter().map(|(state, count)| format!("{state} {count}"));
            let states: Vec<String> = states.collect();
            lines.push(format!("{:<NAME$}{all}: {}", "open now", states.join(", ")));
            lines.push(String::new());
            lists(&mut lines, daemon, (width, height.saturating_sub(1)));
        }
        Err(what) => {
            lines.push(beside("maintd", &clock(now), width));
            lines.push(String::new());
            lines.push(what.clone());
        }
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), String::new());
    lines.push("q quits".to_owned());
    lines.iter().map(|line| cut(line, width)).collect()
}

fn head(lines: &mut Vec<String>, daemon: &Daemon, width: usize, now: u64) {
    lines.push(beside(&daemon.title(), &clock(now), width));
    lines.extend(daemon.announced(now));
    lines.push(String::new());
}

/// The rates, with what there was in each of the last seconds as bars.
fn rates(lines: &mut Vec<String>, daemon: &Daemon, width: usize, bars: [char; 8]) {
    let room = width.saturating_sub(NAME + 3 * NUMBER + 1);
    lines.push(format!(
        "{:<NAME$}{:>NUMBER$}{:>NUMBER$}{:>NUMBER$} the last minute",
        "", "now/s", "minute/s", "total"
    ));
    for name in ["requests", "connections"] {
        let (line, seconds) = (daemon.line(name), daemon.seconds(name));
        let last = seconds.last().copied().unwrap_or(0);
        lines.push(format!(
            "{name:<NAME$}{last:>NUMBER$}{:>NUMBER$}{:>NUMBER$} {}",
            rate(line.rate),
            line.total,
            sparkline(&seconds, room, bars)
        ));
    }
    let sent = daemon.line("sent_bytes");
    lines.push(format!(
        "{:<NAME$}{:>NUMBER$}{:>NUMBER$}{:>NUMBER$}",
        "sent",
        "",
        format!("{}B", short(sent.rate)),
        format!("{}B", short_count(sent.total))
    ));
    let (resumed, lost) = (daemon.line("resumptions"), daemon.line("lost_lines"));
    let (old, new) = (
        daemon.count(&["totals", "handshakes", "1.2"]),
        daemon.count(&["totals", "handshakes", "1.3"]),
    );
    lines.push(format!(
        "{:<NAME$}TLS 1.3: {new}, TLS 1.2: {old}, resumed: {}; lost lines of logs: {}",
        "handshakes", resumed.total, lost.total
    ));
}

/// The last seconds as bars, the highest of which is as high as there are.
fn sparkline(seconds: &[u64], room: usize, bars: [char; 8]) -> String {
    let seen = &seconds[seconds.len().saturating_sub(room)..];
    let most = seen.iter().max().copied().unwrap_or(0).max(1);
    let bar = |second: &u64| {
        // Whatever there was is seen, and nothing is blank.
        let step = (u128::from(*second) * 7).div_ceil(u128::from(most));
        let step = usize::try_from(step).unwrap_or(0);
        if *second == 0 { ' ' } else { bars[step.min(7)] }
    };
    seen.iter().map(bar).collect()
}

/// Who is turned away, and the hosts: side by side where there is room for both.
fn lists(lines: &mut Vec<String>, daemon: &Daemon, (width, height): (usize, usize)) {
    let room = height.saturating_sub(lines.len());
    let half = (width.saturating_sub(2) / 2).clamp(HALF, WIDEST);
    let lists = [
        list("turned away", &daemon.turned_away(), half),
        list("top hosts", &daemon.hosts(), half),
    ];
    if width < 2 * HALF + 2 {
        for list in lists {
            lines.extend(list.into_iter().take(room / 2));
        }
        return;
    }
    let [left, right] = lists;
    for number in 0..left.len().max(right.len()).min(room) {
        let of = |list: &[String]| list.get(number).cloned().unwrap_or_default();
        lines.push(format!("{}  {}", pad(&of(&left), half), of(&right)));
    }
}

fn list(title: &str, all: &[Line], width: usize) -> Vec<String> {
    let name = width.saturating_sub(2 * NUMBER);
    let mut lines = vec![format!(
        "{}{:>NUMBER$}{:>NUMBER$}",
        pad(title, name),
        "minute/s",
        "total"
    )];
    for line in all {
        lines.push(format!(
            "{}{:>NUMBER$}{:>NUMBER$}",
            pad(&cut(&line.name, name), name),
            rate(line.rate),
            line.total
        ));
    }
    if all.is_empty() {
        lines.push("nobody".to_owned());
    }
    lines
}

/// A row of the table, with its head where that is wanted.
pub(crate) fn row(daemon: &Daemon, now: u64, with_head: bool) -> String {
    let mut text = String::new();
    if with_head {
        text.push_str("    time  requests/s  connections/s     sent/s  turned away/s   open\n");
    }
    let last = |name| daemon.seconds(name).last().copied().unwrap_or(0);
    let lines = daemon.turned_away().into_iter();
    // The sum of no floats is -0.
    let away = lines.fold(0.0, |sum, line| sum + line.rate);
    let open: u64 = daemon.open().iter().map(|(_, count)| count).sum();
    let sent = format!("{}B", short(daemon.line("sent_bytes").rate));
    text.push_str(&format!(
        "{}  {:>10}  {:>13}  {sent:>9}  {:>13}  {open:>5}\n",
        clock(now),
        last("requests"),
        last("connections"),
        daemon::rate(away),
    ));
    text
}

/// The time of day.
pub(crate) fn clock(now: u64) -> String {
    let time = clock::terminal(now);
    time.split(' ').next_back().unwrap_or_default().to_owned()
}

/// Two texts at both ends of a line.
fn beside(left: &str, right: &str, width: usize) -> String {
    let room = width.saturating_sub(right.chars().count() + 1);
    format!("{} {right}", pad(&cut(left, room), room))
}

/// As much of a text as has room. Each letter is taken for one column wide, but for those that are known to be two.
fn cut(text: &str, width: usize) -> String {
    let mut left = width;
    let fits = |letter: &char| {
        let columns = if is_wide(*letter) { 2 } else { 1 };
        let fits = columns <= left;
        left = left.saturating_sub(columns);
        fits
    };
    text.chars().take_while(fits).collect()
}

/// Letters of East Asia and pictures, which terminals show two columns wide (Unicode Standard Annex 11).
const fn is_wide(letter: char) -> bool {
    matches!(letter, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}' | '\u{1f000}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

fn pad(text: &str, width: usize) -> String {
    let columns: usize = text
        .chars()
        .map(|letter| if is_wide(letter) { 2 } else { 1 })
        .sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(columns)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_795_521_600;

    fn busy() -> Daemon {
        let hosts: serde_json::Map<_, _> = (0..64)
            .map(|number| {
                (
                    format!("{}{number}.example.org", "long".repeat(number)),
                    json!(number),
                )
            })
            .collect();
        let numbers = json!({
            "requests": 12_345_678, "connections": 2_345_678, "sent_bytes": 99_999_999_999_u64,
            "hosts": hosts, "refusals": { "400": 3, "431": 0 }, "closes": { "evicted": 7, "answered": 5 },
        });
        Daemon::test(json!({
            "pid": 4_000_000, "version": "0.1.0", "uptime": 90_000, "workers": 16,
            "announced": { "until": NOW + 7260, "message": "back 早く\u{1b}[31m".repeat(30) },
            "open": { "handshake": 12_345, "keep_alive": 1_000_000 },
            "totals": numbers, "rates": numbers,
            "seconds": { "requests": (0..60).collect::<Vec<u64>>(), "connections": vec![0; 60] },
        }))
    }

    #[test]
    fn every_screen_is_as_large_as_its_terminal() {
        let nobody = Err("no daemon at \"/run/maintd/maintd.sock\"; ".repeat(9));
        for seen in [Ok(busy()), Ok(Daemon::test(json!({}))), nobody] {
            for size in [(80, 24), (200, 50), (40, 10), (20, 3), (1, 1), (300, 100)] {
                let lines = render(&seen, size, NOW, true);
                assert_eq!(lines.len(), size.1);
                for line in &lines {
                    let columns: usize = line
                        .chars()
                        .map(|letter| if is_wide(letter) { 2 } else { 1 })
                        .sum();
                    assert!(columns <= size.0, "{size:?}: {line}");
                    assert!(!line.contains(char::is_control), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn what_matters_is_on_a_small_screen() {
        let lines = render(&Ok(busy()), (80, 24), NOW, true);
        let text = lines.join("\n");
        for expected in [
            "pid 4000000, 16 workers, up 1 d 1 h",
            "announced until ",
            "requests",
            "12345678",
            "█",
            "open now     1012345: handshake 12345, head 0, keep-alive 1000000",
            "full house",
            "refused: 400",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
        assert!(!text.contains("refused: 431"), "{text}");
    }

    #[test]
    fn a_row_of_a_quiet_daemon_is_noughts() {
        let row = row(&Daemon::test(json!({})), NOW, false);
        let numbers: Vec<&str> = row.split_whitespace().skip(1).collect();
        assert_eq!(numbers, ["0", "0", "0", "B", "0", "0"]);
    }

    #[test]
    fn the_highest_bar_is_the_most() {
        assert_eq!(sparkline(&[0, 1, 50, 100], 10, BARS), " ▂▅█");
        assert_eq!(sparkline(&[0, 1, 50, 100], 2, ASCII_BARS), "+#");
        assert_eq!(sparkline(&[], 10, BARS), "");
    }
}
