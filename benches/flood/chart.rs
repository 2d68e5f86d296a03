//! Bar charts in SVG: one group of bars for each row.

use std::fmt::Write as _;

use crate::report::{Row, number};
use crate::servers::ServerKind;

const WIDTH: usize = 820;
const LABELS: usize = 350;
const BAR: usize = 16;
const GAP: usize = 14;
const HEAD: usize = 56;
/// The width of a figure after the longest bar.
const FIGURE: usize = 70;

const fn colour(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::Maintd => "#1b7f5c",
        ServerKind::Nginx => "#8a94a3",
        ServerKind::Haproxy => "#b9c1cc",
        ServerKind::BareClose | ServerKind::BareKeep => "#d9a441",
    }
}

/// A chart of rows in the same unit.
pub fn bars(title: &str, rows: &[&Row]) -> String {
    let bars: usize = rows.iter().map(|row| row.figures.len()).sum();
    let height = HEAD + bars * BAR + rows.len() * GAP + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"600\">{}</text>\n",
        escape(title)
    );
    legend(&mut svg, rows);
    let most = rows
        .iter()
        .flat_map(|row| &row.figures)
        .map(|figure| figure.value())
        .fold(f64::MIN_POSITIVE, f64::max);
    let room = (WIDTH - LABELS - FIGURE) as f64;
    let mut y = HEAD;
    for row in rows {
        let middle = y + row.figures.len() * BAR / 2 + 4;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LABELS - 10,
            escape(&row.title)
        );
        for figure in &row.figures {
            let value = figure.value();
            let length = (value / most).max(0.0) * room;
            let weight = if figure.kind == ServerKind::Maintd {
                600
            } else {
                400
            };
            let _ = writeln!(
                svg,
                "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" rx=\"2\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{}\" font-weight=\"{weight}\">{}</text>",
                BAR - 3,
                colour(figure.kind),
                LABELS as f64 + length + 6.0,
                y + 11,
                number(value)
            );
            y += BAR;
        }
        y += GAP;
    }
    svg + "</svg>\n"
}

fn legend(svg: &mut String, rows: &[&Row]) {
    let mut x = LABELS;
    let mut named = Vec::new();
    for kind in ServerKind::ALL {
        let shown = rows.iter().any(|row| row.figure(kind).is_some());
        if !shown || named.contains(&kind.name()) {
            continue;
        }
        named.push(kind.name());
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"34\" width=\"10\" height=\"10\" rx=\"2\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"43\">{}</text>",
            colour(kind),
            x + 15,
            kind.name()
        );
        x += 100;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
