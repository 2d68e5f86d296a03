//! Content-Security-Policy: the missing sources for the inline scripts and styles of a page (CSP Level 3).

use crate::config::server_name::ServerName;
use crate::html::{self, Tag};
use crate::tls_provider;

/// Sources that a policy lacks, so that it blocks a part of the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MissingSources {
    /// The blocked part.
    pub(crate) what: &'static str,
    /// The directive that needs the sources.
    pub(crate) directive: &'static str,
    /// The policy has no such directive: the sources of `default-src`, which the new directive must repeat.
    inherited: Option<Vec<String>>,
    /// The missing sources.
    pub(crate) sources: Vec<String>,
    /// Some of the code has no hash: it has placeholders, or is not UTF-8.
    pub(crate) has_unhashable: bool,
}

impl MissingSources {
    /// The advice, if sources are missing.
    pub(crate) fn advice(&self) -> Option<String> {
        let (directive, sources) = (self.directive, self.sources.join(" "));
        if sources.is_empty() {
            return None;
        }
        Some(match &self.inherited {
            None => format!("add {sources} to {directive}"),
            Some(inherited) => {
                let inherited: String = inherited.iter().map(|it| format!("{it} ")).collect();
                format!("add \"{directive} {inherited}{sources}\"")
            }
        })
    }
}

/// The origins of a site's pages.
#[derive(Clone, Copy)]
pub(crate) struct Origins<'a> {
    pub(crate) names: &'a [ServerName],
    /// The site has HTTPS.
    pub(crate) has_tls: bool,
}

/// A type of inline code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InlineKind {
    Script,
    Style,
    /// An attribute such as `onclick`.
    ScriptAttribute,
    /// The attribute `style`.
    StyleAttribute,
}

impl InlineKind {
    const fn what(self) -> &'static str {
        match self {
            Self::Script | Self::ScriptAttribute => "inline script",
            Self::Style | Self::StyleAttribute => "inline style",
        }
    }

    /// The directives that apply, in order of precedence.
    const fn directives(self) -> [&'static str; 3] {
        match self {
            Self::Script => ["script-src-elem", "script-src", "default-src"],
            Self::ScriptAttribute => ["script-src-attr", "script-src", "default-src"],
            Self::Style => ["style-src-elem", "style-src", "default-src"],
            Self::StyleAttribute => ["style-src-attr", "style-src", "default-src"],
        }
    }

    /// The directive that replaces `default-src` for it.
    const fn own_directive(self) -> &'static str {
        self.directives()[1]
    }

    const fn is_script(self) -> bool {
        matches!(self, Self::Script | Self::ScriptAttribute)
    }

    const fn is_attribute(self) -> bool {
        matches!(self, Self::ScriptAttribute | Self::StyleAttribute)
    }
}

/// Inline code of a page.
struct Inline {
    kind: InlineKind,
    nonce: Option<String>,
    /// The hash source that allows it, if it has one.
    hash: Option<String>,
}

/// The missing sources of a page's policies: those of header fields and of its `<meta>` elements. The page is given as the
/// browser decodes it. `is_fixed` returns whether code is the same in every answer.
pub(crate) fn missing_sources<'a>(
    page: &str,
    fields: impl Iterator<Item = &'a str>,
    is_fixed: impl Fn(&str) -> bool,
) -> Vec<MissingSources> {
    let tags: Vec<Tag<'_>> = html::tags(page.as_bytes()).collect();
    let own = tags.iter().filter_map(policy);
    let fields: Vec<&str> = fields.collect();
    let all: Vec<String> = fields.iter().map(ToString::to_string).chain(own).collect();
    let mut missing: Vec<MissingSources> = Vec::new();
    if all.is_empty() {
        return missing;
    }
    let code: Vec<Inline> = tags.iter().flat_map(|tag| inline(tag, &is_fixed)).collect();
    for policy in all.iter().flat_map(|list| policies(list)) {
        for inline in &code {
            if let Some((directive, sources)) = sources(policy, &inline.kind.directives())
                && !allows(&sources, inline)
            {
                add(&mut missing, directive, &sources, inline);
            }
        }
    }
    let is_script = |tag: &Tag<'_>| tag.is("script") && is_executed(tag);
    if tags.iter().any(is_script) || code.iter().any(|inline| inline.kind.is_script()) {
        missing.extend(missing_in_sandbox(&fields, "scripts", "allow-scripts"));
    }
    missing
}

/// The missing flag of the directive `sandbox`. That of a `<meta>` element is ignored (CSP Level 3, 3.3).
fn missing_in_sandbox(fields: &[&str], what: &'static str, flag: &str) -> Option<MissingSources> {
    let is_denied = |policy: &str| {
        let flags = sources(policy, &["sandbox"]);
        flags.is_some_and(|(_, flags)| !flags.iter().any(|it| it.eq_ignore_ascii_case(flag)))
    };
    let mut policies = fields.iter().flat_map(|list| policies(list));
    policies.any(is_denied).then(|| MissingSources {
        what,
        directive: "sandbox",
        inherited: None,
        sources: vec![flag.to_owned()],
        has_unhashable: false,
    })
}

/// The missing sources for the requests of the embedded page: its script polls the site.
pub(crate) fn missing_for_requests<'a>(
    fields: impl Iterator<Item = &'a str>,
    origins: Origins<'_>,
) -> Vec<MissingSources> {
    let fields: Vec<&str> = fields.collect();
    let blocking = |policy: &'a str| {
        let (directive, sources) = sources(policy, &["connect-src", "default-src"])?;
        (!origins.are_in(&sources)).then(|| MissingSources {
            what: "requests",
            directive: "connect-src",
            inherited: (directive == "default-src").then(|| inherited(&sources)),
            sources: vec!["'self'".to_owned()],
            has_unhashable: false,
        })
    };
    let mut policies = fields.iter().flat_map(|list| policies(list));
    let of_sources = policies.find_map(blocking);
    // Without the flag the page has an opaque origin.
    let of_sandbox = missing_in_sandbox(&fields, "requests", "allow-same-origin");
    of_sources.into_iter().chain(of_sandbox).collect()
}

impl Origins<'_> {
    /// Whether sources allow requests to every path of the page's origin (CSP Level 3, 6.7.2.8).
    fn are_in(&self, sources: &[&str]) -> bool {
        let has = |text: &str| sources.iter().any(|it| it.eq_ignore_ascii_case(text));
        if has("'self'") || has("*") || has("http:") || has("https:") && self.has_tls {
            return true;
        }
        // The empty name and `_` are not host names.
        let hosts: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let mut hosts = hosts
            .iter()
            .filter(|host| !matches!(host.as_str(), "" | "_"))
            .peekable();
        hosts.peek().is_some()
            && hosts.all(|host| sources.iter().any(|source| self.is_host(source, host)))
    }

    /// Whether a source is the host of this `server_name`, on port 80 or 443.
    fn is_host(&self, source: &str, server_name: &str) -> bool {
        let source = source.to_ascii_lowercase();
        let source = match source.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", rest)) if self.has_tls => rest,
            Some(_) => return false,
            None => &source,
        };
        let (source, path) = source.split_once('/').unwrap_or((source, ""));
        let (host, port) = match source.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (source, ""),
        };
        if !path.is_empty() || !matches!(port, "" | "*" | "80" | "443") {
            return false;
        }
        // A wildcard is one or more labels, in both.
        host == server_name
            || host.strip_prefix('*').is_some_and(|end| {
                end.starts_with('.') && !server_name.starts_with('.') && server_name.ends_with(end)
            })
    }
}

/// The sources of `default-src` that a directive in its place must repeat.
fn inherited(sources: &[&str]) -> Vec<String> {
    let is_source = |source: &&&str| !source.eq_ignore_ascii_case("'none'");
    let sources = sources.iter().filter(is_source);
    sources.map(ToString::to_string).collect()
}

/// The policies of a field, separated by commas (RFC 9110 5.3). All of them apply.
fn policies(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
}

/// The policy of a `<meta>` element.
fn policy(tag: &Tag<'_>) -> Option<String> {
    let name = tag.value("http-equiv").filter(|_| tag.is("meta"))?;
    let content = tag.value("content")?;
    name.eq_ignore_ascii_case("content-security-policy")
        .then(|| content.into_owned())
}

/// The inline code of an element.
fn inline(tag: &Tag<'_>, is_fixed: &impl Fn(&str) -> bool) -> Vec<Inline> {
    let hash = |code: &str| {
        // The hash is that of normalized line ends (HTML Standard, 13.2.3.5).
        let code = code.replace("\r\n", "\n").replace('\r', "\n");
        let is_decoded = !code.contains(char::REPLACEMENT_CHARACTER);
        let hash =
            tls_provider::sha256(code.as_bytes()).filter(|_| is_decoded && is_fixed(&code))?;
        Some(format!("'sha256-{}'", base64(hash.as_ref())))
    };
    let mut all = Vec::new();
    let is_script = tag.is("script") && tag.value("src").is_none() && is_executed(tag);
    let text = String::from_utf8_lossy(tag.text);
    if (is_script || tag.is("style")) && !text.is_empty() {
        all.push(Inline {
            kind: if is_script {
                InlineKind::Script
            } else {
                InlineKind::Style
            },
            nonce: tag.value("nonce").map(|nonce| nonce.into_owned()),
            hash: hash(&text),
        });
    }
    for name in tag.attribute_names() {
        let kind = match name.as_str() {
            "style" => InlineKind::StyleAttribute,
            name if name.starts_with("on") => InlineKind::ScriptAttribute,
            _ => continue,
        };
        all.push(Inline {
            kind,
            nonce: None,
            hash: hash(&tag.value(&name).unwrap_or_default()),
        });
    }
    all
}

/// A script that browsers execute, not a data block.
fn is_executed(tag: &Tag<'_>) -> bool {
    let kind = tag.value("type").unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    matches!(kind, "" | "module" | "importmap" | "speculationrules")
        || kind.ends_with("javascript")
        || kind.ends_with("ecmascript")
}

/// The sources of the first of these directives that a policy has.
fn sources<'a>(
    policy: &'a str,
    directives: &[&'static str],
) -> Option<(&'static str, Vec<&'a str>)> {
    directives.iter().find_map(|directive| {
        let mut all = policy.split(';').map(str::split_ascii_whitespace);
        let sources = all.find_map(|mut words| {
            let name = words.next()?;
            name.eq_ignore_ascii_case(directive).then_some(words)
        })?;
        Some((*directive, sources.collect()))
    })
}

/// CSP Level 3, 6.7.3.3: "Does element match source list for type and source?"
fn allows(sources: &[&str], inline: &Inline) -> bool {
    let has = |keyword: &str| sources.iter().any(|it| it.eq_ignore_ascii_case(keyword));
    let begins = |start: &str| {
        let head = |it: &&str| {
            it.get(..start.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(start))
        };
        sources.iter().any(head)
    };
    // SHA-384 and SHA-512 are not computed; a policy with them is accepted.
    if begins("'sha384-") || begins("'sha512-") {
        return true;
    }
    let is_strict = inline.kind.is_script() && has("'strict-dynamic'");
    if has("'unsafe-inline'") && !begins("'nonce-") && !begins("'sha256-") && !is_strict {
        return true;
    }
    if let Some(nonce) = &inline.nonce
        && sources.contains(&format!("'nonce-{nonce}'").as_str())
    {
        return true;
    }
    // The URL-safe alphabet is equivalent.
    let is_it = |source: &&str, hash: &str| {
        source.replace('-', "+").replace('_', "/") == hash.replace('-', "+")
    };
    (!inline.kind.is_attribute() || has("'unsafe-hashes'"))
        && (inline.hash.as_ref()).is_some_and(|hash| sources.iter().any(|it| is_it(it, hash)))
}

/// Adds the missing sources of one piece of code.
fn add(
    missing: &mut Vec<MissingSources>,
    directive: &'static str,
    present: &[&str],
    inline: &Inline,
) {
    let what = inline.kind.what();
    let (directive, inherited) = match directive {
        "default-src" => (inline.kind.own_directive(), Some(inherited(present))),
        directive => (directive, None),
    };
    let is_it = |one: &MissingSources| {
        (one.what, one.directive) == (what, directive) && one.inherited == inherited
    };
    let known = missing.iter().position(is_it);
    let at = known.unwrap_or_else(|| {
        missing.push(MissingSources {
            what,
            directive,
            inherited,
            sources: Vec::new(),
            has_unhashable: false,
        });
        missing.len() - 1
    });
    let one = &mut missing[at];
    one.has_unhashable |= inline.hash.is_none();
    let keyword = Some("'unsafe-hashes'".to_owned()).filter(|_| inline.kind.is_attribute());
    for source in keyword.into_iter().chain(inline.hash.clone()) {
        if !one.sources.contains(&source) && !present.contains(&source.as_str()) {
            one.sources.push(source);
        }
    }
}

/// RFC 4648 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(three.get(at).copied().unwrap_or(0))
        });
        for letter in 0..4 {
            text.push(if letter > three.len() {
                '='
            } else {
                char::from(ALPHABET[bits >> (18 - 6 * letter) & 63])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<style>p{color:red}</style><p>a<script>document.title='on'</script>";
    /// Made by `printf %s "document.title='on'" | openssl dgst -sha256 -binary | base64`, and likewise.
    const SCRIPT: &str = "'sha256-fAykeVtMdNkI1HHB9qJ8FuP0zXuemFSJMhJfGV6pZng='";
    const STYLE: &str = "'sha256-p0bF+un5yUb9MBO6xRb8kPHlY2BdpHVtLiFkDrZPF64='";

    /// The advice for each directive.
    fn advice(page: &str, policy: &str) -> Vec<String> {
        let missing = missing_sources(page, [policy].into_iter(), |code| !code.contains("{{"));
        let in_words = |one: &MissingSources| {
            let more = if one.has_unhashable { " ?" } else { "" };
            one.advice().unwrap_or_default() + more
        };
        missing.iter().map(in_words).collect()
    }

    #[test]
    fn blocked_code_is_listed_with_the_hashes_that_allow_it() {
        let script = format!("add {SCRIPT} to script-src");
        // The new directive replaces default-src, so its sources are repeated.
        let instead = |inherited: &str| {
            let style = format!("add \"style-src {inherited}{STYLE}\"");
            vec![style, format!("add \"script-src {inherited}{SCRIPT}\"")]
        };
        let style = |inherited: &str| instead(inherited)[0].clone();
        for (policy, expected) in [
            ("default-src 'self'", instead("'self' ")),
            ("default-src https: A.example", instead("https: A.example ")),
            ("default-src 'none'", instead("")),
            (
                "default-src 'self', default-src 'none'",
                [instead("'self' "), instead("")].concat(),
            ),
            (
                "default-src 'none'; script-src 'none'",
                vec![style(""), script.clone()],
            ),
            ("DEFAULT-SRC 'self' 'unsafe-inline'", vec![]),
            ("img-src 'none'; frame-ancestors 'none'", vec![]),
            ("", vec![]),
            (
                "default-src 'unsafe-inline' 'nonce-a'",
                instead("'unsafe-inline' 'nonce-a' "),
            ),
            (
                "default-src 'unsafe-inline', script-src 'self'",
                vec![script.clone()],
            ),
            (
                "script-src 'self'; script-src 'unsafe-inline'",
                vec![script.clone()],
            ),
            (
                "script-src 'unsafe-inline' 'strict-dynamic'",
                vec![script.clone()],
            ),
            (
                "script-src-elem 'self'",
                vec![format!("add {SCRIPT} to script-src-elem")],
            ),
            ("script-src-attr 'none'; style-src-attr 'none'", vec![]),
            (
                &format!("default-src {SCRIPT}"),
                vec![style(&format!("{SCRIPT} "))],
            ),
            (
                &format!("default-src 'none'; script-src {SCRIPT}; style-src {STYLE}"),
                vec![],
            ),
            ("script-src 'sha512-of_the_administrator'", vec![]),
        ] {
            assert_eq!(advice(PAGE, policy), expected, "{policy}");
        }
    }

    #[test]
    fn nonces_attributes_data_blocks_and_policies_of_the_page_are_considered() {
        for (page, policy, expected) in [
            (
                "<script nonce=r4nd0m>a</script>",
                "script-src 'nonce-r4nd0m'",
                vec![],
            ),
            (
                "<script src=/a.js></script><script type=application/ld+json>{}</script>",
                "script-src 'none'",
                vec![],
            ),
            (
                "<p style=color:red onclick=\"go(&quot;x&quot;)\">",
                "default-src 'self'",
                vec![
                    "add \"style-src 'self' 'unsafe-hashes' ATTRIBUTE\"",
                    "add \"script-src 'self' 'unsafe-hashes' HANDLER\"",
                ],
            ),
            (
                "<p style=color:red>",
                "style-src 'unsafe-hashes' ATTRIBUTE",
                vec![],
            ),
            (
                "<meta http-equiv=content-security-policy content=\"script-src 'self'\"><script>document.title='on'</script>",
                "",
                vec!["add SCRIPT to script-src"],
            ),
            (
                "<script>{{message}}</script>",
                "script-src 'self'",
                vec![" ?"],
            ),
        ] {
            let filled = |text: &str| {
                text.replace(
                    "ATTRIBUTE",
                    "'sha256-8f935d27GvUutRyY9yWScUMiFUk4WTdZURISiYfPOeQ='",
                )
                .replace(
                    "HANDLER",
                    "'sha256-lvqDDRHHabLt5CZkuiO+A4+IF2n5Jk22flVtezagqfY='",
                )
                .replace("SCRIPT", SCRIPT)
            };
            let expected: Vec<String> = expected.into_iter().map(filled).collect();
            assert_eq!(advice(page, &filled(policy)), expected, "{page}");
        }
    }

    #[test]
    fn a_sandbox_without_scripts_blocks_them() {
        let page = "<script src=/a.js></script>";
        for (page, policy, is_blocked) in [
            (page, "sandbox", true),
            (page, "img-src *; Sandbox allow-forms", true),
            (page, "sandbox Allow-Scripts", false),
            ("<p onclick=a>", "sandbox", true),
            ("<p>", "sandbox", false),
            (
                "<meta http-equiv=content-security-policy content=sandbox><script>a</script>",
                "",
                false,
            ),
        ] {
            let expected = is_blocked.then(|| "add allow-scripts to sandbox".to_owned());
            assert_eq!(
                advice(page, policy),
                Vec::from_iter(expected),
                "{policy}: {page}"
            );
        }
    }

    /// The advice for the requests of the embedded page, on a site with these names.
    fn advice_about_requests(server_names: &str, has_tls: bool, policy: &str) -> Vec<String> {
        let names = server_names.split_ascii_whitespace();
        let names: Vec<ServerName> = names.map(|name| name.parse().unwrap()).collect();
        let origins = Origins {
            names: &names,
            has_tls,
        };
        let missing = missing_for_requests([policy].into_iter(), origins);
        missing.iter().filter_map(MissingSources::advice).collect()
    }

    const ADD_SELF: &str = "add 'self' to connect-src";

    #[test]
    fn requests_of_the_embedded_page_need_connect_src() {
        let instead = |text: &str| format!("add \"connect-src {text}\"");
        for (has_tls, policy, expected) in [
            (false, "default-src 'self'", None),
            (false, "default-src 'none'; connect-src 'SELF'", None),
            (false, "connect-src *; default-src 'none'", None),
            (false, "script-src 'none'", None),
            (false, "default-src 'none'", Some(instead("'self'"))),
            (false, "default-src https:", Some(instead("https: 'self'"))),
            (true, "default-src https: 'unsafe-inline'", None),
            (false, "default-src http:", None),
            (
                false,
                "default-src 'self', connect-src",
                Some(ADD_SELF.to_owned()),
            ),
            (
                false,
                "sandbox allow-scripts",
                Some("add allow-same-origin to sandbox".to_owned()),
            ),
            (false, "sandbox allow-scripts allow-same-origin", None),
        ] {
            let advice = advice_about_requests("", has_tls, policy);
            assert_eq!(advice, Vec::from_iter(expected), "{policy}");
        }
    }

    #[test]
    fn the_names_of_the_site_in_connect_src_allow_requests_to_it() {
        for (server_names, has_tls, policy, is_blocked) in [
            (
                "a.example",
                true,
                "default-src 'self'; connect-src https://api.example",
                true,
            ),
            ("a.example _", false, "connect-src A.example", false),
            (
                "a.example",
                false,
                "connect-src b.example http://a.example:80/",
                false,
            ),
            ("a.example", true, "connect-src https://a.example:*", false),
            (
                "a.example b.a.example",
                false,
                "connect-src a.example *.a.example",
                false,
            ),
            ("*.a.example", false, "connect-src *.a.example", false),
            ("a.example b.example", false, "connect-src a.example", true),
            ("_", false, "connect-src a.example", true),
            ("a.example", false, "connect-src https://a.example", true),
            ("a.example", true, "connect-src wss://a.example", true),
            ("a.example", true, "connect-src a.example:9000", true),
            ("a.example", true, "connect-src a.example/api/", true),
            ("a.example", true, "connect-src *.a.example", true),
        ] {
            let advice = advice_about_requests(server_names, has_tls, policy);
            let expected = is_blocked.then_some(ADD_SELF);
            assert_eq!(advice, Vec::from_iter(expected), "{server_names}: {policy}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
