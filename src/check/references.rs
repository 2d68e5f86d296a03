//! What a page wants from its own site: all of it would get the 503 too.

/// The places of an HTML page that name a file which a browser fetches by itself.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("img", "src"),
    ("script", "src"),
    ("link", "href"),
    ("source", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("iframe", "src"),
    ("embed", "src"),
    ("object", "data"),
];

/// The references of a page to files of its own site, in their order, each once.
pub(super) fn of_page(page: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(page);
    let mut found: Vec<String> = Vec::new();
    let mut rest: &str = &text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, behind)| behind);
            continue;
        }
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let name = tag
            .split(|letter: char| letter.is_whitespace() || letter == '/')
            .next()
            .unwrap_or("");
        for (element, attribute) in ATTRIBUTES {
            if name.eq_ignore_ascii_case(element)
                && let Some(target) = value(tag, attribute)
                && is_own(target)
                && !found.iter().any(|other| other == target)
            {
                found.push(target.to_owned());
            }
        }
    }
    let styles = text
        .split("url(")
        .skip(1)
        .filter_map(|behind| behind.split_once(')'));
    for (target, _) in styles {
        let target = target.trim().trim_matches(['"', '\'']);
        if is_own(target) && !found.iter().any(|other| other == target) {
            found.push(target.to_owned());
        }
    }
    found
}

/// The value of an attribute in a tag.
fn value<'a>(tag: &'a str, attribute: &str) -> Option<&'a str> {
    let lower = tag.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find(attribute) {
        let start = from + at;
        from = start + attribute.len();
        let stands_alone = lower[..start]
            .ends_with(|letter: char| letter.is_whitespace() || letter == '"' || letter == '\'');
        let Some(behind) = tag[from..].trim_start().strip_prefix('=') else {
            continue;
        };
        if !stands_alone {
            continue;
        }
        let behind = behind.trim_start();
        return match behind.chars().next() {
            Some(quote @ ('"' | '\'')) => behind[1..].split(quote).next(),
            _ => behind.split(|letter: char| letter.is_whitespace()).next(),
        };
    }
    None
}

/// A reference that the browser would ask this site for; none to another host, and none that holds its data itself.
fn is_own(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let has_scheme = !scheme.is_empty()
        && scheme
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    !(target.is_empty() || target.starts_with('#') || target.starts_with("//") || has_scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_same_site_are_found() {
        let page = br#"<!doctype html><LINK rel=stylesheet href="/style.css"><link href='data:,'>
            <img alt="x" src = logo.png><img src=//cdn.example/a.png><img data-src="/lazy.png">
            <!-- <img src="/comment.png"> --><script src="/app.js?v=1"></script><script>a < b;</script>
            <style>b { background: url('/bg.png') } c { fill: url(#d); background: url(data:image/png;base64,AA) }</style>
            <img src="https://elsewhere.example/x.png"><img src="logo.png"><a href="/next">no fetch</a>"#;
        assert_eq!(
            of_page(page),
            ["/style.css", "logo.png", "/app.js?v=1", "/bg.png"]
        );
    }

    #[test]
    fn the_embedded_page_wants_nothing() {
        assert_eq!(of_page(crate::serve::page::EMBEDDED), [""; 0]);
    }

    #[test]
    fn any_bytes_will_do() {
        for page in [
            &b""[..],
            b"<",
            b"<img src",
            b"<img src=",
            b"<img src=\"",
            b"<!--",
            b"url(",
            b"\xff<img src=\xff>",
        ] {
            let _ = of_page(page);
        }
    }
}
