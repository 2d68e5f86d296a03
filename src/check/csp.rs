//! Content-Security-Policy: the sources that a policy lacks for a page's own inline scripts and styles (CSP Level 3).

use crate::crypto;
use crate::html::{self, Tag};

/// What a policy lacks for a page to work.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// What is blocked.
    pub(super) what: &'static str,
    /// The directive to which the sources are to be added.
    pub(super) directive: &'static str,
    /// The sources to add.
    pub(super) sources: Vec<String>,
    /// Some of the code has no hash: its bytes change with what is announced, or are not UTF-8.
    pub(super) has_unhashable: bool,
}

/// A kind of inline code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Script,
    Style,
    /// An attribute such as `onclick`.
    ScriptAttribute,
    /// The attribute `style`.
    StyleAttribute,
}

impl Kind {
    const fn what(self) -> &'static str {
        match self {
            Self::Script | Self::ScriptAttribute => "inline script",
            Self::Style | Self::StyleAttribute => "inline style",
        }
    }

    /// The directives that govern it: the first of them that a policy has.
    const fn directives(self) -> [&'static str; 3] {
        match self {
            Self::Script => ["script-src-elem", "script-src", "default-src"],
            Self::ScriptAttribute => ["script-src-attr", "script-src", "default-src"],
            Self::Style => ["style-src-elem", "style-src", "default-src"],
            Self::StyleAttribute => ["style-src-attr", "style-src", "default-src"],
        }
    }

    /// The directive of its own that takes the place of `default-src`.
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
    kind: Kind,
    nonce: Option<String>,
    /// The source that allows it, where it has one.
    hash: Option<String>,
}

/// What the policies of a page lack: those that are sent as fields, and those of its own `<meta>` elements. The page is
/// given as the browser decodes it; `is_fixed` returns whether code is the same in every answer.
pub(super) fn lacks<'a>(
    page: &str,
    fields: impl Iterator<Item = &'a str>,
    is_fixed: impl Fn(&str) -> bool,
) -> Vec<Lack> {
    let tags: Vec<Tag<'_>> = html::tags(page.as_bytes()).collect();
    let own = tags.iter().filter_map(policy);
    let all: Vec<String> = fields.map(str::to_owned).chain(own).collect();
    let mut lacks: Vec<Lack> = Vec::new();
    if all.is_empty() {
        return lacks;
    }
    let code: Vec<Inline> = tags.iter().flat_map(|tag| inline(tag, &is_fixed)).collect();
    for policy in all.iter().flat_map(|list| policies(list)) {
        for inline in &code {
            if let Some((directive, sources)) = sources(policy, &inline.kind.directives())
                && !allows(&sources, inline)
            {
                add(&mut lacks, directive, &sources, inline);
            }
        }
    }
    lacks
}

/// What the policies of the embedded page lack beside that: its script asks the site whether it is back.
pub(super) fn lacks_requests<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Lack> {
    let allows = |policy: &str| {
        sources(policy, &["connect-src", "default-src"]).is_none_or(|(_, sources)| {
            let mut sources = sources.iter();
            sources.any(|it| it.eq_ignore_ascii_case("'self'") || *it == "*")
        })
    };
    let is_blocked = fields.any(|list| !policies(list).all(allows));
    is_blocked.then(|| Lack {
        what: "requests",
        directive: "connect-src",
        sources: vec!["'self'".to_owned()],
        has_unhashable: false,
    })
}

/// The policies of a field, between commas (RFC 9110 5.3); each of them must allow what is to work.
fn policies(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
}

/// The policy in a `<meta>` element.
fn policy(tag: &Tag<'_>) -> Option<String> {
    let name = tag.value("http-equiv").filter(|_| tag.is("meta"))?;
    let content = tag.value("content")?;
    name.eq_ignore_ascii_case("content-security-policy")
        .then(|| content.into_owned())
}

/// The inline code of an element.
fn inline(tag: &Tag<'_>, is_fixed: &impl Fn(&str) -> bool) -> Vec<Inline> {
    let hash = |code: &str| {
        // What the parser makes of line ends is hashed (HTML Standard, 13.2.3.5).
        let code = code.replace("\r\n", "\n").replace('\r', "\n");
        let is_decoded = !code.contains(char::REPLACEMENT_CHARACTER);
        let hash = crypto::sha256(code.as_bytes()).filter(|_| is_decoded && is_fixed(&code))?;
        Some(format!("'sha256-{}'", base64(hash.as_ref())))
    };
    let mut all = Vec::new();
    let is_script = tag.is("script") && tag.value("src").is_none() && is_executed(tag);
    let text = String::from_utf8_lossy(tag.text);
    if (is_script || tag.is("style")) && !text.is_empty() {
        all.push(Inline {
            kind: if is_script { Kind::Script } else { Kind::Style },
            nonce: tag.value("nonce").map(|nonce| nonce.into_owned()),
            hash: hash(&text),
        });
    }
    for name in tag.attribute_names() {
        let kind = match name.as_str() {
            "style" => Kind::StyleAttribute,
            name if name.starts_with("on") => Kind::ScriptAttribute,
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

/// A script that browsers run, and no data in a script element.
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
    // SHA-384 and SHA-512 are not computed here; a policy that has them is taken as right.
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
    // The alphabet of URLs means the same.
    let is_it = |source: &&str, hash: &str| {
        source.replace('-', "+").replace('_', "/") == hash.replace('-', "+")
    };
    (!inline.kind.is_attribute() || has("'unsafe-hashes'"))
        && (inline.hash.as_ref()).is_some_and(|hash| sources.iter().any(|it| is_it(it, hash)))
}

/// Adds what one piece of code lacks.
fn add(lacks: &mut Vec<Lack>, directive: &'static str, present: &[&str], inline: &Inline) {
    let what = inline.kind.what();
    let directive = match directive {
        "default-src" => inline.kind.own_directive(),
        directive => directive,
    };
    let known = lacks
        .iter()
        .position(|lack| (lack.what, lack.directive) == (what, directive));
    let at = known.unwrap_or_else(|| {
        lacks.push(Lack {
            what,
            directive,
            sources: Vec::new(),
            has_unhashable: false,
        });
        lacks.len() - 1
    });
    let lack = &mut lacks[at];
    lack.has_unhashable |= inline.hash.is_none();
    let keyword = Some("'unsafe-hashes'".to_owned()).filter(|_| inline.kind.is_attribute());
    for source in keyword.into_iter().chain(inline.hash.clone()) {
        if !lack.sources.contains(&source) && !present.contains(&source.as_str()) {
            lack.sources.push(source);
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

    /// What is to be added to each directive.
    fn told(page: &str, policy: &str) -> Vec<String> {
        let lacks = lacks(page, [policy].into_iter(), |code| !code.contains("{{"));
        let tell = |lack: &Lack| {
            let more = if lack.has_unhashable { " ?" } else { "" };
            format!("{} {}{more}", lack.directive, lack.sources.join(" "))
        };
        lacks.iter().map(tell).collect()
    }

    #[test]
    fn what_a_policy_blocks_is_listed_with_the_hashes_that_allow_it() {
        let script = format!("script-src {SCRIPT}");
        let style = format!("style-src {STYLE}");
        let both = vec![style.clone(), script.clone()];
        for (policy, expected) in [
            ("default-src 'self'", both.clone()),
            ("default-src 'none'; script-src 'none'", both.clone()),
            ("DEFAULT-SRC 'self' 'unsafe-inline'", vec![]),
            ("img-src 'none'; frame-ancestors 'none'", vec![]),
            ("", vec![]),
            ("default-src 'unsafe-inline' 'nonce-a'", both.clone()),
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
                vec![format!("script-src-elem {SCRIPT}")],
            ),
            ("script-src-attr 'none'; style-src-attr 'none'", vec![]),
            (&format!("default-src {SCRIPT}"), vec![style.clone()]),
            (
                &format!("default-src 'none'; script-src {SCRIPT}; style-src {STYLE}"),
                vec![],
            ),
            ("script-src 'sha512-of_the_administrator'", vec![]),
        ] {
            assert_eq!(told(PAGE, policy), expected, "{policy}");
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
                    "style-src 'unsafe-hashes' ATTRIBUTE",
                    "script-src 'unsafe-hashes' HANDLER",
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
                vec!["script-src SCRIPT"],
            ),
            (
                "<script>{{message}}</script>",
                "script-src 'self'",
                vec!["script-src  ?"],
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
            assert_eq!(told(page, &filled(policy)), expected, "{page}");
        }
    }

    #[test]
    fn requests_of_the_embedded_page_need_connect_src() {
        for (policy, is_blocked) in [
            ("default-src 'self'", false),
            ("default-src 'none'; connect-src 'SELF'", false),
            ("connect-src *; default-src 'none'", false),
            ("script-src 'none'", false),
            ("default-src 'none'", true),
            ("default-src 'self'; connect-src https://api.example", true),
            ("default-src 'self', connect-src", true),
        ] {
            let lack = lacks_requests([policy].into_iter());
            assert_eq!(lack.is_some(), is_blocked, "{policy}");
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
