use crate::serve::answer::load::*;

/// Writes these files into a directory. Returns a configuration whose page is the first of them.
fn config(directory: &Path, files: &[(&str, &str)]) -> Config {
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    let site = SiteConfig {
        page: PageSource::File(directory.join(files[0].0)),
        names: vec!["_".parse().unwrap(), "*.a.example".parse().unwrap()],
        ..SiteConfig::default()
    };
    Config {
        sites: vec![site],
        ..Config::default()
    }
}

fn body(representation: Option<&Representation>) -> &str {
    std::str::from_utf8(&representation.unwrap().body).unwrap()
}

const END: u64 = 1_795_521_600;

fn message(text: &str) -> Announcement {
    Announcement {
        until: None,
        message: Some(text.to_owned()),
    }
}

fn announcement() -> Announcement {
    Announcement {
        until: Some(END),
        message: Some("Bigger <disks>".to_owned()),
    }
}

#[test]
fn files_next_to_the_page_replace_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        (
            "down.html",
            "<html class=a lang='en-GB'>{{host}}: {{message}}",
        ),
        ("down.json", r#"{"x": "{{message}} {{host}}"}"#),
        ("down.txt", "{{message}} {{host}}"),
        ("down.de.html", "deutsch"),
        ("down.pt-BR.html", "brasileiro"),
        ("down.old.html", "old"),
        ("down.html.orig", "orig"),
        ("other.json", "{{other}}"),
    ];
    let config = config(directory.path(), &files);
    let contents = contents(&config, &message("\"<b>\"")).unwrap();
    let [content] = contents.as_slice() else {
        unreachable!()
    };
    let languages: Vec<_> = content
        .pages
        .iter()
        .map(|page| page.language.as_deref())
        .collect();
    assert_eq!(languages, [Some("en-gb"), Some("de"), Some("pt-BR")]);
    assert_eq!(
        content
            .pages
            .iter()
            .map(|page| body(Some(page)))
            .collect::<Vec<_>>(),
        [
            "<html class=a lang='en-GB'>a.example: &#34;&#60;b&#62;&#34;",
            "deutsch",
            "brasileiro"
        ]
    );
    assert_eq!(body(content.json.as_ref()), r#"{"x": "\"<b>\" a.example"}"#);
    assert_eq!(
        content.json.as_ref().unwrap().content_type,
        "application/json"
    );
    assert_eq!(body(content.plain.as_ref()), "\"<b>\" a.example");
}

#[test]
fn a_page_alone_gets_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), &[("page.html", "<p>page")]);
    let alone = contents(&config, &Announcement::default()).unwrap();
    assert_eq!(alone[0].pages.len(), 1);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body(alone[0].json.as_ref())).unwrap(),
        json!({"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": DETAIL_WITHOUT_END, "retry-after": 300})
    );
    assert_eq!(
        body(alone[0].plain.as_ref()),
        format!("503 Service Unavailable\n\n{DETAIL_WITHOUT_END}\n")
    );
    let announced = contents(&config, &announcement()).unwrap();
    assert_eq!(announced[0].retry_after, None);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body(announced[0].json.as_ref())).unwrap(),
        json!({"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "Bigger <disks>", "until": clock::rfc3339(END)})
    );
    assert_eq!(
        body(announced[0].plain.as_ref()),
        format!(
            "503 Service Unavailable\n\n{DETAIL_WITH_END}\nBigger <disks>\nExpected back: {}\n",
            clock::page(END)
        )
    );
}

#[test]
fn a_page_that_is_json_or_text_needs_no_such_file() {
    let directory = tempfile::tempdir().unwrap();
    for (name, json, plain) in [("a.json", None, true), ("b.txt", Some(true), false)] {
        let config = config(directory.path(), &[(name, "x")]);
        let contents = contents(&config, &Announcement::default()).unwrap();
        assert_eq!(contents[0].json.is_some(), json.is_some(), "{name}");
        assert_eq!(contents[0].plain.is_some(), plain, "{name}");
    }
}

#[test]
fn braces_of_other_programs_are_sent_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let page = "<p>{{who}} {{ message }} {{#host}} {{^until}}{{message}}{{/until}}";
    let files = [("page.html", page), ("page.json", "{{#each}}{{message}}")];
    let mut config = config(directory.path(), &files);
    let filled = contents(&config, &message("a")).unwrap();
    assert_eq!(
        body(filled[0].pages.first()),
        "<p>{{who}} {{ message }} {{#host}} a"
    );
    assert_eq!(body(filled[0].json.as_ref()), "{{#each}}a");
    config.placeholders = false;
    config.sites.push(SiteConfig {
        page: PageSource::Text("{{message}}".to_owned()),
        ..SiteConfig::default()
    });
    config.sites.push(SiteConfig::default());
    let contents = contents(&config, &message("a")).unwrap();
    assert_eq!(body(contents[0].pages.first()), page);
    assert_eq!(body(contents[0].json.as_ref()), "{{#each}}{{message}}");
    assert!(body(contents[0].plain.as_ref()).contains("\na\n"));
    assert_eq!(body(contents[1].pages.first()), "{{message}}");
    // The embedded page is always filled.
    assert!(body(contents[2].pages.first()).contains("<p class=\"message\">a</p>"));
}

#[test]
fn a_file_that_cannot_be_used_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let files = [("page.html", "<p>"), ("page.txt", "")];
    let config = config(directory.path(), &files);
    let errors: Vec<String> = PageFiles::read(&config)
        .1
        .iter()
        .map(ToString::to_string)
        .collect();
    let path = directory.path().join("page.txt");
    assert_eq!(
        errors,
        [format!(
            "page \"{}\" is empty; put the page into it",
            path.display()
        )]
    );
    assert!(contents(&config, &Announcement::default()).is_err());
}

#[test]
fn each_form_and_language_has_the_charset_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), &[("page.html", "<p>Grüße {{message}}")]);
    let write = |name, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    let utf_16: Vec<u8> = "\u{feff}<html lang=ja><p>{{message}}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    write("page.ja.html", &utf_16);
    write(
        "page.ru.html",
        b"<meta charset=windows-1251><p>\xcf {{message}}",
    );
    write("page.uk.html", b"<p>\xcf");
    write("page.txt", b"\xcf {{message}}");
    let types = |content: &Content<'_>| -> Vec<String> {
        let all = content.pages.iter().chain(content.plain.as_ref());
        all.map(|it| it.content_type.replace("; charset=", " "))
            .collect()
    };
    let announcement = message("\u{416}");
    let contents_now = contents(&config, &announcement).unwrap();
    assert_eq!(
        types(&contents_now[0]),
        [
            "text/html utf-8",
            "text/html utf-16",
            "text/html windows-1251",
            "text/html",
            "text/plain"
        ]
    );
    let pages = &contents_now[0].pages;
    assert_eq!(body(pages.first()), "<p>Grüße &#1046;");
    assert_eq!(pages[1].body, utf_16);
    assert!(pages[2].body.ends_with(b"\xcf &#1046;"));
    // The charset has no such letter.
    assert_eq!(contents_now[0].plain.as_ref().unwrap().body, b"\xcf ?");
    config.sites[0].charset = Some("koi8-r".to_owned());
    let configured = contents(&config, &announcement).unwrap();
    assert!(
        types(&configured[0])
            .iter()
            .all(|kind| kind.ends_with(" koi8-r"))
    );
}

#[test]
fn a_page_declares_its_language() {
    for (page, expected) in [
        ("<!DOCTYPE html>\n<html lang=\"en\">", Some("en")),
        ("<HTML class=x LANG=de-AT>", Some("de-at")),
        ("<html>", None),
        ("<html lang=\"\">", None),
        ("<p lang=en>", None),
        ("", None),
    ] {
        assert_eq!(language(page.as_bytes()).as_deref(), expected, "{page}");
    }
}

#[test]
fn a_message_is_escaped_for_the_type_in_any_spelling() {
    const MESSAGE: &str = "\"<b>\"";
    let html = "&#34;&#60;b&#62;&#34;";
    let json = "\\\"<b>\\\"";
    for (default_type, expected) in [
        ("text/html", html),
        ("text/html; charset=utf-8", html),
        ("TEXT/HTML", html),
        ("Text/Html ;charset=utf-8", html),
        ("application/xhtml+xml; charset=utf-8", html),
        ("image/svg+xml", html),
        ("text/xml;charset=utf-8", html),
        ("application/xml", html),
        ("application/json", json),
        ("application/json; charset=utf-8", json),
        ("Application/Problem+JSON", json),
        ("application/ld+json;profile=x", json),
        ("text/plain", MESSAGE),
        ("Text/Plain; charset=utf-8", MESSAGE),
        // A browser may render it as HTML.
        ("application/octet-stream", html),
        ("text/markdown", html),
        ("html", html),
        ("", html),
    ] {
        let site = |page| SiteConfig {
            page,
            default_type: Some(default_type.to_owned()),
            ..SiteConfig::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("page.php");
        std::fs::write(&file, "{{message}}").unwrap();
        let config = Config {
            sites: vec![
                site(PageSource::Text("{{message}}".to_owned())),
                site(PageSource::File(file)),
            ],
            ..Config::default()
        };
        for content in contents(&config, &message(MESSAGE)).unwrap() {
            assert_eq!(body(content.pages.first()), expected, "{default_type}");
            let is_plain = expected == MESSAGE;
            assert_eq!(content.plain.is_none(), is_plain, "{default_type}");
            assert_eq!(content.json.is_none(), expected == json, "{default_type}");
        }
    }
}
