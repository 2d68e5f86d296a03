//! References of a page to its own site: requests for them are answered with 503 too.

use crate::html::{self, Tag};

/// The attributes whose URL a browser fetches without the user.
const ATTRIBUTES: [(&str, &str); 17] = [
    ("img", "src"),
    ("script", "src"),
    ("source", "src"),
    ("track", "src"),
    ("video", "src"),
    ("video", "poster"),
    ("audio", "src"),
    ("iframe", "src"),
    ("frame", "src"),
    ("embed", "src"),
    ("object", "data"),
    ("body", "background"),
    // SVG in HTML.
    ("image", "href"),
    ("image", "xlink:href"),
    ("use", "href"),
    ("use", "xlink:href"),
    ("script", "href"),
];

/// The types of `<link>` that a browser fetches without the user; others, such as `canonical` and `alternate`, are not fetched
/// (HTML Standard, 4.6.7).
const FETCHED_LINKS: [&str; 9] = [
    "stylesheet",
    "icon",
    "apple-touch-icon",
    "apple-touch-icon-precomposed",
    "mask-icon",
    "manifest",
    "preload",
    "modulepreload",
    "prefetch",
];

/// The references of a page to its own site, in their order, each once. `is_own_host` returns whether the site has a host name.
pub(crate) fn find(page: &str, is_own_host: impl Fn(&str) -> bool) -> Vec<String> {
    let tags: Vec<Tag<'_>> = html::tags(page.as_bytes()).collect();
    let base = tags
        .iter()
        .filter(|tag| tag.is("base"))
        .find_map(|tag| tag.value("href"));
    // The base of relative references.
    let is_base_own = base.is_none_or(|base| is_own(&base, true, &is_own_host));
    let mut found: Vec<String> = Vec::new();
    for target in tags.iter().flat_map(references_of) {
        let target = target.trim();
        if is_own(target, is_base_own, &is_own_host) && !found.iter().any(|other| other == target) {
            found.push(target.to_owned());
        }
    }
    found
}

/// The URLs that an element fetches, from any site.
fn references_of(tag: &Tag<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let value = |attribute| tag.value(attribute).map(|value| value.into_owned());
    for (element, attribute) in ATTRIBUTES {
        if tag.is(element) {
            found.extend(value(attribute));
        }
    }
    if tag.is("img") || tag.is("source") {
        found.extend(value("srcset").iter().flat_map(|list| candidates(list)));
    }
    if tag.is("input") && value("type").is_some_and(|kind| kind.eq_ignore_ascii_case("image")) {
        found.extend(value("src"));
    }
    let is_fetched = |kinds: &String| {
        let mut kinds = kinds.split_ascii_whitespace();
        kinds.any(|kind| {
            FETCHED_LINKS
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known))
        })
    };
    if tag.is("link") && value("rel").as_ref().is_some_and(is_fetched) {
        found.extend(value("href"));
        found.extend(
            value("imagesrcset")
                .iter()
                .flat_map(|list| candidates(list)),
        );
    }
    if tag.is("style") {
        found.extend(style_urls(&String::from_utf8_lossy(tag.text)));
    }
    found.extend(value("style").iter().flat_map(|style| style_urls(style)));
    found
}

/// The URLs of a `srcset`, which may contain commas (HTML Standard, 4.8.4.2.1).
fn candidates(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_between = |letter: char| letter.is_ascii_whitespace() || letter == ',';
    let mut rest = list.trim_start_matches(is_between);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter.is_ascii_whitespace());
        let (url, after) = rest.split_at(end.unwrap_or(rest.len()));
        let bare = url.trim_end_matches(',');
        found.push(bare.to_owned());
        // The descriptor ends at the next comma.
        let has_size = bare.len() == url.len();
        let after = if has_size {
            after.split_once(',').map_or("", |(_, after)| after)
        } else {
            after
        };
        rest = after.trim_start_matches(is_between);
    }
    found
}

/// The URLs of a style sheet: `url(...)`, and the strings of `@import` and `image-set`.
fn style_urls(style: &str) -> Vec<String> {
    let style = without_comments(style);
    let lower = style.to_ascii_lowercase();
    let mut found: Vec<(usize, String)> = Vec::new();
    for begin in ["url(", "@import", "image-set("] {
        for (at, _) in lower.match_indices(begin) {
            let rest = style[at + begin.len()..].trim_start();
            let quoted = rest.chars().next().filter(|letter| "\"'".contains(*letter));
            let url = match quoted {
                Some(quote) => rest[1..].split(quote).next(),
                // Without quotes, the others hold url(...).
                None if begin == "url(" => rest.split(')').next(),
                None => None,
            };
            found.extend(url.map(|url| (at, url.trim().to_owned())));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, url)| url).collect()
}

fn without_comments(style: &str) -> String {
    let mut bare = String::new();
    let mut rest = style;
    while let Some((before, comment)) = rest.split_once("/*") {
        bare.push_str(before);
        bare.push(' ');
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    bare + rest
}

/// Whether a browser requests a URL from this site; not for `data:` and other schemes.
fn is_own(url: &str, is_base_own: bool, is_own_host: &impl Fn(&str) -> bool) -> bool {
    let url = url.trim();
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &&str| {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.chars().all(is_letter)
    };
    let hierarchy = match scheme.filter(is_scheme) {
        None => url,
        Some(scheme)
            if ["http", "https"]
                .iter()
                .any(|it| scheme.eq_ignore_ascii_case(it)) =>
        {
            &url[scheme.len() + 1..]
        }
        Some(_) => return false,
    };
    match hierarchy.strip_prefix("//") {
        Some(rest) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host_port = authority.rsplit('@').next().unwrap_or_default();
            let (host, port) = match host_port.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, port),
                Some(_) | None => (host_port, ""),
            };
            !host.is_empty() && matches!(port, "" | "80" | "443") && is_own_host(host)
        }
        None => is_base_own && !url.is_empty() && !url.starts_with('#'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<String> {
        find(page, |host| host.eq_ignore_ascii_case("own.example"))
    }

    #[test]
    fn files_of_the_same_site_are_found() {
        let page = r#"<!doctype html><LINK rel=stylesheet href="/style.css"><link rel=icon href='data:,'>
            <img alt="x" src = logo.png><img src=//cdn.example/a.png><img data-src="/lazy.png">
            <!-- <img src="/comment.png"> --><script src="/app.js?v=1"></script><script>a < "url(/script)";</script>
            <style>b { background: url('/bg.png') } c { fill: url(#d); background: url(data:image/png;base64,AA) }</style>
            <img src="https://elsewhere.example/x.png"><img src="logo.png"><a href="/next">no fetch</a>"#;
        assert_eq!(
            found(page),
            ["/style.css", "logo.png", "/app.js?v=1", "/bg.png"]
        );
    }

    #[test]
    fn each_way_to_name_a_file_is_found() {
        for (markup, expected) in [
            // Absolute, with a name of the site.
            (
                "<img src=https://own.example/x.png>",
                "https://own.example/x.png",
            ),
            ("<img src='//OWN.example/x.png'>", "//OWN.example/x.png"),
            (
                "<img src=HTTP://a@own.example:80?x>",
                "HTTP://a@own.example:80?x",
            ),
            ("<img src=https://own.example.org/x>", ""),
            ("<img src=https://own.example:8443/x>", ""),
            ("<img src=ftp://own.example/x>", ""),
            ("<img src='//[::1]:80/x'>", ""),
            // Lists.
            (
                "<img srcset='a.png, b.png 2x,c.png 3x'>",
                "a.png b.png c.png",
            ),
            (
                "<img srcset='data:image/png;base64,AA 1x, /b.png 2x'>",
                "/b.png",
            ),
            (
                "<source srcset=' , a,b.png 100w , c.png,'>",
                "a,b.png c.png",
            ),
            (
                "<link rel=preload as=image imagesrcset='/a.png 1x, //cdn.example/b 2x'>",
                "/a.png",
            ),
            // Attributes.
            ("<video poster=/p.jpg src=v.mp4>", "v.mp4 /p.jpg"),
            (
                "<input type=IMAGE src=/go.png><input src=/no.png>",
                "/go.png",
            ),
            (
                "<svg><use href=/s.svg#a /><image xlink:href=i.png /></svg>",
                "/s.svg#a i.png",
            ),
            ("<img src='/x?a=1&amp;b=2'>", "/x?a=1&b=2"),
            // Styles.
            (
                "<style>@import 'a.css'; @IMPORT url(b.css);</style>",
                "a.css b.css",
            ),
            ("<p style='background:URL( \"/bg.png\" )'>", "/bg.png"),
            (
                "<p style=\"background:url(&quot;/bg.png&quot;)\">",
                "/bg.png",
            ),
            (
                "<style>a{b:image-set(\"x.png\" 1x)}/* url(no) */</style>",
                "x.png",
            ),
            (
                "<style>@namespace url(http://www.w3.org/1999/xhtml);</style>",
                "",
            ),
            ("<p>url(/text)</p><script>'url(/script)'</script>", ""),
            // Links.
            ("<link rel=canonical href=https://own.example/>", ""),
            ("<link rel=alternate hreflang=de href=/de>", ""),
            (
                "<link rel=preconnect href=//own.example><link rel=dns-prefetch href=//own.example>",
                "",
            ),
            ("<link rel='alternate stylesheet' href=/a.css>", "/a.css"),
            (
                "<link rel='Shortcut Icon' href=/favicon.ico>",
                "/favicon.ico",
            ),
            ("<link rel=manifest href=/m.json>", "/m.json"),
            // Elsewhere.
            ("<base href=https://cdn.example/><img src=/a.png>", ""),
            ("<base href=/sub/><img src=a.png>", "a.png"),
            ("<iframe src=about:blank></iframe><img src=blob:x>", ""),
        ] {
            assert_eq!(found(markup).join(" "), expected, "{markup}");
        }
    }

    #[test]
    fn the_embedded_page_has_no_references() {
        let page = String::from_utf8_lossy(crate::serve::answer::page::EMBEDDED);
        assert_eq!(found(&page), [""; 0]);
    }

    #[test]
    fn no_text_is_an_error() {
        for page in [
            "",
            "<",
            "<img src",
            "<img src=",
            "<img src=\"",
            "<!--",
            "<style>url(",
            "<style>@import",
            "<p style=\"/*/url('é",
            "\u{fffd}<img srcset=\u{e9},>",
            "<img src=//@:>",
        ] {
            let _ = found(page);
        }
    }
}
