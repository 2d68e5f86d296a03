//! The screen of `maintd status --watch`: the daemon's status as lines that fit a terminal, or as a row of a table.

use std::env;

use crate::clock;
use crate::switch::status::daemon::{DaemonCounter, DaemonStatus};
use crate::switch::status::format::{prefixed, prefixed_count, rate};

/// The width of a name.
const NAME_WIDTH: usize = 13;
/// The width of a rate or a total.
const NUMBER_WIDTH: usize = 11;
/// Bars of increasing height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same for a terminal that shows only ASCII.
const ASCII_BARS: [char; 8] = ['.', ':', '-', '=', '+', '*', '%', '#'];
/// The minimum width of a list if two are side by side.
const MIN_LIST_WIDTH: usize = 38;
/// The maximum: in a wider list a name would be far from its numbers.
const MAX_LIST_WIDTH: usize = 60;

/// The locale of the environment is UTF-8 (locale(1)).
pub(super) fn is_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let set = names.iter().filter_map(|name| env::var(name).ok());
    let locale = set.into_iter().find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8")
}

/// The lines of a screen of this size. Without a status, an error is shown.
pub(super) fn render(
    status: &Result<DaemonStatus, String>,
    (width, height): (usize, usize),
    now: u64,
    utf8: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    match status {
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
            lines.push(format!(
                "{:<NAME_WIDTH$}{all}: {}",
                "open now",
                states.join(", ")
            ));
            lines.push(String::new());
            lists(&mut lines, daemon, (width, height.saturating_sub(1)));
        }
        Err(what) => {
            lines.push(at_both_ends("maintd", &clock(now), width));
            lines.push(String::new());
            lines.push(what.clone());
        }
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), String::new());
    lines.push("q quits".to_owned());
    lines.iter().map(|line| cut(line, width)).collect()
}

fn head(lines: &mut Vec<String>, daemon: &DaemonStatus, width: usize, now: u64) {
    lines.push(at_both_ends(&daemon.title(), &clock(now), width));
    lines.extend(daemon.announced(now));
    lines.push(String::new());
}

/// The rates, with a bar for each of the last seconds.
fn rates(lines: &mut Vec<String>, daemon: &DaemonStatus, width: usize, bars: [char; 8]) {
    let space = width.saturating_sub(NAME_WIDTH + 3 * NUMBER_WIDTH + 1);
    lines.push(format!(
        "{:<NAME_WIDTH$}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$} the last minute",
        "", "now/s", "minute/s", "total"
    ));
    for name in ["requests", "connections"] {
        let (counter, seconds) = (daemon.counter(name), daemon.seconds(name));
        let last = seconds.last().copied().unwrap_or(0);
        lines.push(format!(
            "{name:<NAME_WIDTH$}{last:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$} {}",
            rate(counter.rate),
            counter.total,
            sparkline(&seconds, space, bars)
        ));
    }
    let sent = daemon.counter("sent_bytes");
    lines.push(format!(
        "{:<NAME_WIDTH$}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}",
        "sent",
        "",
        format!("{}B", prefixed(sent.rate)),
        format!("{}B", prefixed_count(sent.total))
    ));
    let (resumed, lost) = (daemon.counter("resumptions"), daemon.counter("lost_lines"));
    let (old, new) = (
        daemon.count(&["totals", "handshakes", "1.2"]),
        daemon.count(&["totals", "handshakes", "1.3"]),
    );
    lines.push(format!(
        "{:<NAME_WIDTH$}TLS 1.3: {new}, TLS 1.2: {old}, resumed: {}; lost log lines: {}",
        "handshakes", resumed.total, lost.total
    ));
}

/// The counts of the last seconds as bars; the highest count has the highest bar.
fn sparkline(seconds: &[u64], space: usize, bars: [char; 8]) -> String {
    let shown = &seconds[seconds.len().saturating_sub(space)..];
    let most = shown.iter().max().copied().unwrap_or(0).max(1);
    let bar = |second: &u64| {
        // 0 is blank, and every other count is visible.
        let step = (u128::from(*second) * 7).div_ceil(u128::from(most));
        let step = usize::try_from(step).unwrap_or(0);
        if *second == 0 { ' ' } else { bars[step.min(7)] }
    };
    shown.iter().map(bar).collect()
}

/// The rejected connections and the hosts, side by side if the terminal is wide enough.
fn lists(lines: &mut Vec<String>, daemon: &DaemonStatus, (width, height): (usize, usize)) {
    let space = height.saturating_sub(lines.len());
    let half = (width.saturating_sub(2) / 2).clamp(MIN_LIST_WIDTH, MAX_LIST_WIDTH);
    let lists = [
        list("rejected", &daemon.rejected(), half),
        list("top hosts", &daemon.hosts(), half),
    ];
    if width < 2 * MIN_LIST_WIDTH + 2 {
        for list in lists {
            lines.extend(list.into_iter().take(space / 2));
        }
        return;
    }
    let [left, right] = lists;
    for number in 0..left.len().max(right.len()).min(space) {
        let of = |list: &[String]| list.get(number).cloned().unwrap_or_default();
        lines.push(format!("{}  {}", pad(&of(&left), half), of(&right)));
    }
}

fn list(title: &str, counters: &[DaemonCounter], width: usize) -> Vec<String> {
    let name = width.saturating_sub(2 * NUMBER_WIDTH);
    let mut lines = vec![format!(
        "{}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}",
        pad(title, name),
        "minute/s",
        "total"
    )];
    for counter in counters {
        lines.push(format!(
            "{}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}",
            pad(&cut(&counter.name, name), name),
            rate(counter.rate),
            counter.total
        ));
    }
    if counters.is_empty() {
        lines.push("none".to_owned());
    }
    lines
}

/// A row of the table, after the column names if `with_head`.
pub(super) fn row(daemon: &DaemonStatus, now: u64, with_head: bool) -> String {
    let mut text = String::new();
    if with_head {
        text.push_str("    time  requests/s  connections/s     sent/s  rejected/s   open\n");
    }
    let last = |name| daemon.seconds(name).last().copied().unwrap_or(0);
    let rejected = daemon.rejected().into_iter();
    // `sum` of no floats is -0.
    let rejected = rejected.fold(0.0, |sum, counter| sum + counter.rate);
    let open: u64 = daemon.open().iter().map(|(_, count)| count).sum();
    let sent = format!("{}B", prefixed(daemon.counter("sent_bytes").rate));
    text.push_str(&format!(
        "{}  {:>10}  {:>13}  {sent:>9}  {:>10}  {open:>5}\n",
        clock(now),
        last("requests"),
        last("connections"),
        rate(rejected),
    ));
    text
}

/// The time of day.
pub(super) fn clock(now: u64) -> String {
    let time = clock::terminal(now);
    time.split(' ').next_back().unwrap_or_default().to_owned()
}

/// A line with one text at its start and one at its end.
fn at_both_ends(left: &str, right: &str, width: usize) -> String {
    let space = width.saturating_sub(right.chars().count() + 1);
    format!("{} {right}", pad(&cut(left, space), space))
}

/// The start of a text that fits. A character is one column wide, or two if `is_wide`.
fn cut(text: &str, width: usize) -> String {
    let mut left = width;
    let fits = |character: &char| {
        let columns = if is_wide(*character) { 2 } else { 1 };
        let fits = columns <= left;
        left = left.saturating_sub(columns);
        fits
    };
    text.chars().take_while(fits).collect()
}

/// East Asian characters and emoji, which terminals show two columns wide (Unicode Standard Annex 11).
const fn is_wide(character: char) -> bool {
    matches!(character, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}' | '\u{1f000}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

fn pad(text: &str, width: usize) -> String {
    let columns: usize = text
        .chars()
        .map(|character| if is_wide(character) { 2 } else { 1 })
        .sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(columns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_795_521_600;

    fn busy() -> DaemonStatus {
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
        DaemonStatus::test(json!({
            "pid": 4_000_000, "version": "0.1.0", "uptime": 90_000, "workers": 16,
            "announced": { "until": NOW + 7260, "message": "back 早く\u{1b}[31m".repeat(30) },
            "open": { "handshake": 12_345, "keep_alive": 1_000_000 },
            "totals": numbers, "rates": numbers,
            "seconds": { "requests": (0..60).collect::<Vec<u64>>(), "connections": vec![0; 60] },
        }))
    }

    #[test]
    fn a_screen_has_the_size_of_its_terminal() {
        let error = Err("no daemon at \"/run/maintd/maintd.sock\"; ".repeat(9));
        for status in [Ok(busy()), Ok(DaemonStatus::test(json!({}))), error] {
            for size in [(80, 24), (200, 50), (40, 10), (20, 3), (1, 1), (300, 100)] {
                let lines = render(&status, size, NOW, true);
                assert_eq!(lines.len(), size.1);
                for line in &lines {
                    let columns: usize = line
                        .chars()
                        .map(|character| if is_wide(character) { 2 } else { 1 })
                        .sum();
                    assert!(columns <= size.0, "{size:?}: {line}");
                    assert!(!line.contains(char::is_control), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn a_small_screen_shows_the_main_figures() {
        let lines = render(&Ok(busy()), (80, 24), NOW, true);
        let text = lines.join("\n");
        for expected in [
            "pid 4000000, 16 workers, up 1 d 1 h",
            "announced until ",
            "requests",
            "12345678",
            "█",
            "open now     1012345: handshake 12345, head 0, keep-alive 1000000",
            "evicted",
            "refused: 400",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
        assert!(!text.contains("refused: 431"), "{text}");
    }

    #[test]
    fn a_row_without_counters_is_zeros() {
        let row = row(&DaemonStatus::test(json!({})), NOW, false);
        let numbers: Vec<&str> = row.split_whitespace().skip(1).collect();
        assert_eq!(numbers, ["0", "0", "0", "B", "0", "0"]);
    }

    #[test]
    fn the_highest_bar_is_the_highest_count() {
        assert_eq!(sparkline(&[0, 1, 50, 100], 10, BARS), " ▂▅█");
        assert_eq!(sparkline(&[0, 1, 50, 100], 2, ASCII_BARS), "+#");
        assert_eq!(sparkline(&[], 10, BARS), "");
    }
}
