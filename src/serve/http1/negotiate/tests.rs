use proptest::prelude::*;

use crate::serve::http1::negotiate::*;

fn form(value: &str) -> Form {
    let mut accept = Accept::default();
    accept.read(value.as_bytes());
    accept.form()
}

fn coding(value: &str) -> Coding {
    let mut accept = AcceptEncoding::default();
    accept.read(value.as_bytes());
    accept.coding()
}

#[test]
fn a_quality_is_read_as_clients_write_it() {
    for (text, expected) in [
        ("1", Some(1000)),
        ("1.000", Some(1000)),
        ("0", Some(0)),
        ("0.", Some(0)),
        ("0.5", Some(500)),
        ("0.05", Some(50)),
        ("0.001", Some(1)),
        ("0.9999", Some(999)),
        (".2", Some(200)),
        ("2", Some(1000)),
        ("00.3", Some(300)),
        ("", None),
        (".", None),
        ("-1", None),
        ("0,5", None),
        ("high", None),
        ("1e3", None),
    ] {
        assert_eq!(quality(text.as_bytes()), expected, "{text}");
    }
    for (member, expected) in [
        ("a/b", ("a/b", 1000)),
        ("a/b;q=0.5", ("a/b", 500)),
        ("a/b ; level=1 ; Q = 0.3", ("a/b", 300)),
        ("*; q=.2", ("*", 200)),
        ("a/b;q=x", ("a/b", 1000)),
        ("a/b;quality=0.1", ("a/b", 1000)),
    ] {
        let (name, quality) = split_quality(member.as_bytes());
        assert_eq!(
            (name, quality),
            (expected.0.as_bytes(), expected.1),
            "{member}"
        );
    }
}

#[test]
fn the_form_has_the_highest_quality() {
    for (accept, expected) in [
        ("", Form::Page),
        ("*/*", Form::Page),
        ("*", Form::Page),
        ("text/html", Form::Page),
        ("TEXT/HTML", Form::Page),
        ("application/xhtml+xml", Form::Page),
        ("text/*", Form::Page),
        ("application/json", Form::Json),
        ("application/problem+json", Form::Json),
        ("text/json", Form::Json),
        ("application/vnd.api+json; version=2", Form::Json),
        ("application/*", Form::Json),
        ("application/json, text/plain, */*", Form::Json),
        ("text/plain, application/json, */*", Form::Plain),
        ("application/json, text/javascript, */*; q=0.01", Form::Json),
        ("text/html, application/json", Form::Page),
        ("application/json, text/html", Form::Json),
        ("application/json;q=0.9, text/html", Form::Page),
        ("application/json;q=0.9, */*", Form::Page),
        ("application/json;q=0.9, */*;q=0.8", Form::Json),
        ("text/html;q=0, */*", Form::Json),
        (
            "text/html;q=0, application/json;q=0, */*;q=0.1",
            Form::Plain,
        ),
        ("text/plain", Form::Plain),
        ("text/plain, */*", Form::Plain),
        ("text/plain;q=0.5, text/html;q=0.4", Form::Plain),
        ("image/*", Form::Empty),
        ("image/avif,image/webp,*/*;q=0.8", Form::Empty),
        ("text/css,*/*;q=0.1", Form::Empty),
        ("image/png, */*", Form::Page),
        ("image/png;q=0", Form::Page),
        ("application/javascript", Form::Empty),
        ("text/event-stream", Form::Page),
        ("application/xml", Form::Page),
        ("nonsense", Form::Page),
        (", ,,", Form::Page),
        (
            "x/y;a=\"text/html,application/json\", text/plain",
            Form::Plain,
        ),
        (
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            Form::Page,
        ),
    ] {
        assert_eq!(form(accept), expected, "{accept}");
    }
    let mut accept = Accept::default();
    accept.read(b"application/json;q=0.5");
    accept.read(b"text/plain;q=0.6");
    assert_eq!(accept.form(), Form::Plain);
}

#[test]
fn sent_json_decides_if_accept_does_not() {
    for (accept, expected) in [
        ("", Form::Json),
        ("*/*", Form::Json),
        ("*", Form::Json),
        ("*/*;q=0.5", Form::Json),
        ("application/json, text/plain, */*", Form::Json),
        ("application/xml", Form::Json),
        ("text/event-stream", Form::Json),
        ("text/html", Form::Page),
        ("text/html, */*", Form::Page),
        ("*/*, text/html", Form::Page),
        ("text/html;q=0.5, */*;q=0.4", Form::Page),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Form::Page,
        ),
        ("text/*", Form::Page),
        ("text/plain", Form::Plain),
        ("text/plain, */*", Form::Plain),
        ("application/json;q=0.1, */*", Form::Page),
        ("application/json;q=0", Form::Page),
        ("application/json;q=0, */*", Form::Page),
        ("image/png, */*;q=0.8", Form::Empty),
    ] {
        let mut read = Accept::default();
        read.read(accept.as_bytes());
        assert_eq!(read.form_for_json(), expected, "{accept}");
    }
    assert_eq!(Accept::default().form_for_json(), Form::Json);
}

#[test]
fn json_is_recognized_by_its_type() {
    for (content_type, expected) in [
        ("application/json", true),
        ("Application/JSON", true),
        (" application/json ; charset=utf-8", true),
        ("application/json;charset=utf-8", true),
        ("application/problem+json", true),
        (
            "application/vnd.api+JSON; ext=\"https://a.example/x\"",
            true,
        ),
        ("application/ld+json;profile=\"a;b\"", true),
        ("text/json", true),
        ("", false),
        ("json", false),
        ("application", false),
        ("application/", false),
        ("application/json5", false),
        ("application/jsonp", false),
        ("application/x-www-form-urlencoded", false),
        ("multipart/form-data; boundary=application/json", false),
        ("text/plain; a=application/json", false),
        ("text/x+json", false),
        ("application/xml", false),
    ] {
        assert_eq!(is_json(content_type.as_bytes()), expected, "{content_type}");
    }
}

/// RFC 9110 5.3.
#[test]
fn several_lines_are_one_list() {
    for lines in [
        &["*/*", "application/json"][..],
        &["application/json", "*/*"],
        &["*/*", "text/plain;q=0.5", "application/json;q=0.7"],
        &["*/*", "image/png"],
        &["*/*", "text/html;q=0.5"],
        &["text/html,x/y", "application/json"],
        &["*/*", "*/*"],
        &["*/*;q=0.5", "text/plain"],
    ] {
        let mut accept = Accept::default();
        for line in lines {
            accept.read(line.as_bytes());
        }
        let mut list = Accept::default();
        list.read_list(lines.join(", ").as_bytes());
        assert_eq!(accept.form(), list.form(), "{lines:?}");
    }
}

#[test]
fn the_coding_is_the_smallest_of_the_highest_quality() {
    for (accept, expected) in [
        ("", Coding::Identity),
        ("gzip", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("GZIP", Coding::Gzip),
        ("gzip, deflate", Coding::Gzip),
        ("gzip, deflate, br, zstd", Coding::Brotli),
        ("br;q=0.5, gzip", Coding::Gzip),
        ("br;q=0.5, gzip;q=0.5", Coding::Brotli),
        ("br;q=0", Coding::Identity),
        ("gzip;q=0, br;q=0", Coding::Identity),
        ("*", Coding::Gzip),
        ("*;q=0", Coding::Identity),
        ("gzip;q=0, *", Coding::Identity),
        ("identity", Coding::Identity),
        ("identity, gzip;q=0.5", Coding::Identity),
        ("identity;q=0.5, gzip;q=0.5", Coding::Gzip),
        ("identity;q=0", Coding::Identity),
        ("identity;q=0, gzip;q=0.1", Coding::Gzip),
        ("deflate", Coding::Identity),
        ("zstd", Coding::Identity),
    ] {
        assert_eq!(coding(accept), expected, "{accept}");
    }
}

#[test]
fn the_language_has_the_highest_quality() {
    let of = |list: &str| preferred_language(list.as_bytes(), ["en", "de", "pt-BR"].into_iter());
    for (list, expected) in [
        ("", None),
        ("de", Some(1)),
        ("DE-at", Some(1)),
        ("de-DE,de;q=0.9,en;q=0.8", Some(1)),
        ("fr, en;q=0.5, de;q=0.4", Some(0)),
        ("fr", None),
        ("*", Some(0)),
        ("fr, *;q=0.1", Some(0)),
        ("pt", Some(2)),
        ("pt-BR", Some(2)),
        ("pt-PT", None),
        ("d", None),
        ("deu", None),
        ("de;q=0", None),
        ("de;q=0.5, pt;q=0.5", Some(1)),
    ] {
        assert_eq!(of(list), expected, "{list}");
    }
}

#[test]
fn a_subresource_is_no_document() {
    for (destination, expected) in [
        ("image", true),
        ("script", true),
        (" style ", true),
        ("font", true),
        ("document", false),
        ("iframe", false),
        ("empty", false),
        ("", false),
        ("new-thing", false),
    ] {
        assert_eq!(
            is_subresource(destination.as_bytes()),
            expected,
            "{destination}"
        );
    }
    for destination in ["document", "iframe", " object "] {
        assert!(is_document(destination.as_bytes()), "{destination}");
    }
    for destination in ["empty", "image", "report", ""] {
        assert!(!is_document(destination.as_bytes()), "{destination}");
    }
}

/// Members of a list: the index of a name, and a quality in thousandths.
fn members_with_quality() -> impl Strategy<Value = Vec<(usize, u16)>> {
    prop::collection::vec((0..5_usize, 0..=1000_u16), 0..6)
}

fn written(list: &[(usize, u16)], names: [&str; 5], space: &str) -> String {
    let member = |(name, quality): &(usize, u16)| match quality {
        1000 => names[*name].to_owned(),
        _ => format!("{}{space};{space}q=0.{quality:03}", names[*name]),
    };
    list.iter()
        .map(member)
        .collect::<Vec<_>>()
        .join(&format!("{space},{space}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_quality_is_read_as_written(thousandths in 0..=999_u16) {
        prop_assert_eq!(quality(format!("0.{thousandths:03}").as_bytes()), Some(thousandths));
        prop_assert_eq!(quality(format!(".{thousandths:03}").as_bytes()), Some(thousandths));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut accept = Accept::default();
        accept.read(&value);
        let _ = accept.form();
        let _ = accept.form_for_json();
        let _ = is_json(&value);
        let mut codings = AcceptEncoding::default();
        codings.read(&value);
        let _ = codings.coding();
        let _ = preferred_language(&value, ["en", "de"].into_iter());
        let _ = is_subresource(&value);
    }

    /// A coding is sent only if the client accepts it, and no other coding has a higher quality.
    #[test]
    fn only_an_accepted_coding_is_sent(list in members_with_quality(), space in prop::sample::select(vec!["", " ", "\t "])) {
        let names = ["gzip", "br", "identity", "*", "deflate"];
        let quality_of = |name: usize| {
            let own = list.iter().filter(|(other, _)| *other == name).map(|(_, quality)| *quality);
            own.max()
        };
        let gzip = quality_of(0).or(quality_of(3)).unwrap_or(0);
        let brotli = quality_of(1).unwrap_or(0);
        let identity = quality_of(2).unwrap_or(0);
        match coding(&written(&list, names, space)) {
            Coding::Gzip => prop_assert!(gzip > 0 && gzip > brotli && gzip >= identity),
            Coding::Brotli => prop_assert!(brotli > 0 && brotli >= gzip && brotli >= identity),
            Coding::Identity => prop_assert!(gzip.max(brotli) == 0 || identity > gzip.max(brotli)),
        }
    }

    /// Whitespace changes nothing, and a form that alone has the highest quality is chosen.
    #[test]
    fn a_single_highest_quality_decides(list in members_with_quality()) {
        let names = ["text/html", "application/json", "text/plain", "image/png", "application/xml"];
        let tight = written(&list, names, "");
        prop_assert_eq!(form(&tight), form(&written(&list, names, " ")));
        let quality_of = |name: usize| list.iter().filter(|(other, _)| *other == name).map(|(_, quality)| *quality).max();
        let all: Vec<u16> = (0..4).map(|name| quality_of(name).unwrap_or(0)).collect();
        let most = all.iter().copied().max().unwrap_or(0);
        if most > 0 && all.iter().filter(|one| **one == most).count() == 1 {
            let expected = [Form::Page, Form::Json, Form::Plain, Form::Empty];
            let at = all.iter().position(|one| *one == most).unwrap_or(0);
            prop_assert_eq!(form(&tight), expected[at], "{}", tight);
        }
    }
}
